from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.gateway.counter_ledger import later
from connectors.gateway.errors import JobError
from connectors.gateway.reservations import LAST, Ask, Counting, Reservations
from connectors.protocols.dlms.errors import CipherError
from schemas.records import CountersSeen, Meter
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.ledgers import FakeLedger, Shared

METER = Meter(id="m1", key_ref="k1")
BLOCK = 100


@dataclass
class Bench:
    """One worker."""

    shared: Shared = field(default_factory=Shared)
    owned: set[int] = field(default_factory=lambda: {0})
    alarms: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock(1)
        self.ledger = FakeLedger(self.shared)
        self.counters = Reservations(
            self.ledger,
            self.clock,
            lambda number: number in self.owned,
            lambda *said: self.alarms.append(said[1]),
            owner="w",
            block=BLOCK,
            most_raised=1_000,
            pause_s=10,
        )

    async def counting(self, told: int | None = None, meter: Meter = METER, partition: int = 0) -> Counting:
        return await self.counters.counting(partition, meter, 1, None if told is None else says(told))


def says(told: int) -> Ask:
    async def ask() -> int:
        await asyncio.sleep(0)
        return told

    return ask


async def settled(until: Callable[[], bool]) -> None:
    """Let threads and the loop do what they have."""
    async with asyncio.timeout(10):
        while not until():
            await asyncio.to_thread(lambda: None)


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(JobError) as caught:
        await work
    return caught.value.code


@pytest.mark.parametrize(
    ("reserved", "told", "first"),
    [
        pytest.param(0, None, 1, id="never-used"),
        pytest.param(500, None, 501, id="above-what-was-reserved"),
        pytest.param(500, 400, 501, id="the-meter-lags-behind-a-block"),
        pytest.param(500, 900, 901, id="a-restored-backup"),
        pytest.param(0, 4_000_000, 4_000_001, id="a-meter-that-another-system-read"),
        pytest.param(0, 0, 1, id="a-new-meter"),
    ],
)
async def test_the_first_counter_is_above_all_that_may_have_been_used(reserved: int, told: int | None, first: int) -> None:
    bench = Bench()
    if reserved:
        bench.shared.reserved[0] = {("m1", "k1"): reserved}
    counting = await bench.counting(told)
    assert counting.next() == first
    (written,) = bench.shared.written
    assert (written.meter_id, written.client, written.key_ref, written.owner) == ("m1", 1, "k1", "w")
    assert written.reserved >= first + 15


async def test_a_counter_is_given_out_only_after_its_reservation_is_written() -> None:
    bench = Bench()
    counting = await bench.counting()
    for _ in range(1_000):
        try:
            used = counting.next()
        except JobError:
            await settled(lambda: counting.left > 0)
            continue
        assert used <= bench.shared.reserved[0]["m1", "k1"]
    assert [record.reserved for record in bench.shared.written] == sorted(
        {record.reserved for record in bench.shared.written}
    )


async def test_the_next_block_is_there_before_the_last_is_used_up() -> None:
    bench = Bench()
    counting = await bench.counting()
    for _ in range(60):
        counting.next()
    await settled(lambda: counting.limit == 2 * BLOCK)
    assert len(bench.shared.written) == 2


async def test_a_block_that_is_used_up_while_kafka_is_away_gives_no_more() -> None:
    bench = Bench()
    counting = await bench.counting()
    bench.ledger.failing = [(OSError("away"), False)] * 3
    for _ in range(BLOCK):
        counting.next()
    with pytest.raises(JobError) as caught:
        counting.next()
    assert (caught.value.code, caught.value.retry) == ("counter-unavailable", True)


@pytest.mark.parametrize("written", [pytest.param(True, id="written"), pytest.param(False, id="not-written")])
async def test_an_attempt_whose_fate_nobody_knows_is_stepped_over(written: bool) -> None:
    bench = Bench()
    bench.ledger.failing = [(OSError("away"), written)]
    assert await refused(bench.counting()) == "counter-unavailable"
    counting = await bench.counting()
    assert counting.limit == bench.shared.reserved[0]["m1", "k1"]
    after = await Bench(bench.shared).counting()
    assert after.next() > counting.limit


