"""Counters of keys that the gateway made."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.gateway.reservations import LAST, Counting
from schemas.records import Meter
from tests.unit.connectors.gateway.ledgers import Shared
from tests.unit.connectors.gateway.reservations_bench import BLOCK, METER, Bench, refused, says, settled

MARKS = ("imported", "made", "made-then", "made-last")


async def by(bench: Bench, mark: str, after: str | None = None, told: int | None = None) -> Counting:
    ask = None if told is None else says(told)
    return await bench.counters.counting(0, METER, 1, ask, mark=mark, after=after)


async def let_go(bench: Bench) -> None:
    bench.counters.release({0})
    await settled(lambda: bench.counters._books.closed)


async def test_a_key_that_was_made_here_counts_by_itself_and_goes_on_from_the_one_before() -> None:
    bench = Bench()
    old = await by(bench, "imported")
    assert [old.next() for _ in range(20)] == list(range(1, 21))
    old.heard, old.proved = 7, 20
    new = await by(bench, "made", "imported")
    assert (new.next(), old.next(), new.next(), old.next()) == (21, 21, 22, 22)
    new.heard = 3
    assert (old.heard_under("imported"), new.heard_under("made")) == (7, 3)
    assert (await by(bench, "made")) is new, "once it holds"
    assert (await by(bench, "imported")) is old, "where it holds again"
    await bench.counters.close()
    assert {key: seen.mark for key, seen in bench.shared.seen.items()} == {
        ("m1", "k1"): "imported", ("m1", "k1#made"): "made"
    }  # fmt: skip
    again = await by(Bench(bench.shared), "made")
    assert (again.value, again.heard) == (bench.shared.reserved[0]["m1", "k1#made"] - BLOCK + 1, 3)


async def test_a_key_of_which_nothing_is_known_counts_with_all_that_there_was() -> None:
    """It may have been the meter's before: only of a key that was just made is it known that it was not."""
    bench = Bench()
    old = await by(bench, "imported")
    [old.next() for _ in range(20)]
    other = await by(bench, "another")
    assert other is old
    assert (other.next(), other.heard) == (21, -1)


@pytest.mark.parametrize(("used", "first"), [(LAST // 2, LAST // 2 + 1), (LAST // 2 + 1, 1)], ids=["half", "more"])
async def test_a_new_key_begins_anew_where_more_than_half_is_used(used: int, first: int) -> None:
    bench = Bench(Shared(reserved={0: {("m1", "k1"): used}}))
    assert (await by(bench, "made", "imported")).next() == first


async def test_of_a_new_key_too_an_implausible_counter_is_not_believed() -> None:
    bench = Bench()
    assert await refused(by(bench, "made", "imported", told=1 << 30)) == "counter-implausible"
    assert bench.alarms == ["counter-implausible"]


async def test_who_holds_a_reference_is_forgotten_with_a_key_that_was_made() -> None:
    bench = Bench()
    await by(bench, "made", "imported")
    another = Meter(id="m2", key_ref="k1")
    assert await refused(bench.counters.counting(0, another, 1, None, mark="made")) == "key-shared"
    await let_go(bench)
    await bench.counters.counting(0, another, 1, None, mark="made")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["tried", "held", "crash", "released"])), max_size=30))
def test_no_counter_is_used_twice_under_any_key(steps: list[tuple[int, str]]) -> None:
    async def through() -> None:
        shared, used = Shared(), []
        first: dict[int, str] = {}
        """What each key began with: one that a push has shown holds without a trial, and is never tried after."""
        bench = Bench(shared)
        for number, step in steps:
            if step == "crash":
                bench = Bench(shared)
            elif step == "released":
                await let_go(bench)
            else:
                tried = first.setdefault(number, step) == step == "tried"
                after = MARKS[number - 1] if number and tried else None
                counting = await by(bench, MARKS[number], after)
                used += [(MARKS[number], counting.next()) for _ in range(12)]
        assert len(set(used)) == len(used)
        await bench.counters.close()

    asyncio.run(through())
