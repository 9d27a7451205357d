"""Which intervals of which meters arrived: a bit each, a row a meter, a ring of UTC days. Pure.

Intervals are numbered since 1970: number k is the one that begins at `k * period_s` and ends a period later. So a day of 23
or 25 local hours is no special case. A million meters with 96 intervals and 8 days take 150 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.records import GapWatch

DAY_S = 86_400
Numbers = NDArray[np.int64]
Bits = NDArray[np.uint8]
_FIRST_ROWS = 1_024
_MOST_ASKED = 127


class Grid:
    """The rows of one schedule's meters in one partition."""

    def __init__(self, period_s: int, days: int, today: int) -> None:
        self.period_s = period_s
        self.per_day = DAY_S // period_s
        self.days = days
        self.newest = today
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        octets = (self.per_day + 7) // 8
        self._bits: Bits = np.zeros((_FIRST_ROWS, days, octets), np.uint8)
        self._since: Numbers = np.zeros(_FIRST_ROWS, np.int64)
        self._asked: NDArray[np.uint8] = np.zeros((_FIRST_ROWS, days), np.uint8)
        self._asked_at: Numbers = np.zeros((_FIRST_ROWS, days), np.int64)
        self._given: NDArray[np.bool_] = np.zeros((_FIRST_ROWS, days), np.bool_)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def oldest(self) -> int:
        """The first day that is remembered."""
        return self.newest - self.days + 1

    def number(self, end_ms: int) -> int:
        """The interval that ends at a time, to the nearest: a meter's clock may be some seconds off."""
        return round(end_ms / (1_000 * self.period_s)) - 1

    def advance(self, today: int) -> None:
        """Forget the days that fall out of the ring."""
        for day in range(max(self.newest + 1, today - self.days + 1), today + 1):
            slot = day % self.days
            for array in (self._bits, self._asked, self._asked_at, self._given):
                array[:, slot] = 0
        self.newest = max(self.newest, today)

    def add(self, meter_id: str, since: int) -> None:
        """Begin a row; intervals before `since` are not expected of this meter. One that has a row keeps it."""
        if meter_id in self.rows:
            return
        row = len(self.ids)
        if row == len(self._since):
            self._grow()
        self.ids.append(meter_id)
        self.rows[meter_id] = row
        self._since[row] = since

    def remove(self, meter_id: str) -> None:
        """End a row. The last one takes its place."""
        row = self.rows.pop(meter_id, None)
        if row is None:
            return
        last = len(self.ids) - 1
        for array in (self._bits, self._since, self._asked, self._asked_at, self._given):
            array[row] = array[last]
            array[last] = 0
        moved = self.ids.pop()
        if moved != meter_id:
            self.ids[row] = moved
            self.rows[moved] = row

    def mark(self, meter_id: str, numbers: Iterable[int]) -> int:
        """Note intervals that arrived; how many of them are new. Those of days that are not remembered are passed over."""
        row = self.rows.get(meter_id)
        if row is None:
            return 0
        fresh, oldest, newest, octets = 0, self.oldest, self.newest, self._bits.shape[2]
        bits = memoryview(self._bits[row].reshape(-1))  # of one row, and far faster to index than the array
        for number in numbers:
            day, at = divmod(number, self.per_day)
            if oldest <= day <= newest:
                octet, bit = day % self.days * octets + (at >> 3), 1 << (at & 7)
                if not bits[octet] & bit:
                    bits[octet] |= bit
                    fresh += 1
        return fresh

    def missing_rows(self, expected: NDArray[np.bool_]) -> Numbers:
        """Rows that lack an interval of those expected (`days * per_day` truths from the oldest day on). Some of them may
        lack only what is before their beginning.
        """
        count = len(self.ids)
        wanted = np.empty(self._bits.shape[1:], np.uint8)
        wanted[self._slots()] = np.packbits(expected.reshape(self.days, self.per_day), axis=1, bitorder="little")
        there = self._bits[:count].reshape(count, wanted.size)
        # Eight octets at a time where they come out even: this looks at a hundred million of them.
        if wanted.size % 8:
            lacks = (there & wanted.reshape(-1)) != wanted.reshape(-1)
        else:
            needed = wanted.reshape(-1).view(np.uint64)
            lacks = (there.view(np.uint64) & needed) != needed
        return np.flatnonzero(lacks.any(axis=1)).astype(np.int64)

    def missing(self, row: int, expected: NDArray[np.bool_]) -> Numbers:
        """The numbers of the intervals that a row lacks."""
        first = self.oldest * self.per_day
        found: Numbers = np.flatnonzero(expected & ~self.arrived(row)).astype(np.int64) + first
        later: Numbers = found[found >= self._since[row]]
        return later

    def arrived(self, row: int) -> NDArray[np.bool_]:
        """What arrived in a row: `days * per_day` truths from the oldest day on."""
        packed = self._bits[row, self._slots()]
        return np.unpackbits(packed, axis=1, count=self.per_day, bitorder="little").reshape(-1).astype(np.bool_)

    def table(self, first_day: int, last_day: int) -> NDArray[np.bool_]:
        """All rows by the intervals of some days, both included, which must be remembered."""
        slots = [day % self.days for day in range(first_day, last_day + 1)]
        there = np.unpackbits(self._bits[: len(self.ids), slots], axis=2, count=self.per_day, bitorder="little")
        return there.reshape(len(self.ids), -1).astype(np.bool_)

    def since(self) -> Numbers:
        """The first interval that is expected, by row."""
        return self._since[: len(self.ids)]

    def asked(self, row: int, day: int) -> tuple[int, int, bool]:
        """How often a day was asked for, when last, and whether it was given up."""
        slot = day % self.days
        return int(self._asked[row, slot]), int(self._asked_at[row, slot]), bool(self._given[row, slot])

    def waits(self, meter_id: str) -> bool:
        """Whether a day of a meter was asked for."""
        return bool(self._asked[self.rows[meter_id]].any())

    def given(self, day: int) -> NDArray[np.bool_]:
        """Whether a day was given up, by row."""
        return self._given[: len(self.ids), day % self.days]

    def ask(self, row: int, day: int, at: int) -> None:
        """Note that a day was asked for."""
        slot = day % self.days
        self._asked[row, slot] = min(_MOST_ASKED, int(self._asked[row, slot]) + 1)
        self._asked_at[row, slot] = at

    def asked_rows(self) -> Numbers:
        """Rows of which a day was asked for and not given up."""
        count = len(self.ids)
        return np.flatnonzero(((self._asked[:count] > 0) & ~self._given[:count]).any(axis=1)).astype(np.int64)

    def fill(self, row: int) -> None:
        """Note that nothing is missing any more: days that are not given up were never asked for."""
        kept = self._given[row]
        self._asked[row] = np.where(kept, self._asked[row], 0)
        self._asked_at[row] = np.where(kept, self._asked_at[row], 0)

    def give_up(self, row: int, day: int) -> None:
        """Note that a day is asked for no more."""
        self._given[row, day % self.days] = True

    def save(self, schedule_id: str, meter_id: str) -> GapWatch:
        """A row as it is written down."""
        row, slots = self.rows[meter_id], self._slots()
        asked = self._asked[row, slots] | (self._given[row, slots].astype(np.uint8) << 7)
        return GapWatch(
            schedule_id,
            self.period_s,
            int(self._since[row]) * self.period_s * 1_000,
            self.oldest,
            self._bits[row, slots].tobytes().rstrip(b"\0"),
            asked.tobytes().rstrip(b"\0"),
            tuple(self._asked_at[row, slots].tolist()) if asked.any() else (),
        )

    def load(self, meter_id: str, watch: GapWatch) -> None:
        """A row as it was written down, but for days that are not remembered any more, and for bits of another length."""
        if watch.slot_s != self.period_s:
            return
        self.remove(meter_id)
        self.add(meter_id, watch.expected_from // (1_000 * self.period_s))
        row, octets = self.rows[meter_id], self._bits.shape[2]
        days = max(-(-len(watch.arrived) // octets), len(watch.asked))
        first, last = max(self.oldest, watch.first_day), min(self.newest, watch.first_day + days - 1)
        if first > last:
            return
        slots = [day % self.days for day in range(first, last + 1)]
        skip, count = first - watch.first_day, last - first + 1
        arrived = watch.arrived[skip * octets : (skip + count) * octets].ljust(count * octets, b"\0")
        self._bits[row, slots] = np.frombuffer(arrived, np.uint8).reshape(count, octets)
        asked = np.frombuffer(watch.asked[skip : skip + count].ljust(count, b"\0"), np.uint8)
        self._asked[row, slots], self._given[row, slots] = asked & _MOST_ASKED, asked > _MOST_ASKED
        times = watch.asked_at[skip : skip + count]
        self._asked_at[row, slots] = times + (0,) * (count - len(times))

    def _slots(self) -> Sequence[int]:
        return [day % self.days for day in range(self.oldest, self.newest + 1)]

    def _grow(self) -> None:
        for name in ("_bits", "_since", "_asked", "_asked_at", "_given"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
