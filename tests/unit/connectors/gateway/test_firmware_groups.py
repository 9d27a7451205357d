"""An image to meters that hear a group (gurux' image transfer and server), through a worker: what comes by the group, what
each gets by itself, and what happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors.gateway.addresses import Address
from connectors.gateway.group_sending import Groups, Shipment, Standing
from connectors.gateway.intake import URGENT
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.ciphering import Keys, decipher
from schemas.records import Network as AccessNetwork
from schemas.records import Operation, Outcome, Priority
from streams.runtime.authority.stops import HALTED
from streams.runtime.group_settings import Group
from streams.runtime.settings import Band, Firmware
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.firmware_bench import bringing, wired
from tests.unit.connectors.gateway.firmware_meters import BLOCKS, FIRMWARE, FakeImages, ImageMeter, firmware_job
from tests.unit.connectors.gateway.meters import Network
from tests.unit.connectors.gateway.test_deeds import Desk
from tests.unit.connectors.gateway.test_worker_commands import Proving

pytestmark = pytest.mark.usefixtures("no_threads")

KEY, AK = bytes(range(16)), bytes(range(16, 32))
HELD = MeterKeys(ak=AK, broadcast=KEY)
FREE = Band(bits_s=10_000_000, meter_bits_s=1_000_000, share=1, concurrent=20, reading=0)


@dataclass
class Yard(Network):
    """Meters that hear a group, by port."""

    there: dict[int, ImageMeter] = field(default_factory=dict)

    async def connect(self, factory: Callable[[], MeterLink], address: Address) -> None:
        self.connects.append(address.port)
        await asyncio.sleep(0)
        there = self.there[address.port]
        if there.away:
            raise ConnectionRefusedError(111, "Connection refused")
        self.wires.append(wired(factory(), there))


@dataclass
class Air:
    """Where blocks for all are sent: each meter opens what it can, unless it is `deaf` to it."""

    yard: Yard
    datagrams: list[bytes] = field(default_factory=list)
    deaf: Callable[[int, int], bool] = lambda _port, _number: False
    said: Callable[[int], None] = lambda _number: None

    def send(self, datagram: bytes) -> bool:
        number = len(self.datagrams)
        self.datagrams.append(datagram)
        apdu = datagram[8:]
        if apdu[0] == 0xDB:
            apdu = decipher(apdu, lambda _: Keys(bytes(16), AK, broadcast=KEY)).plain
        for port, there in self.yard.there.items():
            if apdu[0] == 0xC3 and not self.deaf(port, number) and not there.away and there.associations:
                there.peer.exchange(apdu)  # what it answers nobody hears
        self.said(number)
        return True

    def close(self) -> None:
        return


@dataclass
class Scene:
    bench: Bench
    desk: Desk
    proving: Proving
    yard: Yard
    air: Air

    def meter(self, number: int) -> ImageMeter:
        return self.yard.there[4060 + number]

    @property
    def meters(self) -> list[ImageMeter]:
        return list(self.yard.there.values())

    def begin(self, *numbers: int, **fields: Any) -> None:
        self.bench.put(*(firmware_job(f"f{number}", f"m{number}", **fields) for number in numbers))

    async def settle(self, seconds: float, step: float = 0.25) -> None:
        for _ in range(round(seconds / step)):
            self.bench.clock.advance(step)
            await self.bench.run(0)

    async def through(self) -> None:
        """Until they are told to activate it, and past the restart."""
        await self.settle(60)
        for there in self.meters:
            if there.away:
                there.restarted()
        for _ in range(60):
            await self.bench.run(3)

    def ended(self) -> dict[str, tuple[Outcome, str, int]]:
        return {one.meter_id: (one.outcome, one.code, one.rows) for one in self.bench.results()}


def a_scene(count: int = 3, band: Band = FREE, keys: dict[str, MeterKeys] | None = None, **group: Any) -> Scene:
    yard = Yard({}, there={4060 + number: ImageMeter() for number in range(count)})
    meters = [
        registered(f"m{number}", 4060 + number, vendor="maker", model="m1", segment="s1", network=AccessNetwork.ETHERNET,
                   key_ref=f"k{number}")
        for number in range(count)
    ]  # fmt: skip
    held = {f"k{number}": HELD for number in range(count)} if keys is None else keys
    bench, air = Bench(*meters, network=yard, keys=held), Air(yard)
    given = {"address": "udp://239.192.0.7:4059", "gather_s": 5, "meters": count, "rounds": 1, "gap_s": 1} | group
    firmware = Firmware(segments={"s1": band}, groups={"s1": Group(**given)})
    groups = Groups(firmware.groups, bench.clock, bench.counters, lambda _: True, lambda: 12, lambda _: air)
    return Scene(bench, *bringing(bench, FakeImages(), None, firmware, groups), yard, air)


DONE = (Outcome.DONE, "", BLOCKS)


async def test_blocks_come_once_to_all_and_each_gets_what_it_missed() -> None:
    scene = a_scene()
    scene.air.deaf = lambda port, number: number == port - 4060 or (port == 4062 and number > 9)
    scene.begin(0, 1, 2)
    await scene.through()
    assert len(scene.air.datagrams) == BLOCKS
    assert [there.holds == FIRMWARE for there in scene.meters] == [True] * 3
    assert [sorted(there.blocks) for there in scene.meters] == [list(range(BLOCKS))] * 3  # nothing twice
    assert [there.methods.count(1) for there in scene.meters] == [1] * 3
    assert scene.ended() == {"m0": DONE, "m1": DONE, "m2": DONE}


async def test_blocks_in_clear_where_the_segment_says_so() -> None:
    scene = a_scene(security="plain", keys={})
    scene.begin(0, 1, 2)
    await scene.through()
    assert (len(scene.air.datagrams), {datagram[8] for datagram in scene.air.datagrams}) == (BLOCKS, {0xC3})
    assert scene.ended() == {"m0": DONE, "m1": DONE, "m2": DONE}


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(None, id="none"),
        pytest.param(MeterKeys(ak=AK), id="no-broadcast-key"),
        pytest.param(MeterKeys(broadcast=KEY), id="no-authentication-key"),
        pytest.param(MeterKeys(ak=AK, broadcast=KEY * 2), id="of-another-suite"),
    ],
)
async def test_a_meter_without_the_key_is_served_alone_and_does_not_wait(keys: MeterKeys | None) -> None:
    scene = a_scene(2, gather_s=600, meters=50, keys={} if keys is None else {"k0": keys, "k1": keys})
    scene.begin(0, 1)
    await scene.through()
    assert (scene.air.datagrams, scene.ended()) == ([], {"m0": DONE, "m1": DONE})


async def test_who_is_alone_gets_its_own_after_the_gathering() -> None:
    scene = a_scene(1, meters=50)
    scene.begin(0)
    await scene.settle(4)
    assert scene.meter(0).blocks == []
    await scene.through()
    assert (scene.air.datagrams, scene.ended()) == ([], {"m0": DONE})


async def test_what_is_urgent_is_done_while_a_meter_waits() -> None:
    scene = a_scene(gather_s=600, meters=50)
    scene.begin(0, 1, 2)
    await scene.settle(5)
    read = job(Operation.READ_REGISTERS, "now", "m1", objects=("1/1.0.0.2.0.255/2",), priority=Priority.ON_DEMAND)
    scene.bench.put(read, lane=URGENT)
    await scene.settle(2)
    assert [(result.job_id, result.meter_id) for result in scene.bench.results()] == [("now", "m1")]
    assert scene.meter(1).associations == 1  # on the association that is there


SLOW = FREE.model_copy(update={"bits_s": 1_600})
"""A block of 120 octets in six tenths of a second."""


async def test_a_halt_stops_the_sending_at_the_block_and_later_jobs_go_on() -> None:
    scene = a_scene(band=SLOW)

    def halt(number: int) -> None:
        if number == 6:
            scene.proving.stopped = HALTED

    scene.air.said = halt
    scene.begin(0, 1, 2)
    await scene.settle(30)
    assert (len(scene.air.datagrams), {code for _, code, _ in scene.ended().values()}) == (7, {HALTED})
    scene.proving.stopped, scene.air.said = "", lambda _: None
    scene.bench.put(*(firmware_job(f"g{number}", f"m{number}", attempt=2) for number in range(3)))
    await scene.through()
    assert len(scene.air.datagrams) == BLOCKS  # by the bitmaps: none came again
    assert [sorted(there.blocks) for there in scene.meters] == [list(range(BLOCKS))] * 3


async def test_who_expires_leaves_and_the_others_go_on() -> None:
    scene = a_scene(band=SLOW)
    scene.begin(0, 1)
    scene.begin(2, deadline=NOW + 8_000)
    await scene.through()
    assert scene.ended()["m2"][:2] == (Outcome.FAILED, "firmware-unfinished")
    assert ({scene.ended()[name] for name in ("m0", "m1")}, len(scene.air.datagrams)) == ({DONE}, BLOCKS)


async def test_octets_on_the_air_are_counted_once_and_by_the_segments_band() -> None:
    scene = a_scene(band=SLOW)
    scene.begin(0, 1, 2)
    first: list[int] = []
    scene.air.said = lambda _: first.append(scene.bench.clock.now_ms())
    await scene.settle(20, 0.05)
    octets = sum(len(datagram) for datagram in scene.air.datagrams[:-1])
    assert len(first) == BLOCKS
    assert first[-1] - first[0] == pytest.approx(octets / 200 * 1_000, rel=0.1)


async def test_a_line_that_breaks_while_its_meter_waits_is_taken_up_again_by_the_bitmap() -> None:
    scene = a_scene(band=SLOW)
    scene.begin(0, 1, 2)
    await scene.settle(4)
    scene.yard.wires[1].close()
    await scene.through()
    assert {outcome for outcome, _, _ in scene.ended().values()} == {Outcome.DONE}
    assert [there.methods.count(1) for there in scene.meters] == [1] * 3
    assert [there.holds == FIRMWARE for there in scene.meters] == [True] * 3


async def test_blocks_of_another_image_that_came_by_the_group_are_refused_and_it_is_initiated_anew_alone() -> None:
    scene = a_scene()

    def foreign(number: int) -> None:
        if number == 0:
            scene.meter(1).image.parts[BLOCKS - 1] = b"another image's"

    scene.air.said = foreign
    scene.air.deaf = lambda port, number: port == 4061 and number == BLOCKS - 1
    scene.begin(0, 1, 2)
    await scene.through()
    assert [there.methods.count(1) for there in scene.meters] == [1, 2, 1]
    assert [there.holds == FIRMWARE for there in scene.meters] == [True] * 3
    assert {outcome for outcome, _, _ in scene.ended().values()} == {Outcome.DONE}
    assert len(scene.air.datagrams) == BLOCKS


async def test_an_image_that_is_wrong_is_refused_after_the_second_time() -> None:
    scene = a_scene(2, meters=2)
    for there in scene.meters:
        there.image.spoil = True
    scene.begin(0, 1)
    await scene.through()
    assert {code for _, code, _ in scene.ended().values()} == {"firmware-refused"}
    assert [there.methods.count(1) for there in scene.meters] == [2, 2]


async def test_a_meter_that_waits_long_is_spoken_to_now_and_then() -> None:
    scene = a_scene(gather_s=600, meters=50)
    scene.begin(0)
    await scene.settle(5)
    before = len(scene.meter(0).asked)
    await scene.settle(130)
    status = bytes.fromhex("0012 00002c0000ff 06".replace(" ", ""))
    assert [status in apdu for apdu in scene.meter(0).asked[before:]] == [True, True]
    assert scene.meter(0).associations == 1


async def test_while_blocks_of_another_image_are_sent_nothing_is_initiated() -> None:
    scene = a_scene()
    groups = scene.bench.worker._tools.groups
    assert groups is not None
    other = Shipment("s1", "another", "0.0.44.0.0.255", 16, 64, None)
    for _ in range(2):
        assert await groups.enter(other, 0xFFFF, Standing(lambda: True, lambda _: 2.0), lambda *_: bytes(9)) is not None
    await scene.settle(6)
    scene.begin(0, 1, 2)
    await scene.settle(10)
    assert ([there.methods for there in scene.meters], len(scene.air.datagrams) > 3) == ([[]] * 3, True)
    await scene.settle(160)
    assert len(scene.air.datagrams) == 16 + BLOCKS
    assert [there.holds == FIRMWARE for there in scene.meters] == [True] * 3


async def test_while_another_image_is_on_its_way_each_gets_its_own() -> None:
    scene = a_scene()
    groups = scene.bench.worker._tools.groups
    assert groups is not None
    with groups.bringing("s1", "another"):
        scene.begin(0, 1, 2)
        await scene.through()
    assert (scene.air.datagrams, scene.ended()) == ([], {"m0": DONE, "m1": DONE, "m2": DONE})