async def test_a_worker_that_was_paused_and_replaced_may_use_its_block_up_and_gets_no_other() -> None:
    paused, other = Bench(), None
    counting = await paused.counting()
    used = [counting.next() for _ in range(10)]
    other = Bench(paused.shared)
    theirs = await other.counting()
    used += [theirs.next() for _ in range(10)]
    while counting.left:
        used.append(counting.next())
    await settled(lambda: counting.filling is None or counting.filling.done())
    with pytest.raises(JobError):
        counting.next()
    assert len(set(used)) == len(used)
    assert await refused(paused.counting(meter=Meter(id="m2", key_ref="k2"))) == "counter-unavailable"


async def test_a_fenced_worker_that_owns_the_partition_all_the_same_comes_back_later() -> None:
    first = Bench()
    old = await first.counting()
    await Bench(first.shared).counting()
    assert await refused(first.counting(meter=Meter(id="m2", key_ref="k2"))) == "counter-unavailable"
    first.clock.advance(9)
    assert await refused(first.counting()) == "counter-unavailable"
    first.clock.advance(2)
    new = await first.counting()
    assert new.next() > 2 * BLOCK
    while old.left:
        old.next()
    await settled(lambda: old.filling is None or old.filling.done())
    with pytest.raises(JobError):
        old.next()  # its numbers are of the time before


async def test_nothing_is_reserved_for_a_partition_of_another_worker() -> None:
    bench = Bench(owned={1})
    assert await refused(bench.counting()) == "counter-unavailable"
    assert bench.shared.owners == {}


async def test_a_released_partition_is_read_again() -> None:
    bench = Bench()
    old = await bench.counting()
    bench.counters.release({0})
    await settled(lambda: not bench.shared.owners)
    new = await bench.counting()
    assert new is not old
    assert new.next() == BLOCK + 1


async def test_many_reservations_are_one_transaction() -> None:
    bench = Bench()
    meters = [Meter(id=f"m{n}", key_ref=f"k{n}") for n in range(200)]
    await asyncio.gather(*(bench.counting(meter=meter) for meter in meters))
    assert len(bench.shared.written) == 200
    assert bench.ledger.transactions <= 3


async def test_the_meter_is_asked_once_and_again_after_doubt() -> None:
    bench = Bench()
    counting = await bench.counting(5)
    assert (await bench.counting(900)).value == 6
    bench.counters.doubt(counting)
    assert (await bench.counting(900)).value == 901
    assert bench.alarms == []


async def test_a_meter_that_counts_backwards_is_an_alarm_and_lowers_nothing() -> None:
    bench = Bench()
    counting = await bench.counting(50)
    for _ in range(3):
        counting.next()
    counting.answered()
    bench.counters.doubt(counting)
    assert (await bench.counting(52)).value == 54  # the last was that of the release
    assert bench.alarms == []
    bench.counters.doubt(counting)
    assert (await bench.counting(51)).value == 54
    assert bench.alarms == ["counter-backwards"]


@pytest.mark.parametrize(
    ("reserved", "told"),
    [pytest.param(500, 2_000, id="far-above-ours"), pytest.param(0, LAST - 10, id="near-the-end")],
)
async def test_a_meter_cannot_use_our_counters_up(reserved: int, told: int) -> None:
    bench = Bench()
    if reserved:
        bench.shared.reserved[0] = {("m1", "k1"): reserved}
    assert await refused(bench.counting(told)) == "counter-implausible"
    assert bench.alarms == ["counter-implausible"]
    assert bench.shared.written == []


async def test_a_reservation_that_the_meter_overtook_is_not_waited_for_again() -> None:
    """It is done, and what it brought is below what the meter says meanwhile; the loop has not put it away yet."""
    bench = Bench()
    counting = await bench.counting()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    counting.filling, counting.value = done, counting.limit + 1
    assert (await bench.counting()).left >= 16
    assert counting.filling is not done


