"""Image blocks to a group of meters, through a gateway on a real Kafka: once over the air, the rest meter by meter."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from connectors.local.ports import free_port
from connectors.protocols.dlms.broadcast import block_to_all, group_keys, protected
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.objects.image_transfer import IMAGE, Image
from schemas.records import CampaignStop, CounterReservation, JobResult, Meter, Network, Outcome
from tests.integration import firmware_rig
from tests.integration.gateway_bench import GatewayProcess, Tap, open_cluster
from tests.integration.group_rig import ADDRESS, AK, BLOCK, KEY, LOOPBACK, Overheard, Street, metric, multicast_port, street
from tests.integration.relay_meters import Desk, now_ms

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

RUN = uuid.uuid4().hex[:6]
TOGETHER, SLOW = f"together-{RUN}", f"slow-{RUN}"
PATIENCE_S = 150.0
"""A room alone may wait for a minute."""
TITLE = bytes.fromhex("4845530000000001")
GROUPED, ALONE, IDLE, HALTED = range(10), 10, 11, range(12, 15)
"""Simulated meters, by what is done with them."""


@dataclass
class Scene:
    desk: Desk
    gateway: GatewayProcess
    street: Street
    gurux: firmware_rig.GuruxImages
    air: Overheard
    port: int
    health: int

    def registered(self, number: int, segment: str, **fields: Any) -> Meter:
        given = {"segment": segment, "network": Network.ETHERNET, "key_ref": f"g{number}-{RUN}"} | fields
        return firmware_rig.takes_images(f"g{number}-{RUN}", self.street.fleet.ports[number], **given)

    def blocks(self, to: str) -> float:
        return metric(self.health, "hes_gateway_group_blocks_total", f'{{to="{to}"}}')


@pytest.fixture(scope="module")
def scene(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    desk = Desk.staffed(open_cluster(kafka, registry_url), f"env-{RUN}")
    home, port, health = tmp_path_factory.mktemp("groups"), multicast_port(), free_port()
    gateway = GatewayProcess(desk.cluster, home, settings_of(desk, home, port) | {"HES_HEALTH__PORT": str(health)})
    held = MeterKeys(ak=AK, broadcast=KEY)
    gateway.keys({f"g{number}-{RUN}": held for number in (*GROUPED, IDLE, *HALTED)} | {f"gurux-{RUN}": held})
    gateway.skip_old_jobs()
    with (
        street(home / "fleet", 15, port, loses=0.1) as fleet,
        firmware_rig.gurux_images(BLOCK, group=(ADDRESS, port, KEY.hex(), AK.hex())) as gurux,
    ):
        air = Overheard(port)
        gateway.start()
        yield Scene(desk, gateway, fleet, gurux, air, port, health)
        gateway.kill()
        air.close()


def settings_of(desk: Desk, home: Path, port: int) -> dict[str, str]:
    address = {"address": f"udp://{ADDRESS}:{port}", "interface": LOOPBACK, "gap_s": 4}
    groups = {
        TOGETHER: address | {"meters": len(GROUPED) + 1, "gather_s": 60, "rounds": 1},
        SLOW: address | {"meters": len(HALTED), "gather_s": 60},
    }
    band = {"bits_s": 40_000, "meter_bits_s": 10_000, "share": 1, "concurrent": 10, "reading": 0}
    return desk.settings | {
        "HES_GATEWAY__TEMPLATES_DIR": firmware_rig.templates_in(home),
        "HES_GATEWAY__RETRY_FIRST_S": "0.2",
        "HES_FIRMWARE__GROUPS": json.dumps(groups),
        "HES_FIRMWARE__SEGMENTS": json.dumps({SLOW: band}),
    }


def results(tap: Tap, meters: list[str], outcome: Outcome) -> dict[str, JobResult]:
    """The last result of each, once all have one with that outcome."""

    def found() -> dict[str, JobResult]:
        return {one.meter_id: one for one in tap.of(JobResult) if one.meter_id in meters and one.outcome is outcome}

    tap.until(lambda: found().keys() == set(meters), f"{outcome} of {len(meters)} meters", PATIENCE_S)
    return found()


def wait(enough: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


@dataclass(frozen=True)
class Broadcast:
    """An image that a street was told."""

    names: list[str]
    data: bytes
    ended: dict[str, JobResult]
    counters: list[CounterReservation]
    recorded: list[bytes]
    """The datagrams, as somebody on the same network heard them."""


@pytest.fixture(scope="module")
def broadcast(scene: Scene) -> Broadcast:
    data, desk = firmware_rig.image_of(20_000), scene.desk
    theirs = firmware_rig.takes_images(
        f"gurux-{RUN}", scene.gurux.port, segment=TOGETHER, network=Network.ETHERNET, key_ref=f"gurux-{RUN}"
    )
    meters = [scene.registered(number, TOGETHER) for number in GROUPED]
    meters += [scene.registered(ALONE, TOGETHER, key_ref=""), theirs]
    desk.cluster.put_meters(meters)
    tap = Tap(desk.cluster, "hes.events.urgent", "hes.counters")

    def counters() -> list[CounterReservation]:
        return [one for one in tap.of(CounterReservation) if one.meter_id.startswith("group/")]

    try:
        names = [meter.id for meter in meters]
        desk.cluster.put_jobs(firmware_rig.campaign(desk, firmware_rig.put_image(desk, data), names))
        ended = results(tap, names, Outcome.DONE)
        tap.until(lambda: bool(counters()), "counters")
    finally:
        tap.close()
    return Broadcast(names, data, ended, counters(), list(scene.air.take()))


def test_an_image_goes_to_the_group_once_and_each_meter_gets_what_it_missed(scene: Scene, broadcast: Broadcast) -> None:
    names, data = broadcast.names, broadcast.data
    count, sha256 = -(-len(data) // BLOCK), hashlib.sha256(data).hexdigest()
    assert {name: (result.after, result.rows) for name, result in broadcast.ended.items()} == dict.fromkeys(
        names, (firmware_rig.NEW, count)
    )
    assert {scene.street.image(number).sha256 for number in (*GROUPED, ALONE)} == {sha256}
    assert scene.gurux.said("activated") == [[sha256, str(len(data))]]
    assert scene.gurux.said("refused") == []

    # Over the air once, and counted so; each meter got what it had missed and nothing twice.
    datagrams, octets = scene.street.heard
    assert (datagrams, scene.blocks("all")) == (count, count)
    assert metric(scene.health, "hes_gateway_group_octets_total") == octets
    told = [scene.street.ear(number).told for number in GROUPED]
    assert all(one["taken"] + one["lost"] == count and one["lost"] > 0 for one in told), told
    assert [scene.street.image(number).blocks for number in (*GROUPED, ALONE)] == [count] * (len(GROUPED) + 1)
    by_group, alone = ({int(number) for (number,) in scene.gurux.said(word)} for word in ("group", "block"))
    assert (by_group | alone, by_group & alone, len(by_group) > len(alone)) == (set(range(count)), set(), True)
    missed = sum(one["lost"] for one in told) + len(alone)
    assert scene.blocks("one") == missed + count  # and all of the one that has no key
    assert scene.street.ear(ALONE).told["taken"] == 0
    assert any(line.get("event") == "group-key-missing" for line in scene.gateway.log)
    assert all(one.reserved >= count for one in broadcast.counters), broadcast.counters


def test_what_was_recorded_or_forged_changes_nothing(scene: Scene, broadcast: Broadcast) -> None:
    recorded, image, ear = broadcast.recorded, scene.street.image(IDLE), scene.street.ear(IDLE)
    assert recorded
    data = firmware_rig.image_of(len(recorded) * BLOCK)
    assert scene.street.do(lambda: image.invoke(1, b"FW-6.6", len(data))) == 0
    forged = Image(b"FW-6.6", data)
    for number, datagram in enumerate(recorded):
        block = block_to_all(forged, number, BLOCK, IMAGE)
        scene.air.say(datagram)
        scene.air.say(pack(102, 127, protected(block, group_keys(bytes(16), AK, 0), TITLE, 0x7000_0000 + number)))
        scene.air.say(pack(102, 127, protected(block, group_keys(KEY, bytes(16), 0), TITLE, 0x7000_0000 + number)))
        scene.air.say(pack(102, 127, block))
    wait(lambda: sum(ear.told.values()) >= 5 * len(recorded), "all of it")  # and what it heard the first time
    assert (image.blocks, min(ear.told["counter"], ear.told["key"], ear.told["clear"]) > 0) == (0, True)


def test_a_halt_stops_the_sending(scene: Scene) -> None:
    data, desk = firmware_rig.image_of(100_000), scene.desk  # which takes half a minute in this segment
    count = -(-len(data) // BLOCK)
    meters = [scene.registered(number, SLOW) for number in HALTED]
    names, sent = [meter.id for meter in meters], scene.blocks("all")
    desk.cluster.put_meters(meters)
    tap = Tap(desk.cluster, "hes.events.urgent")
    try:
        jobs = firmware_rig.campaign(desk, firmware_rig.put_image(desk, data), names)
        desk.cluster.put_jobs(jobs)
        wait(lambda: scene.blocks("all") >= sent + 10, "blocks")
        stop = CampaignStop(jobs[0].caused_by, now_ms(), code="campaign-halted", environment=desk.environment)
        desk.cluster.put("hes.campaign-stops", stop.id, desk.codec.encode(stop))
        ended = results(tap, names, Outcome.CANCELLED)
    finally:
        tap.close()
    assert {result.code for result in ended.values()} == {"campaign-halted"}
    wait(
        lambda: sum(line.get("segment") == SLOW for line in scene.gateway.log if line["event"] == "group-sent") == 1,
        "an end",
    )
    said = next(line for line in scene.gateway.log if line["event"] == "group-sent" and line["segment"] == SLOW)
    assert 10 <= said["blocks"] == scene.blocks("all") - sent < count
    assert {scene.street.image(number).initiations for number in HALTED} == {1}
