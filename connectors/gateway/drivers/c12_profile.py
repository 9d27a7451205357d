"""The blocks of a load profile that a job wants, and no others (C12.19, tables 61 to 67).

    63 ─▶ which blocks are valid ─▶ when the newest one ended ─▶ those that should hold the times ─▶ … one more, while they
    do not reach as far ─▶ 63 again: a meter that went on meanwhile is read again

Where blocks end is only in the blocks: the first guess takes all intervals for regular, and is then put right by what came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.gateway.drivers.c12_access import Access, Part
from connectors.gateway.drivers.c12_reading import again
from connectors.gateway.session import Session
from connectors.protocols.c12.errors import PeerError
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.profile import Profile, load_profile
from connectors.protocols.c12.tables.profile_channels import Rules
from connectors.protocols.c12.tables.profile_layout import (
    STATUS,
    BlockLayout,
    SetStatus,
    block_layout,
    set_status,
)
from connectors.protocols.c12.tables.times import TimeKind, read_time, time_size

_TRIES = 3
_AN_HOUR = 3_600_000
"""How much earlier a time may seem that stands in the hour which the end of daylight saving repeats."""
_OFFSET, _INDEX, _FULL = "OFFSET", "INDEX", "FULL"
_BY_METHOD = {0: _FULL, 1: _OFFSET, 2: _INDEX, 3: _OFFSET}
"""DATA_ACCESS_METHOD of table 0."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of one data set: those that end from `start` on and before `end`, UTC in milliseconds; None is open."""

    table: int
    start: int | None
    end: int | None
    access: str = "AUTO"
    """See `c12_template.ReadTemplate.access`."""

    @property
    def number(self) -> int:
        """Of the data set, 1 to 4."""
        return self.table - 63


def read_profile(access: Access, model: Model, wanted: Wanted, clock: Clock, rules: Rules) -> Session[Profile | None]:
    """The rows (and, at both ends, what else their blocks hold); None where the meter has none of them.

    The model knows 61 and 62, and what the sources of the channels are. Raises as `load_profile`.
    """
    model = yield from again(access, model, (STATUS,))
    for _ in range(_TRIES):
        reading = _Reading(access, model, wanted, clock, rules)
        profile = yield from reading.read()
        model = yield from again(access, model, (STATUS,))
        if reading.holds(set_status(model, wanted.number, reading.layout)):
            return profile
    detail = f"table {wanted.table} changed {_TRIES} times while it was read: read it at another time, or less of it"
    raise PeerError("peer-unexpected", detail, retry=True)


