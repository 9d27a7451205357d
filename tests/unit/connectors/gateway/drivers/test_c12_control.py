"""What changes a C12 meter: its switch, with the state before and after and one intent, and its clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

import pytest

from connectors.gateway.drivers.c12_access import MessageAccess
from connectors.gateway.drivers.c12_control import result_of, set_clock, start
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_operations import check
from connectors.gateway.drivers.c12_order import C12Order
from connectors.gateway.drivers.c12_reading import learn
from connectors.gateway.drivers.c12_relay import Means, act
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.c12 import responses
from connectors.protocols.c12.c1222_session import Client, Node
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.templates.c12_template import C12Template, RelayTemplate
from schemas.records import Job, Meter, Operation
from tests.unit.connectors.gateway.drivers.c12_meter import HEAD_END, START, TITLE, MessageMeter, Services, drive
from tests.unit.connectors.protocols.c12.tables.meters import ltime

TEMPLATE = C12Template("t", relay=RelayTemplate(0, 100, 0))


@dataclass
class Intent:
    """A deed: what was asked of it, in order."""

    unsettled: bool = False
    before: str = ""
    said: list[str] = field(default_factory=list)
    late: bool = False

    async def intend(self, before: str) -> None:
        self.said.append(f"intend {before}")

    def still(self) -> None:
        if self.late:
            raise JobError("command-too-late", "somebody else")
        self.said.append("still")

    def known(self) -> None:
        self.said.append("known")


class Bench:
    """A meter with a switch. `results` are what table 8 says, `moves` whether the switch does."""

    def __init__(
        self, results: tuple[int, ...] = (0,), *, moves: bool = True, level: int = 0, sensed: int | None = None
    ) -> None:
        services = Services()
        self.meter = MessageMeter(services)
        self.wrote: list[bytes] = []
        self.rested: list[float] = []
        self.deed = Intent()
        self._levels(level, sensed)
        said = list(results)

        def written(table: int, data: bytes) -> None:
            assert table == 7
            self.wrote.append(data)
            self.deed.said.append("sent")
            services.octets[8] = data[:3] + bytes((said[0],))
            if moves and data[0] == 21 and said[-1] == 0:
                self._levels(data[3], None)

        handle = services.handle

        def again(request: Any) -> Any:
            answer = handle(request)
            if getattr(request, "table", None) == 8 and len(said) > 1:
                said.pop(0)
                services.octets[8] = services.octets[8][:3] + bytes((said[0],))
            return answer

        services.written = written
        services.handle = again  # type: ignore[method-assign]  # the test's own meter
        ids = iter(range(1, 1 << 20))
        self.access = MessageAccess(Client(Node(TITLE, HEAD_END), ids.__next__, lambda: b"\0\0\0\1"), 8, 4096)

    def _levels(self, level: int, sensed: int | None) -> None:
        levels = bytes((level, level, level if sensed is None else sensed, 1))
        self.meter.services.octets[112] = b"SWITCH".ljust(20) + levels

    async def act(self, operation: Operation = Operation.DISCONNECT) -> Found:
        async def run(session: Any) -> Any:
            return drive(session, self.meter.exchange)

        async def rest(seconds: float) -> None:
            self.rested.append(seconds)

        found = Found()
        await act(order(operation), Means(self.access, run, run, rest), self.deed, found)
        return found


def order(operation: Operation, template: C12Template = TEMPLATE, **more: Any) -> C12Order:
    return C12Order(Job(id="j", operation=operation, **more), Meter(id="m1"), template, UTC, lambda: 1000 * START, Known())


@pytest.mark.parametrize("results", [(0,), (1, 1, 0)], ids=["at-once", "after-a-while"])
async def test_supply_is_cut_once_between_two_looks(results: tuple[int, ...]) -> None:
    bench = Bench(results)
    found = await bench.act()
    assert (found.before, found.after, found.detail) == ("connected", "disconnected", "disconnected")
    assert bench.deed.said == ["intend connected", "still", "sent", "known"]
    assert [(data[0], data[3:]) for data in bench.wrote] == [(21, bytes((100, 1)))]


async def test_and_restored() -> None:
    bench = Bench(level=100)
    found = await bench.act(Operation.RECONNECT)
    assert (found.before, found.after) == ("disconnected", "connected")


async def test_what_is_so_already_is_not_sent() -> None:
    bench = Bench(level=100)
    found = await bench.act()
    assert (bench.wrote, bench.deed.said, found.after) == ([], ["known"], "disconnected")


async def test_supply_that_is_sensed_behind_an_open_switch_is_not_cut() -> None:
    bench = Bench(moves=False, level=100, sensed=40)
    with pytest.raises(JobError) as caught:
        await bench.act()
    assert (caught.value.code, bench.deed.said[0]) == ("outcome-unknown", "intend disconnected, sensed 40")
    assert bench.rested == [1.0, 4.0, 10.0]
    assert "known" not in bench.deed.said


async def test_who_may_not_any_more_sends_nothing() -> None:
    bench = Bench()
    bench.deed.late = True
    with pytest.raises(JobError):
        await bench.act()
    assert bench.wrote == []


def refusing() -> Bench:
    bench = Bench()
    handle = bench.meter.services.handle
    bench.meter.services.handle = lambda request: (  # type: ignore[method-assign]  # the test's own meter
        responses.Refused(responses.ISC) if request.code == 0x40 else handle(request)
    )
    return bench


REFUSALS: dict[str, tuple[Callable[[], Bench], str]] = {
    "by-its-result": (lambda: Bench((5,)), "procedure-result"),
    "by-the-service": (refusing, "psem-response"),
}


@pytest.mark.parametrize(("make", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_what_the_meter_refuses_is_known_not_to_be_done(make: Callable[[], Bench], code: str) -> None:
    bench = make()
    with pytest.raises(C12Error) as caught:
        await bench.act()
    assert (caught.value.code, bench.deed.said[-1]) == (code, "known")


async def test_a_meter_that_never_says_that_it_is_done_is_looked_at() -> None:
    assert (await Bench((1,) * 20 + (0,)).act()).after == "disconnected"


@pytest.mark.parametrize(("level", "code"), [(100, ""), (0, "outcome-unknown")], ids=["obeyed", "not-obeyed"])
async def test_what_may_have_been_sent_is_only_looked_at(level: int, code: str) -> None:
    bench = Bench(level=level)
    bench.deed = Intent(unsettled=True, before="connected")
    if code:
        with pytest.raises(JobError) as caught:
            await bench.act()
        assert caught.value.code == code
    else:
        found = await bench.act()
        assert (found.before, found.after) == ("connected", "disconnected")
    assert bench.wrote == []
    assert bench.deed.said == ([] if code else ["known"])


async def test_a_point_that_the_meter_does_not_have() -> None:
    bench = Bench()
    asked = order(Operation.DISCONNECT, replace(TEMPLATE, relay=RelayTemplate(3, 100, 0)))

    async def run(session: Any) -> Any:
        return drive(session, bench.meter.exchange)

    with pytest.raises(C12Error) as caught:
        await act(asked, Means(bench.access, run, run, lambda _: run(None)), bench.deed, Found())
    assert (caught.value.code, bench.wrote) == ("table-shape", [])


@pytest.mark.parametrize(
    ("template", "more", "code"),
    [
        pytest.param(replace(TEMPLATE, relay=None), {}, "operation-unsupported", id="no-switch-is-known"),
        pytest.param(TEMPLATE, {"objects": ("table/112",)}, "object-invalid", id="object-named"),
    ],
)
def test_commands_that_are_refused_before_anyone_connects(template: C12Template, more: dict[str, Any], code: str) -> None:
    check(order(Operation.DISCONNECT))
    with pytest.raises(JobError) as caught:
        check(order(Operation.DISCONNECT, template, **more))
    assert caught.value.code == code


def test_the_clock_is_set_by_its_own_rules() -> None:
    bench = Bench()
    model = drive(learn(bench.access, None, (52,), STANDARD), bench.meter.exchange)
    procedure = set_clock(model, START, Clock(UTC, Keeps.UTC))
    drive(start(bench.access, model, procedure, 77, lambda: None), bench.meter.exchange)
    assert drive(result_of(bench.access, model, procedure, 77), bench.meter.exchange).done
    assert bench.wrote == [bytes((10, 0, 77, 7)) + ltime(START, 2) + bytes((0x11,))]  # Monday, UTC
