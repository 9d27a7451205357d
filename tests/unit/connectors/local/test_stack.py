"""Starting, finding again and stopping, with small web servers as parts."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.local import stack as module
from connectors.local.artifacts import Artifacts
from connectors.local.errors import LocalError
from connectors.local.health import get
from connectors.local.home import load_state, save_state
from connectors.local.java import Java
from connectors.local.part import Part, Ports, Site
from connectors.local.process import Command, alive
from connectors.local.stack import LocalStack, endpoints_in_part, running_endpoints

SERVE = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def part(name: str, *names: str, program: str = SERVE) -> Part:
    """A part that is a web server on its first port."""

    def command(site: Site, ports: Ports) -> Command:
        return Command([sys.executable, "-c", program, str(ports[names[0]])])

    def ready(ports: Ports) -> bool:
        return (get(ports[names[0]], "/") or (0, b""))[0] == 200

    return Part(name, name.title(), names, lambda _site, _ports: None, command, ready, lambda ports: f"at {ports[names[0]]}")


REGISTRY, CLICKHOUSE, KAFKA = (
    part("registry", "registry"),
    part("clickhouse", "clickhouse"),
    part("kafka", "kafka", "controller"),
)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LocalStack]:
    """A stack of such parts in one home; the arguments stand in for parts of the same name."""

    def site(stack: LocalStack, _progress: object) -> Site:
        return Site(stack.home, Java(Path("/java"), "17"), Artifacts(tmp_path))

    def made(*others: Part) -> LocalStack:
        parts = {one.name: one for one in (REGISTRY, CLICKHOUSE, KAFKA, *others)}
        monkeypatch.setattr(module, "PARTS", tuple(parts.values()))
        for one in parts.values():
            monkeypatch.setattr(module, one.name.upper(), one)
        monkeypatch.setattr(LocalStack, "_site", site)
        return LocalStack(tmp_path / "home")

    return made


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {status.name: status.pid for status in stack.status()}


def test_up_status_down(make: Callable[..., LocalStack]) -> None:
    told: list[str] = []
    with make() as stack:
        assert {status.state for status in stack.status()} == {"stopped"}
        assert running_endpoints(stack.home.root) is None
        endpoints = stack.up(told.append)
        assert running_endpoints(stack.home.root) == endpoints
        assert {status.state for status in stack.status()} == {"running"}
        assert [status.address for status in stack.status()] == [endpoints.registry, endpoints.clickhouse, endpoints.kafka]
        assert told[0] == "starting Registry, Clickhouse and Kafka"
    assert {status.state for status in stack.status()} == {"stopped"}
    assert running_endpoints(stack.home.root) is None
    assert not stack.down()


def test_a_stack_of_which_a_part_died_is_known_all_the_same(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        assert endpoints_in_part(stack.home.root) is None
        endpoints = stack.up()
        os.kill(pids(stack)["kafka"] or 0, signal.SIGKILL)
        os.waitpid(load_state(stack.home).processes["kafka"].pid, 0)
        assert running_endpoints(stack.home.root) is None
        assert endpoints_in_part(stack.home.root) == endpoints
    assert endpoints_in_part(stack.home.root) is None


def test_ports_are_kept_from_one_time_to_the_next(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        first = stack.up()
    with make() as stack:
        assert stack.up() == first


def test_a_port_taken_meanwhile_is_replaced(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        stack.up()
        port = load_state(stack.home).ports["clickhouse"]
    with socket.create_server(("127.0.0.1", port)), make() as stack:
        stack.up()
        assert load_state(stack.home).ports["clickhouse"] != port


def test_a_port_taken_between_choice_and_start_is_replaced(make: Callable[..., LocalStack]) -> None:
    sockets: list[socket.socket] = []

    def steal(_site: Site, ports: Ports) -> None:
        if not sockets:
            sockets.append(socket.create_server(("127.0.0.1", ports["clickhouse"])))

    unlucky = replace(CLICKHOUSE, prepare=steal, ready=lambda ports: not sockets_at(ports) and CLICKHOUSE.ready(ports))

    def sockets_at(ports: Ports) -> bool:
        return any(one.getsockname()[1] == ports["clickhouse"] for one in sockets)

    with make(unlucky) as stack:
        stack.up()
        assert load_state(stack.home).ports["clickhouse"] != sockets[0].getsockname()[1]
    sockets[0].close()


def test_a_second_up_uses_what_runs_and_does_not_stop_it(make: Callable[..., LocalStack]) -> None:
    with make() as first:
        endpoints = first.up()
        before = pids(first)
        with make() as second:
            assert second.up(pytest.fail) == endpoints
        assert pids(first) == before


def test_what_was_killed_is_started_again_and_the_rest_left_alone(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        endpoints = stack.up()
        before = pids(stack)
        os.kill(before["kafka"] or 0, signal.SIGKILL)
        while alive(load_state(stack.home).processes["kafka"]):
            pass
        assert running_endpoints(stack.home.root) is None
        assert [status.state for status in stack.status()] == ["running", "running", "stopped"]
        assert stack.up() == endpoints
        after = pids(stack)
        assert {name for name in before if before[name] != after[name]} == {"kafka"}


def test_one_that_lives_and_does_not_answer_is_replaced(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        stack.up()
        frozen = pids(stack)["registry"] or 0
        os.kill(frozen, signal.SIGSTOP)
        blind = replace(REGISTRY, ready=lambda _ports: False)
        assert make(blind).status()[0].state == "not answering"
        make(replace(REGISTRY, ready=lambda ports: not Path(f"/proc/{frozen}").exists() and REGISTRY.ready(ports)))
        # The stop must get past SIGTERM, which a stopped process does not see: let it go on as it is told.
        os.kill(frozen, signal.SIGCONT)
        stack.up()
        assert pids(stack)["registry"] not in (None, frozen)


def test_detached_goes_on_until_down(make: Callable[..., LocalStack]) -> None:
    stack = make()
    endpoints = stack.up(detach=True)
    try:
        with make() as other:
            assert other.up() == endpoints
        assert running_endpoints(stack.home.root) == endpoints
    finally:
        assert make().down()
    assert running_endpoints(stack.home.root) is None


def test_one_that_dies_says_why_and_takes_the_others_along(make: Callable[..., LocalStack]) -> None:
    stack = make(part("kafka", "kafka", "controller", program="raise SystemExit('the disk is full')"))
    with pytest.raises(LocalError, match="the disk is full") as raised:
        stack.up()
    assert str(stack.home.log("kafka")) in raised.value.mend
    assert {status.state for status in stack.status()} == {"stopped"}


def test_ctrl_c_while_starting_leaves_nothing(make: Callable[..., LocalStack]) -> None:
    def interrupt(_ports: Ports) -> bool:
        raise KeyboardInterrupt

    stack = make(replace(KAFKA, ready=interrupt))
    with pytest.raises(KeyboardInterrupt):
        stack.up()
    assert {status.state for status in stack.status()} == {"stopped"}
    assert load_state(stack.home).processes == {}


def test_a_damaged_state_is_a_first_start(make: Callable[..., LocalStack]) -> None:
    with make() as stack:
        stack.up()
    save_state(stack.home, load_state(stack.home))
    stack.home.state_file.write_text("{")
    with make() as stack:
        stack.up()
