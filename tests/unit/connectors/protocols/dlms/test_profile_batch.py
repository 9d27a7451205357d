"""Many buffers at once read as each alone: whatever is in them, and whatever is wrong with one of them."""

from __future__ import annotations

import random
import struct
from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.dlms.client import Span, parse_buffer, parse_buffers
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.profile import Profile, parse_profile
from connectors.protocols.dlms.profile_batch import MOST, parse_profiles
from connectors.protocols.dlms.profile_shape import Column, ProfileShape, Rules
from connectors.simulator.load import rows_of

RULES = Rules(timezone(timedelta(hours=1)))
_OBJECTS = ((8, "0.0.1.0.0.255"), (1, "0.0.96.10.1.255"), *((3, f"1.0.{n}.8.0.255") for n in (1, 2, 3, 4)))


def shape(scaler: int = 0, **changes: int) -> ProfileShape:
    """The load fleet's profile, with a meter's own scalers."""
    columns = tuple(Column(class_id, obis, 2, 0, scaler if class_id == 3 else None) for class_id, obis in _OBJECTS)
    return ProfileShape("1.0.99.1.0.255", columns, **{"period_s": 900, **changes})


def buffer(meter: int, rows: int = 96) -> bytes:
    """A meter's day, one row in ten of it irregular."""
    return bytes((1, rows)) + b"".join(row.encode() for row in rows_of(3, meter)[:rows])


def facts(found: Profile | DecodeError) -> object:
    """All that a profile, or an error, says."""
    if isinstance(found, DecodeError):
        return found.code, found.detail
    channels = [
        (c.class_id, c.obis, c.attribute, c.scaler, c.unit, type(c.values), [str(value) for value in c.values])
        for c in found.channels
    ]
    statuses = None if found.statuses is None else found.statuses.tolist()
    times = found.ends.tolist(), found.deviations.tolist(), found.clock_statuses.tolist()
    return times, found.period_s, found.regular, channels, statuses


def alone(data: bytes, of: ProfileShape, rules: Rules) -> Profile | DecodeError:
    try:
        return parse_profile(data, of, rules)
    except DecodeError as error:
        return error


def wide(meter: int) -> bytes:
    """A value beyond int64 in the second row."""
    rows = [row.encode() for row in rows_of(3, meter)]
    rows[1] = rows[0][:-5] + b"\x15" + (1 << 63).to_bytes(8, "big")
    return bytes((1, len(rows))) + b"".join(rows)


def cut(meter: int) -> bytes:
    return buffer(meter)[:-3]


def floats(meter: int) -> bytes:
    rows = [row.encode() for row in rows_of(3, meter)]
    rows[5] = rows[0][:-5] + b"\x17" + struct.pack(">f", 1.5)
    return bytes((1, len(rows))) + b"".join(rows)


def no_such_day(meter: int) -> bytes:
    data = bytearray(buffer(meter))
    data[6 + 39 * 2 + 1] = 0x1F
    return bytes(data)


ODD = {
    "nothing": b"",
    "an empty array": b"\x01\x00",
    "no array": b"\x09\x02ab",
    "cut short": cut(1),
    "octets after it": buffer(1) + b"\x00",
    "beyond int64": wide(2),
    "a float among integers": floats(3),
    "a date that is none": no_such_day(4),
    "half a day": buffer(5, 48),
    "a first row without a time": bytes((1, 2)) + b"\x02\x06\x00" + buffer(8)[2 + 16 : 2 + 39] + buffer(8)[2:41],
    "one row": buffer(6, 1),
    "another number of columns": b"\x01\x01\x02\x01\x11\x00",
    "more rows than octets": b"\x01\x82\xff\xff" + buffer(7)[2:],
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_buffer_that_is_odd_changes_no_other(odd: bytes) -> None:
    good = [(buffer(meter), shape(meter % 3)) for meter in range(20)]
    batch = [*good[:7], (odd, shape()), *good[7:]]
    expected = [alone(*one, RULES) for one in batch]  # and all layouts and days are known after it
    assert [facts(one) for one in parse_profiles(batch, RULES)] == [facts(one) for one in expected]


RULE_SETS = {
    "with a zone": RULES,
    "without one": Rules(),
    "deviation reversed": Rules(RULES.zone, deviation_reversed=True),
    "null repeats": Rules(RULES.zone, null_repeats=True),
    "a zone with daylight saving": Rules(ZoneInfo("Europe/Berlin")),
}
SHAPES = {
    "first in first out": {},
    "last in first out": {"sort_method": 2},
    "no period": {"period_s": 0},
    "another period": {"period_s": 1800},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("rules", RULE_SETS.values(), ids=RULE_SETS)
def test_every_rule_and_order_reads_as_alone(rules: Rules, changes: dict[str, int]) -> None:
    batch = [(buffer(meter), shape(meter, **changes)) for meter in range(30)]
    expected = [facts(alone(*one, rules)) for one in batch]
    assert [facts(one) for one in parse_profiles(batch, rules)] == expected


def test_what_is_broken_anywhere_is_as_broken_as_alone() -> None:
    draw = random.Random(11)  # noqa: S311 - repeatable, not secret
    for _ in range(40):
        batch = []
        for meter in range(8):
            data = bytearray(buffer(meter))
            for _ in range(draw.randrange(3)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            batch.append((bytes(data), shape(1)))
        expected = [facts(alone(*one, RULES)) for one in batch]
        assert [facts(one) for one in parse_profiles(batch, RULES)] == expected


def test_a_date_time_without_deviation_takes_the_zone() -> None:
    bare = [buffer(meter).replace(b"\xff\xc4\x00\x11", b"\x80\x00\x00\x11") for meter in range(12)]
    batch = [(data, shape()) for data in bare]
    expected = [facts(alone(*one, RULES)) for one in batch]
    assert [facts(one) for one in parse_profiles(batch, RULES)] == expected
    assert any(-0x8000 in one.deviations for one in parse_profiles(batch, RULES) if isinstance(one, Profile))


def test_several_types_of_meter_and_more_than_a_batch() -> None:
    other = ProfileShape("1.0.99.1.0.255", shape().columns, 900, 3)
    batch = [(buffer(n % 40), shape(n % 4) if n % 3 else other) for n in range(2 * MOST + 7)]
    expected = [facts(alone(*one, RULES)) for one in batch]
    assert [facts(one) for one in parse_profiles(batch, RULES)] == expected


def test_rows_outside_of_the_span_are_left_out() -> None:
    whole = parse_profile(buffer(1), shape(), RULES)
    span = Span(int(whole.ends[3]), int(whole.ends[-4]))
    batch = [(buffer(meter), shape()) for meter in range(10)]
    expected = [facts(parse_buffer(*one, span, RULES)) for one in batch]
    assert [facts(one) for one in parse_buffers(batch, span, RULES)] == expected


def test_shapes_that_differ_in_scalers_only_learn_together() -> None:
    assert shape(1).plan is shape(2).plan
    assert shape(1).plan is not shape(1, period_s=60).plan
    assert parse_profiles([]) == []
