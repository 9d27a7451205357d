"""Profile buffers to columns: the regular day, how meters stray from it, how other decoders read the same."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from gurux_dlms import GXByteBuffer, GXDLMSSettings
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms import axdr, profile_rows, profile_times
from connectors.protocols.dlms.cosem import parse_datetime
from connectors.protocols.dlms.errors import CODES, DecodeError
from connectors.protocols.dlms.get import datetime_octets
from connectors.protocols.dlms.profile import MAX_ROWS, Column, Profile, ProfileShape, Rules, parse_profile
from connectors.protocols.dlms.profile_times import read_times
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of

OSLO = ZoneInfo("Europe/Oslo")
QUARTER = 900_000
DAY = 1668121200000  # 2022-11-11T00:00+01:00, a Friday

CLOCK = Column(8, "0.0.1.0.0.255", 2)
STATUS = Column(1, "0.0.96.10.2.255", 2)
IMPORT = Column(3, "1.0.1.8.0.255", 2, 0, -1, "Wh")
EXPORT = Column(3, "1.0.2.8.0.255", 2, 0, 0, "Wh")
SHAPE = ProfileShape("1.0.99.1.0.255", (CLOCK, STATUS, IMPORT, EXPORT), 900)
PAIR = ProfileShape("1.0.99.1.0.255", (CLOCK, IMPORT), 900)


def at(i: int) -> bytes:
    """The clock column's octets of interval i, tag and length first."""
    return b"\x09\x0c" + datetime_octets(DAY + (i + 1) * QUARTER, OSLO)


def row(*columns: bytes) -> bytes:
    return bytes((2, len(columns))) + b"".join(columns)


def buffer(*rows: bytes) -> bytes:
    return b"\x01" + axdr.encode_length(len(rows)) + b"".join(rows)


def u8(n: int) -> bytes:
    return struct.pack(">BB", 0x11, n)


def u32(n: int) -> bytes:
    return struct.pack(">BI", 0x06, n)


def day(rows: int = 96) -> bytes:
    return buffer(*(row(at(i), u8(i % 3), u32(1_000_000 + 250 * i), u32(7 * i)) for i in range(rows)))


