"""Invocation counters of ours: each is reserved on Kafka before it is used, and none is used twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.gateway.errors import JobError
from connectors.gateway.reservations import LAST, Counting
from connectors.protocols.dlms.errors import CipherError
from schemas.records import Meter
from tests.unit.connectors.gateway.ledgers import Shared
from tests.unit.connectors.gateway.reservations_bench import BLOCK, METER, Bench, refused, settled


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


async def test_a_reservation_that_is_too_large_is_not_tried_again_and_stands_in_no_others_way() -> None:
    bench = Bench()
    bench.ledger.too_large = {"m7"}
    meters = [Meter(id=f"m{n}", key_ref=f"k{n}") for n in range(20)]
    asked = (bench.counting(meter=meter) for meter in meters)
    *_, error = sorted(await asyncio.gather(*asked, return_exceptions=True), key=lambda found: isinstance(found, JobError))
    assert isinstance(error, JobError)
    assert (error.code, error.retry) == ("counter-unavailable", False)
    assert "max.message.bytes" in error.detail
    assert {record.meter_id for record in bench.shared.written} == {f"m{n}" for n in range(20)} - {"m7"}


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
        await settled(lambda: counters._books.closed)

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
