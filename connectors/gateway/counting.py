"""The counters of one key as a channel counts by them, and the ledger behind them: what `reservations` deals in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.gateway.errors import JobError
from connectors.protocols.dlms.errors import CipherError
from schemas.records import CounterReservation, CountersSeen, Meter

LAST = 0xFFFF_FFFF

Key = tuple[str, str]
"""Meter id and key reference; of a key that the gateway gave the meter itself, the reference as `own_ref` has it."""
Ask = Callable[[], Awaitable["int | None"]]
"""Asks the meter for the last counter that it took; None where it cannot tell."""


class FencedError(Exception):
    """Another worker has opened the partition's counters since."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A partition as it was taken over: what is reserved in it, by key, and by what it is written."""

    partition: int
    reserved: dict[Key, int]
    writer: Any = None
    seen: dict[Key, CountersSeen] = field(default_factory=dict)


class Ledger(Protocol):
    """Where reservations are kept: hes.counters. Blocking; called on threads."""

    def open(self, partition: int) -> Opened:
        """Take a partition over: from now on nobody who opened it before can reserve in it, ourselves included."""

    def reserve(self, opened: Opened, records: Sequence[CounterReservation]) -> None:
        """Write reservations, all or none; returns when Kafka has them. Raises `FencedError`, `TooLargeError` where one is
        too large for Kafka, or anything else.
        """

    def close(self, opened: Opened) -> None:
        """Let a partition go."""


@dataclass(slots=True, eq=False)
class Counting:
    """The counters of one key: what a `security.Channel` counts by. On the event loop."""

    key: Key
    client: int
    value: int
    """The next one."""
    limit: int
    """The last that is reserved."""
    low: Callable[[Counting], None]
    heard: int = -1
    """The last counter of the meter's own that came authenticated."""
    proved: int = -1
    """The highest of ours that the meter has answered."""
    mark: str = ""
    """Of the key that these two are of."""
    checked: bool = False
    """Whether the meter was asked how far it is."""
    stale: bool = False
    """Somebody else had the partition meanwhile: what is left may be used, and no more is reserved."""
    filling: asyncio.Future[None] | None = None

    @property
    def left(self) -> int:
        """How many may be used."""
        return self.limit - self.value + 1

    def next(self) -> int:
        """The next counter. Raises `JobError` where none is reserved, CipherError where there is none any more."""
        if self.value > LAST:
            raise CipherError("cipher-counter", "the invocation counter is used up: give the meter a new key")
        if self.value > self.limit:
            self.low(self)
            raise unavailable("those reserved are used up, and more are not in Kafka yet")
        value, self.value = self.value, self.value + 1
        self.low(self)
        return value

    def answered(self) -> None:
        """The meter took everything so far."""
        self.proved = max(self.proved, self.value - 1)

    def heard_under(self, mark: str) -> int:
        """The last counter of the meter's under the key of this mark. A meter that took a new key counts from zero; ours go
        on.
        """
        if mark != self.mark:
            self.mark, self.heard, self.proved = mark, -1, -1
        return self.heard

    @property
    def seen(self) -> CountersSeen:
        """How far it has come."""
        return CountersSeen(self.mark, self.heard, self.proved)


def own_ref(key_ref: str, mark: str) -> str:
    """The reference under which a key counts that the gateway made: beside those that the meter had before, one of which
    may hold again.
    """
    return f"{key_ref}#{mark}"


def shared(meter: Meter, holder: str) -> JobError:
    """Two meters with one key reference."""
    return JobError(
        "key-shared",
        f"meters {holder} and {meter.id} both name the key reference {meter.key_ref!r}: invocation counters would be used "
        "twice; give each meter a key reference and keys of its own",
    )


def unavailable(why: str, *, retry: bool = True) -> JobError:
    """No counters now, or none at all."""
    return JobError("counter-unavailable", f"no invocation counters can be reserved: {why}", retry=retry)
