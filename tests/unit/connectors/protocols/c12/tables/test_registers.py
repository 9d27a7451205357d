"""Register tables as values: a meter with two sums, two demands, a coincident value and two tiers, packed by hand."""

from __future__ import annotations

import struct
from itertools import count

import pytest

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.protocols.c12.tables.model import Model, decode_table
from connectors.protocols.c12.tables.registers import READABLE, Registers, registers
from connectors.protocols.c12.tables.units import Told
from tests.unit.connectors.protocols.c12.tables.meters import model, number, sources, stime, table0, uom

NOON = 1_731_326_400  # 2024-11-11 12:00 UTC
CLOCK = Clock(keeps=Keeps.UTC)
WORDS = [
    uom(0, 0),
    uom(0, 0, quadrants=(2, 3)),
    uom(0, 4, multiplier=1),
    uom(1, 4, quadrants=(1, 2)),
    uom(24, 4, 5, quadrants=()),
]
SEASON, TIMES, RESETS, CUM, CONT, REMAINING = 1, 2, 4, 16, 32, 64


def meter(flags: int, second: int = 0, occur: int = 1, selfreads: int = 0, ni: tuple[int, int] = (8, 8)) -> Model:
    """Sums of sources 0 and 1, maximum of 2 and minimum of 3, 4 coincident with 2; two tiers."""
    return model(
        table0(ni1=ni[0], ni2=ni[1]),
        **sources(5, WORDS, [0x11] * 5),
        t21=bytes((flags, second, selfreads, 2, 2, 1, occur, 2, 1, 2)),
        t22=bytes((0, 1, 2, 3, 0b01, 4, 0)),
        t27=bytes((2, 0, 4)),
    )


def block(flags: int, start: int, occur: int = 1) -> bytes:
    values = count(start)
    out = b"".join(number(next(values), 4, "little") for _ in range(2))
    for at in range(2):
        out += b"".join(stime(NOON + 3600 * at, 2) for _ in range(occur)) if flags & TIMES else b""
        out += number(next(values), 4, "little") if flags & CUM else b""
        out += number(next(values), 4, "little") if flags & CONT else b""
        out += b"".join(number(next(values), 4, "little") for _ in range(occur))
    return out + b"".join(number(next(values), 4, "little") for _ in range(occur))


def read(known: Model, table: int, octets: bytes) -> tuple[Registers, ...]:
    return registers(known, table, decode_table(table, octets, known).value, CLOCK)


def lines(found: Registers) -> list[tuple[str, str, object, int | None]]:
    return [(value.obis, value.unit, value.value, value.scaler) for value in found.values]


def test_current_registers_with_tiers() -> None:
    flags = TIMES | RESETS | CUM
    octets = b"\x09" + block(flags, 1) + block(flags, 11) + block(flags, 21)
    (found,) = read(meter(flags), 23, octets)
    assert (found.demand_resets, found.captured_at, found.season, found.sequence) == (9, None, None, None)
    assert lines(found) == [
        (f"1.0.{c}.{d}.{tier}.255", unit, 10 * tier + value, scaler)
        for tier in range(3)
        for c, d, unit, value, scaler in (
            (1, 8, "Wh", 1, 0), (2, 8, "Wh", 2, 0), (1, 6, "W", 4, 2), (1, 2, "W", 3, 2), (3, 3, "var", 6, 0),
            (3, 2, "var", 5, 0), (13, 130, "", 7, -2),
        )
    ]  # fmt: skip
    assert [value.at for value in found.values[:7]] == [None, None, 1000 * NOON, None, 1000 * (NOON + 3600), None, None]
    assert [value.told for value in found.values[2:6:2]] == [Told.MAXIMUM, Told.MINIMUM]


def test_several_maxima_have_codes_of_their_own() -> None:
    octets = block(0, 1, 3) * 3
    (found,) = read(meter(0, occur=3), 23, octets)
    assert [(value.obis, value.occurrence) for value in found.values[2:5]] == [
        ("1.0.1.6.0.255", 0), ("1.0.1.145.0.255", 1), ("1.0.1.146.0.255", 2),
    ]  # fmt: skip
    assert len({value.obis for value in found.values}) == len(found.values)


def test_the_snapshot_of_a_demand_reset() -> None:
    flags = TIMES | SEASON | CONT
    octets = stime(NOON, 2) + b"\x02" + block(flags, 1) * 3
    for table in (24, 25):
        (found,) = read(meter(flags), table, octets)
        assert (found.number, found.captured_at, found.season) == (table, 1000 * NOON, 2)
        assert found.values[3].obis == "1.0.1.128.0.255"


def test_self_reads_oldest_first() -> None:
    def entry(at: int) -> bytes:
        return number(100 + at, 2, "little") + stime(NOON + at, 2) + block(TIMES, at) * 3

    ring = entry(180) + entry(240) + entry(120)  # the newest is element 1, element 2 the oldest
    octets = b"\x04" + bytes((3, 1)) + number(40, 2, "little") + b"\x02" + ring
    found = read(meter(TIMES, 2, selfreads=3), 26, octets)
    assert [(group.sequence, group.captured_at) for group in found] == [
        (100 + at, 1000 * (NOON + at)) for at in (120, 180, 240)
    ]  # fmt: skip


def test_present_registers() -> None:
    octets = b"\0\5\0" + number(12, 4, "little") + number(34, 4, "little") + number(-56, 4, "little")
    (found,) = read(meter(REMAINING), 28, octets)
    assert lines(found) == [("1.0.1.4.0.255", "W", 12, 2), ("1.0.1.8.0.255", "Wh", 34, 0), ("1.0.13.4.0.255", "", -56, -2)]


def test_floats_and_texts() -> None:
    octets = struct.pack("<d", 1.25) + b"  34.5      " + b"            "
    (found,) = read(meter(0, ni=(2, 0)), 28, octets)
    assert [(value.value, value.scaler) for value in found.values] == [(125.0, 0), (345, -1), (None, 0)]
    (found,) = read(meter(0, ni=(2, 0)), 28, struct.pack("<d", float("nan")) + octets[8:])
    assert found.values[0].value is None


def test_pulses_keep_their_number() -> None:
    known = meter(0)
    known = known.with_octets(16, bytes([0x01] * 5))
    (found,) = read(known, 28, number(7, 4, "little") * 3)
    assert [(value.value, value.unit, value.scaler) for value in found.values] == [(7, "", None)] * 3


@pytest.mark.parametrize(
    ("head", "code"),
    [(b"\x00" + bytes((4, 0)), "table-shape"), (b"\x00" + bytes((3, 3)), "table-shape")],
    ids=["more than there are", "newest beyond"],
)
def test_lists_that_contradict_themselves(head: bytes, code: str) -> None:
    octets = head + bytes(3) + (number(1, 2, "little") + block(0, 1) * 3) * 3
    with pytest.raises(DecodeError) as error:
        read(meter(0, 2, selfreads=3), 26, octets)
    assert error.value.code == code


def test_a_selection_of_another_meter() -> None:
    known = meter(0)
    other = known.table(27).changed(PRESENT_VALUE_SELECT=(0,))
    with pytest.raises(DecodeError) as error:
        read(known.learned(27, other), 28, bytes(12))
    assert error.value.code == "table-shape"


def test_only_register_tables_hold_registers() -> None:
    with pytest.raises(DecodeError) as error:
        registers(meter(0), 22, meter(0).table(22), CLOCK)
    assert error.value.code == "table-unknown"
    assert set(READABLE) == {23, 24, 25, 26, 28}
