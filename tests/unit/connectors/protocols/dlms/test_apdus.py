from __future__ import annotations

import pytest

from connectors.protocols.dlms.apdus import (
    DataNotification,
    EventNotification,
    data_notification_confirm,
    parse_notification,
)
from connectors.protocols.dlms.errors import DecodeError

TIME = "07E60B0C0610360000FFC400"
ISO = "2022-11-12T16:54:00+01:00"

NOTIFICATIONS = {
    "no time": ("0F00000001" + "00" + "1105", None, False),
    "time": ("0F00000001" + "0C" + TIME + "1105", ISO, False),
    "time with its tag (Kaifa)": ("0F00000001" + "090C" + TIME + "1105", ISO, True),
    "time under the tag date-time": ("0F00000001" + "19" + TIME + "1105", ISO, False),
    "time unspecified": ("0F00000001" + "0C" + "FF" * 12 + "1105", None, False),
    "time that is none": ("0F00000001" + "0C" + "41" * 12 + "1105", None, False),
    "a date only": ("0F00000001" + "05" + "07E60B0C06" + "1105", None, False),
    "padded": ("0F00000001" + "00" + "1105" + "0000", None, False),
}


@pytest.mark.parametrize(("octets", "iso", "tagged"), NOTIFICATIONS.values(), ids=NOTIFICATIONS)
def test_data_notification(octets: str, iso: str | None, tagged: bool) -> None:
    got = parse_notification(bytes.fromhex(octets))
    assert isinstance(got, DataNotification)
    assert (got.time.iso if got.time else None, got.tagged_time, got.body, got.invoke_id) == (iso, tagged, 5, 1)


@pytest.mark.parametrize(
    ("invoke_id", "confirmed"), [("00000001", False), ("40000001", True), ("C0ABCDEF", True), ("80000001", False)]
)
def test_service_class(invoke_id: str, confirmed: bool) -> None:
    got = parse_notification(bytes.fromhex("0F" + invoke_id + "00" + "00"))
    assert isinstance(got, DataNotification)
    assert got.confirmed is confirmed
    assert data_notification_confirm(got.invoke_id).hex().upper() == "10" + invoke_id + "00"


WHAT = "0001" + "0000616200FF" + "02"  # class 1, alarm register 1, attribute 2
EVENTS = {
    "time": ("C2" + "01" + "0C" + TIME + WHAT + "0600000010", ISO, 16),
    "no time": ("C2" + "00" + WHAT + "0600000010", None, 16),
    "time without the octet that says so": ("C2" + "0C" + TIME + WHAT + "0600000010", ISO, 16),
    "text without a tag (DSMR 2.2 last gasp)": ("C2" + "00" + WHAT + b"KAMM012345678901".hex(), None, b"KAMM012345678901"),
}


@pytest.mark.parametrize(("octets", "iso", "value"), EVENTS.values(), ids=EVENTS)
def test_event_notification(octets: str, iso: str | None, value: object) -> None:
    got = parse_notification(bytes.fromhex(octets))
    assert isinstance(got, EventNotification)
    assert (got.time.iso if got.time else None, got.value) == (iso, value)
    assert (got.class_id, got.obis, got.attribute) == (1, "0.0.97.98.0.255", 2)


REFUSED = {
    "nothing": ("", "dlms-apdu-unknown"),
    "a get-response": ("C401000600000010", "dlms-apdu-unknown"),
    "only a tag": ("0F", "dlms-truncated"),
    "cut in the time": ("0F000000010C07E6", "dlms-truncated"),
    "no body": ("0F0000000100", "dlms-truncated"),
    "an event without a value": ("C200" + WHAT, "dlms-truncated"),
    "more than the body": ("0F000000010011051106", "dlms-axdr"),
    "an event of nonsense": ("C200" + WHAT + "08FF", "dlms-axdr"),
}


@pytest.mark.parametrize(("octets", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(octets: str, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_notification(bytes.fromhex(octets))
    assert caught.value.code == code
