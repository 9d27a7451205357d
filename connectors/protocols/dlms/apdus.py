"""The APDUs that a meter sends by itself (IEC 62056-5-3): data-notification and event-notification."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.axdr import Value
from connectors.protocols.dlms.cosem import MeterTime, obis, try_datetime
from connectors.protocols.dlms.errors import DecodeError

DATA_NOTIFICATION = 0x0F
DATA_NOTIFICATION_CONFIRM = 0x10
EVENT_NOTIFICATION = 0xC2

SESSION_APDUS = {
    0x01: "an initiate-request", 0x05: "a read-request", 0x06: "a write-request", 0x08: "an initiate-response",
    0x0C: "a read-response", 0x0D: "a write-response", 0x0E: "a confirmed-service-error",
    0x10: "a data-notification-confirm", 0x60: "an AARQ", 0x61: "an AARE", 0x62: "an RLRQ", 0x63: "an RLRE",
    0xC0: "a get-request", 0xC1: "a set-request", 0xC3: "an action-request", 0xC4: "a get-response", 0xC5: "a set-response",
    0xC7: "an action-response", 0xD8: "an exception-response", 0xD9: "an access-request", 0xDA: "an access-response",
}  # fmt: skip
"""First octets of APDUs that are no pushes, and what they are."""

_CONFIRMED = 1 << 30  # Long-Invoke-Id-And-Priority, service class


@dataclass(frozen=True, slots=True)
class DataNotification:
    """A push. `invoke_id` is the whole Long-Invoke-Id-And-Priority, which a confirm repeats."""

    invoke_id: int
    confirmed: bool
    time: MeterTime | None
    body: Value
    tagged_time: bool = False
    """The time came as a tagged octet-string, which only Kaifa's meters do."""


@dataclass(frozen=True, slots=True)
class EventNotification:
    """One attribute, sent on an event."""

    time: MeterTime | None
    class_id: int
    obis: str
    attribute: int
    value: Value


def parse_notification(apdu: bytes, *, deviation_reversed: bool = False) -> DataNotification | EventNotification:
    """The push in a plain APDU.

    Raises DecodeError "dlms-apdu-unknown" for another APDU, "dlms-truncated", "dlms-axdr" or "dlms-nesting" for its data. A
    header time that is none is left out: the values are still good.
    """
    tag = apdu[0] if apdu else None
    if tag == DATA_NOTIFICATION:
        return _data_notification(apdu, deviation_reversed)
    if tag == EVENT_NOTIFICATION:
        return _event_notification(apdu, deviation_reversed)
    if tag in SESSION_APDUS:
        detail = f"{SESSION_APDUS[tag]} ({tag:#04x}) of a session, no push: `hes probe` holds sessions"
        raise DecodeError("dlms-apdu-unknown", detail)
    found = "nothing" if tag is None else f"tag {tag:#04x}"
    raise DecodeError("dlms-apdu-unknown", f"a push starts with 0x0f or 0xc2, this APDU with {found}: wrong key, or no push")


def data_notification_confirm(invoke_id: int) -> bytes:
    """What a confirmed data-notification is answered with: its invoke id and no time."""
    return bytes((DATA_NOTIFICATION_CONFIRM,)) + invoke_id.to_bytes(4, "big") + b"\0"


def _data_notification(apdu: bytes, deviation_reversed: bool) -> DataNotification:
    _need(apdu, 1, 4)
    invoke_id = int.from_bytes(apdu[1:5], "big")
    octets, at, tagged = _header_time(apdu, 5)
    body, at = axdr.decode(apdu, at)
    _nothing_after(apdu, at)
    time = try_datetime(octets, deviation_reversed=deviation_reversed)
    return DataNotification(invoke_id, bool(invoke_id & _CONFIRMED), time, body, tagged)


def _header_time(apdu: bytes, at: int) -> tuple[bytes, int, bool]:
    """The octets of a data-notification's date-time, the index after it, and whether it was tagged.

    The standard has a plain OCTET STRING (its length, then 12 octets, or none); Kaifa puts the octet-string tag 09 before
    it, and the tag 19 of a date-time is met too.
    """
    length, after = axdr.read_length(apdu, at)
    if length == axdr.OCTET_STRING and apdu[after : after + 1] == b"\x0c":
        _need(apdu, after + 1, 12)
        return apdu[after + 1 : after + 13], after + 13, True
    if length == axdr.DATE_TIME and len(apdu) >= after + 12 and try_datetime(apdu[after : after + 12]):
        return apdu[after : after + 12], after + 12, False
    _need(apdu, after, length)
    return apdu[after : after + length], after + length, False


def _event_notification(apdu: bytes, deviation_reversed: bool) -> EventNotification:
    at, time = 1, None
    _need(apdu, at, 1)
    if apdu[at] == 1:  # OPTIONAL is present; some meters leave this octet out
        at += 1
    length, at = axdr.read_length(apdu, at)
    if length:
        _need(apdu, at, length)
        time = try_datetime(apdu[at : at + length], deviation_reversed=deviation_reversed)
        at += length
    _need(apdu, at, 9)
    class_id, name, attribute = int.from_bytes(apdu[at : at + 2], "big"), apdu[at + 2 : at + 8], apdu[at + 8]
    at += 9
    value = _event_value(apdu, at)
    return EventNotification(time, class_id, obis(name), attribute, value)


def _event_value(apdu: bytes, at: int) -> Value:
    """The attribute's value; text without a tag, which DSMR 2.2 meters send on a last gasp, is taken as octets."""
    try:
        value, end = axdr.decode(apdu, at)
        _nothing_after(apdu, end)
    except DecodeError:
        rest = apdu[at:]
        if rest and all(0x20 <= octet < 0x7F for octet in rest):
            return rest
        raise
    return value


def _need(apdu: bytes, at: int, size: int) -> None:
    if at + size > len(apdu):
        raise DecodeError("dlms-truncated", f"{size} octets needed at {at}, {max(0, len(apdu) - at)} there: cut short")


def _nothing_after(apdu: bytes, at: int) -> None:
    """Padding after the value is tolerated; anything else means that the value was not what it seemed."""
    rest = apdu[at:]
    if rest.strip(b"\0") and rest.strip(b"\xff"):
        raise DecodeError("dlms-axdr", f"{len(rest)} octets after the end of the data at {at}")
