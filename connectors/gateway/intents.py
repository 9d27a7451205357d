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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from connectors.gateway.errors import JobError
from connectors.gateway.reservations import FencedError
from schemas.records import CommandIntent
from streams.runtime.clock import Clock

Action = tuple[str, bytes]
"""Meter id and digest of the request."""


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
        """Write, all or none; returns when Kafka has them. Raises `FencedError`, or anything else."""

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
    Kafka is reached on threads.
    """

    def __init__(self, ledger: Ledger, clock: Clock, owns: Callable[[int], bool], *, pause_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._owns = owns
        self._pause_s = pause_s
        self._books: dict[int, asyncio.Future[Book]] = {}
        self._fenced: dict[int, float] = {}
        self._closing: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._log = structlog.get_logger("intents")

    def owns(self, partition: int) -> bool:
        """Whether a partition is ours, as far as it can be known."""
        return self._owns(partition)

    async def book(self, partition: int) -> Book:
        """The book of a partition, opened once for all who want it. Raises `JobError` "intent-unavailable"."""
        if not self._owns(partition):
            raise unavailable(f"partition {partition} is another worker's now")
        if self._clock.monotonic() < self._fenced.get(partition, 0.0):
            raise unavailable(f"another worker has taken partition {partition}")
        opening = self._books.get(partition)
        if opening is None:
            opening = self._books[partition] = asyncio.get_running_loop().create_future()
            self._spawn(self._open(partition, opening))
        try:
            return await asyncio.shield(opening)
        except Exception as error:
            raise unavailable(f"hes.intents cannot be read: {error}") from error

    async def write(self, book: Book, intent: CommandIntent) -> None:
        """Have Kafka keep it, and then the book. Raises `FencedError` where the partition is another worker's, `JobError`
        "intent-unavailable" where nobody can tell whether Kafka has it.
        """
        async with book.lock:
            if book.closed:
                raise FencedError(f"partition {book.opened.partition} was let go")
            try:
                await asyncio.to_thread(self._ledger.write, book.opened, (intent,))
            except FencedError:
                self._lost(book)
                raise
            except Exception as error:
                raise unavailable(f"hes.intents cannot be written: {error}") from error
            book.opened.intents[intent.meter_id, intent.digest] = intent

    def release(self, partitions: set[int]) -> None:
        """Other workers own these partitions now."""
        for partition in partitions:
            opened = self._books.pop(partition, None)
            self._fenced.pop(partition, None)
            if opened is not None:
                self._closing[partition] = self._spawn(self._closed(opened, self._closing.get(partition)))

    async def close(self) -> None:
        """Let everything go."""
        self.release(set(self._books))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lost(self, book: Book) -> None:
        """Somebody else owns the partition, or believes so. Who is right is known once the group has settled."""
        book.closed = True
        partition = book.opened.partition
        known = self._books.get(partition)
        if known is not None and known.done() and known.exception() is None and known.result() is book:
            del self._books[partition]
            self._fenced[partition] = self._clock.monotonic() + self._pause_s
        self._log.warning("intents-fenced", partition=partition)

    async def _open(self, partition: int, opening: asyncio.Future[Book]) -> None:
        try:
            closing = self._closing.get(partition)
            if closing is not None:
                await closing
            opened = await asyncio.to_thread(self._ledger.open, partition)
        except Exception as error:  # noqa: BLE001 - whoever waits is told; the next to ask tries again
            self._log.warning("intents-not-opened", partition=partition, reason=str(error))
            if self._books.get(partition) is opening:
                del self._books[partition]
            opening.set_exception(error)
            opening.exception()  # it counts as seen, also where nobody waits any more
        else:
            self._log.info("intents-opened", partition=partition, known=len(opened.intents))
            opening.set_result(Book(opened))

    async def _closed(self, opened: asyncio.Future[Book], before: asyncio.Future[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        await asyncio.wait([opened])
        if opened.exception() is None:
            book = opened.result()
            async with book.lock:
                book.closed = True
            await asyncio.to_thread(self._ledger.close, book.opened)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def unavailable(why: str) -> JobError:
    """No intent can be kept now, so nothing is sent."""
    return JobError("intent-unavailable", f"nothing is sent without a durable intent: {why}", retry=True)
