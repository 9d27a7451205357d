"""Sessions with logical names over short ones: what jDLMS answered to what we asked, and high level security with gurux."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gurux_dlms.enums import DataType
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.access import access
from connectors.protocols.dlms.action import Method, invoke, invoke_list
from connectors.protocols.dlms.association import PROPOSED_SHORT_NAMES, Associated, Conformance, associate, release
from connectors.protocols.dlms.client import read_clock, read_registers
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.get import Attribute, ByEntry, get, get_list
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.put import put, put_list
from connectors.protocols.dlms.security import MemoryCounter
from connectors.protocols.dlms.short_name_session import by_short_names
from connectors.protocols.dlms.speaking import spoken
from connectors.protocols.dlms.template import PullTemplate
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair, SecureMeter

NAMES = (
    "0c010001070204102000120008110009060000010000ff0204101000120001110009060000600100ff0204103000120003110009060100010800"
    "ff020410fa0012000c110409060000280000ff020410fb00120011110009060000290000ff020410fd001200011100090600002a0000ff"
    "02041000001200401100090600002b0000ff"
)
JDLMS = {
    "050102fa08": NAMES,
    "0503023008021008023010": "0c030006075bcd1500090b48455330303030303034320002020fff161e",
    "0501022008": "0c0100090c07e6070c0210361e00ff8880",
    "0501023008": "0c010006075bcd15",
    "0503023008021008021000": "0c030006075bcd150104",
}
"""Whole conversations with jDLMS 1.8.0 (tests/peers/jdlms, ShortNames), but for the last, which is cut short."""
CLOCK, NAME, ENERGY = (Attribute(*of) for of in ((8, "0.0.1.0.0.255", 2), (1, "0.0.96.1.0.255", 2), (3, "1.0.1.8.0.255", 2)))
ABSENT = Attribute(1, "0.0.96.9.0.255", 2)


def link(max_send_pdu: int = 0) -> Associated:
    """As an association with short names gives it."""
    agreed = Associated(PROPOSED_SHORT_NAMES, max_send_pdu)
    services = PROPOSED_SHORT_NAMES | Conformance.GET | Conformance.SET | Conformance.ACTION | Conformance.SELECTIVE_ACCESS
    return Associated(services, 0, short=agreed)


def asked(answers: dict[str, str]) -> tuple[list[str], Callable[[bytes], bytes]]:
    """What was asked, and a meter that answers what it knows."""
    said: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        said.append(apdu.hex())
        return bytes.fromhex(answers[apdu.hex()])

    return said, exchange


def test_registers_of_jdlms() -> None:
    opened, (said, exchange) = link(), asked(JDLMS)
    readings = drive(by_short_names(read_registers(opened, [ENERGY, NAME, ABSENT]), opened), exchange)
    assert [(reading.value, reading.scaler, reading.unit) for reading in readings[:2]] == [
        (123456789, -1, "Wh"), ("HES00000042", None, ""),
    ]  # fmt: skip
    assert "object-undefined" in str(readings[2].refusal)
    time = drive(by_short_names(read_clock(opened), opened), exchange)
    assert time is not None
    assert time.iso == "2022-07-12T16:54:30+02:00"
    assert said == ["050102fa08", "0503023008021008023010", "0501022008"]  # the names once


def test_the_object_list() -> None:
    opened, (said, exchange) = link(), asked(JDLMS)
    objects = drive(by_short_names(read_object_list(opened), opened), exchange)
    assert [(entry.class_id, entry.version, entry.obis) for entry in objects][:4] == [
        (8, 0, "0.0.1.0.0.255"), (1, 0, "0.0.96.1.0.255"), (3, 0, "1.0.1.8.0.255"), (12, 4, "0.0.40.0.0.255"),
    ]  # fmt: skip
    assert said == ["050102fa08"]


def test_names_that_are_known_are_not_asked_for() -> None:
    first, second = link(), link()
    said, exchange = asked(JDLMS)
    drive(by_short_names(get(first, ENERGY), first), exchange)
    second.names = first.names
    drive(by_short_names(get(second, ENERGY), second), exchange)
    assert said == ["050102fa08", "0501023008", "0501023008"]


@pytest.mark.parametrize(
    ("session", "expected", "answer", "result"),
    [
        pytest.param(lambda on: get(on, ENERGY, ByEntry(1, 2)), "05010430080202040600000001060000000212000112",
                     "0c01000905aabbccddee", b"\x09\x05\xaa\xbb\xcc\xdd\xee", id="selective-access"),
        pytest.param(lambda on: put(on, NAME, b"\x11\x05"), "06010210080111", "0d0100", None, id="set"),
        pytest.param(lambda on: invoke(on, Method(8, "0.0.1.0.0.255", 1), b"\x0f\x00"), "0601022060010f00", "0d0100", None,
                     id="method-that-returns-nothing"),
        pytest.param(lambda on: invoke(on, Method(12, "0.0.40.0.0.255", 8), b"\x09\x00"), "050104fa58000900", "0c01000901aa",
                     b"\x09\x01\xaa", id="method-that-returns"),
    ],
)  # fmt: skip
def test_services(session: Callable[[Associated], Any], expected: str, answer: str, result: object) -> None:
    opened, said = link(), list[str]()

    def exchange(apdu: bytes) -> bytes:
        said.append(apdu.hex())
        return bytes.fromhex(NAMES if apdu.hex() == "050102fa08" else answer)

    assert drive(by_short_names(session(opened), opened), exchange) == result
    assert said[1].startswith(expected)


@pytest.mark.parametrize(
    ("session", "code", "says"),
    [
        pytest.param(lambda on: get(on, ABSENT), "peer-access", "object-undefined", id="object-that-is-not-there"),
        pytest.param(lambda on: get(on, NAME), "peer-access", "read-write-denied", id="get-refused"),
        pytest.param(lambda on: put(on, NAME, b"\x11\x05"), "peer-access", "read-write-denied", id="set-refused"),
        pytest.param(lambda on: invoke(on, Method(8, "0.0.1.0.0.255", 1), b"\x0f\x00"), "peer-action", "read-write-denied",
                     id="method-refused"),
        pytest.param(lambda on: put(on, NAME, b"\x11\x05", ByEntry(1)), "peer-unexpected", "write the whole",
                     id="a-part-is-set"),
    ],
)  # fmt: skip
def test_refusals_are_those_of_logical_names(session: Callable[[Associated], Any], code: str, says: str) -> None:
    opened = link()

    def exchange(apdu: bytes) -> bytes:
        if apdu.hex() == "050102fa08":
            return bytes.fromhex(NAMES)
        return bytes.fromhex("0c010103" if apdu[0] == 5 else "0d010103")

    with pytest.raises(PeerError, match=says) as caught:
        drive(by_short_names(session(opened), opened), exchange)
    assert caught.value.code == code


def test_a_list_is_written_one_by_one() -> None:
    opened, said = link(), list[str]()
    answers = iter(("0d0100", "0d010103"))

    def exchange(apdu: bytes) -> bytes:
        said.append(apdu.hex())
        return bytes.fromhex(NAMES if apdu.hex() == "050102fa08" else next(answers))

    items = [(NAME, b"\x11\1"), (ENERGY, b"\x06\0\0\0\2"), (ABSENT, b"\x11\3")]
    done, refused, absent = drive(by_short_names(put_list(opened, items), opened), exchange)
    assert done is None
    assert "read-write-denied" in str(refused)
    assert "object-undefined" in str(absent)
    assert said[1:] == ["0601021008011101", "06010230080106" + "00000002"]


def test_methods_go_one_by_one() -> None:
    opened = link()

    def exchange(apdu: bytes) -> bytes:
        return bytes.fromhex(NAMES if apdu.hex() == "050102fa08" else "0d0100")

    adjust = Method(8, "0.0.1.0.0.255", 1), b"\x0f\0"
    assert drive(by_short_names(invoke_list(opened, [adjust, adjust]), opened), exchange) == (None, None)


@pytest.mark.parametrize("size", [64, 300], ids=lambda n: f"pdu-{n}")
def test_what_is_longer_than_the_meter_takes_is_cut(size: int) -> None:
    opened, written = link(size), list[bytes]()

    def exchange(apdu: bytes) -> bytes:
        assert len(apdu) <= size
        if apdu.hex() == "050102fa08":
            return bytes.fromhex(NAMES)
        written.append(apdu)
        return bytes.fromhex("0d0100") if apdu[3] else b"\x0d\x01\x02" + apdu[4:6]

    drive(by_short_names(put(opened, NAME, b"\x09\x82\x03\xe8" + bytes(1000)), opened), exchange)
    assert len(written) > 1000 // size


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_answer_raises_but_our_own(answers: list[bytes]) -> None:
    opened, left = link(), iter([bytes.fromhex(NAMES), *answers])
    assert code_of(lambda: drive(by_short_names(get_list(opened, [ENERGY, NAME]), opened), lambda _: next(left, b""))) in (
        None, *CODES,
    )  # fmt: skip


# -- the whole of it, as the gateway and the probe speak -----------------------------------------------------------------


def meter(policy: int, suite: int = 0) -> SecureMeter:
    size = 32 if suite == 2 else 16
    made = SecureMeter(
        GuruxMeter([data("0.0.96.1.0.255", b"x", DataType.OCTET_STRING)]),
        ek=bytes(size),
        ak=bytes(range(size)),
        suite=suite,
        policy=policy,
        secret=b"secret",
    )
    made.short = lambda plain: bytes.fromhex(JDLMS[plain.hex()])
    return made


@pytest.mark.parametrize(
    ("asked_for", "policy"),
    [
        pytest.param({"auth": "hls-md5"}, 0, id="md5-in-clear"),
        pytest.param({"auth": "hls-sha256", "security": "both"}, 0x30, id="sha256-ciphered"),
        pytest.param({"auth": "hls-gmac"}, 0, id="gmac-in-clear"),
        pytest.param({"auth": "hls-gmac", "security": "both"}, 0x30, id="gmac-ciphered"),
        pytest.param({"auth": "hls-gmac", "security": "both", "suite": 2}, 0x30, id="gmac-suite-2"),
        pytest.param({"auth": "hls-gmac", "security": "both", "dedicated": True}, 0x30, id="dedicated"),
        pytest.param({"auth": "hls-ecdsa", "security": "both", "suite": 1}, 0x30, id="ecdsa-ciphered"),
    ],
)
def test_high_level_security(asked_for: dict[str, Any], policy: int) -> None:
    pull = PullTemplate(referencing="sn", **asked_for)
    there, ours = meter(policy, pull.suite), CurvePair(1)
    there.pair, there.client_point = CurvePair(1), ours.point
    held = MeterKeys(there.ek, there.ak, b"secret", signing=ours.octets, meter_signing=there.pair.point)
    config = access(pull, held, CLIENT_TITLE, METER_TITLE).association(MemoryCounter(7))
    opened = drive(spoken(associate(config), config), there.exchange)
    assert drive(spoken(get(opened, ENERGY), config, opened), there.exchange) == b"\x06\x07\x5b\xcd\x15"
    drive(spoken(release(config), config, opened), there.exchange)


def test_a_meter_that_cannot_prove_itself() -> None:
    there = meter(0x30)
    there.alter_proof = lambda proof: bytes(len(proof))
    held = MeterKeys(there.ek, there.ak)
    config = access(PullTemplate(referencing="sn", auth="hls-gmac", security="both"), held, CLIENT_TITLE).association(
        MemoryCounter()
    )
    with pytest.raises(DlmsError) as caught:
        drive(spoken(associate(config), config), there.exchange)
    assert caught.value.code == "peer-authentication"
