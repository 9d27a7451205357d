"""Invocation counters that are used once, ever: reserved in blocks on hes.counters before the first of a block is used.

    open a partition ─▶ fence who had it ─▶ read what it reserved ─▶ reserve above that ─▶ Kafka has it ─▶ use
                                                    ▲
                        what the meter says it last took, where a client without ciphering may ask

The same counter twice under one key breaks AES-GCM, so every doubt costs a block: after a crash, a failed write, a restored
backup counting goes on above whatever may have been used. A worker that was paused and replaced meanwhile may use up its
block, which nobody else has, and is refused the next. Counters belong to a meter's key whatever the client, since the
nonce does not know the client; a key reference belongs to one meter, and a second meter that names it is refused. A key
that the gateway itself gave a meter has a record of its own: a trial of it takes nothing from the key that it is to replace.

How far the meter's own counter and its answers to ours have come is written along: with each reservation, every minute, and
when a partition is let go. So what was recorded before a restart is refused after it, and a meter that says less than it has
answered is an alarm; a crash forgets a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from connectors.gateway.counting import (
    LAST,
    Ask,
    Counting,
    FencedError,
    Key,
    Ledger,
    Opened,
    own_ref,
    shared,
    unavailable,
)
from connectors.gateway.errors import JobError
from connectors.gateway.partition_books import PartitionBooks
from schemas.records import CounterReservation, CountersSeen, Meter
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.errors import TooLargeError

__all__ = ["LAST", "Ask", "Counting", "FencedError", "Key", "Ledger", "Opened", "Reservations", "unavailable"]

_ENOUGH = 16
"""Counters that an association and a short job take: a visit does not begin with fewer."""

_PASSED_OVER = 1
"""A meter may answer the release of an association without looking at its counter."""
_AT_ONCE = 5_000
"""Records in one transaction that say what was seen."""
_SEEN_EVERY_S = 60.0


@dataclass(slots=True, eq=False)
class _Book:
    """A partition whose counters this worker has."""

    opened: Opened
    counting: dict[Key, Counting] = field(default_factory=dict)
    waiting: list[tuple[CounterReservation, asyncio.Future[None]]] = field(default_factory=list)
    writing: bool = False
    tell_at: float = 0.0
    """When to write again what was seen."""

    def unwritten(self, owner: str, now_ms: int) -> list[CounterReservation]:
        """What was seen since it was last written, with reservations as they are."""
        return [
            CounterReservation(*_of(key, counting), self.opened.reserved[key], owner, now_ms, counting.seen)
            for key, counting in self.counting.items()
            if key in self.opened.reserved and counting.mark and self.opened.seen.get(key) != counting.seen
        ]


def _of(key: Key, counting: Counting) -> tuple[str, int, str]:
    """Meter, client and key reference."""
    return key[0], counting.client, key[1]


def _key(book: _Book, meter: Meter, mark: str | None, *, made: bool) -> Key:
    """Under what a key counts: by itself where the gateway made it, with all that the meter ever had where nobody knows
    whether it was there before.
    """
    own = meter.id, own_ref(meter.key_ref, mark or "")
    known = made or own in book.counting or own in book.opened.reserved
    return own if mark is not None and known else (meter.id, meter.key_ref)


def _first_after(book: _Book, before: Key) -> int:
    """The first counter of a new key. It goes on from the one before, since there are meters that go on expecting that;
    and begins anew where half of those that there are have been used.
    """
    counting = book.counting.get(before)
    used = book.opened.reserved.get(before, 0) if counting is None else counting.value - 1
    return 1 if used > LAST // 2 else used + 1


class Reservations:
    """The counters of all meters whose jobs this worker has. `owns` says whether a partition is its still; `alarm` takes
    meter, code and sentence of what somebody should look at. On the event loop; Kafka is reached on threads.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        owns: Callable[[int], bool],
        alarm: Callable[[Meter, str, str], None],
        *,
        owner: str,
        block: int,
        most_raised: int,
        pause_s: float,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._alarm = alarm
        self._owner = owner
        self._block = block
        self._most_raised = most_raised
        self._books: PartitionBooks[_Book] = PartitionBooks(
            "counters", clock, owns, unavailable, pause_s=pause_s, open_book=self._opened, close_book=self._closed
        )
        self._holders: dict[str, str] = {}
        self._log = structlog.get_logger("counters")

    async def counting(
        self,
        partition: int,
        meter: Meter,
        client: int,
        ask: Ask | None,
        *,
        mark: str | None = None,
        after: str | None = None,
    ) -> Counting:
        """The counters of a meter's key, with enough reserved to begin a visit. `ask` is used at the first visit and after
        `doubt`; `mark` says which key it is now, where that is known, and `after`, of a key that the gateway made, which
        one it is to replace. Raises `JobError`.
        """
        book = await self._books.get(partition)
        key = _key(book, meter, mark, made=after is not None)
        counting = book.counting.get(key)
        if counting is None:
            holder = self._holders.setdefault(meter.key_ref, meter.id)
            if holder != meter.id:
                raise shared(meter, holder)
            first = 1 if after is None else _first_after(book, _key(book, meter, after, made=False))
            counting = self._new(partition, book, key, client, first)
            book.counting[key] = counting
        counting.client = client
        if mark is not None:
            counting.heard_under(mark)
        if self._clock.monotonic() >= book.tell_at:
            book.tell_at = self._clock.monotonic() + _SEEN_EVERY_S
            self._books.spawn(self._tell(partition, book))
        if not counting.checked and ask is not None:
            told = await ask()
            if told is not None:
                self._told(meter, counting, told, known=key in book.opened.reserved or after is not None)
        counting.checked = True
        while counting.left < min(_ENOUGH, LAST - counting.value + 1):
            await asyncio.shield(self._fill(partition, book, counting))
        return counting

    def _new(self, partition: int, book: _Book, key: Key, client: int, first: int) -> Counting:
        reserved, seen = book.opened.reserved.get(key, first - 1), book.opened.seen.get(key, CountersSeen())
        fill = partial(self._refill, partition, book)
        return Counting(key, client, reserved + 1, reserved, fill, seen.meter, seen.ours, seen.mark)

    def doubt(self, counting: Counting) -> None:
        """The meter did not take us: ask it again how far it is before the next visit."""
        counting.checked = False

    def release(self, partitions: set[int]) -> None:
        """Other workers own these partitions now. Visits under way may use up what they have."""
        self._books.release(partitions)

    async def close(self) -> None:
        """Let everything go."""
        await self._books.close()

    async def _opened(self, partition: int) -> _Book:
        return _Book(await asyncio.to_thread(self._ledger.open, partition))

    async def _closed(self, book: _Book) -> None:
        for meter_id, key_ref in book.counting:
            for held in (key_ref, key_ref.rpartition("#")[0]):
                if self._holders.get(held) == meter_id:
                    del self._holders[held]
        await asyncio.to_thread(self._let_go, book.opened, book.unwritten(self._owner, self._clock.now_ms()))

    async def _tell(self, partition: int, book: _Book) -> None:
        """Write what was seen since it was last written. Where that fails, the next minute tries again."""
        records = book.unwritten(self._owner, self._clock.now_ms())
        for at in range(0, len(records), _AT_ONCE):
            some = records[at : at + _AT_ONCE]
            if not self._books.current(partition, book):
                return
            failures = await self._written(partition, book, some)
            told = [record for record, failure in zip(some, failures, strict=True) if failure is None]
            book.opened.seen.update({(record.meter_id, record.key_ref): record.seen for record in told})
            if not told:
                return

    def _let_go(self, opened: Opened, records: Sequence[CounterReservation]) -> None:
        """Write what was seen, where the partition is still ours to write in, and close it. On a thread."""
        try:
            for at in range(0, len(records), _AT_ONCE):
                self._ledger.reserve(opened, records[at : at + _AT_ONCE])
        except Exception as error:  # noqa: BLE001 - what was seen is forgotten, as after a crash; no counter is used for it
            self._log.info("counters-seen-not-written", partition=opened.partition, reason=str(error))
        self._ledger.close(opened)

    def _told(self, meter: Meter, counting: Counting, told: int, *, known: bool) -> None:
        """Take what the meter says into account: it may raise our counter, never lower it."""
        if told < counting.proved - _PASSED_OVER:
            detail = f"meter {meter.id} says that it last took counter {told}, and had answered {counting.proved} before"
            self._alarm(meter, "counter-backwards", detail)
        if told < counting.value:
            return
        if (told - counting.value > self._most_raised and known) or told > LAST - 2 * self._block:
            detail = f"meter {meter.id} says that it last took counter {told}, {counting.value} is our next"
            self._alarm(meter, "counter-implausible", detail)
            raise JobError(
                "counter-implausible",
                f"{detail}; whoever answers may want to use our counters up: "
                "if it is the meter, raise gateway.counter_raise or give it a new key",
            )
        counting.value = told + 1

    def _refill(self, partition: int, book: _Book, counting: Counting) -> None:
        """Reserve the next block while half of this one is left."""
        if counting.left <= self._block // 2 and counting.limit < LAST and not counting.stale:
            self._fill(partition, book, counting)

    def _fill(self, partition: int, book: _Book, counting: Counting) -> asyncio.Future[None]:
        """One block more, in Kafka when the future is done; one at a time."""
        # One that is done and not yet put away is none: who waited for it once more would keep the loop to itself.
        if counting.filling is None or counting.filling.done():
            counting.filling = asyncio.ensure_future(self._reserve(partition, book, counting))
            counting.filling.add_done_callback(lambda done: self._filled(counting, done))
        return counting.filling

    def _filled(self, counting: Counting, done: asyncio.Future[None]) -> None:
        if counting.filling is done:
            counting.filling = None
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._log.warning("counters-not-reserved", meter=counting.key[0], reason=str(error))

    async def _reserve(self, partition: int, book: _Book, counting: Counting) -> None:
        if not self._books.current(partition, book):
            counting.stale = True
            raise unavailable(f"partition {partition} was another worker's meanwhile")
        limit = min(LAST, max(counting.limit, counting.value - 1) + self._block)
        # Whatever becomes of this attempt, the next one is above it.
        limit = min(LAST, max(limit, book.opened.reserved.get(counting.key, 0) + self._block))
        book.opened.reserved[counting.key] = limit
        meter_id, key_ref = counting.key
        seen = counting.seen
        record = CounterReservation(meter_id, counting.client, key_ref, limit, self._owner, self._clock.now_ms(), seen)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        book.waiting.append((record, written))
        if not book.writing:
            book.writing = True
            self._books.spawn(self._write(partition, book))
        await written
        counting.limit = limit
        book.opened.seen[counting.key] = seen

    async def _write(self, partition: int, book: _Book) -> None:
        """All that wait, in one transaction; then those that came meanwhile."""
        try:
            while book.waiting:
                batch, book.waiting = book.waiting, []
                failures = await self._written(partition, book, [record for record, _ in batch])
                for (_, written), failure in zip(batch, failures, strict=True):
                    if written.done():
                        continue
                    if failure is None:
                        written.set_result(None)
                    else:
                        written.set_exception(failure)
        finally:
            book.writing = False

    async def _written(
        self, partition: int, book: _Book, records: Sequence[CounterReservation]
    ) -> Sequence[JobError | None]:
        """What went wrong with each. One that is too large for Kafka stands in no other's way."""
        try:
            self._books.check(partition)
            await asyncio.to_thread(self._ledger.reserve, book.opened, records)
        except JobError as error:
            failure = error
        except TooLargeError as error:
            if len(records) > 1:
                half = len(records) // 2
                parts = [await self._written(partition, book, some) for some in (records[:half], records[half:])]
                return [each for part in parts for each in part]
            failure = unavailable(f"{error}, or give the meter a shorter key reference", retry=False)
        except FencedError:
            self._books.lost(partition, book)
            metrics.COUNTERS_FENCED.inc()
            failure = unavailable(f"another worker has taken partition {partition}")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is used that Kafka may not have
            failure = unavailable(f"hes.counters cannot be written: {error}")
        else:
            metrics.COUNTERS_RESERVED.inc(len(records))
            return [None] * len(records)
        return [failure] * len(records)
