"""Numbers in the formats that table 0 chooses (C12.19, GEN_CONFIG_TBL.FORMAT_CONTROL_2 and 3).

Whole numbers become int, floating point float, numbers with a decimal point (implied, BCD or text) Decimal. None is a text
number that is blank.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from connectors.protocols.c12.errors import DecodeError

Order = Literal["little", "big"]
Number: TypeAlias = int | float | Decimal

_MAX_EXPONENT = 40
"""Decimal exponents beyond this are no measurement: such a text would unfold to as many digits."""


class IntFormat(IntEnum):
    """How a negative whole number is written."""

    TWOS_COMPLEMENT = 0
    ONES_COMPLEMENT = 1
    SIGN_MAGNITUDE = 2


class NiFormat(IntEnum):
    """The formats of NI_FMAT1 and NI_FMAT2."""

    FLOAT64 = 0
    FLOAT32 = 1
    FLOAT_CHAR12 = 2
    FLOAT_CHAR6 = 3
    INT32_FIXED4 = 4
    """Implied decimal point before the fourth digit from the right."""
    FIXED_BCD6 = 5
    FIXED_BCD4 = 6
    INT24 = 7
    INT32 = 8
    INT40 = 9
    INT48 = 10
    INT64 = 11
    FIXED_BCD8 = 12
    FLOAT_CHAR21 = 13


NI_SIZES = {
    NiFormat.FLOAT64: 8, NiFormat.FLOAT32: 4, NiFormat.FLOAT_CHAR12: 12, NiFormat.FLOAT_CHAR6: 6, NiFormat.INT32_FIXED4: 4,
    NiFormat.FIXED_BCD6: 6, NiFormat.FIXED_BCD4: 4, NiFormat.INT24: 3, NiFormat.INT32: 4, NiFormat.INT40: 5,
    NiFormat.INT48: 6, NiFormat.INT64: 8, NiFormat.FIXED_BCD8: 8, NiFormat.FLOAT_CHAR21: 21,
}  # fmt: skip
"""Octets of each format. A BCD is an octet of two digits."""

WHOLE = frozenset((NiFormat.INT24, NiFormat.INT32, NiFormat.INT40, NiFormat.INT48, NiFormat.INT64))
FLOATS = frozenset((NiFormat.FLOAT64, NiFormat.FLOAT32))
TEXTS = frozenset((NiFormat.FLOAT_CHAR12, NiFormat.FLOAT_CHAR6, NiFormat.FLOAT_CHAR21))


def signed(octets: bytes, order: Order, form: IntFormat) -> int:
    """A whole number with sign."""
    if form is IntFormat.TWOS_COMPLEMENT:
        return int.from_bytes(octets, order, signed=True)
    raw, bits = int.from_bytes(octets, order), 8 * len(octets)
    if not raw >> bits - 1:
        return raw
    return -(raw ^ (1 << bits) - 1) if form is IntFormat.ONES_COMPLEMENT else -(raw & (1 << bits - 1) - 1)


def put_signed(value: int, size: int, order: Order, form: IntFormat) -> bytes:
    """The octets of a whole number with sign. Raises DecodeError "table-value" where it does not fit."""
    top = 1 << 8 * size - 1
    lowest = -top if form is IntFormat.TWOS_COMPLEMENT else 1 - top
    if not lowest <= value < top:
        raise _beyond(value, f"a whole number of {size} octets")
    if value >= 0 or form is IntFormat.TWOS_COMPLEMENT:
        return value.to_bytes(size, order, signed=True)
    raw = (1 << 8 * size) - 1 + value if form is IntFormat.ONES_COMPLEMENT else top - value
    return raw.to_bytes(size, order)


def read_ni(octets: bytes, ni: NiFormat, order: Order, form: IntFormat) -> Number | None:
    """A number of a non-integer format. Raises DecodeError "table-value" where the octets are none."""
    if ni in WHOLE:
        return signed(octets, order, form)
    if ni in FLOATS:
        mark = "<" if order == "little" else ">"
        return float(struct.unpack(mark + ("d" if ni is NiFormat.FLOAT64 else "f"), octets)[0])
    if ni is NiFormat.INT32_FIXED4:
        return Decimal(signed(octets, order, form)).scaleb(-4)
    return _from_text(octets) if ni in TEXTS else _from_bcd(octets)


def put_ni(value: Number | None, ni: NiFormat, order: Order, form: IntFormat) -> bytes:
    """The octets of a number; the opposite of `read_ni`. Raises DecodeError "table-value" where it does not fit exactly."""
    size = NI_SIZES[ni]
    if ni in TEXTS:
        text = "" if value is None else _plain(value)
        if len(text) > size:
            raise _beyond(value, f"{size} characters")
        return text.rjust(size).encode("ascii")
    if value is None:
        raise _beyond(value, f"a number of format {ni.name}")
    if ni in FLOATS:
        mark = "<" if order == "little" else ">"
        try:
            return struct.pack(mark + ("d" if ni is NiFormat.FLOAT64 else "f"), float(value))
        except OverflowError:
            raise _beyond(value, "a float of 32 bits") from None
    if ni in WHOLE:
        return put_signed(_whole(value), size, order, form)
    if ni is NiFormat.INT32_FIXED4:
        return put_signed(_whole(Decimal(value).scaleb(4)), size, order, form)
    return _to_bcd(Decimal(value), size)


def exact(value: Number, ni: NiFormat | None = None) -> Fraction:
    """A number as the fraction it stands for: a float as the shortest decimal that is this float, since 0.025 is meant
    where a meter keeps the nearest float of it. Raises DecodeError "table-value" for infinities and what is no number.
    """
    if isinstance(value, float):
        text = str(np.float32(value)) if ni is NiFormat.FLOAT32 else repr(value)
        value = Decimal(text)
    if isinstance(value, Decimal) and not value.is_finite():
        raise DecodeError("table-value", f"{value} where a finite number is needed: check the meter's constants")
    return Fraction(value)


def _from_text(octets: bytes) -> Decimal | None:
    text = octets.decode("latin-1").strip(" \0")
    if not text:
        return None
    try:
        if not set(text) <= set("0123456789+-.eE"):
            raise InvalidOperation  # noqa: TRY301 - Decimal takes underscores, NaN and digits of other scripts
        value = Decimal(text)
    except InvalidOperation:
        raise DecodeError("table-value", f"{text!r} is no number: check the format of NI_FMAT in table 0") from None
    if value and abs(value.adjusted()) > _MAX_EXPONENT:
        raise DecodeError("table-value", f"{text!r} is beyond any measurement: check the format of NI_FMAT in table 0")
    return value


def _plain(value: Number) -> str:
    decimal = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not decimal.is_finite():
        raise _beyond(value, "a text number")
    return min(f"{decimal:f}", f"{decimal:E}", key=len)


_BCD_SIGN, _BCD_BLANK, _BCD_POINT = 0xA, 0xB, 0xD


def _from_bcd(octets: bytes) -> Decimal:
    """Digits highest first; A is a minus, B a blank, D the decimal point."""
    digits, places, negative = 0, None, False
    for nibble in (part for octet in octets for part in (octet >> 4, octet & 0xF)):
        if nibble <= 9:
            digits = digits * 10 + nibble
            places = None if places is None else places + 1
        elif nibble == _BCD_SIGN and not negative:
            negative = True
        elif nibble == _BCD_POINT and places is None:
            places = 0
        elif nibble != _BCD_BLANK:
            detail = f"{octets.hex().upper()} is no BCD number: check the format of NI_FMAT in table 0"
            raise DecodeError("table-value", detail)
    return Decimal(-digits if negative else digits).scaleb(-(places or 0))


def _to_bcd(value: Decimal, size: int) -> bytes:
    if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
        raise _beyond(value, "a BCD number")
    text = f"{value:f}".replace("-", "A").replace(".", "D")
    sign, text = ("A", text[1:]) if text.startswith("A") else ("", text)
    filled = sign + text.rjust(2 * size - len(sign), "0")
    if len(filled) > 2 * size:
        raise _beyond(value, f"{2 * size} BCD digits")
    return bytes.fromhex(filled)


def _whole(value: Number) -> int:
    if not math.isfinite(value) or value != int(value):
        raise _beyond(value, "a whole number")
    return int(value)


def _beyond(value: object, kind: str) -> DecodeError:
    return DecodeError("table-value", f"{value} does not fit {kind}: choose a value that the meter's format can hold")
