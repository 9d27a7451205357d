"""Meters, telegrams and a pipeline for the tests of the gateway. Telegrams are written octet by octet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.gateway.directory import Change, Directory
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.pipeline import Pipeline
from connectors.protocols.dlms.ciphering import Keys, cipher
from connectors.templates.loader import load_templates
from schemas.records import Identity, IdentityKind, Meter, MeterState

NOW = 1_700_000_000_000
ENDPOINT = "10.0.0.7:41000"
TITLE = bytes.fromhex("4B414D1122334455")
EK, AK = bytes(range(16)), bytes(range(16, 32))
SERIAL = "84895126"
TIME = bytes.fromhex("07E7 0401 06 0E302F00 8000 FF".replace(" ", ""))
"""2023-04-01T14:48:47, without deviation."""
TIME_MS = 1_680_360_527_000
ENERGY = "1.0.1.8.0.255"


def meter(meter_id: str = "m1", *identities: Identity, **more: Any) -> Meter:
    """A registered meter, by default the one with serial `SERIAL`."""
    known = identities or (Identity(IdentityKind.SERIAL, SERIAL),)
    return Meter(**({"id": meter_id, "identities": known, "state": MeterState.NORMAL} | more))


def title(octets: bytes = TITLE) -> Identity:
    """A system title as an identity."""
    return Identity(IdentityKind.SYSTEM_TITLE, octets.hex().upper())


def directory(*meters: Meter) -> Directory:
    """The directory with these meters."""
    known = Directory()
    known.apply([Change(item.id, item) for item in meters])
    return known


@dataclass
class FakeKeys:
    """Keys in a dict; `later` are there after the first refresh."""

    known: dict[str, MeterKeys] = field(default_factory=dict)
    later: dict[str, MeterKeys] = field(default_factory=dict)

    def get(self, ref: str) -> MeterKeys | None:
        return self.known.get(ref)

    def refresh(self) -> bool:
        changed = bool(self.later)
        self.known |= self.later
        self.later = {}
        return changed


def pipeline(*meters: Meter, keys: Mapping[str, MeterKeys] | FakeKeys | None = None, announce: int = 100) -> Pipeline:
    """A pipeline that knows these meters and keys, with the templates that ship."""
    store = keys if isinstance(keys, FakeKeys) else FakeKeys(dict(keys or {}))
    return Pipeline(directory(*meters), store, load_templates(), announce=announce)


def named(obis: str, value: bytes, scaler_unit: str = "02020F00161E") -> bytes:
    """A structure {OBIS, value, scaler-unit}: Wh unless told."""
    parts = bytes.fromhex(scaler_unit)
    head = b"\x02\x03" if parts else b"\x02\x02"
    return head + b"\x09\x06" + bytes(int(group) for group in obis.split(".")) + value + parts


def long(value: int) -> bytes:
    """A double-long-unsigned."""
    return b"\x06" + value.to_bytes(4, "big")


def text(value: str) -> bytes:
    """An octet-string."""
    return b"\x09" + bytes((len(value),)) + value.encode()


def notification(*elements: bytes, time: bytes = TIME, invoke_id: int = 1) -> bytes:
    """A data-notification with a structure of these elements."""
    head = b"\x0f" + invoke_id.to_bytes(4, "big") + bytes((len(time),)) + time
    return head + b"\x02" + bytes((len(elements),)) + b"".join(elements)


def reading(serial: str = SERIAL, value: int = 1234, **more: Any) -> bytes:
    """A push of a serial number and an energy."""
    return notification(named("0.0.96.1.0.255", text(serial), ""), named(ENERGY, long(value)), **more)


def sealed(plain: bytes, counter: int = 1, system_title: bytes = TITLE, ek: bytes = EK) -> bytes:
    """The same as general-glo, authenticated and encrypted."""
    return cipher(plain, Keys(ek, AK), system_title, counter)


def wrapped(apdu: bytes, source: int = 1, destination: int = 102) -> bytes:
    """An APDU in the wrapper of IEC 62056-47."""
    return b"".join(n.to_bytes(2, "big") for n in (1, source, destination, len(apdu))) + apdu
