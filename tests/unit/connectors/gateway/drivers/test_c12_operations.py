"""Jobs on a C12 meter: what is read, in how few parts, and what becomes of meters that are not as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.drivers.c12_access import MessageAccess, PsemAccess
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_operations import check, perform, steps
from connectors.gateway.drivers.c12_order import C12Order, order_of
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.c12 import responses
from connectors.protocols.c12.c1222_session import Client, Node
from connectors.protocols.c12.errors import C12Error, PeerError
from connectors.protocols.c12.psem_timing import Agreed
from connectors.protocols.c12.services import decode_request, encode_response
from connectors.templates.c12_loader import load_c12_templates
from schemas.records import Alarm, IntervalReadings, Job, Meter, Operation, RegisterReadings
from tests.unit.connectors.gateway.drivers.c12_meter import (
    BLOCK_SIZE,
    BLOCKS,
    HEAD_END,
    NEWEST,
    NOW_S,
    START,
    TITLE,
    MessageMeter,
    Services,
    drive,
    overlaid,
    rows,
    tables,
)
from tests.unit.connectors.protocols.c12.tables.meters import number

QUARTER, HOUR = 900_000, 3_600_000
FIRST = 1000 * START
TEMPLATES = load_c12_templates()


class Bench:
    """One meter, and jobs on it."""

    def __init__(self, services: Services | None = None, *, services_a_message: int = 8, answer: int = 4_096) -> None:
        self.meter = MessageMeter(services or Services())
        self.known = Known()
        ids = iter(range(1, 1 << 20))
        client = Client(Node(TITLE, HEAD_END), ids.__next__, lambda: b"\0\0\0\1")
        self.access: Any = MessageAccess(client, services_a_message, answer)

    @property
    def asked(self) -> Services:
        return self.meter.services

    def order(self, operation: Operation, **more: Any) -> C12Order:
        return order_of(
            Job(id="j", operation=operation, **more), Meter(id="m1", time_zone="America/Chicago"), TEMPLATES,
            lambda: 1000 * NOW_S, self.known,
        )  # fmt: skip

    def run(self, operation: Operation, template: str = "generic", **more: Any) -> Found:
        order = replace(self.order(operation, **more), template=TEMPLATES[template])
        check(order)
        found = Found()
        self.meter.heard.clear()
        self.asked.asked.clear()
        for step in steps(order, found):
            drive(perform(step, self.access, order, found), self.meter.exchange)
        return found


def stored(found: Found) -> list[tuple[int, ...]]:
    out: list[tuple[int, ...]] = []
    for item in found.readings:
        assert isinstance(item, IntervalReadings)
        ends = item.ends or tuple(item.first_end + n * item.period_s * 1000 for n in range(item.rows))
        out += list(zip(ends, *(channel.longs for channel in item.channels), strict=True))
    return out


NEWEST_END = rows()[-1][0]
SPANS: dict[str, tuple[int | None, int | None, int]] = {
    "all": (None, None, BLOCKS),
    "one-hour-as-blocks-are-cut, and one more, which might begin early": (
        FIRST + 5 * HOUR + QUARTER,
        FIRST + 6 * HOUR + QUARTER,
        2,
    ),
    "from-midnight-to-midnight": (FIRST + 5 * HOUR, FIRST + 9 * HOUR, 5),
    "one-row": (FIRST + 7 * HOUR, FIRST + 7 * HOUR + 1, 1),
    "the-newest-row": (NEWEST_END, None, 1),
    "the-newest-block-and-the-one-before": (NEWEST_END - 2 * QUARTER, None, 2),
    "the-oldest-row": (None, FIRST + 2 * QUARTER, 1),
    "between-two-rows": (FIRST + 7 * HOUR + 1, FIRST + 7 * HOUR + QUARTER, 2),
    "before-the-oldest": (FIRST - HOUR, FIRST, 1),
    "after-the-newest": (NEWEST_END + 2 * HOUR, None, 0),
    "far-beyond-both": (0, 1 << 41, BLOCKS),
}


@pytest.mark.parametrize(("start", "end", "blocks"), SPANS.values(), ids=SPANS)
@pytest.mark.parametrize("method", [1, 2, 3], ids=["offset", "index", "both"])
def test_of_a_load_profile_the_wanted_blocks_are_read(start: int | None, end: int | None, blocks: int, method: int) -> None:
    bench = Bench(Services(octets=tables(access=method)))
    found = bench.run(Operation.READ_PROFILE, from_time=start, to_time=end)
    lowest, highest = FIRST if start is None else start, 1 << 60 if end is None else end
    assert stored(found) == [row for row in rows() if lowest <= row[0] < highest]
    assert found.rows == len(stored(found))
    read = [octets for part, octets in read_of(bench) if part[1] != 5 and octets]
    assert sum(map(len, read)) == blocks * BLOCK_SIZE


def read_of(bench: Bench) -> list[tuple[tuple[int, int], bytes]]:
    """Parts of table 64 that were read, by offset or by index, with their octets."""
    found = []
    table = bench.asked.octets[64]
    asked: list[Any] = bench.asked.asked
    for one in asked:
        if getattr(one, "table", None) != 64:
            continue
        indices = getattr(one, "indices", None)
        if indices is None:
            at, size = (one.offset, one.count) if hasattr(one, "offset") else (0, len(table))
        else:
            at, size = indices[1] * BLOCK_SIZE, 5 if len(indices) == 3 else one.count * BLOCK_SIZE
        found.append(((at, size), table[at : at + size]))
    return found


def test_a_meter_that_reads_only_whole_tables_is_read_whole() -> None:
    bench = Bench(Services(octets=tables(access=0)))
    found = bench.run(Operation.READ_PROFILE, from_time=FIRST + 5 * HOUR, to_time=FIRST + 6 * HOUR)
    assert stored(found) == [row for row in rows() if FIRST + 5 * HOUR <= row[0] < FIRST + 6 * HOUR]
    assert [part for part, _ in read_of(bench)] == [(0, BLOCKS * BLOCK_SIZE)]


def test_a_meter_that_went_on_meanwhile_is_read_again() -> None:
    bench = Bench()
    services, before = bench.asked, tables()
    handle = services.handle
    seen: list[Any] = []

    def going_on(request: Any) -> Any:
        answer = handle(request)
        if getattr(request, "table", None) == 63 and not seen:  # one interval more, after the status was read
            seen.append(request)
            services.octets[63] = before[63][:-2] + number(3, 2, "little")
            at = NEWEST * BLOCK_SIZE
            block = bytearray(before[64][at : at + BLOCK_SIZE])
            block[4] += 15  # its last valid interval ends a quarter later
            block[17:23] = bytes(2) + number(7777, 2, "little") + number(8888, 2, "little")
            services.octets[64] = before[64][:at] + bytes(block) + before[64][at + BLOCK_SIZE :]
        return answer

    services.handle = going_on  # type: ignore[method-assign]  # the test's own meter
    found = bench.run(Operation.READ_PROFILE, from_time=NEWEST_END)
    assert stored(found) == [rows()[-1], (NEWEST_END + QUARTER, 7777, 8888)]


def tables_asked(bench: Bench) -> list[int | None]:
    """The table of each request, in order."""
    return [getattr(one, "table", None) for one in bench.asked.asked]


def test_what_lasts_is_asked_once() -> None:
    bench = Bench()
    bench.run(Operation.READ_PROFILE)
    assert tables_asked(bench)[:3] == [0, 11, 61]
    bench.run(Operation.READ_PROFILE, from_time=NEWEST_END)
    assert tables_asked(bench) == [63, 64, 64, 63]


def test_a_meter_that_was_set_up_anew_is_asked_anew() -> None:
    bench = Bench()
    bench.run(Operation.READ_REGISTERS)
    one = tables()
    bench.asked.octets = overlaid(
        one, t21=bytes((2, 0, 0, 1, 1, 0, 1, 0, 1, 1)), t22=bytes((0, 2, 1)), t23=one[23][:4] + one[23][8:]
    )
    found = bench.run(Operation.READ_REGISTERS)
    first: Any = found.readings[0]
    assert [item.obis for item in first.registers if item.attribute == 2] == [
        "1.0.1.8.0.255", "1.0.1.6.0.255",
    ]  # fmt: skip
    assert len(found.readings) == 2


def test_registers_and_the_clock() -> None:
    bench = Bench()
    current, present = bench.run(Operation.READ_REGISTERS).readings
    assert isinstance(current, RegisterReadings)
    assert isinstance(present, RegisterReadings)
    assert [(r.obis, r.attribute, r.unit, r.scaler, r.value) for r in current.registers] == [
        ("1.0.1.8.0.255", 2, "Wh", 0, 1000), ("1.0.2.8.0.255", 2, "Wh", 0, 2000), ("1.0.1.6.0.255", 2, "W", 2, 33),
        ("1.0.1.6.0.255", 5, "", None, "2024-11-11T01:00:00+00:00"),
    ]  # fmt: skip
    assert [(r.obis, r.value) for r in present.registers] == [("1.0.1.4.0.255", 44), ("1.0.14.7.0.255", 50)]
    assert (current.source, current.captured_at, current.meter_time_given) == ("table/23", 1000 * NOW_S, True)
    (clock,) = bench.run(Operation.READ_CLOCK).readings
    assert isinstance(clock, RegisterReadings)
    assert clock.registers[0].value == "2024-11-12T00:00:00+00:00"
    named = bench.run(Operation.READ_REGISTERS, objects=("table/28",)).readings
    assert [(item.source, item.id) for item in named if isinstance(item, RegisterReadings)] == [("table/28", present.id)]


def test_logs_are_alarms_where_somebody_should_know() -> None:
    found = Bench().run(Operation.READ_EVENT_LOG).readings
    alarms = [(a.source, a.kind, a.severity, a.code, a.code_table) for a in found if isinstance(a, Alarm)]
    assert alarms == [
        ("table/76", "OUTAGE", "CRITICAL", "1", "c12.19"),
        ("table/76", "RESTORATION", "INFO", "2", "c12.19"),
        ("table/76", "UNKNOWN", "WARNING", "2053", "c12.19-generic"),
        ("table/74", "OUTAGE", "CRITICAL", "1", "c12.19"),
    ]
    assert len({a.id for a in found if isinstance(a, Alarm)}) == 3  # both logs tell of one outage
    words = [item.registers[1].value for item in found if isinstance(item, RegisterReadings)]
    assert words == ["self read", "end device accessed for read; by user 2"]


def test_of_a_log_the_entries_within_a_span_are_told() -> None:
    span: dict[str, Any] = {"from_time": 1000 * (START + 120), "to_time": 1000 * (START + 180), "objects": ("table/76",)}
    (one,) = Bench().run(Operation.READ_EVENT_LOG, **span).readings
    assert isinstance(one, Alarm)
    assert one.kind == "RESTORATION"


def test_ids_do_not_depend_on_when_or_how_it_was_read() -> None:
    first, second = Bench(), Bench(services_a_message=1, answer=64)
    for operation in (Operation.READ_REGISTERS, Operation.READ_PROFILE, Operation.READ_EVENT_LOG):
        one, other = (bench.run(operation).readings for bench in (first, second))
        assert [item.id for item in one] == [item.id for item in other]


# -- parts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [870, 500, 200, 64], ids=str)
def test_what_an_answer_cannot_hold_is_read_in_parts(largest: int) -> None:
    bench = Bench(Services(largest=largest))
    assert stored(bench.run(Operation.READ_PROFILE)) == rows()


def test_several_tables_go_in_one_message() -> None:
    bench = Bench()
    bench.run(Operation.READ_REGISTERS)
    assert len(bench.meter.heard) == 4  # table 0; limits; sources and selections; registers and clock
    assert len(bench.asked.asked) == 11


def test_c1218_reads_one_part_after_the_other_within_what_was_negotiated() -> None:
    services = Services()
    bench = Bench()
    bench.access = PsemAccess(Agreed(packet_size=128, packets=2))

    def exchange(service: bytes) -> list[bytes]:
        answer = encode_response(services.handle(decode_request(service)))  # type: ignore[arg-type]  # no C12.22 answers
        assert len(answer) <= 2 * 120
        return [answer]

    order = bench.order(Operation.READ_PROFILE)
    found = Found()
    for step in steps(order, found):
        drive(perform(step, bench.access, order, found), exchange)
    assert stored(found) == rows()


# -- refused ---------------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Operation, dict[str, Any], str]] = {
    "relay": (Operation.DISCONNECT, {}, "operation-unsupported"),
    "relay-back": (Operation.RECONNECT, {}, "operation-unsupported"),
    "clock": (Operation.SET_CLOCK, {}, "operation-unsupported"),
    "firmware": (Operation.FIRMWARE_TRANSFER, {}, "operation-unsupported"),
    "dlms-object": (Operation.READ_PROFILE, {"objects": ("7/1.0.99.1.0.255/2",)}, "object-invalid"),
    "no-profile": (Operation.READ_PROFILE, {"objects": ("table/23",)}, "object-invalid"),
    "profile-not-in-template": (Operation.READ_PROFILE, {"parameters": {"profile": "daily"}}, "object-invalid"),
    "secret-table": (Operation.READ_REGISTERS, {"objects": ("table/42",)}, "object-invalid"),
    "no-log": (Operation.READ_EVENT_LOG, {"objects": ("table/71",)}, "object-invalid"),
}


@pytest.mark.parametrize(("operation", "more", "code"), REFUSED.values(), ids=REFUSED)
def test_jobs_that_are_refused_before_anyone_connects(operation: Operation, more: dict[str, Any], code: str) -> None:
    with pytest.raises(JobError) as caught:
        check(Bench().order(operation, **more))
    assert caught.value.code == code


WRONG: dict[str, tuple[Callable[[], Services], Operation, dict[str, Any], str]] = {
    "refused": (lambda: Services(refuse={23: responses.ISC}), Operation.READ_REGISTERS, {}, "psem-response"),
    "not-listed": (Services, Operation.READ_REGISTERS, {"objects": ("table/26",)}, "table-not-listed"),
    "no-such-set": (Services, Operation.READ_PROFILE, {"objects": ("table/65",)}, "table-not-listed"),
    "short": (lambda: Services(octets=overlaid(tables(), t23=b"\0")), Operation.READ_REGISTERS, {}, "table-size"),
    "block-short": (lambda: Services(octets=overlaid(tables(), t64=tables()[64][:-9])), Operation.READ_PROFILE, {},
                    "table-size"),
    "status-contradicts": (lambda: Services(octets=overlaid(tables(), t63=b"\x24" + b"\xff" * 12)), Operation.READ_PROFILE,
                           {}, "profile-shape"),
    "no-table-0": (lambda: Services(octets=overlaid(tables(), t0=b"")), Operation.READ_CLOCK, {}, "table-size"),
    "block-without-time": (lambda: Services(octets=overlaid(tables(), t64=b"\xff" * BLOCKS * BLOCK_SIZE)),
                           Operation.READ_PROFILE, {"from_time": NEWEST_END}, "profile-clock"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "operation", "more", "code"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_has_its_code(
    make: Callable[[], Services], operation: Operation, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(C12Error) as caught:
        Bench(make()).run(operation, **more)
    assert caught.value.code == code


def test_a_meter_that_never_stands_still() -> None:
    bench = Bench()
    services, handle = bench.asked, bench.asked.handle
    counted = iter(range(1, 100))

    def restless(request: Any) -> Any:
        if getattr(request, "table", None) == 63:
            services.octets[63] = services.octets[63][:-2] + number(1 + next(counted) % 2, 2, "little")
        return handle(request)

    services.handle = restless  # type: ignore[method-assign]  # the test's own meter
    with pytest.raises(PeerError, match="changed 3 times"):
        bench.run(Operation.READ_PROFILE, from_time=NEWEST_END - HOUR)
