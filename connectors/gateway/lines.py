"""Meters that dial in: which open connection leads to which meter, and a session on it beside what the meter pushes.

A connection is a meter's line once the meter is known: by the address that it speaks from, or by its first push. A meter
whose `endpoint` is not `dial-in` has none. A connection on which several meters speak is nobody's line: a concentrator is
reached at its own endpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from connectors.gateway.addresses import dials_in
from connectors.gateway.session import MeterLink
from schemas.records import Meter
from streams.runtime import metrics


class Line(Protocol):
    """An open connection that a meter made."""

    endpoint: str
    proven: bool
    """Whether whoever speaks has shown that it is the meter: by its keys, or by a registered address."""

    @property
    def free(self) -> bool:
        """Whether a session may begin: none is under way, and no push is half received."""

    def lend(self, link: MeterLink) -> None:
        """Give a session the connection, until it closes its transport."""

    def pushed(self, frame: bytes) -> None:
        """A frame came within the session that is none of its answers."""

    def close(self) -> None:
        """Close the connection."""


class Lines:
    """The lines of all meters. `changed` is told of a meter that can be visited from now on."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._lines: dict[str, Line] = {}
        self._meters: dict[Line, str] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, meter_id: str) -> Line | None:
        """The line of a meter that is connected."""
        return self._lines.get(meter_id)

    def all(self) -> list[tuple[str, Line]]:
        """Every meter that is connected, and its line."""
        return list(self._lines.items())

    def meter_of(self, line: Line) -> str:
        """Whose line a connection is: "" where it is nobody's."""
        return self._meters.get(line, "")

    def speaks(self, line: Line, meter: Meter | None) -> None:
        """A meter is known to speak on a connection."""
        if not dials_in(meter) or meter is None or self._meters.get(line) == meter.id:
            return
        if line in self._meters:  # several meters: from now on nobody's
            self._drop(line)
            self._meters[line] = ""
            return
        before = self._lines.get(meter.id)
        if before is not None:
            if before.proven and not line.proven:
                return  # anybody can say a name: that is no reason to leave who has shown that it is his
            self._meters.pop(before, None)
        self._meters[line], self._lines[meter.id] = meter.id, line
        metrics.LINES.set(len(self._lines))
        self._changed(meter.id)

    def lost(self, line: Line) -> None:
        """A connection has ended."""
        self._drop(line)

    def _drop(self, line: Line) -> None:
        meter_id = self._meters.pop(line, "")
        if meter_id and self._lines.get(meter_id) is line:
            del self._lines[meter_id]
            metrics.LINES.set(len(self._lines))


class LentTransport(asyncio.Transport):
    """What a session on a line writes to. Closing it gives the line back, aborting it closes the line."""

    def __init__(self, transport: asyncio.Transport, back: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._back: Callable[[], None] | None = back

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send to the meter."""
        if self._back is not None and not self._transport.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether it is given back."""
        return self._back is None or self._transport.is_closing()

    def close(self) -> None:
        """Give the line back."""
        back, self._back = self._back, None
        if back is not None:
            back()

    def abort(self) -> None:
        """Close the line: after a failure nobody knows what may still come on it."""
        self.close()
        self._transport.close()