class _Reading:
    """One try."""

    def __init__(self, access: Access, model: Model, wanted: Wanted, clock: Clock, rules: Rules) -> None:
        self._access, self._model, self._wanted = access, model, wanted
        self._clock, self._rules = clock, rules
        self.layout: BlockLayout = block_layout(model, wanted.number)
        self.status: SetStatus = set_status(model, wanted.number, self.layout)
        self._elements = self.status.elements(self.layout.blocks)
        self._intervals = self.status.newest_intervals
        if not self._intervals:  # it has only begun: the one before it is the newest with anything in it
            del self._elements[-1:]
            self._intervals = self.layout.intervals
        self._way = wanted.access
        if self._way == "AUTO":
            self._way = _BY_METHOD[model.config.record.integer("DATA_ACCESS_METHOD")]
        self.fetched: dict[int, bytes] = {}
        """Blocks by element."""

    def read(self) -> Session[Profile | None]:
        """The profile of the blocks that hold what is wanted."""
        if not self._elements:
            return None
        first, last = 0, len(self._elements) - 1
        if self._way == _FULL or (self._wanted.start is None and self._wanted.end is None):
            yield from self._fetch(self._elements)
            return self._profile()
        newest = yield from self._newest_end()
        if newest is not None:
            if self._wanted.start is not None and self._wanted.start > newest + _AN_HOUR:
                return None
            first, last = self._guess(newest)
        yield from self._fetch(self._elements[first : last + 1])
        profile = self._profile()
        while more := self._lacking(profile, first, last):
            first, last = min(first, more[0]), max(last, more[0])
            yield from self._fetch(self._elements[more[0]] for _ in more)
            profile = self._profile()
        return profile

    def holds(self, after: SetStatus) -> bool:
        """Whether what was read is still what it was, where the status is this one by now."""
        return after == self.status or not {self.status.newest, after.newest} & set(self.fetched)

    def _newest_end(self) -> Session[int | None]:
        """When the last valid interval ended; None where the newest block does not say."""
        formats = self.layout.formats
        size, element = time_size(TimeKind.STIME, formats.time), self._elements[-1]
        part = Part(self._wanted.table, size, offset=element * self.layout.block_size)
        if self._way == _INDEX:
            part = Part(self._wanted.table, size, indices=(0, element, 0), count=1)
        (octets,) = yield from self._access.read([part])
        seconds = read_time(octets, TimeKind.STIME, formats.time, formats.order).seconds
        if seconds is None:
            return None
        missing = (self.layout.intervals - self._intervals) * self._rules.nominal_end
        return 1000 * self._clock.to_utc(seconds - missing * self.layout.period_s)

    def _guess(self, newest: int) -> tuple[int, int]:
        """The places, among the valid blocks, of the first and the last that should be wanted."""
        start, end = self._wanted.start, self._wanted.end
        since = 0 if start is None else self._place((newest - start) // (1000 * self.layout.period_s) + 1)
        after = 0 if end is None or end > newest else (newest - end) // (1000 * self.layout.period_s) + 1
        until = self._place(after + 1)
        return (0 if start is None else min(since, until)), max(since, until)

    def _place(self, back: int) -> int:
        """The place of the block with the interval that is so many back; 1 is the newest."""
        behind = back - self._intervals
        blocks = 0 if behind <= 0 else (behind + self.layout.intervals - 1) // self.layout.intervals
        return max(0, len(self._elements) - 1 - blocks)

    def _lacking(self, profile: Profile, first: int, last: int) -> tuple[int, ...]:
        """The place of a block that may hold something wanted and was not read yet."""
        start, end, rows = self._wanted.start, self._wanted.end, profile.ends
        if first > 0 and (start is None or not len(rows) or rows[0] > start):
            return (first - 1,)
        if last < len(self._elements) - 1 and (end is None or not len(rows) or rows[-1] < end - 1):
            return (last + 1,)
        return ()

    def _fetch(self, elements: Iterable[int]) -> Session[None]:
        """Read blocks, neighbours together."""
        everything = [range(self.layout.blocks)] if self._way == _FULL else None
        runs = everything or _runs(element for element in elements if element not in self.fetched)
        size = self.layout.block_size
        parts = [self._part(run) for run in runs]
        octets = yield from self._access.read(parts)
        for run, data in zip(runs, octets, strict=True):
            self.fetched |= {element: data[at * size : (at + 1) * size] for at, element in enumerate(run)}

    def _part(self, run: range) -> Part:
        size, table = self.layout.block_size, self._wanted.table
        if self._way == _INDEX:
            return Part(table, len(run) * size, indices=(0, run.start), count=len(run))
        if self._way == _FULL:
            return Part(table, self.layout.blocks * size)
        return Part(table, len(run) * size, offset=run.start * size)

    def _profile(self) -> Profile:
        return load_profile(self._model, self._wanted.number, sorted(self.fetched.items()), self._clock, self._rules)


def _runs(elements: Iterable[int]) -> list[range]:
    runs: list[range] = []
    for element in sorted(elements):
        if runs and runs[-1].stop == element:
            runs[-1] = range(runs[-1].start, element + 1)
        else:
            runs.append(range(element, element + 1))
    return runs
