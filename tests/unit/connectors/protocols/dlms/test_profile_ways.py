"""The fast way to read a profile and the plain one agree, whatever was read before; and any octets."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms import profile_rows, profile_times
from connectors.protocols.dlms.errors import CODES
from connectors.protocols.dlms.get import datetime_octets
from connectors.protocols.dlms.profile import Profile, parse_profile
from connectors.protocols.dlms.profile_shape import ProfileShape, Rules
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of
from tests.unit.connectors.protocols.dlms.profile_buffers import (
    CLOCK,
    DAY,
    EXPORT,
    IMPORT,
    OSLO,
    PAIR,
    QUARTER,
    SHAPE,
    at,
    buffer,
    day,
    row,
    u8,
    u32,
    values,
)

COLUMN = st.one_of(
    st.integers(0, 2**32 - 1).map(u32),
    st.integers(0, 255).map(u8),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: struct.pack(">Bq", 0x14, n)),
    st.integers(0, 2**64 - 1).map(lambda n: struct.pack(">BQ", 0x15, n)),
    st.floats(allow_nan=False, width=32).map(lambda x: struct.pack(">Bf", 0x17, x)),
    st.just(b"\0"),
    st.binary(max_size=5).map(lambda b: b"\x09" + bytes((len(b),)) + b),
    st.text(max_size=3).map(lambda t: b"\x0c" + bytes((len(t.encode()),)) + t.encode()),
    st.binary(min_size=2, max_size=2).map(lambda b: b"\x04\x0b" + b),
)
CLOCKS = st.one_of(st.integers(0, 200).map(at), st.just(b"\0"))


def same(ours: Profile, theirs: Profile) -> None:
    """Both say the same, in the same types."""
    assert ours.ends.tolist() == theirs.ends.tolist()
    assert (ours.regular, ours.deviations.tolist()) == (theirs.regular, theirs.deviations.tolist())
    assert ours.clock_statuses.tolist() == theirs.clock_statuses.tolist()
    assert (ours.statuses is None) == (theirs.statuses is None)
    if ours.statuses is not None and theirs.statuses is not None:
        assert ours.statuses.tolist() == theirs.statuses.tolist()
    for one, other in zip(ours.channels, theirs.channels, strict=True):
        assert type(one.values) is type(other.values)
        if isinstance(one.values, np.ndarray) and isinstance(other.values, np.ndarray):
            assert one.values.dtype == other.values.dtype
            assert np.array_equal(one.values, other.values, equal_nan=True)
        else:
            assert one.values == other.values


def plainly(octets: bytes, shape: ProfileShape, rules: Rules = Rules()) -> Profile:  # noqa: B008 - it is frozen
    """As the plain decoder reads it, and nothing remembered of other buffers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_rows, "read_rows", lambda *_: None)
        patch.setattr(profile_times, "_known", ({}, {}))
        return parse_profile(octets, replace(shape), rules)


@given(st.lists(st.tuples(CLOCKS, COLUMN, COLUMN), min_size=1, max_size=30), st.booleans())
def test_fast_and_plain_agree(rows: list[tuple[bytes, bytes, bytes]], repeats: bool) -> None:
    shape = ProfileShape("1.0.99.1.0.255", (CLOCK, IMPORT, EXPORT), 900)
    octets = buffer(row(at(0), u32(1), u32(1)), *(row(*columns) for columns in rows))
    rules = Rules(null_repeats=repeats)
    plain = plainly(octets, shape, rules)
    for _ in range(3):  # with what the first and the second time taught
        same(parse_profile(octets, shape, rules), plain)


FEW = st.integers(0, 9).map(lambda n: n == 0)  # one in ten


@st.composite
def days(draw: st.DrawFn) -> bytes:
    """A day as the fleet of a bench has it: mostly regular, some rows odd or out of step."""
    rows = []
    for i in range(draw(st.integers(2, 24))):
        clock, status = at(i), 0
        if i and draw(FEW):
            clock = b"\0"
        elif draw(FEW):
            clock, status = b"\x09\x0c" + datetime_octets(DAY + i * QUARTER + draw(st.integers(1, 899)) * 1000, OSLO), 0x80
        elif draw(FEW):
            clock = clock[:13] + b"\x81"  # another clock status, at the same time
        values = [b"\0" if draw(FEW) else struct.pack(">BQ", 0x15, i) if draw(FEW) else u32(i) for _ in range(2)]
        rows.append(row(clock, u8(status), *values))
    return buffer(*rows)