async def test_the_last_counter_is_the_last() -> None:
    bench = Bench()
    bench.shared.reserved[0] = {("m1", "k1"): LAST - 3}
    counting = await bench.counting()
    assert [counting.next() for _ in range(3)] == [LAST - 2, LAST - 1, LAST]
    with pytest.raises(CipherError) as caught:
        counting.next()
    assert caught.value.code == "cipher-counter"


async def test_all_clients_of_a_key_count_together() -> None:
    bench = Bench()
    one = await bench.counters.counting(0, METER, 1, None)
    two = await bench.counters.counting(0, METER, 2, None)
    assert one.next() != two.next()


# -- what was seen, across a restart --------------------------------------------------------------------------------------


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
    await settled(lambda: all(closing.done() for closing in bench.counters._closing.values()))
    await bench.counting(meter=other, partition=1)


class Rough:
    """Two workers that take a partition from each other, crash, and cannot write; every counter that any of them used."""

    def __init__(self) -> None:
        self.shared = Shared()
        self.workers = [Bench(self.shared), Bench(self.shared)]
        self.held: list[Counting] = []
        self.used: list[int] = []

    async def crash(self) -> None:
        self.workers[0] = Bench(self.shared)

    async def taken_over(self) -> None:
        self.workers.reverse()
        self.workers[0].clock.advance(20)

    async def written_in_vain(self) -> None:
        self.workers[0].ledger.failing.append((OSError(), False))

    async def written_unknown(self) -> None:
        self.workers[0].ledger.failing.append((OSError(), True))

    async def released(self) -> None:
        counters = self.workers[0].counters
        counters.release({0})
        await settled(lambda: all(closing.done() for closing in counters._closing.values()))

    async def released_while_reserving(self) -> None:
        for counting in self.held[-1:]:
            self.use(counting, counting.left // 2 + 1)
        self.workers[0].counters.release({0})
        await self.asked_nobody()

    async def asked_nobody(self, told: int | None = None) -> None:
        with suppress(JobError):
            self.held.append(await self.workers[0].counting(told))

    async def asked_a_meter_that_is_ahead(self) -> None:
        await self.asked_nobody(max(self.used, default=0) + 50)

    async def asked_a_meter_that_is_behind(self) -> None:
        await self.asked_nobody(max(0, max(self.used, default=0) - 50))

    def use(self, counting: Counting, count: int) -> None:
        with suppress(JobError):
            self.used += [counting.next() for _ in range(min(count, counting.left))]


STEPS = [step for name, step in vars(Rough).items() if name not in ("use", "__init__") and callable(step)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_no_counter_is_ever_used_twice(steps: list[Callable[[Rough], Awaitable[None]]]) -> None:
    async def through() -> None:
        rough = Rough()
        for step in steps:
            await step(rough)
            for counting in rough.held[-3:]:  # also those of who was replaced meanwhile
                rough.use(counting, 30)
            await settled(lambda: all(c.filling is None or c.filling.done() for c in rough.held))
        assert len(set(rough.used)) == len(rough.used)
        for worker in rough.workers:
            await worker.counters.close()

    asyncio.run(through())


# -- keys that the gateway made --------------------------------------------------------------------------------------------

MARKS = ("imported", "made", "made-then", "made-last")


async def by(bench: Bench, mark: str, after: str | None = None, told: int | None = None) -> Counting:
    ask = None if told is None else says(told)
    return await bench.counters.counting(0, METER, 1, ask, mark=mark, after=after)


async def let_go(bench: Bench) -> None:
    bench.counters.release({0})
    await settled(lambda: all(closing.done() for closing in bench.counters._closing.values()))


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
        bench = Bench(shared)
        for number, step in steps:
            if step == "crash":
                bench = Bench(shared)
            elif step == "released":
                await let_go(bench)
            else:
                after = MARKS[number - 1] if number and step == "tried" else None
                counting = await by(bench, MARKS[number], after)
                used += [(MARKS[number], counting.next()) for _ in range(12)]
        assert len(set(used)) == len(used)
        await bench.counters.close()

    asyncio.run(through())