def ends(found: Profile) -> list[int]:
    """In quarters since the day began, where they are whole."""
    return [(int(end) - DAY) // QUARTER if (end - DAY) % QUARTER == 0 else int(end) - DAY for end in found.ends]


def values(found: Profile, channel: int = 0) -> list[Any]:
    held = found.channels[channel].values
    return held.tolist() if isinstance(held, np.ndarray) else list(held)


def test_a_regular_day() -> None:
    found = parse_profile(day(), SHAPE)
    assert ends(found) == list(range(1, 97))
    assert (found.rows, found.period_s, found.regular) == (96, 900, True)
    assert [(c.obis, c.scaler, c.unit) for c in found.channels] == [("1.0.1.8.0.255", -1, "Wh"), ("1.0.2.8.0.255", 0, "Wh")]
    assert values(found) == [1_000_000 + 250 * i for i in range(96)]
    assert values(found, 1) == [7 * i for i in range(96)]
    assert isinstance(found.channels[0].values, np.ndarray)
    assert found.channels[0].values.dtype == np.int64
    assert found.statuses is not None
    assert found.statuses.tolist() == [i % 3 for i in range(96)]
    assert set(found.deviations.tolist()) == {-60}
    assert set(found.clock_statuses.tolist()) == {0}


def test_gurux_reads_the_same_values_out_of_the_same_octets() -> None:
    info = _GXDataInfo()
    theirs = _GXCommon.getData(GXDLMSSettings(False, None), GXByteBuffer(day()), info)
    ours = parse_profile(day(), SHAPE)
    assert [r[2] for r in theirs] == values(ours)
    assert [r[3] for r in theirs] == values(ours, 1)
    times = [parse_datetime(bytes(r[0])) for r in theirs]
    assert [t.utc_ms for t in times if t] == ours.ends.tolist()


@pytest.mark.parametrize(
    ("rows", "expected_ends", "expected_values"),
    [
        pytest.param(
            [row(at(0), u32(1)), row(b"\0", u32(2)), row(b"\0", u32(3)), row(at(8), u32(4)), row(b"\0", u32(5))],
            [1, 2, 3, 9, 10],
            [1, 2, 3, 4, 5],
            id="null-clock-counts-on",
        ),
        pytest.param(
            [row(at(0), u32(1)), row(at(1), b"\0"), row(at(2), u32(3))], [1, 2, 3], [1, None, 3], id="null-value-is-missing"
        ),
        pytest.param(
            [row(at(0), u32(1)), row(at(1), struct.pack(">BQ", 0x15, 2**40)), row(at(2), struct.pack(">Bh", 0x10, -3))],
            [1, 2, 3],
            [1, 2**40, -3],
            id="wider-and-narrower-integers",
        ),
        pytest.param(
            [row(at(0), u32(1)), row(at(1), struct.pack(">Bf", 0x17, 0.5))], [1, 2], [1.0, 0.5], id="integer-then-float"
        ),
        pytest.param(
            [row(at(0), u32(1)), row(at(1), struct.pack(">BQ", 0x15, 2**64 - 1))],
            [1, 2],
            ["1", str(2**64 - 1)],
            id="beyond-int64",
        ),
        pytest.param(
            [row(at(0), u32(1)), row(at(1), b"\x0a\x03abc"), row(at(2), b"\x09\x02\x01\xff")],
            [1, 2, 3],
            ["1", "abc", "01FF"],
            id="texts-and-octets",
        ),
        pytest.param(
            [row(at(0), b"\x0a\x00"), row(at(1), b"\x09\x00"), row(at(2), b"\x0c\x02\xc3\xa6")],
            [1, 2, 3],
            ["", "", "æ"],
            id="empty",
        ),
        pytest.param(
            [row(at(0), b"\x02\x01\x11\x05"), row(at(1), b"\x02\x01\x11\x06")], [1, 2], ["02011105", "02011106"], id="nested"
        ),
        pytest.param(
            [row(at(0), b"\x03\x01"), row(at(1), b"\x16\x07"), row(at(2), b"\x0f\xff")],
            [1, 2, 3],
            [1, 7, -1],
            id="bool-enum-int8",
        ),
        pytest.param(
            [row(at(0), b"\x04\x0c\xab\xc0"), row(at(1), b"\x04\x0c\xab\xd0")], [1, 2], ["ABC0", "ABD0"], id="bit-strings"
        ),
        pytest.param([row(at(1), u32(2)), row(at(0), u32(1))], [1, 2], [1, 2], id="newest-first-is-turned-round"),
        pytest.param(
            [row(at(i), b"\x0a" + bytes((i,)) + b"x" * i) for i in range(20)],
            list(range(1, 21)),
            ["x" * i for i in range(20)],
            id="more-layouts-than-are-kept",
        ),
    ],
)
def test_irregular_rows(rows: list[bytes], expected_ends: list[int], expected_values: list[Any]) -> None:
    found = parse_profile(buffer(*rows), PAIR)
    assert ends(found) == expected_ends
    assert values(found) == expected_values


def test_a_float_that_is_missing_is_no_number() -> None:
    found = parse_profile(buffer(row(at(0), struct.pack(">Bd", 0x18, 1.5)), row(at(1), b"\0")), PAIR)
    assert values(found)[0] == 1.5
    assert np.isnan(values(found)[1])


def test_null_repeats_where_the_rules_say_so() -> None:
    octets = buffer(row(at(0), u32(1)), row(at(1), b"\0"), row(at(2), b"\0"), row(at(3), u32(9)))
    assert values(parse_profile(octets, PAIR, Rules(null_repeats=True))) == [1, 1, 1, 9]
    assert values(parse_profile(octets, PAIR)) == [1, None, None, 9]


def test_newest_first_with_null_clocks_counts_back() -> None:
    lifo = ProfileShape(PAIR.obis, PAIR.columns, 900, sort_method=2)
    found = parse_profile(buffer(row(at(2), u32(3)), row(b"\0", u32(2)), row(b"\0", u32(1))), lifo)
    assert (ends(found), values(found), found.regular) == ([1, 2, 3], [1, 2, 3], True)


def test_power_failure_row_keeps_its_time_and_status() -> None:
    cut = DAY + QUARTER + 437_000
    rows = [
        row(at(0), u8(0), u32(1), u32(0)),
        row(b"\x09\x0c" + datetime_octets(cut, OSLO), u8(0x80), u32(2), u32(0)),
        row(at(9), u8(0), u32(3), u32(0)),
    ]
    found = parse_profile(buffer(*rows), SHAPE)
    assert found.ends.tolist() == [DAY + QUARTER, cut, DAY + 10 * QUARTER]
    assert found.statuses is not None
    assert found.statuses.tolist() == [0, 0x80, 0]
    assert not found.regular


def test_status_that_a_row_lacks_is_a_channel() -> None:
    found = parse_profile(buffer(row(at(0), u8(1), u32(1), u32(0)), row(at(1), b"\0", u32(1), u32(0))), SHAPE)
    assert found.statuses is None
    assert (found.channels[0].obis, values(found)) == ("0.0.96.10.2.255", [1, None])


def test_status_as_bit_string_is_a_number() -> None:
    found = parse_profile(buffer(row(at(0), b"\x04\x0c\xab\xc0", u32(1), u32(0))), SHAPE)
    assert found.statuses is not None
    assert found.statuses.tolist() == [0xABC]


def test_clock_stands_anywhere_and_may_have_the_tag_date_time() -> None:
    shape = ProfileShape("1.0.99.1.0.255", (IMPORT, EXPORT, CLOCK), 900)
    found = parse_profile(buffer(*(row(u32(i), u32(2 * i), b"\x19" + at(i)[2:]) for i in range(4))), shape)
    assert (ends(found), values(found), values(found, 1)) == ([1, 2, 3, 4], [0, 1, 2, 3], [0, 2, 4, 6])


def test_compact_array() -> None:
    contents = b"".join(at(i)[2:] + struct.pack(">I", i) for i in range(5))
    octets = b"\x13\x02\x02\x19\x06" + axdr.encode_length(len(contents)) + contents
    found = parse_profile(octets, PAIR)
    assert (ends(found), values(found)) == ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])


