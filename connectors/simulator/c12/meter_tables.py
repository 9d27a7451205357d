"""Every table of one meter as octets, by what it measures and what was done to it: see `psem_tables.Tables`.

Tables are packed by hand (see `layout`); only where an element of a table stands is asked of the head-end's declarations.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.protocols.c12 import responses
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.tables.model import Model, decode_table
from connectors.protocols.c12.tables.reading import Element
from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.layout import INTERVALS, OWN_STATUS, PRESENT, block_size, clock, fixed_tables
from connectors.simulator.c12.logs import POWER_DOWN, POWER_UP, TAMPER, Ring
from connectors.simulator.c12.packing import number, stime, text
from connectors.simulator.c12.procedures import Commands, State
from connectors.simulator.c12.psem_tables import Refusal
from connectors.simulator.config import DAY_MS
from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import EXPORT, IMPORT, QUARTER_MS

_OWNER = "EXAMPLE UTILITY"
_POWER_FAILURE, _TAMPERED, _CLOCK = 1 << 11, 1 << 12, 1 << 6
_PRESENT_OBIS = ("1.0.1.7.0.255", "1.0.32.7.0.255", "1.0.31.7.0.255")
_DAYLIGHT = 0x08  # of the status that the truth has for an interval
_KEPT = 4


class MeterTables:
    """One meter's tables. `now_ms` is the world's clock; the meter's own may be ahead or behind, and can be set."""

    def __init__(self, plan: MeterPlan, kind: C12Kind, now_ms: Callable[[], int], profile_days: int) -> None:
        self.plan, self.kind = plan, kind
        self.state = State(plan.drift_ms)
        self.history, self.events = Ring(), Ring()
        self._now_ms = now_ms
        self._days = profile_days
        self._zone = ZoneInfo(plan.model.time_zone)
        self._fixed = fixed_tables(kind, profile_days)
        self._blocks: dict[int, bytes] = {}
        self._model: Model | None = None
        self._made: dict[int, Callable[[], bytes]] = {
            1: self._manufacturer, 3: self._status, 5: lambda: text(plan.serial, 20), 6: self._utility,
            7: lambda: self.state.request, 8: lambda: self.state.response, 23: self._registers, 25: lambda: self.state.reset,
            28: self._present, 52: self._clock, 55: lambda: self._clock() + bytes(2), 63: self._profile_status,
            64: self._profile, 74: lambda: self.history.table(kind), 76: lambda: self.events.table(kind), 112: self._relay,
        }  # fmt: skip
        self._commands = Commands(kind, self.state, (self.history, self.events), self.meter_seconds, self.snapshot)
        self.state.reset = self.snapshot()

    def read(self, table: int) -> bytes:
        """See `Tables`."""
        fixed = self._fixed.get(table)
        if fixed is not None:
            return fixed
        make = self._made.get(table)
        if make is None:
            raise Refusal(responses.IAR)
        return make()

    def read_elements(self, table: int, indices: tuple[int, ...], count: int) -> bytes:
        """See `Tables`."""
        data = self.read(table)
        element = self._elements(table, data)
        *path, first = indices
        for index in path:
            if index >= len(element.children):
                raise Refusal(responses.IAR)
            element = element.children[index]
        if not 1 <= count <= len(element.children) - first:
            raise Refusal(responses.IAR)
        start, last = element.children[first], element.children[first + count - 1]
        return data[start.at : last.at + last.size]

    def write(self, table: int, offset: int, data: bytes) -> None:
        """See `Tables`: a procedure is done when this returns."""
        if table != 7 or offset:
            raise Refusal(responses.IAR)
        self._commands.run(data)

    def write_elements(self, table: int, indices: tuple[int, ...], data: bytes) -> None:  # noqa: ARG002 - its signature
        """See `Tables`."""
        raise Refusal(responses.IAR)

    def meter_ms(self) -> int:
        """What the meter's own clock shows, in UTC."""
        return self._now_ms() + self.state.drift_ms

    def meter_seconds(self, utc_ms: int | None = None) -> int:
        """A time (now) by the meter's clock in seconds since 1970, as tables hold it: UTC, or local standard time."""
        seconds = (self.meter_ms() if utc_ms is None else utc_ms) // 1000
        return seconds + self._offset_s(seconds)

    def snapshot(self) -> bytes:
        """Table 25: the registers as they stand, and when."""
        return stime(self.meter_seconds(), self.kind) + self._registers()

    def _offset_s(self, seconds: int) -> int:
        if not self.kind.local:
            return 0
        local = datetime.fromtimestamp(seconds, UTC).astimezone(self._zone)
        standard = (local.utcoffset() or timedelta()) - (local.dst() or timedelta())
        return int(standard.total_seconds())

    def _elements(self, table: int, data: bytes) -> Element:
        try:
            if self._model is None:
                self._model = Model.of(self._fixed[0])
                for known in sorted(self._fixed.keys() - {0}):
                    self._model = self._model.with_octets(known, self._fixed[known])
            return decode_table(table, data, self._model).element
        except C12Error:
            raise Refusal(responses.SNS) from None

    def _manufacturer(self) -> bytes:
        first, second, third = (int(part) for part in self.plan.firmware.split("."))
        head = text(self.kind.manufacturer, 4) + text(self.kind.model, 8) + bytes((1, 0, first, second * 10 + third % 10))
        return head + text(self.plan.serial.rjust(16), 16)

    def _status(self) -> bytes:
        codes = [entry.code for _, entry in self.events.entries]
        power = next((code for code in reversed(codes) if code in (POWER_DOWN, POWER_UP)), POWER_UP)
        flags = _POWER_FAILURE * (power == POWER_DOWN) | _TAMPERED * (TAMPER in codes) | _CLOCK * (self.state.drift_ms != 0)
        return b"\x01" + number(flags, 2) + b"\x00" + bytes(OWN_STATUS)

    def _utility(self) -> bytes:
        plan = self.plan
        names = (_OWNER, plan.feeder, plan.transformer, "", plan.id, plan.serial, "")
        tail = text("", 8) + text("", 4) + bytes(2) + text("", 4) + bytes(2) + text("", 10) + text("", 30)
        return b"".join(text(name, 20) for name in names) + bytes(30) + tail

    def _registers(self) -> bytes:
        now, size = self._now_ms(), self.kind.number
        sums = number(self.plan.truth(IMPORT, now), size) + number(self.plan.truth(EXPORT, now), size)
        watts, at_ms = self._greatest()
        demand = stime(self.meter_seconds(at_ms), self.kind) + number(watts, size)
        return bytes((self.state.resets & 0xFF,)) + sums + demand + struct.pack("<f", watts)

    def _greatest(self) -> tuple[int, int]:
        """The greatest demand of a quarter since the last reset, a day at most, and when the quarter ended."""
        last = self.meter_ms() // QUARTER_MS * QUARTER_MS
        ends = range(last, last - DAY_MS, -QUARTER_MS)
        wanted = [end for end in ends if self.meter_seconds(end) > self.state.reset_s] or [last]
        return max((4 * self.plan.interval(IMPORT, end), end) for end in wanted)

    def _present(self) -> bytes:
        now, size = self._now_ms(), self.kind.number
        last = now // QUARTER_MS * QUARTER_MS
        values = b"".join(number(self.plan.truth(obis, now), size) for obis in _PRESENT_OBIS[: len(PRESENT)])
        return struct.pack("<f", 4 * self.plan.interval(IMPORT, last)) + values

    def _clock(self) -> bytes:
        return clock(self.meter_seconds(), self.kind)

    def _newest(self) -> tuple[int, int]:
        """The day of the last interval that has ended, by the meter's clock, and how many of that day's have."""
        last = self.meter_seconds(self.meter_ms() // QUARTER_MS * QUARTER_MS) * 1000
        day = (last - 1) // DAY_MS
        return day, (last - day * DAY_MS) // QUARTER_MS

    def _profile_status(self) -> bytes:
        day, count = self._newest()
        head = bytes((1 << 2 | 1 << 5,)) + number(self._days, 2) + number(day % self._days, 2) + number(day, 4)
        return head + number(min(self.state.unread_blocks, self._days), 2) + number(count, 2)

    def _profile(self) -> bytes:
        newest, count = self._newest()
        days = {day % self._days: day for day in range(newest - self._days + 1, newest + 1)}
        blocks = (self._block(days[at], count if days[at] == newest else INTERVALS) for at in range(self._days))
        return b"".join(blocks)

    def _block(self, day: int, count: int) -> bytes:
        """A day's block with its first intervals filled; whole days are kept, since they are asked for again and again."""
        if count == INTERVALS and day in self._blocks:
            return self._blocks[day]
        kind, plan = self.kind, self.plan
        # Quarters of the meter's day in UTC: a local standard offset is a whole number of quarters.
        start = day * DAY_MS - 1000 * self._offset_s(day * DAY_MS // 1000)
        ends = range(start + QUARTER_MS, start + (count + 1) * QUARTER_MS, QUARTER_MS)
        head = stime(self.meter_seconds(ends[-1]), kind)
        head += b"".join(number(plan.truth(obis, ends[-1]), kind.number) for obis in (IMPORT, EXPORT))
        if kind.simple:
            head += number((1 << count) - 1, INTERVALS // 8)
        rows = bytearray()
        for end in ends:
            if kind.extended:
                rows += bytes((bool(plan.load.status(end) & _DAYLIGHT) << 4, 0))
            for obis in (IMPORT, EXPORT):
                rows += number(plan.interval(obis, end), kind.interval)
        block = (head + rows).ljust(block_size(kind), b"\0")
        if count == INTERVALS:
            if len(self._blocks) >= _KEPT:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[day] = block
        return block

    def _relay(self) -> bytes:
        level = self.state.level
        return text("SERVICE DISCONNECT", 20) + bytes((level, level, level, 1))
