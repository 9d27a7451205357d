"""Commands that are sent at most once: an intent in Kafka before the first octet, and what came of it after the last.

    admit ─▶ nothing known ─▶ proven ─▶ intend ─▶ Kafka has it ─▶ still? ─▶ octets ─▶ state after ─▶ settle ─▶ result, offset
         ├─▶ an intent without an outcome: nothing is sent any more, the state is read and judged ──────▶ settle ─▶ …
         └─▶ an outcome: told again to the record that had it, refused to every other

An action is a request's digest at one meter: a job's id can be made up, a request's bytes cannot. Who opens a partition
fences who had it (`fenced_topic`), so a worker that was paused can write no intent, and one that had written its intent
before it was paused is too late to send (`Deed.still`), while whoever has the partition now only reads back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from connectors.gateway.errors import JobError
from connectors.gateway.partition_books import PartitionBooks
from connectors.gateway.reservations import FencedError
from schemas.records import CommandIntent, Outcome
from streams.runtime.clock import Clock
from streams.runtime.errors import TooLargeError

Action = tuple[str, bytes]
"""Meter id and digest of the request."""
_LONG, _SHORT = 200_000, 200
"""Octets of a text in an intent: of a meter's state there may be any number. Short, where Kafka takes not even so much."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A partition as it was taken over."""

    partition: int
    intents: dict[Action, CommandIntent]
    writer: Any = None


class Ledger(Protocol):
    """Where intents are kept: hes.intents. Blocking; called on threads."""

    def open(self, partition: int) -> Opened:
        """Take a partition over: from now on nobody who opened it before can write in it, ourselves included."""

    def write(self, opened: Opened, intents: Sequence[CommandIntent]) -> None:
        """Write, all or none; returns when Kafka has them. Raises `FencedError`, `TooLargeError` where one is too large for
        Kafka, or anything else.
        """

    def close(self, opened: Opened) -> None:
        """Let a partition go."""


@dataclass(slots=True, eq=False)
class Book:
    """A partition whose intents this worker has."""

    opened: Opened
    closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def get(self, action: Action) -> CommandIntent | None:
        """What is known of an action."""
        return self.opened.intents.get(action)


class Intents:
    """The intents of all meters whose jobs this worker has. `owns` says whether a partition is its still. On the event loop;
    Kafka is reached on threads. `fatal` is told what the process has to end for.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        owns: Callable[[int], bool],
        *,
        pause_s: float,
        fatal: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._owns = owns
        self._fatal = fatal
        self._books: PartitionBooks[Book] = PartitionBooks(
            "intents", clock, owns, unavailable, pause_s=pause_s, open_book=self._opened, close_book=self._closed
        )

    def owns(self, partition: int) -> bool:
        """Whether a partition is ours, as far as it can be known."""
        return self._owns(partition)

    async def book(self, partition: int) -> Book:
        """The book of a partition, opened once for all who want it. Raises `JobError` "intent-unavailable"."""
        return await self._books.get(partition)

    async def write(self, book: Book, intent: CommandIntent, after: CommandIntent | None) -> CommandIntent:
        """Have Kafka keep it, and then the book; the intent as it is kept, of long texts the first octets. `after` is what
        the writer knows of the action. Raises `FencedError` where the partition is another worker's, `JobError`
        "intent-unavailable" where another record of a jobs topic has the action meanwhile, where nobody can tell whether
        Kafka has it, and, not to be tried again, where Kafka takes none of this size.
        """
        async with book.lock:
            if book.closed:
                raise FencedError(f"partition {book.opened.partition} was let go")
            there = book.get((intent.meter_id, intent.digest))
            if there is not None and (after is None or after.record != there.record):
                raise unavailable(f"record {there.record} has the command, and what came of it is not known yet")
            try:
                kept = await self._kept(book, intent)
            except FencedError:
                book.closed = True
                self._books.lost(book.opened.partition, book)
                raise
            except TooLargeError as error:
                raise unavailable(str(error), retry=False) from error
            except Exception as error:
                raise unavailable(f"hes.intents cannot be written: {error}") from error
            book.opened.intents[kept.meter_id, kept.digest] = kept
            return kept

    async def _kept(self, book: Book, intent: CommandIntent) -> CommandIntent:
        """Without an intent nothing is sent; but what was sent must be known to have ended, with however few words."""
        kept = _shortened(intent, _LONG)
        try:
            await asyncio.to_thread(self._ledger.write, book.opened, (kept,))
        except TooLargeError:
            if intent.outcome is Outcome.UNKNOWN:
                raise
            kept = _shortened(intent, _SHORT)
            try:
                await asyncio.to_thread(self._ledger.write, book.opened, (kept,))
            except TooLargeError as error:
                self._fatal(error)
                raise
        return kept

    def release(self, partitions: set[int]) -> None:
        """Other workers own these partitions now."""
        self._books.release(partitions)

    async def close(self) -> None:
        """Let everything go."""
        await self._books.close()

    async def _opened(self, partition: int) -> Book:
        return Book(await asyncio.to_thread(self._ledger.open, partition))

    async def _closed(self, book: Book) -> None:
        async with book.lock:
            book.closed = True
        await asyncio.to_thread(self._ledger.close, book.opened)


def unavailable(why: str, *, retry: bool = True) -> JobError:
    """No intent can be kept, so nothing is sent."""
    return JobError("intent-unavailable", f"nothing is sent without a durable intent: {why}", retry=retry)


def _shortened(intent: CommandIntent, most: int) -> CommandIntent:
    """With no text of more octets than `most`."""
    detail, before, after = (_first(text, most) for text in (intent.detail, intent.before, intent.after))
    return replace(intent, detail=detail, before=before, after=after)


def _first(text: str, most: int) -> str:
    octets = text.encode()
    if len(octets) <= most:
        return text
    return f"{octets[:most].decode(errors='ignore')}… (the first octets of {len(octets):,})"
