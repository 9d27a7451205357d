"""The object list of gurux' server, and of scripted answers."""

from __future__ import annotations

import json

import pytest
from gurux_dlms.enums import DataType, Unit

from connectors.protocols.dlms.association import PROPOSED, PROPOSED_SHORT_NAMES, Associated
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.object_list import (
    ObjectEntry,
    ObjectList,
    Right,
    read_object_list,
    read_short_name_list,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import data, drive, register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Image, ObjectMeter, Relay


def meter(**modes: int) -> ObjectMeter:
    objects = [Relay(), Image(), register("1.0.1.8.0.255", 5, 1, Unit.ACTIVE_ENERGY)]
    objects.append(data("0.0.96.1.0.255", b"1", DataType.OCTET_STRING))
    return ObjectMeter(objects, modes={name.replace("_", "."): mode for name, mode in modes.items()})


@pytest.mark.parametrize("size", [0xFFFF, 100], ids=["at-once", "in-blocks"])
def test_gurux(size: int) -> None:
    peer = meter()
    found = drive(read_object_list(peer.link(size)), peer.exchange)
    names = [(entry.class_id, entry.obis) for entry in found]
    assert names == [
        (70, "0.0.96.3.10.255"),
        (18, "0.0.44.0.0.255"),
        (3, "1.0.1.8.0.255"),
        (1, "0.0.96.1.0.255"),
        (15, "0.0.40.0.0.255"),
    ]
    relay = found.find("0.0.96.3.10.255")
    assert relay is not None
    assert [right.index for right in relay.attributes] == [1, 2, 3, 4]
    assert [(right.index, right.callable) for right in relay.methods] == [(1, True), (2, True)]
    assert found.may_read(Attribute(3, "1.0.1.8.0.255", 2)) is True
    assert found.may_read(Attribute(3, "1.0.1.8.0.255", 9)) is None
    assert found.may_read(Attribute(3, "1.0.9.8.0.255", 2)) is False


def test_rights_of_single_objects() -> None:
    peer = ObjectMeter([Relay(), Image()], modes={"0.0.96.3.10.255": 1, "0.0.44.0.0.255": 2})
    found = drive(read_object_list(peer.link()), peer.exchange)
    relay, image = found.objects[:2]
    assert [(r.readable, r.writable, r.text()) for r in relay.attributes[:1]] == [(True, False, "read")]
    assert [(r.readable, r.writable, r.text()) for r in image.attributes[:1]] == [(False, True, "write")]


def test_json_goes_on_a_line() -> None:
    peer = meter()
    found = drive(read_object_list(peer.link()), peer.exchange)
    line = json.loads(json.dumps(found.to_json()[0]))
    assert line == {
        "class": 70,
        "version": 1,
        "obis": "0.0.96.3.10.255",
        "attributes": {str(n): "read-write" for n in (1, 2, 3, 4)},
        "methods": {"1": "access", "2": "access"},
    }


def test_matching() -> None:
    entries = [ObjectEntry(72, 1, f"0.{b}.24.1.0.255") for b in (1, 2)] + [ObjectEntry(4, 0, "0.1.24.2.1.255")]
    found = ObjectList(tuple(entries))
    assert [entry.obis for entry in found.matching("0.*.24.1.0.255")] == ["0.1.24.1.0.255", "0.2.24.1.0.255"]
    assert [entry.class_id for entry in found.matching(class_id=4)] == [4]
    assert found.find("0.1.24.2.1.255", 3) is None


@pytest.mark.parametrize(
    ("right", "read", "write", "text"),
    [
        pytest.param(Right(2, 0), False, False, "none", id="none"),
        pytest.param(Right(2, 4), True, False, "authenticated read", id="authenticated-read"),
        pytest.param(Right(2, 6), True, True, "authenticated read-write", id="authenticated-both"),
        pytest.param(Right(2, 5, bits=True), True, False, "read, authenticated request", id="bits"),
        pytest.param(
            Right(2, 0x6F, bits=True),
            True,
            True,
            "read-write, authenticated request, encrypted request, authenticated response, encrypted response",
            id="all-but-signed",
        ),
    ],
)
def test_rights(right: Right, read: bool, write: bool, text: str) -> None:
    assert (right.readable, right.writable, right.text()) == (read, write, text)


ROW = (
    "02 04 12 00 0F 11 {version} 09 06 00 00 28 00 00 FF"
    " 02 02 01 01 02 03 0F 02 16 {mode} {selectors} 01 01 02 02 0F 01 {method}"
)


def listed(version: str = "01", mode: str = "01", selectors: str = "00", method: str = "16 01") -> ObjectEntry:
    row = ROW.format(version=version, mode=mode, selectors=selectors, method=method)
    answer = bytes.fromhex("C4 01 C1 00 01 01" + row)
    return drive(read_object_list(Associated(PROPOSED, 0)), lambda _: answer).objects[0]


@pytest.mark.parametrize(
    ("entry", "right", "method"),
    [
        pytest.param(listed(), Right(2, 1), Right(1, 1), id="enum"),
        pytest.param(listed("03", "05"), Right(2, 5, bits=True), Right(1, 1, bits=True), id="bits-by-version"),
        pytest.param(listed("01", "6F"), Right(2, 0x6F, bits=True), Right(1, 1, bits=True), id="bits-by-value"),
        pytest.param(listed(selectors="01 02 0F 01 0F 02"), Right(2, 1, selectors=(1, 2)), Right(1, 1), id="selectors"),
        pytest.param(listed("00", method="03 01"), Right(2, 1), Right(1, 1), id="boolean-of-version-0"),
    ],
)
def test_forms(entry: ObjectEntry, right: Right, method: Right) -> None:
    assert (entry.attributes, entry.methods) == ((right,), (method,))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("11 05", "object-shape", id="a-number"),
        pytest.param("01 01 11 05", "object-shape", id="row-is-a-number"),
        pytest.param("01 01 02 02 12 00 01 11 00", "object-shape", id="row-too-short"),
        pytest.param("01 01 02 03 12 00 01 11 00 09 05 00 00 01 00 00", "object-shape", id="obis-of-five"),
        pytest.param("01 82 27 11" + " 00" * 10_001, "object-shape", id="too-many"),
        pytest.param("01 82 27 11", "dlms-truncated", id="too-many-announced"),
        pytest.param("01 00 00", "dlms-axdr", id="octets-after"),
    ],
)
def test_refused(answer: str, code: str) -> None:
    octets = bytes.fromhex("C4 01 C1 00 " + answer)
    with pytest.raises(DecodeError) as raised:
        drive(read_object_list(Associated(PROPOSED, 0)), lambda _: octets)
    assert raised.value.code == code


