"""What a push says: `Telegram`, its values, and both as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from connectors.protocols.dlms.axdr import Array, BitString, DateOctets, Structure, TimeOctets, Value
from connectors.protocols.dlms.cosem import CLOCK, MeterTime, try_datetime

Scalar: TypeAlias = "int | float | str | None"


@dataclass(frozen=True, slots=True)
class TelegramValue:
    """One attribute's value. value = raw * 10**scaler; scaler and unit are None where neither telegram nor template say."""

    obis: str
    raw: Scalar
    attribute: int = 2
    class_id: int | None = None
    scaler: int | None = None
    unit: str | None = None
    octets: bytes | None = None
    """The octets as sent, where the value is octets or a bit-string."""
    time: MeterTime | None = None
    """The value's own time, where it has one (an event's), or the time it is (a clock's)."""


@dataclass(frozen=True, slots=True)
class PushedProfile:
    """Rows of a profile's buffer. `times[i]` is what row i's clock column says, None where the row leaves it out."""

    obis: str
    columns: tuple[TelegramValue, ...]
    """The capture objects; `raw` is None, scaler and unit as far as known."""
    rows: tuple[tuple[Scalar, ...], ...]
    times: tuple[MeterTime | None, ...]


@dataclass(frozen=True, slots=True)
class Telegram:
    """One push, read."""

    transport: str
    apdu: str
    """"data-notification" or "event-notification"; "p1" for a P1 port's text, "data" for a body without its APDU."""
    values: tuple[TelegramValue, ...]
    layout: str
    source: str
    """class/OBIS/attribute of what was pushed (a push setup, an event's object), else the layout's name."""
    plain: bytes
    """The APDU, deciphered."""
    system_title: str | None = None
    """Upper-case hex; only of a ciphered push."""
    invocation_counter: int | None = None
    security: int | None = None
    """The security control byte; None where the push was in clear."""
    authenticated: bool = False
    """Its tag was verified: nobody but the holder of the meter's keys wrote it."""
    meter_time: MeterTime | None = None
    """The notification's own time."""
    confirmed: bool = False
    """The meter asks for a data-notification confirm."""
    invoke_id: int | None = None
    list_id: str | None = None
    unnamed: tuple[Scalar, ...] = ()
    """What stood in the body without a name, in order: kept, since a template may know it."""
    profiles: tuple[PushedProfile, ...] = ()

    @property
    def clock(self) -> MeterTime | None:
        """When the values were: the notification's time, else the value of a clock object."""
        if self.meter_time is not None:
            return self.meter_time
        return next((v.time for v in self.values if v.time is not None and is_clock(v.obis)), None)


@dataclass(frozen=True, slots=True)
class TelegramError:
    """A telegram that could not be read: `code` of `errors.CODES`, a sentence, and the bytes concerned."""

    code: str
    detail: str
    data: bytes
    transport: str = "UNKNOWN"
    system_title: str | None = None
    unnamed: tuple[Scalar, ...] = field(default=(), repr=False)
    """What it holds, where that could be read and nothing says what it is (`errors.LayoutError`)."""

    def to_json(self) -> dict[str, Any]:
        """What `hes decode` prints instead of the telegram."""
        out: dict[str, Any] = {
            "transport": self.transport,
            "system_title": self.system_title,
            "error": {"code": self.code, "detail": self.detail},
        }
        return out | ({"unnamed": list(self.unnamed)} if self.unnamed else {})


def is_clock(code: str) -> bool:
    """Whether the OBIS is a clock's, of any channel: 0.x.1.0.0.255."""
    groups = code.split(".")
    return groups[0] == "0" and groups[2:] == CLOCK.split(".")[2:]


def scalar(value: Value, *, deviation_reversed: bool = False) -> Scalar:
    """One value as the number or text that it is.

    Octets are a date-time in ISO 8601 where twelve of them are one, text where all is printable ASCII (trailing NULs are
    padding), else upper-case hex. Bits are "0" and "1", the first first; a structure or array is JSON text; a float that is
    no number is absent.
    """
    if isinstance(value, (Structure, Array)):
        return json.dumps(_nested(value, deviation_reversed), separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, bytes):
        return _text(value, deviation_reversed)
    if isinstance(value, BitString):
        return "".join(f"{octet:08b}" for octet in value.value)[: value.length]
    if isinstance(value, str):
        return value.rstrip("\0")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is None else int(value)


def octets_of(value: Value) -> bytes | None:
    """The octets as sent of an octet-string, a text or a bit-string."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, BitString):
        return value.value
    return value.encode() if isinstance(value, str) else None


def _nested(value: Value, deviation_reversed: bool) -> Any:
    if isinstance(value, (Structure, Array)):
        return [_nested(item, deviation_reversed) for item in value]
    return scalar(value, deviation_reversed=deviation_reversed)


def _text(octets: bytes, deviation_reversed: bool) -> str:
    if len(octets) == 12 and (time := try_datetime(octets, deviation_reversed=deviation_reversed)):
        return time.iso
    if isinstance(octets, DateOctets) and 0xFF not in octets[:4]:
        return f"{octets[0] << 8 | octets[1]:04}-{octets[2]:02}-{octets[3]:02}"
    if isinstance(octets, TimeOctets) and 0xFF not in octets[:3]:
        return "{:02}:{:02}:{:02}".format(*octets[:3])
    stripped = octets.rstrip(b"\0") if octets.strip(b"\0") else octets
    if stripped.isascii() and (text := stripped.decode("ascii")).isprintable():
        return text
    return octets.hex().upper()


def scaled(raw: Scalar, scaler: int | None) -> Scalar:
    """The value, raw * 10**scaler, exact in decimal before it becomes a float. None where no float can hold it."""
    if not scaler or isinstance(raw, str) or raw is None:
        return raw
    if isinstance(raw, int) and 0 < scaler <= 18:
        return raw * int(10**scaler)
    value = float(Decimal(raw).scaleb(scaler)) if isinstance(raw, int) else raw * 10.0**scaler
    return value if math.isfinite(value) else None


def to_json(telegram: Telegram | TelegramError) -> dict[str, Any]:
    """The object that `hes decode` prints for a telegram, or for one that could not be read."""
    if isinstance(telegram, TelegramError):
        return telegram.to_json()
    out: dict[str, Any] = {
        "transport": telegram.transport,
        "apdu": telegram.apdu,
        "system_title": telegram.system_title,
        "meter_time": telegram.meter_time.iso if telegram.meter_time else None,
        "layout": telegram.layout,
        "source": telegram.source,
        "values": [_value_json(value) for value in telegram.values],
    }
    if telegram.invocation_counter is not None:
        out["invocation_counter"] = telegram.invocation_counter
    if telegram.list_id is not None:
        out["list_id"] = telegram.list_id
    if telegram.unnamed:
        out["unnamed"] = list(telegram.unnamed)
    if telegram.profiles:
        out["profiles"] = [
            {
                "obis": profile.obis,
                "columns": [column.obis for column in profile.columns],
                "rows": [list(row) for row in profile.rows],
            }
            for profile in telegram.profiles
        ]
    return out


def _value_json(value: TelegramValue) -> dict[str, Any]:
    out: dict[str, Any] = {
        "obis": value.obis,
        "raw": value.raw,
        "scaler": value.scaler,
        "unit": value.unit,
        "value": scaled(value.raw, value.scaler),
    }
    if value.attribute != 2:
        out["attribute"] = value.attribute
    if value.time is not None and not is_clock(value.obis):
        out["time"] = value.time.iso
    return out