@pytest.mark.parametrize("octets", [b"\x01\x00", b"\x00", b""], ids=["array-of-none", "null-data", "nothing"])
def test_no_rows(octets: bytes) -> None:
    found = parse_profile(octets, SHAPE)
    assert (found.rows, found.regular, [values(found, i) for i in range(2)]) == (0, True, [[], []])


def test_between() -> None:
    found = parse_profile(day(), SHAPE).between(DAY + 4 * QUARTER, DAY + 6 * QUARTER)
    assert (ends(found), values(found, 1), found.regular) == ([4, 5, 6], [21, 28, 35], True)


@pytest.mark.parametrize(
    ("octets", "shape", "code", "says"),
    [
        pytest.param(
            day(2),
            ProfileShape("1.0.99.1.0.255", (IMPORT, EXPORT), 900),
            "profile-clock",
            "no clock",
            id="no-clock-captured",
        ),
        pytest.param(day(2), PAIR, "profile-shape", "4 columns, the profile's shape 2", id="other-columns"),
        pytest.param(
            buffer(row(at(0), u32(1)), row(at(1), u32(1), u32(1))),
            PAIR,
            "profile-shape",
            "3 columns",
            id="other-columns-later",
        ),
        pytest.param(buffer(row(b"\0", u32(1))), PAIR, "profile-clock", "first row has no time", id="null-clock-first"),
        pytest.param(
            buffer(row(at(0), u32(1)), row(b"\0", u32(1))),
            ProfileShape("0.0.99.98.0.255", PAIR.columns, 0),
            "profile-clock",
            "no capture period",
            id="null-clock-no-period",
        ),
        pytest.param(buffer(row(u32(7), u32(1))), PAIR, "profile-clock", "no date-time", id="clock-is-a-number"),
        pytest.param(buffer(row(b"\x09\x04abcd", u32(1))), PAIR, "profile-clock", "no date-time", id="clock-of-four-octets"),
        pytest.param(
            buffer(row(b"\x09\x0c" + bytes.fromhex("07E60D0CFF10360000FFC400"), u32(1))),
            PAIR,
            "dlms-time",
            "row 0",
            id="13th-month",
        ),
        pytest.param(
            buffer(row(at(0), u32(1)), row(b"\x09\x0c" + bytes.fromhex("07E6021EFF10360000FFC400"), u32(1))),
            PAIR,
            "dlms-time",
            "row 1",
            id="30-february",
        ),
        pytest.param(buffer(row(b"\x09\x0c" + b"\xff" * 12, u32(1))), PAIR, "dlms-time", "row 0", id="all-wildcards"),
        pytest.param(
            buffer(row(b"\x09\x0c" + datetime_octets(DAY, OSLO, deviation=False), u32(1))),
            PAIR,
            "profile-clock",
            "time zone",
            id="no-deviation-no-zone",
        ),
        pytest.param(day()[:-1], SHAPE, "dlms-truncated", "cut short", id="cut-short"),
        pytest.param(b"\x01\x84\xff\xff\xff\xff", SHAPE, "profile-shape", "limit", id="four-billion-rows"),
        pytest.param(b"\x01\x82\x10\x00", SHAPE, "dlms-truncated", "4096 rows announced", id="rows-that-cannot-be-there"),
        pytest.param(day() + b"\0", SHAPE, "dlms-axdr", "after the last row", id="octets-after"),
        pytest.param(u32(5), SHAPE, "profile-shape", "an array was expected", id="a-number"),
        pytest.param(buffer(u32(5), u32(6)), PAIR, "profile-shape", "no structure", id="rows-are-numbers"),
        pytest.param(buffer(row(at(0), b"\x63\x00\x00\x00\x00")), PAIR, "dlms-axdr", "0x63", id="unknown-tag"),
        pytest.param(b"\x01", SHAPE, "dlms-truncated", "cut short", id="tag-only"),
    ],
)
def test_refused(octets: bytes, shape: ProfileShape, code: str, says: str) -> None:
    with pytest.raises(DecodeError) as raised:
        parse_profile(octets, shape)
    assert raised.value.code == code
    assert says in raised.value.detail
    assert raised.value.detail.startswith(shape.source)
    assert code in CODES


