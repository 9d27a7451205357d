"""Choosing ports."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from connectors.local import ports
from connectors.local.ports import HOST, RANGE, answers, choose, free_port, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not is_free(taken)
    assert answers(taken)


def test_free_ports_differ_and_are_below_the_outgoing_ones() -> None:
    chosen = choose(["a", "b", "c"], {})
    assert len(set(chosen.values())) == 3
    assert all(port in RANGE and is_free(port) and not answers(port) for port in chosen.values())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_free_port_can_be_listened_on(kind: socket.SocketKind) -> None:
    with socket.socket(type=kind) as server:
        server.bind((HOST, port := free_port(kind)))
        if kind is socket.SOCK_STREAM:
            server.listen()
        assert port in RANGE
        assert not is_free(port, kind)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets, which processes tell each other by")
def test_no_two_processes_are_given_the_same_port_while_neither_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = free_port()
    monkeypatch.setattr(ports, "RANGE", range(ours, ours + 200))
    assert len({free_port() for _ in range(60)} - {ours}) == 60
    only = f"import connectors.local.ports as p; p.RANGE = {ports.RANGE}; p.choose('x', {{}}, p.RANGE[1:])"
    told = subprocess.run([sys.executable, "-c", only], capture_output=True, text=True, check=False).stderr
    assert "no free port found" in told
    assert is_free(ours)


def test_a_remembered_port_is_kept() -> None:
    remembered = choose(["a", "b"], {})
    assert choose(["a", "b"], remembered) == remembered


def test_a_remembered_port_that_is_taken_or_avoided_is_replaced(taken: int) -> None:
    free = choose(["x"], {})["x"]
    chosen = choose(["a", "b", "c"], {"a": taken, "b": free, "c": free}, avoid=[])
    assert chosen["a"] != taken
    assert chosen["b"] == free
    assert chosen["c"] != free
    assert choose(["b"], {"b": free}, avoid=[free])["b"] != free
