"""Every declared table under every format: what is read is written again to the same octets."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.model import Model, decode_table, encode_table, needed_for, size_of
from connectors.protocols.c12.tables.values import MASKED, Record, Value
from tests.unit.connectors.protocols.c12.tables.meters import Order, table0

SMALL = 400
"""Octets of a table that the test still makes."""

ORDERS: tuple[Order, ...] = ("little", "big")

LIMITS = {
    11: (0, 7, 5, 4, 3, 3, 2, 6),
    21: (0, 0, 2, 2, 2, 2, 1, 2, 1, 2),
    41: (2, 20, 2, 8, 0, 0),
    51: (0, 0x1F, 0x22, 2, 2, 0, 0, 3, 0),
    71: (0, 10, 2, 3, 4, 0, 0, 0, 0),
    111: (1, 0, 2),
}
"""Limiting tables that make every other table small; flags in their first octet are of any kind."""


WIDE = {41: (4,), 51: (5,), 71: (5, 7), 111: ()}
"""Where counts of two octets stand in them."""


def head(chance: Random) -> bytes:
    """A table 0 with formats of any kind whose octets all mean something."""
    numbers = (0, 1, 4, 7, 8, 9, 10, 11)
    return table0(
        chance.choice(ORDERS),
        tm=chance.randint(0, 4),
        ni1=chance.choice(numbers),
        ni2=chance.choice(numbers),
        id_form=chance.randint(0, 1),
        characters=chance.randint(1, 3),
        version=chance.randint(1, 2),
        status_octets=chance.randint(0, 3),
        pending=chance.randint(0, 3),
    )


def limited(number: int, chance: Random) -> Model:
    """A model that knows what a table needs, with flags and sizes of any kind."""
    model = Model.of(head(chance))
    for needed in needed_for(number):
        octets = bytearray(chance.randbytes(size_of(needed, model)))
        if needed in LIMITS:
            octets[1:] = LIMITS[needed][1:]
        for at in WIDE.get(needed, ()):
            octets[at : at + 2] = (2).to_bytes(2, model.config.formats.order)
        if needed == 61:
            octets = _profile_limits(chance, model)
        if needed == 62:
            octets = _profile_formats(chance, model, octets)
        model = model.with_octets(needed, bytes(octets))
    return model


def _profile_limits(chance: Random, model: Model) -> bytearray:
    order = model.config.formats.order
    sizes = [chance.randint(0, 2).to_bytes(2, order) + chance.randint(0, 3).to_bytes(2, order)
             + bytes((chance.randint(0, 3), 15)) for _ in range(4)]  # fmt: skip
    return bytearray(bytes(4) + chance.randbytes(2) + b"\xff" + b"".join(sizes))


def _profile_formats(chance: Random, model: Model, octets: bytearray) -> bytearray:
    """Table 62 with a format code in each of its four places."""
    for child in decode_table(62, bytes(octets), model).element.children:
        if child.name.startswith("INT_FMT_CDE"):
            octets[child.at] = chance.choice((1, 2, 4, 8, 16, 32, 64, 128))
    return octets


def values(value: Value) -> Iterator[Value]:
    yield value
    if isinstance(value, Record):
        value = tuple(value.values())
    if isinstance(value, tuple):
        for item in value:
            yield from values(item)


@pytest.mark.parametrize("number", [number for number in sorted(STANDARD.tables) if number not in (0, 42, 45)])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_octets_to_values_to_octets(number: int, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - octets for a test
    model = limited(number, chance)
    size = size_of(number, model)
    octets = chance.randbytes(size) if size <= SMALL else bytes(size)
    if STANDARD.tables[number].extensible:
        octets += chance.randbytes(chance.randint(0, 3))
    table = decode_table(number, octets, model)
    assert table.element.size + len(table.rest) == len(octets)
    back = encode_table(number, table.value, model, table.rest)
    if any(value != value for value in values(table.value) if isinstance(value, float)):  # noqa: PLR0124 - NaN
        assert len(back) == len(octets)  # which NaN it was is not kept
    else:
        assert back == octets
        assert decode_table(number, back, model) == table


@given(seed=st.integers(0, 2**32), junk=st.binary(max_size=4))
@settings(max_examples=50, deadline=None)
def test_table_0(seed: int, junk: bytes) -> None:
    octets = head(Random(seed))  # noqa: S311 - octets for a test
    model = Model.of(octets + junk)
    table = decode_table(0, octets + junk, model)
    assert table.rest == junk
    assert encode_table(0, table.value, model, table.rest) == octets + junk
    assert size_of(0, model) == len(octets)


@pytest.mark.parametrize("number", [42, 45], ids=["passwords", "keys"])
def test_secrets_are_not_read_and_not_written_back(number: int) -> None:
    model = Model.of(table0()).with_octets(41, bytes((2, 20, 2, 8, 2, 0)))
    octets = bytes(range(65, 65 + size_of(number, model)))
    table = decode_table(number, octets, model)
    assert [value for value in values(table.value) if isinstance(value, str)] == [MASKED] * 2
    assert not any(octets[at : at + 6].decode() in repr(table) for at in range(len(octets) - 6))
    with pytest.raises(DecodeError) as error:
        encode_table(number, table.value, model)
    assert error.value.code == "table-value"


def test_secrets_are_written_from_octets() -> None:
    model = Model.of(table0()).with_octets(41, bytes((1, 4, 1, 3, 0, 0)))
    assert encode_table(45, Record({"KEYS": (b"abc",)}), model) == b"abc"


@pytest.mark.parametrize("size", [0, 2, 18, 30])
def test_a_table_0_cut_short(size: int) -> None:
    with pytest.raises(DecodeError) as error:
        Model.of(table0()[:size])
    assert error.value.code == "table-size"


@pytest.mark.parametrize(("number", "size"), [(5, 19), (5, 21), (11, 7)])
def test_tables_of_unexpected_size(number: int, size: int) -> None:
    with pytest.raises(DecodeError) as error:
        decode_table(number, bytes(size), Model.of(table0()))
    assert error.value.code == "table-size"


@pytest.mark.parametrize(
    ("number", "code"),
    [(9, "table-unknown"), (2050, "table-unknown"), (12, "table-prerequisite"), (64, "table-prerequisite")],
)
def test_tables_that_cannot_be_read_yet(number: int, code: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode_table(number, bytes(8), Model.of(table0()))
    assert error.value.code == code
    assert error.value.detail


def test_table_that_is_not_listed() -> None:
    with pytest.raises(DecodeError) as error:
        size_of(64, Model.of(table0(tables=(0, 1, 61))))
    assert error.value.code == "table-not-listed"


@pytest.mark.parametrize(
    ("name", "octets"), [("time", table0(tm=5)), ("integer", table0(integer=3)), ("ni", table0(ni1=14))]
)
def test_formats_that_are_not_in_the_standard(name: str, octets: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        Model.of(octets)
    assert error.value.code == "table-format"


@pytest.mark.parametrize(
    ("number", "needed"),
    [(5, ()), (12, (11,)), (23, (21,)), (54, (51,)), (62, (61,)), (63, ()), (64, (61, 62)), (76, (71,)), (112, (111,))],
)
def test_what_must_be_read_before(number: int, needed: tuple[int, ...]) -> None:
    assert needed_for(number) == needed
