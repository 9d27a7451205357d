"""A load profile as rows: when each interval ended in UTC, what each channel counted, and what the meter says about it.

What C12.19 leaves to meters, and what is made of it:

- Blocks and intervals may be kept oldest or newest first, in a list or a ring: rows come out oldest first.
- BLK_END_TIME is when the block's last valid interval ended, also in the block that is still filling; `Rules.nominal_end`
  is for meters that state the end which the block will have. The interval before ended on a whole interval of the meter's
  clock, those before it one interval length each earlier. Rows at a change of the clock keep the times that this gives.
- SCALARS multiply and DIVISORS divide what is measured before it is recorded, so values are multiplied by divisor/scalar;
  `Rules.scalars_apply` is for meters that mean it the other way round.
- Values stay whole numbers: the factor of a channel (scalars, constants of table 15, power of ten of table 12) is taken
  apart into a whole number, which they are multiplied by, and a power of ten, which is the scaler. A factor that is no
  decimal (a third) cannot be kept so: then values are floats, `exact` is False, and `raw` and `factor` still are exact.
- Skipped intervals, and those that the simple status calls invalid, are rows without a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.numerals import Number
from connectors.protocols.c12.tables.profile_blocks import Blocks, Integers, Octets, numbers
from connectors.protocols.c12.tables.profile_channels import RULES, ProfileChannel, Rules, channel, selected
from connectors.protocols.c12.tables.profile_layout import BlockLayout, SetStatus, block_layout, set_status

MAX_ROWS = 100_000

DAYLIGHT, POWER_FAILED, CLOCK_FORWARD, CLOCK_BACK = 1, 2, 4, 8
"""Bits 0 to 3 of a row's status: the common status of all channels."""

STATUS_BITS = (
    "daylight saving time", "power failed", "clock set forward", "clock set back", "overflow", "partial interval",
    "long interval", "skipped interval", "test mode", "configuration changed", "recording stopped", "status not known",
    "not valid",
)  # fmt: skip
"""A row's status, bit by bit: four common ones, then what any channel has (channel statuses 1 to 7, then 8 and above),
then what the simple status says."""

_NOT_VALID = 1 << 12
_CHANNEL_BITS = np.array([0, *(1 << 3 + min(code, 8) for code in range(1, 16))], np.int64)


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """The readings at the end of a block, one a channel: a register's and a pulse counter's, None where there is none."""

    end: int
    """UTC, milliseconds."""
    readings: tuple[tuple[Number | None, int | None], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Rows as columns, oldest first."""

    number: int
    """The data set, 1 to 4."""
    period_s: int
    ends: Integers
    """UTC, milliseconds."""
    regular: bool
    """Whether each row ends one period after the one before it."""
    channels: tuple[ProfileChannel, ...]
    statuses: Integers | None
    """`STATUS_BITS`; None where the meter keeps no status."""
    blocks: tuple[BlockEnd, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.ends)


def load_profile(
    model: Model, number: int, parts: Sequence[tuple[int, bytes]], clock: Clock, rules: Rules = RULES
) -> Profile:
    """Data set 1 to 4 out of octets of table 63 + number: each part is the element of its first block, and whole blocks.

    The model must know tables 61 to 63, and 12, 15 and 16 as far as the meter has them. Raises DecodeError: "profile-shape"
    where tables contradict each other or rows are too many, "profile-clock" where a block has no time, "table-…" where
    octets or tables are missing.
    """
    layout = block_layout(model, number)
    status = set_status(model, number, layout)
    found: dict[int, tuple[Blocks, int]] = {}
    for first, octets in parts:
        blocks = Blocks.of(layout, octets)
        found.update({first + at: (blocks, at) for at in range(len(blocks.raw))})
    elements = [element for element in status.elements(layout.blocks) if element in found]
    if len(elements) * layout.intervals > MAX_ROWS:
        detail = (
            f"load profile: {len(elements)} blocks of {layout.intervals} intervals, {MAX_ROWS} rows are the limit: read less"
        )
        raise DecodeError("profile-shape", detail)
    runs = [_run(*found[element], element, status, clock, rules) for element in elements]
    if len(elements) == layout.blocks and len(runs) > 1 and runs[0].block.end > runs[-1].block.end:
        runs = runs[1:]  # the ring went on while it was read: its oldest block is a new one, of which table 63 knows nothing
    return _assemble(model, number, layout, [run for run in runs if len(run.ends)], rules)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """The rows of one block, oldest first."""

    ends: Integers
    values: Octets
    statuses: Octets | None
    valid: NDArray[np.bool_] | None
    block: BlockEnd


def _run(blocks: Blocks, at: int, element: int, status: SetStatus, clock: Clock, rules: Rules) -> _Run:
    layout = blocks.layout
    count = status.newest_intervals if element == status.newest else blocks.closed_after(at) or layout.intervals
    step = 1 if status.intervals_ascend else -1
    nibbles, flags = blocks.statuses(at), blocks.valid(at)
    nibbles = None if nibbles is None else nibbles[:count][::step]
    end = blocks.end(at)
    if end.seconds is None:
        detail = f"block {element} of the load profile has no end time ({end.octets.hex().upper()}): check the meter's clock"
        raise DecodeError("profile-clock", detail)
    seconds = end.seconds - (layout.intervals - count) * layout.period_s * rules.nominal_end
    utc = clock.to_utc(seconds, daylight=None if nibbles is None or not count else bool(nibbles[-1, 0] & DAYLIGHT))
    whole = utc + -seconds % layout.period_s
    ends = whole - layout.period_s * np.arange(count - 1, -1, -1, dtype=np.int64)
    ends[-1:] = utc
    return _Run(
        1000 * ends,
        blocks.values(at)[:count][::step],
        nibbles,
        None if flags is None else flags[:count][::step],
        BlockEnd(1000 * utc, blocks.readings(at)),
    )


def _assemble(model: Model, number: int, layout: BlockLayout, runs: list[_Run], rules: Rules) -> Profile:
    none = np.empty((0, layout.channels, layout.value_size), np.uint8)
    ends = np.concatenate([np.empty(0, np.int64), *(run.ends for run in runs)])
    stored, places = numbers(np.concatenate([none, *(run.values for run in runs)]), layout.code, layout.formats)
    nibbles, invalid = np.zeros((len(ends), layout.channels + 1), np.uint8), np.zeros(len(ends), np.bool_)
    if layout.extended and runs:
        nibbles = np.concatenate([run.statuses for run in runs if run.statuses is not None])
    if layout.simple and runs:
        invalid = ~np.concatenate([run.valid for run in runs if run.valid is not None])
    channels = tuple(
        channel(what, stored[:, at], places, nibbles[:, at + 1], invalid, rules)
        for at, what in enumerate(selected(model, number, rules))
    )
    return Profile(
        number,
        layout.period_s,
        ends,
        bool((np.diff(ends) == 1000 * layout.period_s).all()),
        channels,
        _statuses(nibbles, invalid) if layout.extended or layout.simple else None,
        tuple(run.block for run in runs),
    )


def _statuses(nibbles: Octets, invalid: NDArray[np.bool_]) -> Integers:
    any_channel = np.bitwise_or.reduce(_CHANNEL_BITS[nibbles[:, 1:]], axis=1)
    found: Integers = nibbles[:, 0].astype(np.int64) | any_channel | np.where(invalid, _NOT_VALID, 0)
    return found
