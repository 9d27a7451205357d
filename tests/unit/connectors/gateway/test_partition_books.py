"""Books of partitions: one opening for all who want one, and whoever has it no more gets none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from connectors.gateway.errors import JobError
from connectors.gateway.partition_books import PartitionBooks
from streams.runtime.clock import ManualClock

PAUSE_S = 6.0


@dataclass(eq=False)
class Book:
    number: int


@dataclass
class Shelf:
    """Opens and closes as the test lets it."""

    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    may_close: asyncio.Event = field(default_factory=asyncio.Event)
    fails: list[Exception] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    owned: set[int] = field(default_factory=lambda: {1, 2})
    clock: ManualClock = field(default_factory=lambda: ManualClock(0))
    opened: int = 0

    def __post_init__(self) -> None:
        self.may_open.set()
        self.may_close.set()
        self.books: PartitionBooks[Book] = PartitionBooks(
            "intents",
            self.clock,
            lambda partition: partition in self.owned,
            lambda why: JobError("intent-unavailable", why, retry=True),
            pause_s=PAUSE_S,
            open_book=self.open,
            close_book=self.close,
        )

    async def open(self, partition: int) -> Book:
        self.did.append(f"open {partition}")
        await self.may_open.wait()
        if self.fails:
            raise self.fails.pop(0)
        self.opened += 1
        return Book(self.opened)

    async def close(self, book: Book) -> None:
        await self.may_close.wait()
        self.did.append(f"close #{book.number}")

    async def refused(self, partition: int) -> str:
        with pytest.raises(JobError) as error:
            await self.books.get(partition)
        assert error.value.code == "intent-unavailable"
        return str(error.value)


async def settled(enough: Callable[[], bool]) -> None:
    for _ in range(100):
        if enough():
            return
        await asyncio.sleep(0)
    pytest.fail("it did not come to be")


async def test_a_book_is_opened_once_for_all_who_want_it() -> None:
    shelf = Shelf()
    shelf.may_open.clear()
    wanting = [asyncio.ensure_future(shelf.books.get(1)) for _ in range(3)]
    await settled(lambda: shelf.did == ["open 1"])
    wanting[0].cancel()
    shelf.may_open.set()
    books = await asyncio.gather(*wanting[1:])
    assert books[0] is books[1] is await shelf.books.get(1)
    assert shelf.did == ["open 1"]
    assert shelf.books.current(1, books[0])
    await shelf.books.close()


async def test_of_anothers_partition_there_is_no_book() -> None:
    shelf = Shelf()
    assert "partition 3 is another worker's now" in await shelf.refused(3)
    assert shelf.did == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("no broker"), "hes.intents cannot be read: no broker"), (JobError("intent-unavailable", "why"), "why")],
    ids=["of-another-kind", "ours"],
)
async def test_where_it_cannot_be_opened_the_next_to_ask_tries_again(error: Exception, told: str) -> None:
    shelf = Shelf(fails=[error])
    assert told in await shelf.refused(1)
    assert (await shelf.books.get(1)).number == 1
    assert shelf.did == ["open 1", "open 1"]
    await shelf.books.close()


async def test_who_was_fenced_opens_again_when_the_group_has_settled() -> None:
    shelf = Shelf()
    first, other = await shelf.books.get(1), await shelf.books.get(2)
    shelf.books.lost(1, first)
    assert (shelf.books.current(1, first), shelf.books.current(2, other)) == (False, True)
    assert "another worker has taken partition 1" in await shelf.refused(1)
    shelf.clock.advance(PAUSE_S)
    second = await shelf.books.get(1)
    assert second is not first
    # Whoever still writes by the one before says nothing of this one.
    shelf.books.lost(1, first)
    assert shelf.books.current(1, second)
    await shelf.books.close()


async def test_a_partition_that_comes_back_is_opened_behind_its_closing() -> None:
    shelf = Shelf()
    first = await shelf.books.get(1)
    shelf.may_close.clear()
    shelf.books.release({1, 2})
    assert (shelf.books.current(1, first), shelf.books.closed) == (False, False)
    again = asyncio.ensure_future(shelf.books.get(1))
    await asyncio.sleep(0)
    shelf.may_close.set()
    assert (await again).number == 2
    assert shelf.did == ["open 1", "close #1", "open 1"]
    assert shelf.books.closed
    await shelf.books.close()
    assert shelf.did[3:] == ["close #2"]


async def test_a_release_ends_the_pause_of_who_was_fenced() -> None:
    shelf = Shelf()
    shelf.books.lost(1, await shelf.books.get(1))
    shelf.books.release({1})
    assert (await shelf.books.get(1)).number == 2
    await shelf.books.close()


async def test_what_is_being_opened_is_closed_when_it_is_open() -> None:
    shelf = Shelf()
    shelf.may_open.clear()
    wanting = asyncio.ensure_future(shelf.books.get(1))
    await settled(lambda: bool(shelf.did))
    shelf.books.release({1})
    shelf.may_open.set()
    assert (await wanting).number == 1
    await shelf.books.close()
    assert shelf.did == ["open 1", "close #1"]


async def test_what_could_not_be_opened_needs_no_closing() -> None:
    shelf = Shelf(fails=[OSError("no broker")])
    shelf.may_open.clear()
    wanting = asyncio.ensure_future(shelf.refused(1))
    await settled(lambda: bool(shelf.did))
    shelf.books.release({1})
    shelf.may_open.set()
    await wanting
    await shelf.books.close()
    assert shelf.did == ["open 1"]
