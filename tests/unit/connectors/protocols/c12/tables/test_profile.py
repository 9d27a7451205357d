"""Load profiles in every way that meters keep them: the rows that come out are the ones that were packed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.protocols.c12.tables.model import decode_table, size_of
from connectors.protocols.c12.tables.profile import Profile, load_profile
from connectors.protocols.c12.tables.profile_channels import Rules
from connectors.protocols.c12.tables.profile_layout import block_layout, recent_blocks
from tests.unit.connectors.protocols.c12.tables.meters import Block, Interval, ProfileMeter, sources, uom

UTC_CLOCK = Clock(keeps=Keeps.UTC)
START = 1_731_283_200  # 2024-11-11 00:00 UTC


def blocks(count: int, per_block: int, last: int, *, low: int = 0, step: int = 7) -> tuple[Block, ...]:
    """Blocks of intervals of 15 minutes from START, the last with fewer; values are all different."""
    made, at = [], 0
    for index in range(count):
        size = last if index == count - 1 else per_block
        rows = tuple(Interval((low + step * (at + i), low + step * (at + i) + 3)) for i in range(size))
        at += size
        made.append(Block(START + 900 * at, rows, (1000 + at, 2000 + at), (at, at + 1)))
    return tuple(made)


def read(meter: ProfileMeter, rules: Rules | None = None, clock: Clock = UTC_CLOCK) -> Profile:
    return load_profile(meter.model, 1, [(0, meter.data)], clock, rules or Rules())


def rows(profile: Profile) -> list[tuple[int, ...]]:
    return [
        (int(end) // 1000, *(int(channel.raw[at]) for channel in profile.channels)) for at, end in enumerate(profile.ends)
    ]


def expected(meter: ProfileMeter) -> list[tuple[int, ...]]:
    found = []
    for block in meter.blocks:
        count = len(block.intervals)
        found += [(block.end - 900 * (count - 1 - at), *item.values) for at, item in enumerate(block.intervals)]
    return found


PLAIN = ProfileMeter(blocks(3, 4, 2))

ORDERS: dict[str, dict[str, Any]] = {
    "ascending": {"newest": 2},
    "descending blocks": {"newest": 0, "descending_blocks": True},
    "descending intervals": {"newest": 2, "descending_intervals": True},
    "both descending": {"newest": 0, "descending_blocks": True, "descending_intervals": True},
    "list, not a ring": {"newest": 2, "ring": False},
    "ring over the end": {"newest": 1},
    "descending ring over the end": {"newest": 3, "descending_blocks": True},
    "full ring": {"newest": 2, "blocks": blocks(5, 4, 4)},
    "full ring, newest just begun": {"newest": 3, "blocks": blocks(5, 4, 1)},
    "nothing in the newest": {"newest": 2, "blocks": (*blocks(2, 4, 4), Block(START + 900 * 8, ()))},
    "big endian": {"newest": 2, "order": "big"},
    "BCD time": {"newest": 2, "tm": 1},
    "minutes": {"newest": 2, "tm": 3},
    "minutes, big endian": {"newest": 2, "tm": 3, "order": "big"},
    "seconds": {"newest": 2, "tm": 4},
    "no status": {"newest": 2, "extended": False},
    "simple status": {"newest": 2, "simple": True},
    "simple and no extended": {"newest": 2, "simple": True, "extended": False, "descending_intervals": True},
    "closure status": {"newest": 2, "closure": True},
    "no closure status in 2008": {"newest": 2, "version": 2},
    "end readings": {"newest": 2, "end_reads": True},
    "end pulses": {"newest": 2, "end_pulses": True, "order": "big"},
    "everything": {
        "newest": 2, "end_reads": True, "end_pulses": True, "simple": True, "closure": True, "scalars": ((1, 1), (1, 1)),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_rows_however_they_are_kept(name: str) -> None:
    meter = PLAIN.changed(**ORDERS[name])
    profile = read(meter)
    assert rows(profile) == expected(meter)
    assert profile.regular
    assert profile.period_s == 900
    assert not any(channel.missing.any() for channel in profile.channels)


@pytest.mark.parametrize("name", ORDERS)
def test_blocks_are_of_the_declared_size_and_the_generic_reader_agrees(name: str) -> None:
    meter = PLAIN.changed(**ORDERS[name])
    model = meter.model
    assert size_of(64, model) == block_layout(model, 1).block_size * meter.capacity == len(meter.data)
    generic = decode_table(64, meter.data, model).value.records("LP_DATA_SET1")
    flat = [item.array("INT_DATA") for block in generic for item in block.records("LP_INT")]
    for row in rows(read(meter)):
        assert row[1:] in flat


FORMATS: dict[str, dict[str, Any]] = {
    "UINT8": {"code": 1, "blocks": blocks(3, 4, 2, step=1)},
    "UINT16": {"code": 2, "blocks": blocks(3, 4, 2, low=0xFF80)},
    "UINT32": {"code": 4, "blocks": blocks(3, 4, 2, low=0xFFFF_FF00)},
    "INT8": {"code": 8, "blocks": blocks(3, 4, 2, low=-20)},
    "INT16": {"code": 16, "blocks": blocks(3, 4, 2, low=-30)},
    "INT32": {"code": 32, "blocks": blocks(3, 4, 2, low=-(2**31) + 1)},
    "INT24": {"code": 64, "ni1": 7, "blocks": blocks(3, 4, 2, low=-(2**23) + 1)},
    "INT40": {"code": 128, "ni2": 9, "blocks": blocks(3, 4, 2, low=-(2**39) + 1)},
    "INT48": {"code": 64, "ni1": 10, "blocks": blocks(3, 4, 2, low=-40)},
    "INT64": {"code": 128, "ni2": 11, "blocks": blocks(3, 4, 2, low=-(2**60))},
    "FLOAT64": {"code": 64, "ni1": 0, "blocks": blocks(3, 4, 2, low=-40)},
    "FLOAT32": {"code": 128, "ni2": 1, "blocks": blocks(3, 4, 2, low=-40)},
    "FLOAT_CHAR12": {"code": 64, "ni1": 2, "blocks": blocks(3, 4, 2, low=-40)},
    "FLOAT_CHAR6": {"code": 128, "ni2": 3, "blocks": blocks(3, 4, 2, low=-40)},
    "FLOAT_CHAR21": {"code": 64, "ni1": 13, "blocks": blocks(3, 4, 2, low=-40)},
    "BCD4": {"code": 64, "ni1": 6, "blocks": blocks(3, 4, 2, low=-40)},
    "BCD6": {"code": 64, "ni1": 5, "blocks": blocks(3, 4, 2)},
    "BCD8": {"code": 128, "ni2": 12, "blocks": blocks(3, 4, 2, low=10**15 - 5)},
}


@pytest.mark.parametrize("integer", [0, 1, 2], ids=["two's complement", "ones' complement", "sign and magnitude"])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("name", FORMATS)
def test_values_in_every_format(name: str, order: str, integer: int) -> None:
    meter = PLAIN.changed(newest=2, order=order, integer=integer, **FORMATS[name])
    profile = read(meter)
    assert rows(profile) == expected(meter)
    kind = np.float64 if name.startswith("FLOAT") and "CHAR" not in name else np.int64
    assert {channel.raw.dtype for channel in profile.channels} == {np.dtype(kind)}


def test_numbers_with_an_implied_point() -> None:
    meter = PLAIN.changed(newest=2, code=64, ni1=4)
    channel = read(meter).channels[0]
    assert channel.factor == Fraction(1, 10_000)


STATUSES = (
    Interval((1, 2), 0b0001),
    Interval((3, 4), 0b0010, (1, 0)),
    Interval((5, 6), 0b0110, (2, 3)),
    Interval((0, 0), 0b1000, (4, 4)),
    Interval((7, 8), 0, (5, 6)),
    Interval((9, 10), 0, (7, 9)),
)


def test_status_of_intervals_and_channels() -> None:
    meter = PLAIN.changed(blocks=(Block(START, STATUSES),), per_block=6, newest=0)
    profile = read(meter)
    assert profile.statuses is not None
    assert profile.statuses.tolist() == [
        1, 2 | 1 << 4, 0b0110 | 1 << 5 | 1 << 6, 0b1000 | 1 << 7, 1 << 8 | 1 << 9, 1 << 10 | 1 << 11,
    ]  # fmt: skip
    assert [channel.statuses.tolist() for channel in profile.channels] == [[0, 1, 2, 4, 5, 7], [0, 0, 3, 4, 6, 9]]
    assert [channel.missing.tolist() for channel in profile.channels] == [[False] * 3 + [True] + [False] * 2] * 2


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_status_nibbles_of_any_number_of_channels(channels: int) -> None:
    row = Interval(tuple(range(channels)), 1, tuple(range(1, channels + 1)))
    meter = PLAIN.changed(blocks=(Block(START, (row,) * 4),), newest=0, channels=channels)
    assert [channel.statuses.tolist() for channel in read(meter).channels] == [[at] * 4 for at in range(1, channels + 1)]


def test_invalid_by_the_simple_status() -> None:
    row = (Interval((1, 2)), Interval((0, 0), valid=False), Interval((3, 4)), Interval((5, 6)))
    for ascending in (True, False):
        meter = PLAIN.changed(blocks=(Block(START, row),), newest=0, simple=True, descending_intervals=not ascending)
        profile = read(meter)
        assert profile.statuses is not None
        assert profile.statuses.tolist() == [0, 1 << 12, 0, 0]
        assert profile.channels[0].missing.tolist() == [False, True, False, False]


def test_a_block_closed_early_by_its_closure_status() -> None:
    short = Block(START + 900 * 3 - 240, tuple(Interval((at, at)) for at in range(3)))
    later = Block(START + 900 * 7, tuple(Interval((at, at)) for at in range(4)))
    profile = read(PLAIN.changed(blocks=(short, later), newest=1, closure=True))
    ends = [int(end) // 1000 - START for end in profile.ends]
    assert ends == [900, 1800, 2460, 3600, 4500, 5400, 6300]
    assert not profile.regular


def test_the_partial_interval_ends_between_the_others() -> None:
    block = Block(START + 900 * 4 - 120, tuple(Interval((at, at)) for at in range(4)))
    profile = read(PLAIN.changed(blocks=(block,), newest=0))
    assert [int(end) // 1000 - START for end in profile.ends] == [900, 1800, 2700, 3480]


def test_a_meter_that_states_the_end_which_the_block_will_have() -> None:
    meter = PLAIN.changed(newest=2)
    nominal = meter.changed(blocks=(*meter.blocks[:2], Block(START + 900 * 12, meter.blocks[2].intervals)))
    assert rows(read(nominal, Rules(nominal_end=True))) == expected(meter)


def test_end_readings() -> None:
    profile = read(PLAIN.changed(newest=2, end_reads=True, end_pulses=True))
    assert [(block.end // 1000, block.readings) for block in profile.blocks] == [
        (block.end, tuple(zip(block.readings, block.pulses, strict=True))) for block in PLAIN.blocks
    ]


WH, VARH_Q1, VOLTS = uom(0, 5), uom(1, 5, quadrants=(1,)), uom(8, 2, multiplier=5, quadrants=(), segment=5)


def described(*words: int, link: int = 0x11, **more: object) -> ProfileMeter:
    return PLAIN.changed(newest=2, extra=sources(len(words), words, [link] * len(words)), **more)


def test_channels_have_codes_units_and_names() -> None:
    profile = read(described(WH, VARH_Q1))
    assert [(c.obis, c.unit, c.scaler, c.name) for c in map(_shown, profile.channels)] == [
        ("1.0.1.29.0.255", "Wh", 0, "active power Q1 Q4 net bulk quantity"),
        ("1.0.5.29.0.255", "varh", 0, "reactive power Q1 net bulk quantity"),
    ]


class _Shown:
    def __init__(self, channel: Any) -> None:
        self.obis, self.unit, self.scaler, self.name = channel.obis, channel.unit, channel.scaler, channel.source.name


def _shown(channel: Any) -> _Shown:
    return _Shown(channel)


def test_averages_over_the_interval() -> None:
    profile = read(described(VOLTS, uom(8, 1, quadrants=())))
    assert [(c.obis, c.unit, c.scaler) for c in profile.channels] == [
        ("1.0.32.27.0.255", "V", -2), ("1.0.12.7.0.255", "V", 0),
    ]  # fmt: skip


SCALES: dict[str, tuple[tuple[int, int], int, int, bool]] = {
    "as stored": ((1, 1), 1, 0, True),
    "divided before it was recorded": ((1, 18), 18, 0, True),
    "multiplied before it was recorded": ((4, 1), 25, -2, True),
    "both": ((20, 3), 15, -2, True),
    "tens go to the scaler": ((1, 1000), 1, 3, True),
    "a third": ((3, 1), 1, 0, False),
}


@pytest.mark.parametrize("name", SCALES)
def test_scalars_and_divisors_stay_exact(name: str) -> None:
    (scalar, divisor), times, scaler, exact = SCALES[name]
    profile = read(described(WH, WH, scalars=((scalar, divisor), (1, 1))))
    channel, plain = profile.channels
    assert (channel.scaler, channel.exact, channel.factor) == (scaler, exact, Fraction(divisor, scalar))
    if exact:
        assert channel.values.tolist() == [times * int(value) for value in channel.raw]
        assert channel.values.dtype == np.int64
    else:
        assert channel.values.tolist() == pytest.approx([int(value) / 3 for value in channel.raw])
    assert plain.values.tolist() == plain.raw.tolist()


def test_scalars_of_a_meter_that_means_them_the_other_way_round() -> None:
    profile = read(described(WH, WH, scalars=((18, 10), (1, 1))), Rules(scalars_apply=True))
    assert (profile.channels[0].factor, profile.channels[0].scaler) == (Fraction(9, 5), -1)


def test_numbers_beyond_64_bits_are_whole_still() -> None:
    meter = described(WH, WH, code=128, ni2=11, scalars=((1, 60_001), (1, 1)), blocks=blocks(3, 4, 2, low=2**60))
    channel = read(meter).channels[0]
    assert channel.values.tolist()[0] == 60_001 * 2**60


def test_pulses_of_unknown_weight_have_no_unit() -> None:
    profile = read(described(WH, WH, link=0x01))
    assert [(c.unit, c.scaler, c.values.tolist() == c.raw.tolist()) for c in profile.channels] == [("", None, True)] * 2


def test_without_descriptions_channels_keep_their_source() -> None:
    profile = read(PLAIN.changed(newest=2, selects=(3, 9)))
    assert [c.obis for c in profile.channels] == ["1.199.199.7.3.255", "1.199.199.7.9.255"]


def test_only_the_blocks_that_were_read() -> None:
    meter = PLAIN.changed(newest=1)
    model, size = meter.model, block_layout(meter.model, 1).block_size
    wanted = recent_blocks(model, 1, 3)
    assert wanted == (range(2), range(4, 5))
    parts = [(run.start, meter.data[run.start * size : run.stop * size]) for run in wanted]
    assert rows(load_profile(model, 1, parts, UTC_CLOCK)) == expected(meter)
    assert rows(load_profile(model, 1, parts[:1], UTC_CLOCK)) == expected(meter)[4:]


def test_a_ring_that_went_on_while_it_was_read() -> None:
    meter = PLAIN.changed(newest=4, blocks=blocks(5, 4, 4))
    size = block_layout(meter.model, 1).block_size
    new = meter.block(Block(START + 900 * 21, (Interval((99, 99)),)))
    profile = load_profile(meter.model, 1, [(0, new + meter.data[size:])], UTC_CLOCK)
    assert rows(profile) == expected(meter)[4:]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_recent_blocks(count: int) -> None:
    model = PLAIN.changed(newest=2).model
    assert sum(map(len, recent_blocks(model, 1, count))) == min(count, 3)


BROKEN: dict[str, tuple[dict[str, Any], bytes | None, str]] = {
    "half a block": ({}, b"\0" * 10, "table-size"),
    "more blocks than there are": ({"capacity": 3, "newest": 2}, b"\0" * 4000, "table-size"),
    "newest beyond the ring": ({"newest": 7}, None, "profile-shape"),
    "more intervals than fit": ({"per_block": 1}, b"", "profile-shape"),
    "no length": ({"minutes": 0}, b"", "profile-shape"),
    "unknown format": ({"code": 3}, b"", "profile-shape"),
    "a scalar of nothing": ({"scalars": ((0, 1), (1, 1))}, None, "profile-shape"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_profiles_that_contradict_their_tables(name: str) -> None:
    changes, data, code = BROKEN[name]
    meter = PLAIN.changed(**{"newest": 2, **changes})
    with pytest.raises(C12Error) as error:
        load_profile(meter.model, 1, [(0, meter.data if data is None else data)], UTC_CLOCK)
    assert error.value.code == code


def test_a_block_without_a_time() -> None:
    meter = PLAIN.changed(newest=2)
    size = block_layout(meter.model, 1).block_size
    with pytest.raises(C12Error) as error:
        load_profile(meter.model, 1, [(0, b"\xff" * size + meter.data[size:])], UTC_CLOCK)
    assert error.value.code == "profile-clock"


def test_a_set_that_the_meter_has_not() -> None:
    with pytest.raises(C12Error) as error:
        load_profile(PLAIN.changed(newest=2).model, 2, [], UTC_CLOCK)
    assert error.value.code == "table-not-listed"


def test_no_blocks_are_no_rows() -> None:
    profile = load_profile(PLAIN.changed(newest=2).model, 1, [], UTC_CLOCK)
    assert (profile.rows, profile.blocks, len(profile.channels)) == (0, (), 2)