GROWING = ProfileShape(SHAPE.obis, SHAPE.columns, 900)
"""It remembers what it read, from one example to the next."""


@given(days(), st.sampled_from([None, OSLO]), st.booleans())
def test_what_was_read_before_changes_nothing(octets: bytes, zone: ZoneInfo | None, turned: bool) -> None:
    rules = Rules(zone, deviation_reversed=turned)
    same(parse_profile(octets, GROWING, rules), plainly(octets, SHAPE, rules))


CLOCK_CHANGES = [datetime(2022, 10, 29, 22, tzinfo=UTC), datetime(2022, 3, 26, 23, tzinfo=UTC)]


@pytest.mark.parametrize("deviation", [True, False], ids=["with-deviation", "without"])
@pytest.mark.parametrize("start", CLOCK_CHANGES, ids=["autumn", "spring"])
def test_a_day_of_clock_change_read_again(start: datetime, deviation: bool) -> None:
    wanted = [int((start + timedelta(minutes=15 * i)).timestamp()) * 1000 for i in range(40)]
    rows = [row(b"\x09\x0c" + datetime_octets(ms, OSLO, deviation=deviation), u32(1)) for ms in wanted]
    for octets in (buffer(*rows), buffer(*rows), buffer(*rows[:-1], rows[-1][:-5] + b"\0")):
        assert parse_profile(octets, PAIR, Rules(OSLO)).ends.tolist() == wanted


def test_one_octet_of_one_clock_makes_another_day() -> None:
    parse_profile(day(), SHAPE)
    octets = bytearray(day())
    place = bytes(octets).index(at(50)[2:]) + 7  # its second
    octets[place] = 30
    found = parse_profile(bytes(octets), SHAPE)
    assert found.ends[50] - found.ends[49] == QUARTER + 30_000
    assert not found.regular
    same(found, plainly(bytes(octets), SHAPE))


def test_the_same_octets_in_another_zone() -> None:
    octets = buffer(
        *(row(b"\x09\x0c" + datetime_octets(DAY + i * QUARTER, OSLO, deviation=False), u32(i)) for i in range(4))
    )
    oslo, lisbon = (parse_profile(octets, PAIR, Rules(ZoneInfo(name))) for name in ("Europe/Oslo", "Europe/Lisbon"))
    assert oslo.ends[0] == DAY
    assert (lisbon.ends - oslo.ends).tolist() == [3_600_000] * 4


def test_another_period_is_another_regularity() -> None:
    hourly = ProfileShape(SHAPE.obis, SHAPE.columns, 3600)
    assert [parse_profile(day(), shape).regular for shape in (SHAPE, hourly, SHAPE, hourly)] == [True, False, True, False]


def test_shared_arrays_cannot_be_written() -> None:
    first, second = parse_profile(day(), SHAPE), parse_profile(day(), SHAPE)
    assert first.ends is second.ends or np.array_equal(first.ends, second.ends)
    with pytest.raises(ValueError, match="read-only"):
        second.ends[0] = 0
    second.channels[0].values[0] = 0  # type: ignore[index]  # its own
    assert values(parse_profile(day(), SHAPE))[0] == 1_000_000


@given(st.binary(max_size=60))
def test_any_octets_are_our_error_or_a_profile(octets: bytes) -> None:
    assert code_of(lambda: parse_profile(octets, PAIR, Rules(OSLO))) in {None, *CODES}


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_octet_is_our_error_or_a_profile(place: int, value: int) -> None:
    octets = bytearray(buffer(*(row(at(i), u32(i)) for i in range(9))))
    octets[place % len(octets)] = value
    assert code_of(lambda: parse_profile(bytes(octets), PAIR, Rules(OSLO))) in {None, *CODES}
