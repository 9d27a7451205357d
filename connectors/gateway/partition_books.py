"""The books of partitions that this worker has: one is opened once for all who want it, and closed when others own it.

    wanted ─▶ whoever had it before has closed it ─▶ open (fences who had it, reads) ─▶ used by all who want it
                 ▲                                                  └─▶ fails: whoever waits is told, the next tries again
                 └── released: closed behind whatever is under way ◀──┴─▶ fenced: nobody gets it for a while

On the event loop. What a book is, and how it is opened and closed, its owner says (`reservations`, `intents`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from connectors.gateway.errors import JobError
from streams.runtime.clock import Clock

B = TypeVar("B")


class PartitionBooks(Generic[B]):
    """`topic` is the last word of the topic's name, `owns` says whether a partition is this worker's still, `refused` makes
    the error of who gets no book, `pause_s` is how long the group takes to settle.
    """

    def __init__(
        self,
        topic: str,
        clock: Clock,
        owns: Callable[[int], bool],
        refused: Callable[[str], JobError],
        *,
        pause_s: float,
        open_book: Callable[[int], Awaitable[B]],
        close_book: Callable[[B], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._clock = clock
        self._owns = owns
        self._refused = refused
        self._pause_s = pause_s
        self._open_book = open_book
        self._close_book = close_book
        self._books: dict[int, asyncio.Future[B]] = {}
        self._fenced: dict[int, float] = {}
        self._closing: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._log = structlog.get_logger(topic)

    @property
    def closed(self) -> bool:
        """Whether everything that was released is closed."""
        return all(closing.done() for closing in self._closing.values())

    async def get(self, partition: int) -> B:
        """The book of a partition. `JobError` where it is not to be had."""
        self.check(partition)
        if self._clock.monotonic() < self._fenced.get(partition, 0.0):
            raise self._refused(f"another worker has taken partition {partition}")
        opening = self._books.get(partition)
        if opening is None:
            opening = self._books[partition] = asyncio.get_running_loop().create_future()
            self.spawn(self._open(partition, opening))
        try:
            return await asyncio.shield(opening)
        except JobError:
            raise
        except Exception as error:
            raise self._refused(f"hes.{self._topic} cannot be read: {error}") from error

    def check(self, partition: int) -> None:
        """`JobError` where the partition is not ours, as far as it can be known."""
        if not self._owns(partition):
            raise self._refused(f"partition {partition} is another worker's now")

    def current(self, partition: int, book: B) -> bool:
        """Whether the partition has been ours ever since the book was opened."""
        opened = self._books.get(partition)
        return opened is not None and opened.done() and opened.exception() is None and opened.result() is book

    def lost(self, partition: int, book: B) -> None:
        """Note that a writer was fenced: somebody else owns the partition, or believes so. Who is right is known once the
        group has settled.
        """
        if self.current(partition, book):
            del self._books[partition]
            self._fenced[partition] = self._clock.monotonic() + self._pause_s
        self._log.warning(f"{self._topic}-fenced", partition=partition)

    def release(self, partitions: set[int]) -> None:
        """Other workers own these partitions now."""
        for partition in partitions:
            opened = self._books.pop(partition, None)
            self._fenced.pop(partition, None)
            if opened is not None:
                self._closing[partition] = self.spawn(self._close(opened, self._closing.get(partition)))

    async def close(self) -> None:
        """Let everything go, and wait for what is under way."""
        self.release(set(self._books))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Awaitable[None]) -> asyncio.Future[None]:
        """Have work done that `close` waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, partition: int, opening: asyncio.Future[B]) -> None:
        try:
            closing = self._closing.get(partition)
            if closing is not None:
                await closing
            book = await self._open_book(partition)
        except Exception as error:  # noqa: BLE001 - whoever waits is told; the next to ask tries again
            self._log.warning(f"{self._topic}-not-opened", partition=partition, reason=str(error))
            if self._books.get(partition) is opening:
                del self._books[partition]
            opening.set_exception(error)
            opening.exception()  # it counts as seen, also where nobody waits any more
        else:
            self._log.info(f"{self._topic}-opened", partition=partition)
            opening.set_result(book)

    async def _close(self, opened: asyncio.Future[B], before: asyncio.Future[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        await asyncio.wait([opened])
        if opened.exception() is None:
            await self._close_book(opened.result())
