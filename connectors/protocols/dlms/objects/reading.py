"""Attributes of one object, read together and checked one by one; and values in the type that the meter keeps them in."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.action import Method, invoke
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.axdr_types import FORMATS
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import LIMITS, Attribute, Limits, get, get_list

ZERO = axdr.encode(axdr.Tagged(axdr.INT8, 0))
"""integer (0), the parameter of methods that take none."""

MAX_ITEMS = 10_000
"""Elements of any list that an object may hold."""

_COMPARE = "compare the object's class and version with the object list (15/0.0.40.0.0.255/2)"


@dataclass(frozen=True, slots=True)
class Fields:
    """Attributes of one object. An accessor gives None where the meter refuses the attribute or has no value there, and
    raises DecodeError "object-shape" where it has another form than the class says.
    """

    class_id: int
    obis: str
    values: Mapping[int, axdr.Value]
    raw: Mapping[int, bytes] = field(repr=False)
    refusals: Mapping[int, PeerError] = field(default_factory=lambda: MappingProxyType({}))

    def name(self, attribute: int) -> str:
        """class/OBIS/attribute."""
        return f"{self.class_id}/{self.obis}/{attribute}"

    def integer(self, attribute: int) -> int | None:
        """A number or enum."""
        value = self.values.get(attribute)
        return None if value is None else integer(value, self.name(attribute))

    def boolean(self, attribute: int) -> bool | None:
        """A boolean, or a number in its place."""
        value = self.integer(attribute)
        return None if value is None else value != 0

    def octets(self, attribute: int) -> bytes | None:
        """An octet-string, date-time or text."""
        value = self.values.get(attribute)
        return None if value is None else octets(value, self.name(attribute))

    def items(self, attribute: int) -> axdr.Array:
        """An array; empty where there is none."""
        value = self.values.get(attribute)
        return axdr.Array() if value is None else items(value, self.name(attribute))


def read(link: Associated, attribute: Attribute, *, limits: Limits = LIMITS) -> Session[axdr.Value]:
    """One attribute, decoded."""
    return whole((yield from get(link, attribute, limits=limits)), str(attribute))


def read_fields(link: Associated, class_id: int, obis: str, attributes: Sequence[int]) -> Session[Fields]:
    """Several attributes of one object in as few requests as the meter grants.

    A refusal of single ones stands in `Fields.refusals`; where all are refused, the first refusal is raised.
    """
    answers = yield from get_list(link, [Attribute(class_id, obis, n) for n in attributes])
    values: dict[int, axdr.Value] = {}
    raw: dict[int, bytes] = {}
    refusals: dict[int, PeerError] = {}
    for n, answer in zip(attributes, answers, strict=True):
        if isinstance(answer, PeerError):
            refusals[n] = answer
        else:
            values[n], raw[n] = whole(answer, f"{class_id}/{obis}/{n}"), answer
    if not values and refusals:
        raise refusals[attributes[0]]
    return Fields(class_id, obis, values, raw, refusals)


def call(link: Associated, class_id: int, obis: str, method: int, parameter: bytes = ZERO) -> Session[bytes | None]:
    """Invoke a method of an object, by default with integer (0)."""
    return (yield from invoke(link, Method(class_id, obis, method), parameter))


def unlike(subject: str, expected: str, value: object) -> DecodeError:
    """The error for a value of another form than `expected`. It names the type only: a value may be a secret."""
    return DecodeError("object-shape", f"{subject}: {expected} was expected, not {type(value).__name__}: {_COMPARE}")


def unfit(subject: str, what: str) -> DecodeError:
    """The error for a value of ours that the object cannot hold."""
    return DecodeError("object-value", f"{subject}: {what}")


def integer(value: axdr.Value, subject: str) -> int:
    """A number, enum or boolean as int."""
    if not isinstance(value, int):
        raise unlike(subject, "a number", value)
    return int(value)


def octets(value: axdr.Value, subject: str) -> bytes:
    """An octet-string or a text as octets."""
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise unlike(subject, "an octet-string", value)
    return bytes(value)


def items(value: axdr.Value, subject: str) -> axdr.Array:
    """An array of at most `MAX_ITEMS`."""
    if not isinstance(value, axdr.Array):
        raise unlike(subject, "an array", value)
    if len(value) > MAX_ITEMS:
        raise DecodeError("object-shape", f"{subject}: {len(value)} elements, the limit is {MAX_ITEMS}: {_COMPARE}")
    return value


def structure(value: axdr.Value, least: int, subject: str) -> axdr.Structure:
    """A structure of at least `least` elements."""
    if not isinstance(value, axdr.Structure) or len(value) < least:
        raise unlike(subject, f"a structure of {least} elements", value)
    return value


def obis(value: axdr.Value, subject: str) -> str:
    """Six octets as OBIS."""
    if not isinstance(value, bytes) or len(value) != 6:
        raise unlike(subject, "a logical name of six octets", value)
    return cosem.obis(value)


def like(present: bytes, number: float, subject: str) -> bytes:
    """`number` as A-XDR data of the type that `present` has: meters differ in the width of one and the same attribute.

    A null (no value yet) takes the smallest type that holds it. DecodeError "object-value" where the type cannot hold it.
    """
    tag = present[0] if present else axdr.NULL
    if tag == axdr.NULL:
        return axdr.encode(int(number))
    if tag in (axdr.FLOAT32, axdr.FLOAT64):
        return axdr.encode(axdr.Tagged(tag, float(number)))
    if number != int(number):
        raise unfit(subject, f"{number} is no whole number, and the meter keeps one there: round it")
    if tag == axdr.BIT_STRING:
        return _bits(whole(present, subject), int(number), subject)
    if tag not in FORMATS and tag not in (axdr.ENUM, axdr.BOOLEAN):
        raise unlike(subject, "a number", whole(present, subject))
    try:
        if tag in (axdr.ENUM, axdr.BOOLEAN):
            return bytes((tag, int(number)))
        return axdr.encode(axdr.Tagged(tag, int(number)))
    except (struct.error, ValueError):
        size = struct.calcsize(FORMATS.get(tag, ">B"))
        raise unfit(subject, f"{int(number)} does not fit the meter's type, {size} octets") from None


def _bits(present: axdr.Value, number: int, subject: str) -> bytes:
    """A bit-string of the present length; bit 0 of `number` is its first bit."""
    if not isinstance(present, axdr.BitString):
        raise unlike(subject, "a bit-string", present)
    if number < 0 or number >> present.length:
        raise unfit(subject, f"{number:#x} has bits beyond the meter's {present.length}")
    text = "".join("1" if number >> bit & 1 else "0" for bit in range(present.length))
    size = (present.length + 7) // 8
    padded = text.ljust(size * 8, "0")
    value = int(padded, 2).to_bytes(size, "big") if size else b""
    return axdr.encode(axdr.BitString(value, present.length))


def number_of(value: axdr.Value, subject: str) -> int:
    """A number; of a bit-string the first bit is bit 0."""
    if isinstance(value, axdr.BitString):
        bits = "".join(f"{octet:08b}" for octet in value.value)[: value.length]
        return sum(1 << at for at, bit in enumerate(bits) if bit == "1")
    return integer(value, subject)


def typed(tag: int, value: object) -> axdr.Tagged:
    """`value` under `tag`, inside of a structure or array that is written."""
    return axdr.Tagged(tag, value)


def pack(*elements: object) -> axdr.Tagged:
    """A structure of `elements`, each a value or `typed`."""
    return axdr.Tagged(axdr.STRUCTURE, elements)


def pack_all(elements: Sequence[object]) -> axdr.Tagged:
    """An array of `elements`."""
    return axdr.Tagged(axdr.ARRAY, tuple(elements))


def written(value: axdr.Tagged, subject: str) -> bytes:
    """`value` as A-XDR data; DecodeError "object-value" where a number in it does not fit its type."""
    try:
        return axdr.encode(value)
    except (struct.error, OverflowError, TypeError, ValueError):
        raise unfit(subject, "a number in it is too large for its type, or is none") from None
