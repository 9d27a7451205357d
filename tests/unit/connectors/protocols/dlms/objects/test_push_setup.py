"""The push setup of gurux' server."""

from __future__ import annotations

import pytest
from gurux_dlms.enums import Unit
from gurux_dlms.objects import GXDLMSCaptureObject, GXDLMSPushSetup
from gurux_dlms.objects.enums import MessageType, ServiceType

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern
from connectors.protocols.dlms.objects.push_setup import (
    Destination,
    PushObject,
    push_now,
    read_push_setup,
    write_destination,
    write_push_objects,
    write_retries,
    write_windows,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import drive, register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

IMPORT = "1.0.1.8.0.255"
OBJECTS = (PushObject(40, "0.0.25.9.0.255", 1), PushObject(3, IMPORT, 2))


def meter() -> tuple[ObjectMeter, GXDLMSPushSetup]:
    value = register(IMPORT, 5, 1, Unit.ACTIVE_ENERGY)
    item = GXDLMSPushSetup("0.0.25.9.0.255")
    item.version = 0
    item.service, item.destination, item.message = ServiceType.TCP, "192.0.2.1:4059", MessageType.COSEM_APDU
    item.pushObjectList.append((value, GXDLMSCaptureObject(2, 0)))
    item.randomisationStartInterval, item.numberOfRetries, item.repetitionDelay = 10, 3, 60
    return ObjectMeter([value, item]), item


def test_read() -> None:
    peer, _ = meter()
    found = drive(read_push_setup(peer.link()), peer.exchange)
    assert found.objects == (PushObject(3, IMPORT, 2),)
    assert found.destination == Destination(0, b"192.0.2.1:4059", 0)
    assert found.destination.service_name == "tcp"
    assert (found.windows, found.randomise_s, found.retries, found.repeat_s) == ((), 10, 3, (60,))


def test_written() -> None:
    peer, item = meter()
    link = peer.link()
    drive(write_push_objects(link, OBJECTS), peer.exchange)
    drive(write_destination(link, Destination(1, b"[2001:db8::1]:4059")), peer.exchange)
    drive(write_retries(link, randomise_s=300, retries=5, repeat_s=120), peer.exchange)
    assert (int(item.service), item.destination) == (1, "[2001:db8::1]:4059")
    found = drive(read_push_setup(link), peer.exchange)
    assert found.objects == OBJECTS
    assert found.destination == Destination(1, b"[2001:db8::1]:4059", 0)
    assert (found.randomise_s, found.retries, found.repeat_s) == (300, 5, (120,))


@pytest.mark.parametrize(
    ("version", "row"),
    [
        pytest.param(0, "02 04 12 00 03 09 06 01 00 01 08 00 FF 0F 02 12 00 00", id="0"),
        pytest.param(1, "02 05 12 00 03 09 06 01 00 01 08 00 FF 0F 02 12 00 00 02 02 16 00 00", id="1"),
        pytest.param(2, "02 06 12 00 03 09 06 01 00 01 08 00 FF 0F 02 12 00 00 02 02 16 00 00 01 00", id="2"),
    ],
)
def test_push_objects_by_version(version: int, row: str) -> None:
    assert OBJECTS[1].encode(version).hex(" ").upper() == row


def test_windows() -> None:
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu[13:].hex(" ").upper())
        return bytes.fromhex("C5 01 C1 00")

    start, end = (DateTimePattern(DatePattern(), TimePattern(hour, 0, 0, 0)) for hour in (1, 5))
    drive(write_windows(Associated(PROPOSED, 0), [(start, end)]), exchange)
    opened = "09 0C FF FF FF FF FF {:02X} 00 00 00 80 00 FF"
    assert asked == [f"01 01 02 02 {opened.format(1)} {opened.format(5)}"]


def test_push_now() -> None:
    peer, _ = meter()
    drive(push_now(peer.link()), peer.exchange)
    assert peer.invoked == [("0.0.25.9.0.255", 1, 0)]


def test_delays_of_version_2() -> None:
    answer = "00 01 00 00 00 00 01 00 00 12 00 0A 00 11 03 00 02 03 12 00 3C 12 00 C8 12 02 58"
    found = drive(read_push_setup(Associated(PROPOSED, 0)), lambda _: bytes.fromhex("C4 03 C1 06 " + answer))
    assert (found.destination, found.repeat_s) == (None, (60, 200, 600))


@pytest.mark.parametrize(
    ("item", "version"),
    [
        pytest.param(PushObject(70_000, IMPORT, 2), 0, id="class"),
        pytest.param(PushObject(3, "1.2", 2), 0, id="obis"),
        pytest.param(PushObject(3, IMPORT, 200), 0, id="attribute"),
        pytest.param(PushObject(3, IMPORT, 2), 3, id="version"),
    ],
)
def test_refused(item: PushObject, version: int) -> None:
    with pytest.raises(DecodeError) as raised:
        drive(write_push_objects(Associated(PROPOSED, 0), [item], version=version), lambda _: b"")
    assert raised.value.code == "object-value"
