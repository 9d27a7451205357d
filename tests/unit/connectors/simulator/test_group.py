"""Simulated meters that hear a group: what they take of it, and what they do not believe. What is said is gurux' own."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gurux_dlms import GXDLMSClient
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import Authentication, InterfaceType, Priority, Security, ServiceClass
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.objects import GXDLMSImageTransfer

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.fleet import Fleet
from connectors.simulator.group import Ear, GroupListener, listen
from connectors.simulator.image_transfer import ImageTransfer
from connectors.simulator.plan import MeterPlan, plan_fleet
from tests.unit.connectors.simulator.test_fleet import CALM

CONFIG = replace(CALM, meters=2, group=Address("127.0.0.1", 4059))
TITLE = b"HES\0\0\0\0\1"
DATA = random.Random(4).randbytes(500)  # noqa: S311 - repeatable, not secret
COUNT = 8


def gurux_blocks(confirmed: ServiceClass = ServiceClass.UN_CONFIRMED) -> list[bytes]:
    """The requests of gurux' client, without its wrapper."""
    client = GXDLMSClient(True, 102, 127, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.settings.serviceClass, client.settings.priority = confirmed, Priority.NORMAL
    item = GXDLMSImageTransfer("0.0.44.0.0.255")
    item.imageBlockSize = 64
    return [bytes(parts[0])[8:] for parts in item.imageBlockTransfer(client, DATA, None)]


def sealed(plan: MeterPlan, apdu: bytes, counter: int, key: bytes | None = None, *, broadcast: bool = True) -> bytes:
    """Under the broadcast key, by gurux."""
    asked = AesGcmParameter(0xDB, TITLE, key or plan.broadcast_key, plan.authentication_key)
    asked.security, asked.broadcast, asked.invocationCounter = Security.AUTHENTICATION_ENCRYPTION, broadcast, counter
    return bytes(GXDLMSChippering.encryptAesGcm(asked, apdu))


def an_ear(config: FleetConfig = CONFIG, *, initiated: bool = True) -> tuple[Ear, ImageTransfer, MeterPlan]:
    plan = plan_fleet(config)[0]
    image = ImageTransfer(lambda: 1_000, block_size=64)
    if initiated:
        image.invoke(1, b"FW-2.0", len(DATA))
    return Ear(plan, image, config), image, plan


def test_blocks_of_an_image_that_was_initiated_are_put_where_they_belong() -> None:
    ear, image, plan = an_ear()
    for counter, apdu in enumerate(gurux_blocks(), 5):
        ear.hear(sealed(plan, apdu, counter))
    assert (ear.told, image.blocks, image.attribute(4)) == ({"taken": COUNT}, COUNT, b"\x06" + COUNT.to_bytes(4))


FIRST = gurux_blocks()[0]
REFUSED: dict[str, tuple[str, Callable[[MeterPlan], bytes]]] = {
    "in-clear": ("clear", lambda _: FIRST),
    "cut-short": ("clear", lambda plan: sealed(plan, FIRST, 9)[:20]),
    "another-key": ("key", lambda plan: sealed(plan, FIRST, 9, bytes(16))),
    "its-own-key": ("key", lambda plan: sealed(plan, FIRST, 9, plan.encryption_key, broadcast=False)),
    "altered": ("key", lambda plan: sealed(plan, FIRST, 9)[:-1] + b"\0"),
    "a-counter-that-was": ("counter", lambda plan: sealed(plan, FIRST, 7)),
    "confirmed": ("none", lambda plan: sealed(plan, gurux_blocks(ServiceClass.CONFIRMED)[0], 9)),
    "another-method": ("none", lambda plan: sealed(plan, FIRST.replace(b"\xff\x02", b"\xff\x04", 1), 9)),
    "another-object": ("none", lambda plan: sealed(plan, FIRST.replace(b"\x00\x12", b"\x00\x46", 1), 9)),
    "half-a-parameter": ("none", lambda plan: sealed(plan, FIRST[:30], 9)),
    "a-block-beyond": ("refused", lambda plan: sealed(plan, FIRST.replace(b"\x06\0\0\0\0", b"\x06\0\0\0\x63", 1), 9)),
}


@pytest.mark.parametrize(("word", "said"), REFUSED.values(), ids=REFUSED)
def test_what_changes_nothing(word: str, said: Callable[[MeterPlan], bytes]) -> None:
    ear, image, plan = an_ear()
    ear.hear(sealed(plan, gurux_blocks()[1], 7))
    ear.hear(said(plan))
    assert (ear.told, image.blocks) == ({"taken": 1, word: 1}, 1)


def test_without_an_image_initiated_nothing_is_taken_and_the_counter_has_been() -> None:
    ear, image, plan = an_ear(initiated=False)
    for _ in range(2):
        ear.hear(sealed(plan, FIRST, 7))
    assert (ear.told, image.blocks) == ({"refused": 1, "counter": 1}, 0)


def test_in_clear_where_the_fleet_says_so() -> None:
    ear, image, _ = an_ear(replace(CONFIG, group_security="plain"))
    for apdu in gurux_blocks():
        ear.hear(apdu)
    assert (ear.told, image.blocks) == ({"taken": COUNT}, COUNT)


def test_losses_repeat_themselves_and_differ_by_meter() -> None:
    config = replace(CONFIG, group_loses=0.3)
    plans, told = plan_fleet(config), []
    for plan in (plans[0], plans[0], plans[1]):
        ear = Ear(plan, ImageTransfer(lambda: 1_000), config)
        course = []
        for _ in range(100):
            before = ear.told["lost"]
            ear.hear(b"")
            course.append(ear.told["lost"] - before)
        told.append(course)
    assert (told[0] == told[1], told[0] == told[2], 15 < sum(told[0]) < 45) == (True, False, True)


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        pytest.param(b"\0\x01\0\x66\0\x7f\0\x02ab", 1, id="to-all"),
        pytest.param(b"\0\x01\0\x66\0\x01\0\x02ab", 0, id="to-one"),
        pytest.param(b"\0\x01\0\x10\0\x7f\0\x02ab", 0, id="from-another-client"),
        pytest.param(b"\0\x01\0\x66\0\x7f\0\x03ab", 0, id="another-length"),
        pytest.param(b"\0\x02\0\x66\0\x7f\0\x02ab", 0, id="another-version"),
        pytest.param(b"", 0, id="nothing"),
    ],
)
def test_datagrams(data: bytes, heard: int) -> None:
    ear, _, _ = an_ear()
    GroupListener([ear]).datagram_received(data, None)
    assert sum(ear.told.values()) == heard


