"""Logs and status flags as events and alarms."""

from __future__ import annotations

import pytest

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.protocols.c12.tables.declarations import Catalog, EventDeclaration
from connectors.protocols.c12.tables.declared import ALARM_KINDS, SEVERITIES
from connectors.protocols.c12.tables.events import Log, log, status_events
from connectors.protocols.c12.tables.model import Model, decode_table
from schemas.records import AlarmKind, Severity
from tests.unit.connectors.protocols.c12.tables.meters import Order, ltime, model, number, table0

NIGHT = 1_731_289_000
CLOCK = Clock(keeps=Keeps.UTC)


def event(at: int, code: int, argument: bytes = b"\0\0", order: Order = "little", mfg: int = 0, user: int = 0) -> bytes:
    """An entry of table 76 with event number and two octets of argument."""
    return (
        ltime(at, 2) + number(7, 2, order) + number(at % 1000, 2, order) + number(user, 2, order)
        + number(code | mfg << 11, 2, order) + argument
    )  # fmt: skip


def read(
    entries: bytes,
    valid: int,
    newest: int,
    total: int,
    *,
    order: Order = "little",
    flags: int = 4,
    catalog: Catalog = STANDARD,
) -> Log:
    known = Model.of(table0(order), catalog).with_octets(
        71, bytes((1, 10, 2, 0, 2)) + number(0, 2, order) + number(total, 2, order)
    )
    head = bytes((flags,)) + number(valid, 2, order) + number(newest, 2, order) + number(99, 4, order) + number(1, 2, order)
    return log(known, 76, decode_table(76, head + entries, known).value, CLOCK)


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_ring_of_events_oldest_first(order: Order) -> None:
    entries = b"".join(event(NIGHT + at, code, order=order) for at, code in ((30, 2), (10, 1), (20, 1)))
    found = read(entries, 3, 0, 3, order=order, flags=6)
    assert [(entry.code, entry.at) for entry in found.events] == [
        (1, 1000 * (NIGHT + 10)), (1, 1000 * (NIGHT + 20)), (2, 1000 * (NIGHT + 30)),
    ]  # fmt: skip
    assert (found.unread, found.overflow, found.last_sequence) == (1, True, 99)
    outage, _, back = (entry.declaration for entry in found.events)
    assert (outage.kind, outage.severity, outage.event_type) == ("OUTAGE", "CRITICAL", "3.26.0.85")
    assert (back.kind, back.severity, back.event_type) == ("RESTORATION", "INFO", "3.26.0.216")
    assert (found.events[0].event_number, found.events[0].sequence) == (7, (NIGHT + 10) % 1000)


def test_a_descending_list_of_which_one_is_valid() -> None:
    found = read(event(NIGHT, 47, user=3) + b"\xff" * 32, 1, 0, 3, flags=1)
    assert [(entry.declaration.kind, entry.user) for entry in found.events] == [("TAMPER_OTHER", 3)]


ARGUMENTS = [
    (9, 10, "procedure 10 (Set date and time)"),
    (9, 0x80C, "procedure 2060"),
    (10, 61, "table 61 (Actual load profile limits)"),
    (28, 0x801, "table 2049"),
    (14, 3, "load profile set 1 (64)"),
    (14, 99, ""),
    (24, 2, "season 2"),
    (20, 5, ""),
    (5, 0, ""),
]  # fmt: skip


@pytest.mark.parametrize(("code", "argument", "detail"), ARGUMENTS)
def test_arguments_in_words(code: int, argument: int, detail: str) -> None:
    (found,) = read(event(NIGHT, code, number(argument, 2, "little")), 1, 0, 1).events
    assert found.detail == detail
    assert found.argument == number(argument, 2, "little")


def test_codes_that_nobody_explains() -> None:
    standard, own = read(event(NIGHT, 300) + event(NIGHT, 5, mfg=1), 2, 1, 2).events
    assert [(entry.code, entry.declaration.kind, entry.declaration.name) for entry in (standard, own)] == [
        (300, "UNKNOWN", "event 300"), (2053, "UNKNOWN", "manufacturer event 5"),
    ]  # fmt: skip


def test_a_manufacturers_codes_come_from_its_declaration() -> None:
    declared = EventDeclaration("cover opened", "TAMPER_COVER", "CRITICAL", "3.12.141.212")
    (found,) = read(event(NIGHT, 5, mfg=1), 1, 0, 1, catalog=STANDARD.extended(Catalog({}, {}, {2053: declared}))).events
    assert found.declaration == declared


def test_history_without_times() -> None:
    known = model(t71=bytes((0, 10, 2, 1, 2)) + number(1, 2, "little") + number(0, 2, "little"))
    octets = (
        b"\0"
        + number(1, 2, "little")
        + bytes(2)
        + bytes(4)
        + bytes(2)
        + number(2, 2, "little")
        + number(20, 2, "little")
        + b"x"
    )
    (found,) = log(known, 74, decode_table(74, octets, known).value, CLOCK).events
    assert (found.at, found.sequence, found.event_number, found.user, found.code) == (None, None, None, 2, 20)


def test_an_event_without_a_time_that_is_one() -> None:
    (found,) = read(b"\xff" * 6 + event(NIGHT, 1)[6:], 1, 0, 1).events
    assert found.at is None


@pytest.mark.parametrize(("valid", "newest"), [(4, 0), (2, 3)])
def test_logs_that_contradict_themselves(valid: int, newest: int) -> None:
    with pytest.raises(DecodeError) as error:
        read(event(NIGHT, 1) * 3, valid, newest, 3)
    assert error.value.code == "table-shape"


def test_another_table_is_no_log() -> None:
    with pytest.raises(DecodeError) as error:
        log(model(), 75, model().config.record, CLOCK)
    assert error.value.code == "table-unknown"


def test_status_flags() -> None:
    fields = decode_table(3, bytes.fromhex("0140110000"), model()).value  # clock error, low battery, tamper
    assert [(name, declared.kind) for name, declared in status_events(fields)] == [
        ("CLOCK_ERROR_FLAG", "CLOCK"), ("LOW_BATTERY_FLAG", "DEVICE"), ("TAMPER_DETECT_FLAG", "TAMPER_OTHER"),
    ]  # fmt: skip


def test_kinds_and_severities_are_those_of_the_records() -> None:
    assert {kind.value for kind in AlarmKind} | {""} == ALARM_KINDS
    assert {severity.value for severity in Severity} == SEVERITIES
    for declared in STANDARD.events.values():
        assert declared.kind in ALARM_KINDS
        assert declared.severity in SEVERITIES
    assert set(STANDARD.events) == set(range(77))
