"""Firmware to simulated meters, by our own client over a real socket and by gurux' (whose answers a meter's are)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gurux_dlms.objects import GXDLMSData, GXDLMSImageTransfer
from gurux_dlms.objects.enums import ImageTransferStatus

from connectors.protocols.dlms.association import Associated, Association, associate
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.objects import image_transfer
from connectors.protocols.dlms.objects.image_transfer import ImageRefusedError, order_activation, transfer_image
from connectors.protocols.dlms.objects.steps import Pause, Polling, run_steps
from connectors.simulator.cosem import FIRMWARE_LN
from connectors.simulator.image_transfer import Faults, ImageTransfer
from connectors.simulator.load import meter_of
from connectors.simulator.load_session import LoadSession
from connectors.simulator.meter import RunningMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.simulator.test_server import Session, a_fleet
from tests.unit.connectors.simulator.test_server import meter_of as plan_of

DATA = bytes(n * 7 % 251 for n in range(1_000))
IMAGE = image_transfer.Image(b"FW-2.0", DATA, hashlib.sha256(DATA).digest())


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


def session_of(**settings: Any) -> tuple[ImageTransfer, Associated, Callable[[bytes], bytes], Clock, list[str]]:
    """A meter of the load fleet that takes firmware, and an association with it."""
    clock, told = Clock(), list[str]()
    meter, _, _ = meter_of(7, 1, 0)
    meter.image = ImageTransfer(clock, told.append, block_size=64, **settings)
    session = LoadSession(meter)

    def exchange(apdu: bytes) -> bytes:
        return session.answer(16, apdu)

    return meter.image, drive(associate(Association()), exchange), exchange, clock, told


def bring(link: Associated, exchange: Callable[[bytes], bytes], clock: Clock) -> image_transfer.Transferred:
    def pause(pause: Pause) -> None:
        clock.now += round(pause.seconds * 1_000)

    steps = transfer_image(link, IMAGE, polling=Polling(1, 5))
    found: image_transfer.Transferred = run_steps(steps, lambda session: drive(session, exchange), pause)
    return found


def test_an_image_is_taken_verified_and_activated() -> None:
    image, link, exchange, clock, told = session_of(restart_ms=5_000)
    assert bring(link, exchange, clock).sent == 16
    assert (image.sha256, image.initiations) == (hashlib.sha256(DATA).hexdigest(), 1)
    drive(order_activation(link), exchange)
    assert (told, image.away) == (["2.0"], True)
    clock.now += 5_000
    assert not image.away


@pytest.mark.parametrize(
    ("faults", "raises"),
    [
        pytest.param(Faults(rejects=True), ImageRefusedError, id="rejects"),
        pytest.param(Faults(loses=5), None, id="loses"),
        pytest.param(Faults(bricks=True), None, id="bricks"),
    ],
)
def test_faults(faults: Faults, raises: type[DlmsError] | None) -> None:
    image, link, exchange, clock, _ = session_of(faults=faults)
    if raises is not None:
        with pytest.raises(raises):
            bring(link, exchange, clock)
        return
    assert bring(link, exchange, clock).sent == (16 if not faults.loses else 20)
    drive(order_activation(link), exchange)
    clock.now += 1 << 40
    assert image.away is faults.bricks


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        pytest.param(2, 0, bytes(64), id="block-before-initiation"),
        pytest.param(4, None, None, id="activation-of-nothing"),
        pytest.param(3, None, None, id="verification-of-nothing"),
        pytest.param(1, b"x", 0, id="empty"),
        pytest.param(1, b"x", 1 << 40, id="huge"),
        pytest.param(1, 5, b"x", id="turned-round"),
        pytest.param(9, None, None, id="no-such-method"),
    ],
)
def test_what_it_refuses(method: int, first: object, second: object) -> None:
    image, *_ = session_of()
    assert image.invoke(method, first, second) not in (0, 2)
    image.invoke(1, b"x", 100)
    assert [image.invoke(2, number, octets) for number, octets in ((2, b""), (0, b"x"), (1, bytes(64)), (-1, b""))] == [
        12
    ] * 4


async def test_a_client_that_is_not_ours_brings_one_too(tmp_path: Path) -> None:
    async with a_fleet(tmp_path, restart_s=0.05) as fleet:
        plan = plan_of(fleet, "AS300")
        async with Session(fleet, plan, client=16) as session:
            client, item = session.client, GXDLMSImageTransfer("0.0.44.0.0.255")
            size = int(await session.read(item, 2))
            item.imageBlockSize = size
            await session.ask(item.imageTransferInitiate(client, "FW-9.9", len(DATA)))
            for block in item.imageBlockTransfer(client, DATA, [0]):
                await session.ask(block)
            assert int(await session.read(item, 4)) == -(-len(DATA) // size)
            assert await session.read(item, 6) == ImageTransferStatus.IMAGE_TRANSFER_INITIATED
            await session.ask(item.imageVerify(client))
        meter = fleet._meters[plan.index]
        assert isinstance(meter, RunningMeter)
        meter.cosem.image._verified_at = 0
        meter.cosem.image._restart_ms = 0  # gurux' client wants to take leave
        async with Session(fleet, plan, client=16) as session:
            assert await session.read(item, 6) == ImageTransferStatus.IMAGE_VERIFICATION_SUCCESSFUL
            assert meter.cosem.image.sha256 == hashlib.sha256(DATA).hexdigest()
            await session.ask(item.imageActivate(session.client))
        assert meter.cosem.firmware == "9.9"
        async with Session(fleet, plan, client=16) as session:
            assert bytes(await session.read(GXDLMSData(FIRMWARE_LN), 2)) == b"9.9"
