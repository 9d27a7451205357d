"""Profile buffers to columns: the regular day, how meters stray from it, how other decoders read the same."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from gurux_dlms import GXByteBuffer, GXDLMSSettings
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.cosem import parse_datetime
from connectors.protocols.dlms.errors import CODES, DecodeError
from connectors.protocols.dlms.get import datetime_octets
from connectors.protocols.dlms.profile import MAX_ROWS, parse_profile
from connectors.protocols.dlms.profile_shape import ProfileShape, Rules
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
    ends,
    row,
    u8,
    u32,
    values,
)


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
