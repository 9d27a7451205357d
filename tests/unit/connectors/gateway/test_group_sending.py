"""Groups of a worker: who sends, under which counters, how fast, what ends it. Reservations are as on hes.counters."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.gateway.errors import JobError
from connectors.gateway.group_blocks import Phase, mask_of
from connectors.gateway.group_sending import Groups, Member, Shipment, Standing
from connectors.gateway.relay import partition_of
from connectors.gateway.reservations import Reservations
from connectors.protocols.dlms.broadcast import group_keys
from connectors.protocols.dlms.meter_keys import mark
from streams.runtime.clock import ManualClock
from streams.runtime.group_settings import Group
from tests.unit.connectors.gateway.builders import NOW, meter
from tests.unit.connectors.gateway.ledgers import FakeLedger, Shared

pytestmark = pytest.mark.usefixtures("no_threads")

KEY, OTHER, AK = bytes(range(16)), bytes(range(1, 17)), bytes(range(16, 32))
NAME = f"group/{mark(KEY)}"
GROUP = Group(address="udp://239.192.0.7:4059", gather_s=1, meters=2, rounds=1, gap_s=0)
COUNT = 40


class FakeSender:
    """A socket. `full` so many times; `broken` for good."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.full, self.broken, self.closed = 0, False, False

    def send(self, datagram: bytes) -> bool:
        if self.broken:
            raise OSError(101, "Network is unreachable")
        if self.full:
            self.full -= 1
            return False
        self.sent.append(datagram)
        return True

    def close(self) -> None:
        self.closed = True


@dataclass
class Transfer:
    """A transfer in a room."""

    goes: bool = True
    pause: float = 0.0
    spent: list[int] = field(default_factory=list)

    @property
    def standing(self) -> Standing:
        def spent(octets: int) -> float:
            self.spent.append(octets)
            return self.pause

        return Standing(lambda: self.goes, spent)


class World:
    """A worker's groups, a second at a time."""

    def __init__(self, shared: Shared | None = None, *, segments: tuple[str, ...] = ("s1", "s2"), **group: Any) -> None:
        self.clock, self.owned, self.count = ManualClock(NOW), set(range(12)), 12
        self.shared = shared or Shared()
        counters = Reservations(
            FakeLedger(self.shared), self.clock, self.owned.__contains__, lambda *_: None,
            owner="test", block=100, most_raised=1_000, pause_s=10,
        )  # fmt: skip
        self.senders: list[FakeSender] = []
        settings = {name: GROUP.model_copy(update=group) for name in segments}
        self.groups = Groups(settings, self.clock, counters, self.owned.__contains__, lambda: self.count, self._sender)

    def _sender(self, _group: Group) -> FakeSender:
        self.senders.append(FakeSender())
        return self.senders[-1]

    async def enter(
        self, there: Transfer, lacks: int = mask_of(range(COUNT)), *, segment: str = "s1", image: str = "i1",
        key: bytes | None = KEY, tell: Callable[[int, int], bytes] = lambda number, counter: b"%d/%d" % (number, counter),
    ) -> Member | None:  # fmt: skip
        keys = None if key is None else group_keys(key, AK, 0)
        shipment = Shipment(segment, image, "0.0.44.0.0.255", COUNT, 64, keys)
        return await self.groups.enter(shipment, lacks, there.standing, tell)

    def tick(self, times: int = 1, seconds: float = 0.05) -> None:
        for _ in range(times):
            self.clock.advance(seconds)
            self.groups.tick(self.clock.now_ms())

    @property
    def sent(self) -> list[tuple[int, int]]:
        """Block and counter of everything that went out."""
        pairs = (datagram.decode().split("/") for sender in self.senders for datagram in sender.sent)
        return [(int(number), int(counter)) for number, counter in pairs]


async def pair(world: World, **more: Any) -> tuple[Transfer, Transfer]:
    both = Transfer(), Transfer()
    for one in both:
        assert await world.enter(one, **more) is not None
    return both


async def test_blocks_go_once_each_under_a_counter_of_its_own_and_are_counted_once() -> None:
    world = World()
    first, second = await pair(world)
    world.tick(5)
    assert world.sent == [(number, number + 1) for number in range(COUNT)]
    assert [sum(each) for each in (first.spent, second.spent)] == [sum(len(b"%d/%d" % pair) for pair in world.sent), 0]
    (record,) = world.shared.written
    assert (record.meter_id, record.key_ref, record.reserved) == (NAME, NAME, 100)
    assert list(world.shared.reserved) == [partition_of(NAME, 12)]


async def test_no_more_in_a_tick_than_a_small_stack_takes_and_pauses_are_kept() -> None:
    world = World()
    first, _ = await pair(world)
    world.tick()
    assert len(world.sent) == 16
    first.pause = 1.0
    world.tick()
    assert len(world.sent) == 17
    world.tick(19)
    assert len(world.sent) == 17
    world.tick(2)
    assert len(world.sent) == 18


async def test_one_key_in_two_segments_never_counts_the_same() -> None:
    world = World()
    await pair(world, segment="s1")
    await pair(world, segment="s2")
    world.tick(5)
    counters = [counter for _, counter in world.sent]
    assert (len(counters), len(set(counters)), len(world.senders)) == (2 * COUNT, 2 * COUNT, 2)


async def test_another_worker_counts_on_above_what_was_reserved() -> None:
    before = World()
    await pair(before)
    before.tick(2)
    after = World(before.shared)
    await pair(after)
    after.tick(5)
    assert min(counter for _, counter in after.sent) == 101


