"""Keys, a channel and a meter that has them, and a request with its answer in clear."""

from __future__ import annotations

from gurux_dlms.enums import DataType

from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.security import BOTH, Channel, MemoryCounter
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, data
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, SecureMeter

EK, AK = bytes(range(0x10)), bytes(range(0xD0, 0xE0))
BOOK = Keys(EK, AK)
"""Of the standard's examples."""
NAME, OTHER = Attribute(1, "0.0.96.1.0.255", 2), Attribute(1, "0.0.96.1.1.255", 2)
GET = bytes.fromhex("C001C100010000600100FF0200")
ANSWER = bytes.fromhex("C401C1001100")


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def keys(suite: int = 0) -> Keys:
    size = 32 if suite == 2 else 16
    return Keys(bytes(range(1, size + 1)), bytes(range(0x80, 0x80 + size)), suite=suite)


def channel(**given: object) -> Channel:
    arguments = {"title": CLIENT_TITLE, "keys": keys(), "counter": MemoryCounter(7), "peer": METER_TITLE} | given
    return Channel(**arguments)  # type: ignore[arg-type]  # a table of arguments of several types


def meter(suite: int = 0, policy: int = BOTH) -> SecureMeter:
    held = keys(suite)
    assert held.ak is not None
    objects = [data("0.0.96.1.0.255", b"HES42", DataType.OCTET_STRING), data("0.0.96.1.1.255", 7, DataType.UINT32)]
    inner = GuruxMeter([*objects, data("0.0.43.1.0.255", 4711, DataType.UINT32)])
    return SecureMeter(inner, ek=held.ek, ak=held.ak, suite=suite, policy=policy, secret=b"12345678")


def assert_masked(error: BaseException) -> None:
    held = keys()
    for text in (str(error), repr(error), repr(vars(error))):
        for key in (held.ek, held.ak or b"", EK, AK):
            assert key.hex() not in text.lower()
            assert repr(key)[2:-1] not in text