def test_too_many_columns() -> None:
    with pytest.raises(DecodeError, match="limit"):
        parse_profile(day(), ProfileShape("1.0.99.1.0.255", (CLOCK, *([IMPORT] * 200)), 900))


def test_row_limit() -> None:
    with pytest.raises(DecodeError, match="limit is 100000"):
        parse_profile(b"\x01\x83" + (MAX_ROWS + 1).to_bytes(3, "big"), PAIR)


# Times


def octets_of(*times: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(times), np.uint8).reshape(len(times), 12)


def test_spring_and_autumn_with_deviation() -> None:
    start = datetime(2022, 10, 29, 22, tzinfo=UTC)
    wanted = [int((start + timedelta(minutes=15 * i)).timestamp()) * 1000 for i in range(40)]
    found = read_times(octets_of(*(datetime_octets(ms, OSLO) for ms in wanted)), None)
    assert found.utc_ms.tolist() == wanted
    assert set(found.deviations.tolist()) == {-60, -120}
    assert set(found.statuses.tolist()) == {0, 0x80}


@pytest.mark.parametrize("status_given", [True, False], ids=["by-clock-status", "by-order"])
@pytest.mark.parametrize(
    "start", [datetime(2022, 10, 29, 22, tzinfo=UTC), datetime(2022, 3, 26, 23, tzinfo=UTC)], ids=["autumn", "spring"]
)
def test_clock_change_without_deviation(start: datetime, status_given: bool) -> None:
    wanted = [int((start + timedelta(minutes=15 * i)).timestamp()) * 1000 for i in range(40)]
    times = [datetime_octets(ms, OSLO, deviation=False) for ms in wanted]
    if not status_given:
        times = [octets[:11] + b"\xff" for octets in times]
    found = read_times(octets_of(*times), OSLO)
    assert found.utc_ms.tolist() == wanted
    assert set(found.deviations.tolist()) == {-0x8000}


def test_reversed_deviation() -> None:
    octets = datetime_octets(DAY, OSLO, deviation_reversed=True)
    assert read_times(octets_of(octets), None, deviation_reversed=True).utc_ms.tolist() == [DAY]


def test_missing_seconds_and_hundredths_are_zero() -> None:
    whole = datetime_octets(DAY, OSLO)
    found = read_times(octets_of(whole[:7] + b"\xff\xff" + whole[9:], whole), None)
    assert found.utc_ms.tolist() == [DAY, DAY]


@given(
    st.lists(st.integers(172_800, 4_102_444_799).map(lambda s: s * 1000), min_size=1, max_size=20),
    st.sampled_from(["Europe/Oslo", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.booleans(),
)
def test_columns_of_times_agree_with_one_time_at_a_time(instants: list[int], name: str, deviation: bool) -> None:
    zone = ZoneInfo(name)
    times = [datetime_octets(ms, zone, deviation=deviation) for ms in instants]
    singles = [parse_datetime(octets) for octets in times]
    assert read_times(octets_of(*times), zone).utc_ms.tolist() == [t.to_utc_ms(zone) for t in singles if t]


# The fast way and the plain one agree


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
