"""Numbers in the formats of table 0: known octets both ways, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.numerals import (
    NI_SIZES,
    TEXTS,
    WHOLE,
    IntFormat,
    NiFormat,
    Number,
    Order,
    exact,
    put_ni,
    put_signed,
    read_ni,
    signed,
)

TWOS, ONES, SIGN = IntFormat.TWOS_COMPLEMENT, IntFormat.ONES_COMPLEMENT, IntFormat.SIGN_MAGNITUDE
N = NiFormat

NUMBERS: list[tuple[NiFormat, str, Order, IntFormat, Number | None]] = [
    (N.FLOAT64, "3ff8000000000000", "big", TWOS, 1.5),
    (N.FLOAT64, "000000000000f83f", "little", TWOS, 1.5),
    (N.FLOAT32, "c0490fdb", "big", TWOS, -3.1415927410125732),
    (N.FLOAT_CHAR12, b"      -12.50".hex(), "little", TWOS, Decimal("-12.50")),
    (N.FLOAT_CHAR6, b"1.5E+3".hex(), "big", TWOS, Decimal(1500)),
    (N.FLOAT_CHAR21, b"         123456789.25".hex(), "big", TWOS, Decimal("123456789.25")),
    (N.FLOAT_CHAR6, b"      ".hex(), "big", TWOS, None),
    (N.INT32_FIXED4, "00000001", "big", TWOS, Decimal("0.0001")),
    (N.INT32_FIXED4, "f0d8ffff", "little", TWOS, Decimal(-1)),
    (N.FIXED_BCD4, "00001234", "little", TWOS, Decimal(1234)),
    (N.FIXED_BCD6, "A00000012D50", "big", TWOS, Decimal("-12.50")),
    (N.FIXED_BCD8, "0000000000000042", "big", TWOS, Decimal(42)),
    (N.INT24, "feffff", "little", TWOS, -2),
    (N.INT24, "fdffff", "little", ONES, -2),
    (N.INT24, "020080", "little", SIGN, -2),
    (N.INT40, "0102030405", "big", TWOS, 0x0102030405),
    (N.INT48, "fffffffffffe", "big", TWOS, -2),
    (N.INT64, "8000000000000000", "big", TWOS, -(2**63)),
]


@pytest.mark.parametrize(("ni", "octets", "order", "form", "value"), NUMBERS)
def test_known_octets(ni: NiFormat, octets: str, order: Order, form: IntFormat, value: Number | None) -> None:
    assert read_ni(bytes.fromhex(octets), ni, order, form) == value
    back = put_ni(value, ni, order, form)
    assert len(back) == NI_SIZES[ni]
    assert read_ni(back, ni, order, form) == value


@given(value=st.integers(-(2**23) + 1, 2**23 - 1), ni=st.sampled_from(sorted(NI_SIZES)), form=st.sampled_from(IntFormat))
def test_whole_numbers_survive_every_format_that_holds_them(value: int, ni: NiFormat, form: IntFormat) -> None:
    if (ni is N.FLOAT_CHAR6 and len(str(value)) > 6) or (ni is N.INT32_FIXED4 and abs(value) > 200_000):
        return
    orders: tuple[Order, ...] = ("little", "big")
    for order in orders:
        octets = put_ni(value, ni, order, form)
        assert read_ni(octets, ni, order, form) == value


@pytest.mark.parametrize(
    ("ni", "octets"),
    [
        (N.FLOAT_CHAR6, b"abc   "), (N.FLOAT_CHAR6, b"1_000 "), (N.FLOAT_CHAR6, b"NaN   "),
        (N.FLOAT_CHAR12, b"1E+999999999"),
        (N.FIXED_BCD4, b"\xff\xff\xff\xff"), (N.FIXED_BCD4, b"\xd1\xd2\x00\x00"), (N.FIXED_BCD4, b"\xaa\x00\x00\x01"),
    ],
)  # fmt: skip
def test_octets_that_are_no_number(ni: NiFormat, octets: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        read_ni(octets, ni, "little", TWOS)
    assert error.value.code == "table-value"


@pytest.mark.parametrize(
    ("ni", "value"),
    [
        (N.INT24, 2**23), (N.INT24, 1.5), (N.INT24, float("nan")), (N.INT24, None), (N.FLOAT32, 1e300),
        (N.FIXED_BCD4, 10**8),
        (N.FLOAT_CHAR6, 1234567), (N.FLOAT_CHAR6, float("inf")), (N.INT32_FIXED4, Decimal("0.00001")), (N.INT64, 2**63),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit(ni: NiFormat, value: Number | None) -> None:
    with pytest.raises(DecodeError) as error:
        put_ni(value, ni, "little", TWOS)
    assert error.value.code == "table-value"


@pytest.mark.parametrize("form", [ONES, SIGN])
def test_the_lowest_number_of_forms_with_two_zeros(form: IntFormat) -> None:
    assert signed(put_signed(-127, 1, "big", form), "big", form) == -127
    with pytest.raises(DecodeError):
        put_signed(-128, 1, "big", form)


def test_a_float_stands_for_the_decimal_that_was_meant() -> None:
    stored = read_ni(put_ni(0.025, N.FLOAT32, "big", TWOS), N.FLOAT32, "big", TWOS)
    assert isinstance(stored, float)
    assert exact(stored, N.FLOAT32) == Fraction(1, 40) != Fraction(stored)
    assert exact(0.1) == Fraction(1, 10)
    for wrong in (float("nan"), float("inf"), Decimal("Infinity")):
        with pytest.raises(DecodeError):
            exact(wrong)


def test_every_format_has_a_size() -> None:
    assert set(NI_SIZES) == set(NiFormat)
    assert set(NiFormat) > WHOLE | TEXTS
