"""What the meters of the benches push, and as whom the registry knows them: octets made by hand, to be quick."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.records import Identity, IdentityKind, Meter, MeterState, Protocol, UtilityKind

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
"""The keys of all meters of the bench: what is measured is deciphering, not keeping keys."""
KEY_REF = "bench-all"
ROWS = 2
"""Of each push of a reading: the name, which is a register too, and the energy."""
HEADER = 8
"""Octets of a wrapper's header (IEC 62056-47)."""
_ENERGY = bytes((1, 0, 1, 8, 0, 255))
_NAME = bytes((0, 0, 42, 0, 0, 255))
_STANDARD_EVENT = bytes((0, 0, 96, 11, 0, 255))
_POWER_DOWN = 1
_CONFIRMED = 0x40  # of the four octets of a long-invoke-id-and-priority: service class
_SECURED = 0x30  # authenticated and encrypted, suite 0
_UTC, _ANY_WEEKDAY = 0, 0xFF


def meter_id(number: int) -> str:
    """The name of a meter of the bench."""
    return f"push-{number:08d}"


def title_of(number: int) -> bytes:
    """Its system title."""
    return b"BEN" + number.to_bytes(5, "big")


def device_name(number: int) -> str:
    """Its logical device name."""
    return f"BEN{number:013d}"


def meter_of(number: int, name: str = "", transformer: str = "", feeder: str = "") -> Meter:
    """A meter as the registry has it."""
    identities = (
        Identity(IdentityKind.SYSTEM_TITLE, title_of(number).hex().upper()),
        Identity(IdentityKind.LOGICAL_DEVICE_NAME, device_name(number)),
    )
    return Meter(
        id=name or meter_id(number), identities=identities, utility=UtilityKind.ELECTRICITY, protocol=Protocol.DLMS,
        key_ref=KEY_REF, time_zone="Europe/Berlin", transformer=transformer, feeder=feeder, state=MeterState.NORMAL,
    )  # fmt: skip


def reading(number: int, value: int, at: datetime) -> bytes:
    """A data-notification of the logical device name and one register, its clock beside them."""
    energy = b"\x02\x03\x09\x06" + _ENERGY + b"\x06" + value.to_bytes(4, "big") + b"\x02\x02\x0f\x00\x16\x1e"
    return _notification(number, at, _named(number) + energy)


def last_gasp(number: int, at: datetime) -> bytes:
    """The same of a power down: the standard event code object (0.0.96.11.0.255) with 1."""
    event = b"\x02\x02\x09\x06" + _STANDARD_EVENT + b"\x11" + bytes((_POWER_DOWN,))
    return _notification(number, at, _named(number) + event)


def sealed(number: int, plain: bytes, counter: int) -> bytes:
    """The same in general-glo-ciphering, suite 0, authenticated and encrypted."""
    title = title_of(number)
    head = bytes((_SECURED,)) + counter.to_bytes(4, "big")
    text = AESGCM(EK).encrypt(title + counter.to_bytes(4, "big"), plain, bytes((_SECURED,)) + AK)
    content = head + text[:-4]  # a tag of twelve octets
    return b"\xdb\x08" + title + _length(len(content)) + content


def framed(apdu: bytes) -> bytes:
    """In a wrapper, from the management device to the push client."""
    return struct.pack(">HHHH", 1, 1, 103, len(apdu)) + apdu


def second_of(ms: int) -> datetime:
    """A time in whole seconds, as meters tell it."""
    return datetime.fromtimestamp(ms // 1_000, UTC)


def acknowledged(buffer: bytes) -> tuple[int, bytes]:
    """How many whole answers there are, and the octets after them."""
    at = answers = 0
    while len(buffer) - at >= HEADER and len(buffer) - at >= (size := HEADER + int.from_bytes(buffer[at + 6 : at + 8])):
        at += size
        answers += 1
    return answers, buffer[at:]


def _notification(number: int, at: datetime, values: bytes) -> bytes:
    invoke = (_CONFIRMED << 24 | number & 0xFFFFFF).to_bytes(4, "big")
    day = at.year, at.month, at.day, _ANY_WEEKDAY
    when = struct.pack(">HBBBBBBBhB", *day, at.hour, at.minute, at.second, 0, _UTC, 0)
    return b"\x0f" + invoke + b"\x0c" + when + b"\x02\x02" + values


def _named(number: int) -> bytes:
    name = device_name(number).encode()
    return b"\x02\x02\x09\x06" + _NAME + b"\x09" + bytes((len(name),)) + name


def _length(octets: int) -> bytes:
    return bytes((octets,)) if octets < 0x80 else b"\x81" + bytes((octets,))
