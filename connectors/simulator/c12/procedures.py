"""What a meter does when table 7 is written, and what it says of it in table 8 (C12.19, tables 7 and 8).

Done here: the last-read entry of a list, a demand reset, the clock, the service disconnect switch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.layout import LOAD_CONTROL, REMOTE_RESET, RESET_LIST, SET_CLOCK, UPDATE_LAST_READ
from connectors.simulator.c12.logs import CONTROL_POINT, DEMAND_RESET, PROCEDURE, TIME_AFTER, TIME_BEFORE, Entry, Ring
from connectors.simulator.c12.packing import id_b, ltime

DONE, BAD_PARAMETER, UNKNOWN = 0, 2, 6
"""Result codes."""

OPEN, CLOSED = 100, 0
"""Levels of the switch, in percent of control."""

_MANUFACTURER = 0x0800
_SET_TIME, _SET_DATE = 1, 2
_HISTORY, _EVENTS, _PROFILES = (8,), (1,), (3, 7)
_ALL = 255


@dataclass(slots=True)
class State:
    """What can be done to a meter."""

    drift_ms: int
    """How far its clock is ahead."""
    level: int = CLOSED
    resets: int = 0
    reset_s: int = 0
    """Of the last demand reset, by the meter's clock."""
    reset: bytes = b""
    """Table 25."""
    unread_blocks: int = 1 << 16
    request: bytes = bytes(3)
    """Table 7."""
    response: bytes = bytes(4)
    """Table 8."""
    told: Callable[[bool], None] = lambda _connected: None
    """Told of each move of the switch, so that the truth file has it."""


class Commands:
    """Procedures of one meter."""

    def __init__(
        self, kind: C12Kind, state: State, logs: tuple[Ring, Ring], now: Callable[[], int], snapshot: Callable[[], bytes]
    ) -> None:
        """`logs` are history and events, `now` is the clock as tables hold it, `snapshot` the registers as table 25."""
        self._kind, self._state = kind, state
        self._history, self._events = logs
        self._now, self._snapshot = now, snapshot
        self._procedures: dict[int, Callable[[bytes], tuple[int, bytes]]] = {
            RESET_LIST: self._read_lists, UPDATE_LAST_READ: self._read_lists, REMOTE_RESET: self._reset,
            SET_CLOCK: self._set_clock, LOAD_CONTROL: self._control,
        }  # fmt: skip

    def run(self, request: bytes) -> None:
        """Do what table 7 says now, and write table 8."""
        self._state.request = request
        if len(request) < 3:
            self._state.response = (request + bytes(3))[:3] + bytes((BAD_PARAMETER,))
            return
        code = int.from_bytes(request[:2], "little") & 0x0FFF
        do = None if code & _MANUFACTURER else self._procedures.get(code)
        result, answer = (UNKNOWN, b"") if do is None else do(request[3:])
        if do is not None:
            self._log(PROCEDURE, id_b(code))
        self._state.response = id_b(code) + request[2:3] + bytes((result,)) + answer

    def _log(self, code: int, argument: bytes = b"") -> None:
        self._history.add(Entry(self._now(), code, argument=argument))

    def _read_lists(self, parameters: bytes) -> tuple[int, bytes]:
        """Entries that somebody has read are no longer unread; all of them where no number is given."""
        if len(parameters) not in (1, 3):
            return BAD_PARAMETER, b""
        which, count = parameters[0], int.from_bytes(parameters[1:3], "little") if len(parameters) == 3 else 1 << 16
        if which in (*_HISTORY, _ALL):
            self._history.unread = max(0, self._history.unread - count)
        if which in _EVENTS:
            self._events.unread = max(0, self._events.unread - count)
        if which in (*_PROFILES, _ALL):
            self._state.unread_blocks = max(0, self._state.unread_blocks - count)
        return (DONE if which in (*_HISTORY, *_EVENTS, *_PROFILES, _ALL) else BAD_PARAMETER), b""

    def _reset(self, parameters: bytes) -> tuple[int, bytes]:
        """A demand reset keeps the registers as they are in table 25."""
        if len(parameters) != 1 or not parameters[0] & 1:
            return BAD_PARAMETER, bytes(1)
        state = self._state
        state.reset = self._snapshot()
        state.resets += 1
        state.reset_s = self._now()
        self._log(DEMAND_RESET)
        return DONE, b"\x01"

    def _set_clock(self, parameters: bytes) -> tuple[int, bytes]:
        size = len(ltime(0, self._kind))
        if len(parameters) != size + 2 or parameters[0] & 3 != _SET_TIME | _SET_DATE:
            return BAD_PARAMETER, b""
        wanted = int.from_bytes(parameters[1:5], "little")
        if not self._kind.seconds:
            wanted = wanted * 60 + parameters[5]
        before = self._now()
        self._log(TIME_BEFORE)
        self._state.drift_ms += (wanted - before) * 1000
        self._log(TIME_AFTER)
        return DONE, ltime(before, self._kind) + ltime(self._now(), self._kind)

    def _control(self, parameters: bytes) -> tuple[int, bytes]:
        """LEVEL and the set of control points, of which there is one."""
        if len(parameters) != 2 or parameters[1] != 1 or parameters[0] > OPEN:
            return BAD_PARAMETER, b""
        before, self._state.level = self._state.level, parameters[0]
        if self._state.level != before:
            self._state.told(self._state.level != OPEN)
        self._log(CONTROL_POINT, parameters[:1])
        return DONE, b""
