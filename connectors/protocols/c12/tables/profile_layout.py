"""How a load profile is kept: the layout of its blocks, and where the newest one is (C12.19, tables 61 to 63)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context, Formats
from connectors.protocols.c12.tables.decade6 import CLOSURE, FORMATS
from connectors.protocols.c12.tables.expressions import evaluate
from connectors.protocols.c12.tables.layouts import size
from connectors.protocols.c12.tables.lists import oldest_first
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.numerals import NI_SIZES
from connectors.protocols.c12.tables.times import TimeKind, time_size

LIMITS, CONTROL, STATUS = 61, 62, 63


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """How the blocks of one data set are made."""

    formats: Formats
    blocks: int
    intervals: int
    channels: int
    period_s: int
    code: int
    """INT_FMT_CDE."""
    end_reads: bool
    end_pulses: bool
    closure: bool
    simple: bool
    extended: bool

    @property
    def value_size(self) -> int:
        """Octets of an interval's value of one channel."""
        return size(FORMATS[self.code], Context(self.formats, {}))

    @property
    def reading_size(self) -> int:
        """Octets of an end reading of one channel."""
        return NI_SIZES[self.formats.ni1] * self.end_reads + 4 * self.end_pulses

    @property
    def dtype(self) -> np.dtype[np.void]:
        """A block."""
        return _dtype(self)

    @property
    def block_size(self) -> int:
        """Octets of a block."""
        return int(self.dtype.itemsize)


@lru_cache(maxsize=64)
def _dtype(layout: BlockLayout) -> np.dtype[np.void]:
    interval: list[tuple[str, str, tuple[int, ...]]] = []
    if layout.extended:
        interval.append(("status", "u1", (layout.channels // 2 + 1,)))
    interval.append(("data", "u1", (layout.channels, layout.value_size)))
    block: list[tuple[str, object, tuple[int, ...]]] = [("end", "u1", (time_size(TimeKind.STIME, layout.formats.time),))]
    if layout.reading_size:
        block.append(("readings", "u1", (layout.channels, layout.reading_size)))
    if layout.closure:
        block.append(("closure", "<u2" if layout.formats.order == "little" else ">u2", (layout.channels,)))
    if layout.simple:
        block.append(("simple", "u1", ((layout.intervals + 7) // 8,)))
    block.append(("intervals", np.dtype(interval), (layout.intervals,)))
    return np.dtype(block)


def block_layout(model: Model, number: int) -> BlockLayout:
    """The layout of data set 1 to 4. Raises DecodeError: "table-prerequisite" where table 61 or 62 was not read,
    "table-not-listed" where the meter has no such set, "profile-shape" where the tables contradict each other.
    """
    if 63 + number not in model.config.tables:
        detail = (
            f"load profile set {number} (table {63 + number}) is not in the meter's table 0: take it out of the template"
        )
        raise DecodeError("table-not-listed", detail)
    limits, control = model.table(LIMITS), model.table(CONTROL)
    layout = BlockLayout(
        model.config.formats,
        limits.integer(f"NBR_BLKS_SET{number}"),
        limits.integer(f"NBR_BLK_INTS_SET{number}"),
        limits.integer(f"NBR_CHNS_SET{number}"),
        60 * limits.integer(f"MAX_INT_TIME_SET{number}"),
        control.integer(f"INT_FMT_CDE{number}"),
        limits.flag("BLK_END_READ_FLAG"),
        limits.flag("BLK_END_PULSE_FLAG"),
        bool(evaluate(CLOSURE, model.context())),
        limits.flag("SIMPLE_INT_STATUS_FLAG"),
        limits.flag("EXTENDED_INT_STATUS_FLAG"),
    )
    if layout.code not in FORMATS:
        raise _shape(f"interval format {layout.code} is not in the standard")
    if not (layout.blocks and layout.intervals and layout.channels and layout.period_s):
        raise _shape("it has no blocks, intervals, channels or interval length")
    return layout


def _shape(why: str) -> DecodeError:
    return DecodeError("profile-shape", f"load profile: {why}: read tables 61 to 63 again")


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Where a data set stands (LP_STATUS_SETn)."""

    valid: int
    """Blocks that hold anything."""
    newest: int
    """Element of the newest one."""
    newest_intervals: int
    """Valid intervals in it."""
    blocks_ascend: bool
    """Whether a block's elder stands before it."""
    intervals_ascend: bool

    def elements(self, blocks: int) -> list[int]:
        """The elements of the valid blocks, oldest first, in a list or ring of as many blocks."""
        return oldest_first(self.newest, self.valid, blocks, ascending=self.blocks_ascend)


def set_status(model: Model, number: int, layout: BlockLayout) -> SetStatus:
    """The status of data set 1 to 4. Raises DecodeError "profile-shape" where it cannot be of such a set."""
    status = model.table(STATUS).record(f"LP_STATUS_SET{number}")
    found = SetStatus(
        status.integer("NBR_VALID_BLOCKS"),
        status.integer("LAST_BLOCK_ELEMENT"),
        status.integer("NBR_VALID_INT"),
        status.integer("ORDER") == 0,
        status.integer("INTERVAL_ORDER") == 0,
    )
    if found.valid > layout.blocks or (found.valid and found.newest >= layout.blocks):
        raise _shape(f"{found.valid} valid blocks, the newest is element {found.newest}, of {layout.blocks}")
    if found.newest_intervals > layout.intervals:
        raise _shape(f"{found.newest_intervals} valid intervals in a block of {layout.intervals}")
    return found


def recent_blocks(model: Model, number: int, count: int) -> tuple[range, ...]:
    """The elements of the newest `count` blocks, as ranges to read: one, or two where the ring's end lies between.

    Needs tables 61 to 63. Raises DecodeError as `block_layout` and `set_status`.
    """
    layout = block_layout(model, number)
    newest = set_status(model, number, layout).elements(layout.blocks)[-count:] if count > 0 else []
    ranges: list[range] = []
    for element in sorted(newest):
        if ranges and ranges[-1].stop == element:
            ranges[-1] = range(ranges[-1].start, element + 1)
        else:
            ranges.append(range(element, element + 1))
    return tuple(ranges)