async def test_counters_that_are_used_up_are_waited_for() -> None:
    world = World()
    members = [Transfer(), Transfer()]
    for one in members:
        await world.enter(one, mask_of(range(250)))
    for _ in range(40):
        world.tick()
        await _settle()
    assert [number for number, _ in world.sent] == list(range(250))
    assert len({counter for _, counter in world.sent}) == 250


async def test_where_no_counter_can_be_had_the_room_ends() -> None:
    world = World()
    for one in (Transfer(), Transfer()):
        await world.enter(one, mask_of(range(250)))
    world.owned.clear()
    world.tick(2)
    assert (world.sent, world.senders[0].closed) == ([], True)


@pytest.mark.parametrize("left", [1, 0])
async def test_who_is_halted_leaves_and_with_nobody_left_it_stops_within_a_block(left: int) -> None:
    world = World()
    members = await pair(world)
    for one in members:
        one.pause = 0.1
    world.tick(4)
    before = len(world.sent)
    assert before > 0
    for one in members[left:]:
        one.goes = False
    world.tick(20)
    assert (len(world.sent), world.senders[0].closed) == (before, True)


async def test_what_does_not_go_is_sent_again_under_another_counter() -> None:
    world = World()
    await pair(world)
    world.senders[0].full = 2
    world.tick(5)
    assert [number for number, _ in world.sent] == list(range(COUNT))
    assert world.sent[0] == (0, 3)


async def test_a_network_that_is_not_there_ends_it() -> None:
    world = World()
    (seat, _) = [await world.enter(Transfer()) for _ in range(2)]
    assert seat is not None
    world.senders[0].broken = True
    with capture_logs() as logs:
        world.tick()
    assert [line["event"] for line in logs] == ["group-not-sent"]
    assert (seat.room.phase, world.senders[0].closed) == (Phase.OVER, True)


async def test_only_who_has_the_partition_of_the_keys_name_sends() -> None:
    world = World()
    world.owned.discard(partition_of(NAME, 12))
    with capture_logs() as logs:
        assert [await world.enter(Transfer()) for _ in range(2)] == [None, None]
    assert [line["event"] for line in logs] == ["group-elsewhere"]
    world.count = 0
    assert await world.enter(Transfer(), segment="s2") is None
    assert world.senders == []


async def test_a_counter_that_cannot_be_reserved_leaves_each_to_itself() -> None:
    world = World()

    def refused(*_: Any, **__: Any) -> Any:
        raise JobError("counter-unavailable", "hes.counters cannot be written", retry=True)

    world.groups._counters.counting = refused  # type: ignore[method-assign]  # of this one object
    with capture_logs() as logs:
        assert await world.enter(Transfer()) is None
    assert [line["event"] for line in logs] == ["group-not-opened"]


async def test_blocks_in_clear_count_nothing_and_fall_on_one_worker_all_the_same() -> None:
    world = World()
    await pair(world, key=None)
    world.tick(5)
    assert ({counter for _, counter in world.sent}, world.shared.written) == ({0}, [])
    world.owned.discard(partition_of("group/s2", 12))
    assert await world.enter(Transfer(), segment="s2", key=None) is None


@pytest.mark.parametrize(
    "more", [{"key": OTHER}, {"image": "i2"}, {"key": None}, {"segment": "s2"}], ids=["key", "image", "clear", "segment"]
)
async def test_who_differs_has_a_room_of_its_own(more: dict[str, Any]) -> None:
    world = World()
    await world.enter(Transfer())
    await world.enter(Transfer(), **more)
    world.tick(40)
    assert (len(world.senders), world.sent) == (2, [])  # each alone in its room


async def test_images_take_turns_in_a_segment() -> None:
    world = World()
    groups = world.groups
    with groups.bringing("s1", "i1"):
        for one in await pair(world):
            one.pause = 1.0
        assert groups.turn("s1", "i2")  # it only gathers
        world.tick()
        assert [groups.turn(*of) for of in (("s1", "i2"), ("s1", "i1"), ("s2", "i2"))] == [False, True, True]
        world.tick(200, 1.0)
        assert groups.turn("s1", "i2")
    with groups.bringing("s1", "i1"), groups.bringing("s1", "i2"):
        sent = len(world.sent)
        await pair(world)
        world.tick(40)
        assert len(world.sent) == sent  # each transfer brings its own


async def test_a_group_that_nobody_heard_is_left_alone_for_an_hour() -> None:
    world = World()
    seats = [await world.enter(Transfer()) for _ in range(2)]
    world.tick(10)
    for seat in seats:
        assert seat is not None
        seat.room.tell(seat.seat, mask_of(range(COUNT)))
    with capture_logs() as logs:
        world.tick(2)
    assert [line["event"] for line in logs] == ["group-sent", "group-unheard"]
    assert await world.enter(Transfer()) is None
    assert await world.enter(Transfer(), segment="s2") is not None
    world.clock.advance(3_600)
    assert await world.enter(Transfer()) is not None


def test_a_meter_hears_the_group_of_its_segment() -> None:
    groups = World().groups
    found = [groups.of(meter("m", segment=segment)) is not None for segment in ("s1", "s3", "")]
    assert found == [True, False, False]


def test_no_key_is_shown() -> None:
    shown = repr(Shipment("s", "i", "0.0.44.0.0.255", 1, 64, group_keys(KEY, AK, 0)))
    assert not any(form in shown for key in (KEY, AK) for form in (key.hex(), repr(key)[2:-1]))


async def _settle() -> None:
    for _ in itertools.repeat(None, 20):
        await asyncio.sleep(0)
