"""The text of a P1 port (IEC 62056-21 mode D; DSMR 4 and 5, e-MUCS): what some meters cipher as DLMS instead of an APDU.

    /ISK5-2M550T-1012 CR LF CR LF  1-0:1.8.0(000123.456*kWh) CR LF …  !9F2C CR LF

Luxembourg's and some Austrian meters send it under general-glo. Numbers keep their digits: 000123.456*kWh is 123456 with
scaler 0 and unit Wh. The checksum behind the exclamation mark (CRC-16, reflected, polynomial 8005) is verified where it is.
"""

from __future__ import annotations

import re
from datetime import datetime

from connectors.protocols.dlms.cosem import CLOCK, MeterTime
from connectors.protocols.dlms.errors import DecodeError, FramingError
from connectors.protocols.dlms.telegram import Scalar, Telegram, TelegramValue

_HEAD = re.compile(rb"\s*/[A-Za-z]{3}[0-9A-Za-z]")
_END = re.compile(rb"\r?\n!([0-9A-Fa-f]{4})?[^\S\r\n]*(?=[\r\n\0]|$)")
_LINE = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*](\d{1,3}))?((?:\([^()]*\))+)")
_GROUP = re.compile(r"\(([^()]*)\)")
_NUMBER = re.compile(r"([+-]?\d{1,18})(?:\.(\d{1,9}))?(?:\*([A-Za-z0-9³/°%]{1,8}))?")
_TIME = re.compile(r"(\d{12})([SW]?)")
_TEXT = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_CIPHERED = re.compile(rb"\s*/[^\r\n]*\r?\n\r?\n(?:\xdb\x08.{8}|\x00)\x82", re.DOTALL)
_PREFIXES = {"k": 3, "M": 6}
_UNITS = {"Wh", "W", "varh", "var", "VAh", "VA", "V", "A", "Hz", "°C", "%", "GJ", "s", "min"}
_CUBIC = {"m3": "m³", "m3/h": "m³/h", "dm3": "l"}
_CODED = (".96.1.", ".96.13.")  # identifiers and messages are hex of their octets
_SUMMER = 0x80


def is_p1(octets: bytes) -> bool:
    """Whether `octets` begin as the text of a P1 port: a slash and a maker's three letters."""
    return _HEAD.match(octets) is not None


def read_p1(octets: bytes, transport: str = "RAW", *, whole: bool = False) -> tuple[Telegram, int]:
    """The telegram that `octets` begin with, and the index after it. `whole` octets may leave its end out: all are there.

    Raises FramingError "frame-truncated" without its end, "frame-checksum" where its checksum is another one, and
    DecodeError "dlms-layout-unknown" where it holds no value.
    """
    if _CIPHERED.match(octets):
        why = "the head of a P1 telegram with ciphered octets behind it: give those alone, from their DB on"
        raise FramingError("frame-malformed", why)
    end = _END.search(octets)
    if end is None and not whole:
        raise FramingError("frame-truncated", "a P1 telegram without its end, an exclamation mark: the rest did not come")
    start = octets.index(b"/")
    mark, after = (len(octets), len(octets)) if end is None else (octets.index(b"!", end.start()), end.end())
    if end is not None and end.group(1) and _crc(octets[start : mark + 1]) != int(end.group(1), 16):
        raise FramingError("frame-checksum", "the checksum of a P1 telegram does not match: characters changed on the link")
    lines = octets[start:mark].decode("ascii", "replace").splitlines()
    values = [value for line in lines[1:] if (value := _value(line.strip())) is not None]
    if not values:
        raise DecodeError("dlms-layout-unknown", f"a P1 telegram of {len(lines)} lines, none of them a value with its name")
    clock = next((value.time for value in values if value.obis == CLOCK), None)
    name = lines[0][1:].strip()
    return Telegram(transport, "p1", tuple(values), "p1", "p1", octets[start:after], meter_time=clock, list_id=name), after


def _value(line: str) -> TelegramValue | None:
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    groups = [group if group is not None else "255" for group in found.groups()[:6]]
    if any(int(group) > 0xFF for group in groups):
        return None
    code = ".".join(str(int(group)) for group in groups)
    given = _GROUP.findall(found.group(7))
    times = [time for text in given if (time := _time(text)) is not None]
    # A device on the M-Bus says when it measured before what; a log (of power failures) has several of both
    if len(given) > (2 if times else 1):
        return TelegramValue(code, "".join(f"({text})" for text in given))
    raw, scaler, unit = _scalar(given[-1], code)
    return TelegramValue(code, raw, scaler=scaler, unit=unit, time=times[0] if times else None)


def _scalar(text: str, code: str) -> tuple[Scalar, int | None, str | None]:
    """A number with its unit as raw, scaler and unit; anything else as text."""
    time, number = _time(text), _NUMBER.fullmatch(text)
    if time is not None:
        return time.iso, None, None
    if number is None or (number.group(3) is None and number.group(2) is None):
        coded = _TEXT.fullmatch(text) if any(part in code for part in _CODED) else None
        decoded = bytes.fromhex(text) if coded else b""
        return (decoded.decode() if decoded and decoded.isascii() and decoded.decode().isprintable() else text), None, None
    whole, part, unit = number.groups()
    symbol, shift = _unit(unit or "")
    return int(whole + (part or "")), shift - len(part or ""), symbol


def _unit(text: str) -> tuple[str | None, int]:
    if text in _CUBIC:
        return _CUBIC[text], 0
    if text[:1] in _PREFIXES and text[1:] in _UNITS:
        return text[1:], _PREFIXES[text[0]]
    return text or None, 0


def _time(text: str) -> MeterTime | None:
    """YYMMDDhhmmss and S (summer) or W (winter); None where it is no time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        local = datetime.strptime(found.group(1), "%y%m%d%H%M%S")
    except ValueError:
        return None
    status = {"S": _SUMMER, "W": 0}.get(found.group(2))
    return MeterTime(local.isoformat(), local, None, status) if found.group(2) else None


def _crc(octets: bytes) -> int:
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
