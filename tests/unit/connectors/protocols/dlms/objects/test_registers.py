"""Extended and demand registers of gurux' server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, Unit
from gurux_dlms.objects import GXDLMSDemandRegister

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import LIST
from connectors.protocols.dlms.objects.registers import read_demand_register, read_extended_register
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

DEMAND = "1.0.1.4.0.255"


def test_demand() -> None:
    item = GXDLMSDemandRegister(DEMAND)
    item.currentAverageValue, item.lastAverageValue, item.scaler, item.unit, item.status = 7, 9, 10, Unit.ACTIVE_POWER, 1
    item.captureTime = item.startTimeCurrent = GXDateTime(datetime(2022, 11, 12, 16, tzinfo=UTC))
    item.period, item.numberOfPeriods = 900, 1
    for attribute in (2, 3):
        item.setDataType(attribute, DataType.UINT32)
    item.setDataType(5, DataType.UINT8)
    peer = ObjectMeter([item])
    found = drive(read_demand_register(peer.link(), DEMAND), peer.exchange)
    assert (found.current, found.last, found.scaler, found.unit, found.status) == (7, 9, 1, "W", 1)
    assert (found.period_s, found.periods) == (900, 1)
    assert found.time == found.started
    assert found.time is not None
    assert found.time.utc_ms == 1668268800000


@pytest.mark.parametrize(
    ("answer", "value", "scaler", "time"),
    [
        pytest.param("00 12 00 2A 00 02 02 0F FE 16 0D 00 11 00 00 00", 42, -2, None, id="no-time"),
        pytest.param(
            "00 12 00 2A 01 03 01 03 00 19 07 E6 0B 0C FF 10 00 00 FF 80 00 00", 42, None, "2022-11-12T16:00:00", id="a"
        ),
    ],
)
def test_extended(answer: str, value: int, scaler: int | None, time: str | None) -> None:
    found = drive(
        read_extended_register(Associated(PROPOSED, 0), "0.1.24.2.1.255"), lambda _: bytes.fromhex("C403C104" + answer)
    )
    assert (found.value, found.scaler, found.time and found.time.iso) == (value, scaler, time)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        pytest.param("01 04 01 04 01 04 01 04", PeerError, "peer-access", id="all-refused"),
        pytest.param("00 11 05 00 11 05 00 00 00 00", DecodeError, "object-shape", id="scaler-unit-is-a-number"),
        pytest.param("00 11 05 00 00 00 00 00 11 05", DecodeError, "object-shape", id="time-is-a-number"),
        pytest.param("00 11 05 00 00 00 00 00 09 02 01 02", DecodeError, "dlms-time", id="time-of-two"),
    ],
)
def test_refused(answer: str, kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as raised:
        drive(
            read_extended_register(Associated(PROPOSED, 0), "0.1.24.2.1.255"),
            lambda apdu: bytes.fromhex("C403C104" + answer if apdu[1] == LIST else "C401C20104"),
        )
    assert getattr(raised.value, "code", "") == code
