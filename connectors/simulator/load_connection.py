"""A meter of the load fleet on a TCP connection, through the wrapper (IEC 62056-47): quick, silent or slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from connectors.simulator.load_session import LoadMeter, LoadSession

HEADER = 8
LARGEST_REQUEST = 2048
BYTE_EVERY_S = 1.0


@dataclass(slots=True, eq=False)
class Floor:
    """What all connections of a fleet share: how they behave, and how many they are."""

    hold_s: float = 0.0
    """How long every answer is held back."""
    open: int = 0
    most_open: int = 0

    def enter(self) -> None:
        """A client connected."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def leave(self) -> None:
        """A connection ended."""
        self.open -= 1


class LoadConnection(asyncio.Protocol):
    """A client's connection to a meter that answers."""

    __slots__ = ("_buffer", "_floor", "_session", "_transport")

    def __init__(self, meter: LoadMeter, floor: Floor) -> None:
        self._session = LoadSession(meter)
        self._floor = floor
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        self._floor.enter()
        if self._session.away:
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Nothing more can be answered."""
        self._transport = None
        self._floor.leave()

    def data_received(self, data: bytes) -> None:
        """Answer every whole frame; most often the data is exactly one."""
        transport = self._transport
        self._buffer = self._buffer + data if self._buffer else data
        while len(self._buffer) >= HEADER and transport is not None:
            frame = self._buffer
            end = HEADER + (frame[6] << 8 | frame[7])
            if frame[:2] != b"\x00\x01" or not HEADER < end <= LARGEST_REQUEST:
                transport.close()
                return
            if len(frame) < end:
                return
            self._buffer = frame[end:]
            try:
                apdu = self._session.answer(frame[2] << 8 | frame[3], frame[HEADER:end])
            except (IndexError, KeyError, ValueError):
                transport.close()
                return
            self._answer(b"\x00\x01" + frame[4:6] + frame[2:4] + len(apdu).to_bytes(2, "big") + apdu)

    def _answer(self, frame: bytes) -> None:
        if self._floor.hold_s:
            asyncio.get_running_loop().call_later(self._floor.hold_s, self._write, frame)
        else:
            self._write(frame)

    def _write(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)
            if self._session.away:  # it restarts
                self._transport.close()


class SilentConnection(LoadConnection):
    """A meter that takes the connection and never says anything."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Nothing comes of it."""


class SlowConnection(LoadConnection):
    """A meter whose answers come an octet a second."""

    __slots__ = ()

    def _answer(self, frame: bytes) -> None:
        self._write(frame[:1])
        if len(frame) > 1 and self._transport is not None:
            asyncio.get_running_loop().call_later(BYTE_EVERY_S, self._answer, frame[1:])
