"""Meters that others wrote in Java, each in a process of its own: they share no line with us."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.cli.bench.java_peers import AbsentError, build, command
from connectors.local.ports import free_port

_SMALL = ("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@contextmanager
def java(peer: str, main: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A class of a peer in `tests/peers`, running until the block ends: it ends when its input does."""
    with peer_or_skip():
        line = [*command(build(peer), main, *_SMALL), *arguments]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def peer_or_skip() -> Iterator[None]:
    """Skip the test where a peer cannot be built here."""
    try:
        yield
    except AbsentError as error:
        pytest.skip(str(error))


@contextmanager
def jdlms(main: str) -> Iterator[int]:
    """The port of a meter of jDLMS, once it is ready."""
    port = free_port()
    with java("jdlms", main, str(port)) as meter:
        assert meter.stdout is not None
        assert meter.stdout.readline() == "ready\n"
        yield port