async def test_a_fleet_hears_its_group_and_its_shipment_has_the_key(tmp_path: Path) -> None:
    fleet = Fleet(replace(CONFIG, home=tmp_path, group=Address("127.0.0.1", await _free())))
    await fleet.start(push=False)
    loop = asyncio.get_running_loop()
    assert fleet.config.group is not None
    to = fleet.config.group.host, fleet.config.group.port
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=to)
    transport.sendto(b"\0\x01\0\x66\0\x7f\0\x02ab")
    for _ in range(3_000):
        if all(ear.told for ear in fleet.ears.values()):
            break
        await asyncio.sleep(0.01)
    assert [sum(ear.told.values()) for ear in fleet.ears.values()] == [1, 1]
    transport.close()
    shipped = [json.loads(line) for line in fleet.shipment.read_text().splitlines()]
    assert [each["secrets"]["broadcast_key"] for each in shipped] == [plan.broadcast_key.hex() for plan in fleet.plans]
    await fleet.stop()


async def _free() -> int:
    transport, _ = await listen(Address("127.0.0.1", 0), "127.0.0.1", ())
    port: int = transport.get_extra_info("sockname")[1]
    transport.close()
    return port


def test_a_fleet_without_a_group_is_as_it_was() -> None:
    before, after = plan_fleet(replace(CONFIG, group=None)), plan_fleet(CONFIG)
    assert [plan.broadcast_key for plan in before] == [b"", b""]
    assert [replace(plan, authentication_key=b"", broadcast_key=b"") for plan in after] == [
        replace(plan, authentication_key=b"") for plan in before
    ]


def test_no_such_security() -> None:
    with pytest.raises(ValueError, match="ciphered or plain"):
        replace(CONFIG, group_security="none")
