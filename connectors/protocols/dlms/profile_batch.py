"""Many buffers at once: what numpy costs a call is paid once a batch, not once a meter.

Meters of a type write rows of the same layouts. A match of `Company.pattern` finds the odd rows of each buffer; rows of one
layout are then read together, whichever meter they are from, and put in their places. What is not of the common kind (no
layout or day known yet, texts, floats, newest first, nulls that repeat, broken octets) is left to `parse_profile`, buffer by
buffer: it says what is wrong, and what it learns serves the next batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile import MAX_ROWS, Channel, Profile, parse_profile
from connectors.protocols.dlms.profile_columns import Values
from connectors.protocols.dlms.profile_grids import Grid, grid_of
from connectors.protocols.dlms.profile_rows import Layout
from connectors.protocols.dlms.profile_shape import RULES, Plan, ProfileShape, Rules
from connectors.protocols.dlms.profile_times import DATE_TIME, read_times

MOST = 256
"""So many buffers are read together; beyond that there is nothing more to gain."""
_LIFO = 2


def parse_profiles(
    buffers: Sequence[tuple[bytes, ProfileShape]], rules: Rules = RULES, within: tuple[int, int] | None = None
) -> list[Profile | DecodeError]:
    """What `parse_profile` makes of each buffer, or the error that it raises; only rows from the first to the second time of
    `within` (UTC, milliseconds, both included). Profiles may share memory.
    """
    found: list[Profile | DecodeError | None] = [None] * len(buffers)
    groups: dict[Plan, list[int]] = {}
    if not rules.null_repeats:
        for i, (_, shape) in enumerate(buffers):
            groups.setdefault(shape.plan, []).append(i)
    for members in groups.values():
        for first in range(0, len(members), MOST):
            some = members[first : first + MOST]
            for i, profile in zip(some, _together([buffers[i] for i in some], rules, within), strict=True):
                found[i] = profile
    return [_alone(*buffers[i], rules, within) if profile is None else profile for i, profile in enumerate(found)]


def _alone(data: bytes, shape: ProfileShape, rules: Rules, within: tuple[int, int] | None) -> Profile | DecodeError:
    try:
        profile = parse_profile(data, shape, rules)
    except DecodeError as error:
        return error
    return profile if within is None else profile.between(*within)


@dataclass(slots=True, eq=False)
class _Rows:
    """The rows of a batch by layout: their octets, and where they stand among all rows."""

    odd: list[tuple[list[bytes], list[int]]]
    """By the group that matches a layout: its place in the company, from 1."""
    usual: list[bytes] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    """The first row of each buffer."""
    members: list[int] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    total: int = 0

    def forget(self, base: int) -> None:
        """Drop the odd rows of a buffer that is to be read alone."""
        for cuts, places in self.odd:
            while places and places[-1] >= base:
                places.pop()
                cuts.pop()


def _together(
    buffers: Sequence[tuple[bytes, ProfileShape]], rules: Rules, within: tuple[int, int] | None
) -> list[Profile | None]:
    """Profiles of buffers with one plan; None where a buffer is to be read alone."""
    found: list[Profile | None] = [None] * len(buffers)
    shape = buffers[0][1]
    layout, clock = shape.plan.layout, shape.plan.clock
    if layout is None or clock is None or len(buffers) < 2 or shape.period_s <= 0 or shape.sort_method == _LIFO:
        return found
    if not layout.counts(clock) or layout.marks.empty >> clock & 1:
        return found
    rows = _sorted([data for data, _ in buffers], layout, clock, shape.period_s, reverse=rules.deviation_reversed)
    table = _table(rows, layout, clock) if rows.members else None
    if table is None:
        return found
    try:
        times = _times(table, rows, shape.period_s, reverse=rules.deviation_reversed)
    except DecodeError:  # of one buffer, which says so when it is read alone
        return found
    if times is None:
        return found
    ends, deviations, statuses = times
    broken = _broken(ends, rows.bases, shape.period_s * 1000)
    reaching = frozenset() if within is None else _reaching(ends, rows.bases, *within)
    for number, (i, base, grid) in enumerate(zip(rows.members, rows.bases, rows.grids, strict=True)):
        after = base + len(grid.utc_ms)
        shape = buffers[i][1]
        columns, amr = _columns(table, number, base, after, shape)
        times = ends[base:after], deviations[base:after], statuses[base:after]
        profile = Profile(times[0], shape.period_s, number not in broken, columns, times[1], times[2], amr)
        found[i] = profile.between(*within) if within is not None and number in reaching else profile
    return found


def _sorted(buffers: Sequence[bytes], layout: Layout, clock: int, period_s: int, *, reverse: bool) -> _Rows:
    """The rows of the buffers that are of known layouts on a known day, sorted by layout."""
    company = layout.company
    pattern, size, head = company.pattern(layout), layout.size, layout.offsets[clock]
    sizes = [0, *(odd.size for odd in company.layouts)]
    rows = _Rows([([], []) for _ in sizes])
    for i, data in enumerate(buffers):
        if data[:1] != _ARRAY or len(data) < 2 + size:
            continue
        try:
            count, at = axdr.read_length(data, 1)
        except DecodeError:
            continue
        grid = grid_of(data[at + head : at + head + DATE_TIME], count, period_s, reverse=reverse)
        if grid is None or count > MAX_ROWS:
            continue
        base = row = rows.total
        usual: list[bytes] = []
        for match in pattern.finditer(data, at):  # it matches the empty text, too, so nothing is passed over
            which, end = match.lastindex, match.end()
            after = end if which is None else end - sizes[which]
            if at != after:
                usual.append(data[at:after])
                row += (after - at) // size
            at = end
            if which is None or row == base:  # the first row says which day it is
                break
            cuts, places = rows.odd[which]
            cuts.append(data[after:end])
            places.append(row)
            row += 1
        if at != len(data) or row != base + count:
            rows.forget(base)
            continue
        rows.usual += usual
        rows.members.append(i)
        rows.bases.append(base)
        rows.grids.append(grid)
        rows.total = row
    return rows


_ARRAY = bytes((axdr.ARRAY,))


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """All rows of a batch as columns."""

    numbers: NDArray[np.int64]
    """Shape (columns, rows); 0 where a row lacks the value."""
    missing: NDArray[np.bool_]
    """Of the same shape: where one does."""
    lacking: list[list[bool]]
    """By column, which buffers have rows that lack a value."""
    stamps: NDArray[np.bytes_]
    untimed: list[int]


def _table(rows: _Rows, layout: Layout, clock: int) -> _Table | None:
    """None where a number is beyond int64, or of a kind that is read alone."""
    company = layout.company.layouts
    common = np.ones(rows.total, np.bool_)
    for _, places in rows.odd:
        common[places] = False
    numbers = np.zeros((len(layout.columns), rows.total), np.int64)
    missing = np.zeros(numbers.shape, np.bool_)
    stamps = np.zeros(rows.total, f"S{DATE_TIME}")
    octets = b"".join(rows.usual)
    usual = common.nonzero()[0]
    _put(layout, octets, usual, clock, numbers, stamps)
    untimed: list[int] = []
    for odd, (cut, places) in zip(company, rows.odd[1:], strict=True):
        if not places:
            continue
        if not odd.counts(clock) or not _put(odd, b"".join(cut), np.array(places), clock, numbers, stamps):
            return None
        if odd.marks.empty >> clock & 1:
            untimed += places
        for column in range(len(odd.columns)):
            if column != clock and odd.marks.empty >> column & 1:
                missing[column, places] = True
    lacking = np.logical_or.reduceat(missing, rows.bases, axis=1).tolist()
    return _Table(numbers, missing, lacking, stamps, sorted(untimed))


def _put(
    layout: Layout,
    octets: bytes,
    places: NDArray[np.int64],
    clock: int,
    numbers: NDArray[np.int64],
    stamps: NDArray[np.bytes_],
) -> bool:
    """Read rows of one layout into their places; False where a number is beyond int64."""
    empty = layout.marks.empty
    for i, column in enumerate(layout.read(octets, 0, len(places), clock)):
        if i == clock or empty >> i & 1:
            continue
        if not isinstance(column, np.ndarray):
            return False
        numbers[i, places] = column
    if not empty >> clock & 1:
        stamps[places] = np.ndarray((len(places),), stamps.dtype, octets, layout.offsets[clock], (layout.size,))
    return True


_Times = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _times(table: _Table, rows: _Rows, period_s: int, *, reverse: bool) -> _Times | None:
    """When each row was captured; None where a date-time needs a time zone."""
    ends = np.concatenate([grid.utc_ms for grid in rows.grids])
    deviations = np.concatenate([grid.deviations for grid in rows.grids])
    statuses = np.concatenate([grid.statuses for grid in rows.grids])
    differ = table.stamps != np.concatenate([grid.octets for grid in rows.grids])
    if table.untimed:
        differ[table.untimed] = False
    others = differ.nonzero()[0]
    if len(others):
        octets = table.stamps[others].view(np.uint8).reshape(-1, DATE_TIME)
        times = read_times(octets, None, deviation_reversed=reverse)
        ends[others], deviations[others], statuses[others] = times[:3]
    if table.untimed:
        places = np.array(table.untimed)
        timed = np.arange(rows.total)
        timed[places] = 0
        last = np.maximum.accumulate(timed)[places]
        ends[places] = ends[last] + (places - last) * (period_s * 1000)
        deviations[places], statuses[places] = deviations[last], statuses[last]
    return ends, deviations, statuses


def _broken(ends: NDArray[np.int64], bases: Sequence[int], step_ms: int) -> frozenset[int]:
    """Which buffers have rows that are not a period apart."""
    wrong = (ends[1:] - ends[:-1] != step_ms).nonzero()[0] + 1
    starts = np.array(bases)
    at = np.searchsorted(starts, wrong, "right") - 1
    return frozenset(at[starts[at] != wrong].tolist())


def _reaching(ends: NDArray[np.int64], bases: Sequence[int], start: int, end: int) -> frozenset[int]:
    """Which buffers have rows outside of a span."""
    outside = ((ends < start) | (ends > end)).nonzero()[0]
    return frozenset((np.searchsorted(np.array(bases), outside, "right") - 1).tolist()) if len(outside) else frozenset()


def _columns(
    table: _Table, number: int, base: int, after: int, shape: ProfileShape
) -> tuple[tuple[Channel, ...], NDArray[np.int64] | None]:
    """A buffer's channels, and its status column."""
    channels = []
    amr: NDArray[np.int64] | None = None
    clock, status = shape.plan.clock, shape.plan.status
    for i, column in enumerate(shape.columns):
        if i == clock:
            continue
        values: Values = table.numbers[i, base:after]
        if table.lacking[i][number]:
            values = Gaps(table.numbers[i, base:after], table.missing[i, base:after])
        elif i == status:
            amr = table.numbers[i, base:after]
            continue
        channels.append(Channel(column.class_id, column.obis, column.attribute, column.scaler, column.unit, values))
    return tuple(channels), amr
