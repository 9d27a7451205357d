"""What was seen of a meter's counters outlives the worker that saw it."""

from __future__ import annotations

import pytest

from connectors.gateway.counter_ledger import later
from connectors.gateway.errors import JobError
from connectors.gateway.reservations import Counting
from schemas.records import CountersSeen, Meter
from tests.unit.connectors.gateway.reservations_bench import BLOCK, METER, Bench, says, settled


async def visited(bench: Bench, *, heard: int, used: int = 3, mark: str = "k", told: int | None = None) -> Counting:
    """A visit in which the meter answered all that was used, and counted up to `heard` itself."""
    counting = await bench.counters.counting(0, METER, 1, None if told is None else says(told), mark=mark)
    assert counting.heard_under(mark) == counting.heard
    for _ in range(used):
        counting.next()
    counting.answered()
    counting.heard = max(counting.heard, heard)
    return counting


@pytest.mark.parametrize("ends", ["let-go", "crash-after-a-minute", "crash-after-the-next-block", "crash"])
async def test_what_was_seen_outlives_the_worker(ends: str) -> None:
    first = Bench()
    counting = await visited(first, heard=4_711)
    if ends == "let-go":
        await first.counters.close()
    elif ends == "crash-after-a-minute":
        first.clock.advance(60)
        await first.counters.counting(0, Meter(id="m2", key_ref="k2"), 1, None)  # anybody's visit
        await settled(lambda: bool(first.shared.seen) and first.shared.seen["m1", "k1"].meter >= 0)
    elif ends == "crash-after-the-next-block":
        for _ in range(BLOCK // 2):
            counting.next()
        await settled(lambda: counting.limit > BLOCK)
    again = await Bench(first.shared).counters.counting(0, METER, 1, None, mark="k")
    assert (again.heard, again.proved) == ((-1, -1) if ends == "crash" else (4_711, 3))
    assert again.next() > counting.limit


@pytest.mark.parametrize(
    ("told", "alarms"),
    [
        pytest.param(3, [], id="as-far-as-it-answered"),
        pytest.param(60, [], id="further"),
        pytest.param(2, [], id="all-but-the-release"),
        pytest.param(1, ["counter-backwards"], id="less"),
        pytest.param(0, ["counter-backwards"], id="from-zero"),
    ],
)
async def test_a_meter_that_counts_backwards_is_an_alarm_after_a_restart(told: int, alarms: list[str]) -> None:
    first = Bench()
    await visited(first, heard=9)
    await first.counters.close()
    second = Bench(first.shared)
    counting = await second.counters.counting(0, METER, 1, says(told), mark="k")
    assert second.alarms == alarms
    assert counting.next() > BLOCK  # whatever it says, nothing is used twice


async def test_a_new_key_counts_anew_and_ours_go_on() -> None:
    first = Bench()
    await visited(first, heard=900, mark="old")
    await first.counters.close()
    second = Bench(first.shared)
    counting = await second.counters.counting(0, METER, 1, says(0), mark="new")
    assert second.alarms == []
    assert (counting.heard, counting.proved) == (-1, -1)
    assert counting.next() > BLOCK


async def test_a_restored_backup_of_the_meter_keeps_our_counters_where_they_are() -> None:
    """And a ledger that was restored takes the meter's word, which is higher."""
    bench = Bench()
    bench.shared.reserved[0] = {("m1", "k1"): 7_000}
    counting = await bench.counting(100)
    assert counting.next() == 7_001
    restored = Bench()
    restored.shared.reserved[0] = {("m1", "k1"): 100}
    assert (await restored.counting(1_000)).next() == 1_001


async def test_nothing_is_written_where_nothing_was_seen() -> None:
    bench = Bench()
    await bench.counting()
    written = len(bench.shared.written)
    await bench.counters.close()
    assert len(bench.shared.written) == written


async def test_who_was_replaced_writes_nothing_of_what_it_saw() -> None:
    first = Bench()
    await visited(first, heard=9)
    second = Bench(first.shared)
    await second.counting()
    await first.counters.close()
    assert [seen.meter for seen in first.shared.seen.values()] == [-1]


@pytest.mark.parametrize(
    ("before", "after", "together"),
    [
        pytest.param(CountersSeen("a", 5, 9), CountersSeen("a", 7, 3), CountersSeen("a", 7, 9), id="clients-of-one-key"),
        pytest.param(CountersSeen("a", 5, 9), CountersSeen("b", 1, 1), CountersSeen("b", 1, 1), id="another-key"),
        pytest.param(CountersSeen(), CountersSeen("b", 1, 1), CountersSeen("b", 1, 1), id="nothing-before"),
    ],
)
def test_records_of_one_key(before: CountersSeen, after: CountersSeen, together: CountersSeen) -> None:
    assert later(before, after) == together


async def test_two_meters_with_one_key_reference() -> None:
    bench = Bench()
    bench.owned = {0, 1}
    await bench.counting()
    other = Meter(id="m2", key_ref="k1")
    with pytest.raises(JobError, match="m1 and m2 both name the key reference 'k1'") as caught:
        await bench.counting(meter=other, partition=1)
    assert (caught.value.code, caught.value.retry) == ("key-shared", False)
    await bench.counting()
    bench.counters.release({0})  # the first is another worker's now, which sees to it
    await settled(lambda: bench.counters._books.closed)
    await bench.counting(meter=other, partition=1)
