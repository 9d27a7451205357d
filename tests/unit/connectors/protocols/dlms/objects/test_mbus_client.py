"""Devices behind a meter, at gurux' server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, Unit
from gurux_dlms.objects import GXDLMSExtendedRegister
from gurux_dlms.objects.enums import MBusEncryptionKeyStatus

from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.objects.mbus_client import (
    MBusDevice,
    capture,
    client_of,
    deinstall,
    identification_digits,
    install,
    manufacturer_letters,
    profile_of,
    read_mbus_device,
    read_mbus_devices,
    read_mbus_values,
    reset_alarm,
    set_key,
    synchronise_clock,
    transfer_key,
    valve_of,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import MBus, ObjectMeter

GAS = MBusDevice(1, 1, "12345678", "ELS", 64, 3, 9, 0, 0, 3600, 4)


def gas() -> MBus:
    item = MBus("0.1.24.1.0.255")
    item.mBusPortReference = "0.0.24.6.0.255"
    item.capturePeriod, item.primaryAddress, item.identificationNumber = 3600, 1, 0x12345678
    item.manufacturerID, item.dataHeaderVersion, item.deviceType = 0x1593, 64, 3
    item.accessNumber, item.status, item.alarm = 9, 0, 0
    item.encryptionKeyStatus = MBusEncryptionKeyStatus.ENCRYPTION_KEY_INUSE
    return item


def empty() -> MBus:
    item = MBus("0.2.24.1.0.255")
    item.capturePeriod = item.primaryAddress = item.identificationNumber = item.manufacturerID = 0
    item.dataHeaderVersion = item.deviceType = item.accessNumber = item.status = item.alarm = 0
    return item


def reading() -> GXDLMSExtendedRegister:
    item = GXDLMSExtendedRegister("0.1.24.2.1.255")
    item.value, item.scaler, item.unit, item.status = 4711, 0.01, Unit.CORRECTED_VOLUME, 0
    item.captureTime = GXDateTime(datetime(2022, 11, 12, 16, tzinfo=UTC))
    item.setDataType(2, DataType.UINT32)
    item.setDataType(4, DataType.UINT8)
    return item


def test_devices() -> None:
    peer = ObjectMeter([gas(), empty()])
    found = drive(read_mbus_devices(peer.link()), peer.exchange)
    assert found[0] == GAS
    assert [(device.channel, device.present, device.medium) for device in found] == [(1, True, "gas"), (2, False, "other")]
    assert found[0].key_state == "in use"


def test_values() -> None:
    peer = ObjectMeter([gas(), reading()])
    (found,) = drive(read_mbus_values(peer.link(), 1), peer.exchange)
    assert (found.obis, found.value, found.scaler, found.unit, found.status) == ("0.1.24.2.1.255", 4711, -2, "m³", 0)
    assert found.time is not None
    assert found.time.utc_ms == 1668268800000
    assert drive(read_mbus_values(peer.link(), 2), peer.exchange) == ()


def test_methods() -> None:
    peer = ObjectMeter([gas()])
    link = peer.link()
    for session in (
        install(link, 1, 5), deinstall(link, 1), capture(link, 1), reset_alarm(link, 1), synchronise_clock(link, 1),
        set_key(link, 1, b"K" * 16), transfer_key(link, 1, b"X" * 16),
    ):  # fmt: skip
        drive(session, peer.exchange)
    assert [(method, parameter) for _, method, parameter in peer.invoked] == [
        (1, 5), (2, 0), (3, 0), (4, 0), (5, 0), (7, b"K" * 16), (8, b"X" * 16),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "binary", "digits"),
    [
        pytest.param(0x12345678, False, "12345678", id="bcd"),
        pytest.param(0x00000042, False, "00000042", id="bcd-leading-zeros"),
        pytest.param(12345678, False, "12345678", id="no-bcd"),
        pytest.param(0x42, True, "00000066", id="binary-by-quirk"),
    ],
)
def test_identification(number: int, binary: bool, digits: str) -> None:
    assert identification_digits(number, binary=binary) == digits


@pytest.mark.parametrize(("number", "letters"), [(0x2C2D, "KAM"), (0x1593, "ELS"), (0, ""), (1, "0001")])
def test_manufacturer(number: int, letters: str) -> None:
    assert manufacturer_letters(number) == letters


def test_names() -> None:
    assert (client_of(3), profile_of(3), valve_of(3)) == ("0.3.24.1.0.255", "0.3.24.3.0.255", "0.3.24.4.0.255")


def test_refused() -> None:
    peer = ObjectMeter([gas()], modes={"0.1.24.1.0.255": 0})
    link = peer.link()
    with pytest.raises(PeerError, match="read-write-denied"):
        drive(read_mbus_device(link, 1), peer.exchange)
    with pytest.raises(PeerError) as raised:
        drive(capture(link, 1), peer.exchange)
    assert raised.value.code == "peer-action"
    for session in (set_key(link, 1, b"short"), transfer_key(link, 1, b""), install(link, 1, 251)):
        with pytest.raises(DecodeError) as wrong:
            drive(session, peer.exchange)
        assert wrong.value.code == "object-value"
        assert "short" not in wrong.value.detail
