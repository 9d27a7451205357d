"""The limiter of gurux' server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, Unit
from gurux_dlms.objects import GXDLMSLimiter

from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.limiter import (
    EmergencyProfile,
    Script,
    read_limiter,
    set_emergency_groups,
    set_emergency_profile,
    set_limits,
)
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern
from tests.unit.connectors.protocols.dlms.gurux_meter import drive, register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

POWER = "1.0.1.4.0.255"


def meter() -> tuple[ObjectMeter, GXDLMSLimiter]:
    power = register(POWER, 0, 1, Unit.ACTIVE_POWER)
    item = GXDLMSLimiter("0.0.17.0.0.255")
    item.monitoredValue, item.monitoredAttributeIndex = power, 2
    for attribute, name, value in ((3, "Active", 9000), (4, "Normal", 9000), (5, "Emergency", 1000)):
        setattr(item, f"threshold{name}", value)
        item.setDataType(attribute, DataType.UINT32)
    item.minOverThresholdDuration, item.minUnderThresholdDuration = 60, 30
    item.emergencyProfile.id, item.emergencyProfile.duration = 0, 0
    item.emergencyProfile.activationTime = GXDateTime(datetime(2022, 1, 1, tzinfo=UTC))
    item.emergencyProfileActive = False
    for action, selector in ((item.actionOverThreshold, 1), (item.actionUnderThreshold, 2)):
        action.logicalName, action.scriptSelector = "0.0.10.0.106.255", selector
    return ObjectMeter([power, item]), item


def test_read() -> None:
    peer, _ = meter()
    found = drive(read_limiter(peer.link()), peer.exchange)
    assert found.monitored == Attribute(3, POWER, 2)
    assert (found.active, found.normal, found.emergency, found.over_s, found.under_s) == (9000, 9000, 1000, 60, 30)
    assert (found.groups, found.emergency_active) == ((), False)
    assert (found.above, found.below) == (Script("0.0.10.0.106.255", 1), Script("0.0.10.0.106.255", 2))
    assert found.profile is not None
    assert (found.profile.id, found.profile.start.date.year) == (0, 2022)


def test_limits_are_written_in_the_meters_types() -> None:
    peer, item = meter()
    drive(set_limits(peer.link(), normal=12_000, over_s=90), peer.exchange)
    assert (item.thresholdNormal, item.thresholdEmergency, item.minOverThresholdDuration) == (12_000, 1000, 90)
    written = [request[13:].hex(" ") for request in peer.requests if request[0] == 0xC1]
    assert written == ["06 00 00 2e e0", "06 00 00 00 5a"]


def test_emergency() -> None:
    peer, item = meter()
    link = peer.link()
    start = DateTimePattern(DatePattern(2027, 1, 15), TimePattern(17, 0, 0, 0))
    drive(set_emergency_profile(link, EmergencyProfile(7, start, 3600)), peer.exchange)
    drive(set_emergency_groups(link, (7, 8)), peer.exchange)
    assert (item.emergencyProfile.id, item.emergencyProfile.duration) == (7, 3600)
    assert item.emergencyProfileGroupIDs == [7, 8]
    found = drive(read_limiter(link), peer.exchange)
    assert found.groups == (7, 8)
    assert found.profile is not None
    assert str(found.profile.start).startswith("2027-01-15")


@pytest.mark.parametrize(("value", "says"), [(1 << 32, "does not fit"), (-1, "does not fit"), (0.5, "no whole number")])
def test_what_does_not_fit(value: float, says: str) -> None:
    peer, item = meter()
    with pytest.raises(DecodeError, match=says) as raised:
        drive(set_limits(peer.link(), normal=value), peer.exchange)
    assert raised.value.code == "object-value"
    assert item.thresholdNormal == 9000


def test_denied() -> None:
    peer, _ = meter()
    peer.modes["0.0.17.0.0.255"] = 1
    with pytest.raises(PeerError, match=r"71/0\.0\.17\.0\.0\.255/4: data-access-result 3"):
        drive(set_limits(peer.link(), normal=1), peer.exchange)
