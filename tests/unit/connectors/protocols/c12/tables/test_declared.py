"""Manufacturers' declarations. The table here is an example for this test, no meter's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.declared import declared
from connectors.protocols.c12.tables.describe import describe
from connectors.protocols.c12.tables.model import Model, decode_table, elements_at, encode_table, needed_for, size_of
from connectors.protocols.c12.tables.values import MASKED
from tests.unit.connectors.protocols.c12.tables.meters import table0

EXAMPLE = """
tables:
  2049:
    name: EXAMPLE_TBL
    title: An example
    extensible: true
    fields:
      - FLAGS: {bits: 8, names: [TAMPER 0, LEVEL 1..3]}
      - COUNT: UINT8
      - READINGS: {array: COUNT, of: {record: [{STATE: UINT16}, {VALUE: NI_FMAT1}]}}
      - when: TAMPER and ACT_REGS_TBL.NBR_TIERS > 0
        then: [{TIER: UINT8}]
        else: [{PLACE: STRING(4)}]
      - CODE: {secret: 3}
events:
  2053: {name: cover opened, kind: TAMPER_COVER, severity: CRITICAL, event_type: 3.12.141.212}
"""


def example(tiers: int) -> Model:
    catalog = STANDARD.extended(declared(yaml.safe_load(EXAMPLE)))
    return Model.of(table0(), catalog).with_octets(21, bytes((0, 0, 0, 0, 0, 0, 0, tiers, 0, 0)))


def test_a_table_from_a_file() -> None:
    known = example(2)
    octets = bytes.fromhex("050201000a00000002000b00000007") + b"key" + b"more"
    table = decode_table(2049, octets, known)
    assert table.value == {
        "FLAGS": {"TAMPER": True, "LEVEL": 2},
        "COUNT": 2,
        "READINGS": ({"STATE": 1, "VALUE": 10}, {"STATE": 2, "VALUE": 11}),
        "TIER": 7,
        "CODE": MASKED,
    }
    assert table.rest == b"more"
    assert encode_table(2049, table.value.changed(CODE=b"key"), known, b"more") == octets
    assert needed_for(2049, known.catalog) == (21,)
    assert known.catalog.events[2053].kind == "TAMPER_COVER"
    assert known.catalog.tables[5] is STANDARD.tables[5]


def test_the_other_arm() -> None:
    table = decode_table(2049, bytes.fromhex("0400") + b"here" + b"key", example(2))
    assert table.value.text("PLACE") == "here"


def test_items_without_octets_are_none() -> None:
    fields = [
        {"COUNT": "UINT16"},
        {"WIDTH": "UINT8"},
        {"ITEMS": {"array": "COUNT", "of": {"array": "WIDTH", "of": "UINT8"}}},
    ]
    catalog = STANDARD.extended(declared({"tables": {2050: {"name": "BARE_TBL", "title": "Bare", "fields": fields}}}))
    known = Model.of(table0(), catalog)
    table = decode_table(2050, b"\xff\xff\0", known)
    assert table.value["ITEMS"] == ()
    assert encode_table(2050, table.value, known) == b"\xff\xff\0"


def test_a_table_whose_size_stands_in_itself() -> None:
    with pytest.raises(DecodeError) as error:
        size_of(2049, example(2))
    assert error.value.code == "table-prerequisite"


def test_the_tree_for_people() -> None:
    known = example(2)
    octets = bytes.fromhex("850101000a00000007") + b"key" + b"+"
    tree = describe(decode_table(2049, octets, known), octets, 100)
    shown = [(depth, node.name, node.value, node.octets.hex(), node.offset) for depth, node in tree.walk()]
    assert shown == [
        (0, "table 2049 EXAMPLE_TBL", "An example", b"*".hex() * len(octets), 100),
        (1, "FLAGS", "TAMPER", "85", 100),
        (2, "TAMPER", "true", "", 100), (2, "LEVEL", "2", "", 100), (2, "not named", "128", "", 100),
        (1, "COUNT", "1", "01", 101),
        (1, "READINGS", "1 items", "01000a000000", 102),
        (2, "READINGS[0]", "", "01000a000000", 102), (3, "STATE", "1", "0100", 102), (3, "VALUE", "10", "0a000000", 104),
        (1, "TIER", "7", "07", 108),
        (1, "CODE", MASKED, b"***".hex(), 109),
        (1, "not declared", "2B", "2b", 112),
    ]  # fmt: skip


def test_long_arrays_are_counted() -> None:
    known = Model.of(table0()).with_octets(11, bytes((0, 0, 0, 0, 0, 0, 2, 200)))
    tree = describe(decode_table(16, bytes(200), known), bytes(200))
    links = tree.find("SOURCES_LINK")
    assert links is not None
    assert (links.value, len(links.children)) == ("200 items, 136 not shown", 64)


@pytest.mark.parametrize(
    ("offset", "octets", "names"),
    [
        (0, b"TEST", ["MANUFACTURER"]), (2, b"ST" + b"MODEL123" + b"\x01", ["ED_MODEL", "HW_VERSION_NUMBER"]),
        (12, b"\x01\x02", ["HW_VERSION_NUMBER", "HW_REVISION_NUMBER"]), (17, b"abc", []),
    ],
)  # fmt: skip
def test_fields_in_a_part_of_a_table(offset: int, octets: bytes, names: list[str]) -> None:
    found = elements_at(1, octets, offset, Model.of(table0()))
    assert [element.name for element in found] == names


def test_a_part_beyond_the_table() -> None:
    with pytest.raises(DecodeError) as error:
        elements_at(1, b"abc", 30, Model.of(table0()))
    assert error.value.code == "table-size"


def fields(*items: Any) -> dict[str, Any]:
    return {"tables": {2048: {"name": "X_TBL", "fields": list(items)}}}


def nested(depth: int) -> Any:
    return "UINT8" if depth == 0 else {"array": 1, "of": nested(depth - 1)}


BROKEN: dict[str, Any] = {
    "an unknown section": {"table": {}},
    "no numbers": {"tables": ["x"]},
    "a name for a number": {"tables": {"x": {}}},
    "a number too big": {"tables": {5000: {"name": "X", "fields": []}}},
    "no name": {"tables": {2048: {"fields": []}}},
    "no fields": {"tables": {2048: {"name": "X_TBL"}}},
    "two of one name": {"tables": {2048: {"name": "X", "fields": []}, 2049: {"name": "X", "fields": []}}},
    "an unknown key": {"tables": {2048: {"name": "X", "fields": [], "size": 3}}},
    "a field that is a text": fields("UINT8"),
    "two fields in one": fields({"A": "UINT8", "B": "UINT8"}),
    "a field without a name": fields({1: "UINT8"}),
    "an unknown type": fields({"A": "UINT9"}),
    "a size that is a call": fields({"A": "STRING(f(1))"}),
    "a size below nothing": fields({"A": {"secret": -1}}),
    "a flag for a size": fields({"A": {"array": True, "of": "UINT8"}}),
    "a type that is a number": fields({"A": 8}),
    "bits that overlap nothing": fields({"A": {"bits": 8, "names": ["X 8"]}}),
    "bits without a place": fields({"A": {"bits": 8, "names": ["X"]}}),
    "bits of a width that is none": fields({"A": {"bits": 9, "names": ["X 0"]}}),
    "a condition that is none": fields({"when": "import os", "then": []}),
    "a condition with more": fields({"when": "1", "then": [], "otherwise": []}),
    "types too deep": fields({"A": nested(12)}),
    "fields without end": fields(*({f"A{at}": "UINT8"} for at in range(1001))),
    "an alarm of no kind": {"events": {2050: {"kind": "NOISE"}}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_declaration(name: str) -> None:
    with pytest.raises(DecodeError) as error:
        declared(BROKEN[name])
    assert error.value.code == "table-declaration"


def test_an_empty_declaration() -> None:
    assert not declared({}).tables


def test_fields_in_a_part_of_a_long_array() -> None:
    """Only the items in the part are looked at, however many there are."""
    log = Model.of(table0()).with_octets(71, bytes((1, 10, 2, 0, 2)) + b"\0\0" + (60_000).to_bytes(2, "little"))
    at = 11 + 16 * 50_000
    found = elements_at(76, bytes(range(40)), at - 2, log)
    assert [element.name for element in found] == [
        "EVENT_ARGUMENT", "ENTRIES[50000]", "ENTRIES[50001]", "EVENT_TIME",
    ]  # fmt: skip
    assert [element.at for element in found] == [at - 2, at, at + 16, at + 32]
    small = Model.of(table0()).with_octets(71, bytes((1, 10, 2, 0, 2)) + b"\0\0\x01\0")
    entry = decode_table(76, bytes(11) + bytes(range(2, 18)), small).value.records("ENTRIES")[0]
    assert found[1].value == entry