def test_short_names() -> None:
    association = "02 04 10 FA 00 12 00 0C 11 02 09 06 00 00 28 00 00 FF"
    clock_row = "02 04 10 2B C0 12 00 08 11 00 09 06 00 00 01 00 00 FF"
    answers = [
        f"0C 01 00 01 02 {association} {clock_row}",
        "0C 01 00 01 01 02 03 10 2B C0 01 02 02 03 0F 01 16 01 00 02 03 0F 02 16 03 00 01 01 02 02 0F 06 16 01",
    ]
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex().upper())
        return bytes.fromhex(answers[len(asked) - 1])

    found, names = drive(read_short_name_list(Associated(PROPOSED_SHORT_NAMES, 0)), exchange)
    clock = found.find("0.0.1.0.0.255", 8)
    assert clock is not None
    assert (clock.base, clock.to_json()["short_name"]) == (0x2BC0, "2BC0")
    assert [(r.index, r.readable, r.writable) for r in clock.attributes] == [(1, True, False), (2, True, True)]
    assert [(r.index, r.callable) for r in clock.methods] == [(6, True)]
    assert names.attribute(Attribute(8, "0.0.1.0.0.255", 2)) == 0x2BC8
    assert asked == ["050102FA08", "050102FA10"]


def test_short_names_without_rights() -> None:
    answers = ["0C 01 00 01 01 02 04 10 2B C0 12 00 08 11 00 09 06 00 00 01 00 00 FF"]
    found, _ = drive(read_short_name_list(Associated(PROPOSED_SHORT_NAMES, 0)), lambda _: bytes.fromhex(answers.pop(0)))
    assert [(entry.obis, entry.attributes) for entry in found] == [("0.0.1.0.0.255", ())]
