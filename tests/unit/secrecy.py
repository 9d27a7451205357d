"""Secrets that can be recognised, and the search for them in whatever was said: octets, text, hex, base64, numbers."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.security import Channel, MemoryCounter
from connectors.protocols.dlms.signing import point, private_key
from connectors.protocols.dlms.template import PullTemplate
from tests.unit.connectors.gateway.builders import (
    TITLE,
    FakeKeys,
)

OURS, METER = b"HES\0\0\0\0\1", b"MTR\0\0\0\0\2"
EK, AK, KEK = b"EK-SECRET-98zyXw", b"AK-SECRET-76vuTs", b"KEK-SECRET-54rqP"
BROADCAST, DEDICATED, NEW = b"BC-SECRET-32onMl", b"DE-SECRET-10kjIh", b"NEW-SECRET-fedCB"
PASSWORD, SIGNING, MASTER = b"PW-SECRET-20Chars-ab", b"SIG-SECRET-of-a-private-key-0123", b"MASTER-SECRET-0123456789-abcdefg"
AGREEMENT = b"AGR-SECRET-of-a-private-key-4567"
SECRETS = (EK, AK, KEK, BROADCAST, DEDICATED, NEW, PASSWORD, SIGNING, AGREEMENT, MASTER)
KEYS = Keys(EK, AK, DEDICATED, BROADCAST, KEK)
POINTS = [point(private_key(number, 1).public_key()) for number in (SIGNING, AGREEMENT)]
HELD = MeterKeys(
    EK, AK, PASSWORD, KEK, BROADCAST, signing=SIGNING, agreement=AGREEMENT, meter_signing=POINTS[0],
    meter_agreement=POINTS[1],
)  # fmt: skip
"""Everything that a key store may hold about a meter."""
STORE = FakeKeys({"ref": HELD, TITLE.hex().upper(): HELD})
_BETWEEN = re.compile(r"[\s:,\-\\x'\"b]|0x", re.ASCII)
_HALF = 10  # octets: a part of a secret is one, too


AGREED = PullTemplate(
    auth="hls-ecdsa", security="both", suite=1, ciphering="general-ciphering", key_info="one-pass", signed=True
)


def channel(**more: Any) -> Channel:
    given: dict[str, Any] = {"title": OURS, "keys": KEYS, "counter": MemoryCounter(), "peer": METER}
    return Channel(**(given | more))


def association() -> Associated:
    """One that is open."""
    return Associated(PROPOSED, 0)


def found_in(said: object) -> list[bytes]:
    """The secrets in something that was said: octets, or anything by its text."""
    octets = bytes(said) if isinstance(said, bytes | bytearray) else b""
    shown = "" if octets else str(said) if isinstance(said, str) else f"{said!r} {said}"
    packed = _BETWEEN.sub("", shown.lower())
    return [secret for secret in SECRETS if _holds(octets, shown, packed, secret)]


def _holds(octets: bytes, shown: str, packed: str, secret: bytes) -> bool:
    part = secret[:_HALF]
    digits = _BETWEEN.sub("", part.hex())
    listed = ", ".join(map(str, part))
    sealed_text = base64.b64encode(secret[:9]).decode()
    return (
        part in octets
        or part.hex().encode() in octets.lower()
        or part.decode() in shown
        or digits in packed
        or listed in shown
        or sealed_text in shown
        or str(int.from_bytes(secret, "big")) in shown
    )


def clean(*said: object) -> None:
    for one in said:
        assert found_in(one) == [], f"a secret in {type(one).__name__}"


def cases(known: dict[str, Any]) -> list[Any]:
    """The values as parameters, each under its name."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            id=name,
        )
        for name, value in known.items()
    ]
