"""Short-name referencing (IEC 62056-5-3, 9.3.14 and 9.3.15): Read and Write, by 16-bit names, for older meters.

    05 request to read   02 name   04 name, selector, parameter   05 next block, please   06 block of a long request
    0C answer            00 data   01 data-access-error           02 block                03 next block, please
    06 request to write  02 name   07 block, then its octets      0D answer: 00 done, 01 data-access-error, 02 next block

An attribute's name is the base name of its object plus eight for each attribute before it; where the methods of a class
begin is a table. Base names stand in the object list of the current association (base name FA00). There are no invoke-ids:
an answer belongs to what was asked last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.action import Method
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session, access_refused, not_an_answer
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import LIMITS, Attribute, Limits

READ_REQUEST, WRITE_REQUEST, READ_RESPONSE, WRITE_RESPONSE = 0x05, 0x06, 0x0C, 0x0D
ASSOCIATION = 0xFA00
"""The base name of the current association, the same in every meter."""

_VARIABLE, _PARAMETERIZED, _BLOCK_NUMBER, _READ_BLOCK, _WRITE_BLOCK = 2, 4, 5, 6, 7
_DATA, _ERROR, _BLOCK, _NEXT = 0, 1, 2, 3
_WRITE_NEXT = 2
_LIST_LENGTH = 16

_METHODS: dict[int, tuple[int, int]] = {
    3: (0x28, 1), 4: (0x38, 1), 5: (0x48, 2), 6: (0x30, 3), 7: (0x58, 4), 8: (0x60, 6), 9: (0x20, 1), 10: (0x20, 3),
    11: (0x10, 2), 12: (0x20, 10), 17: (0x20, 1), 18: (0x40, 4), 20: (0x50, 1), 40: (0x38, 1), 42: (0x60, 3), 61: (0x28, 2),
    64: (0x30, 9), 65: (0x20, 1), 67: (0x80, 1), 70: (0x20, 2), 72: (0x70, 8),
}  # fmt: skip
"""Class to the offset of its first method and how many it has (IEC 62056-6-2, latest version of each class)."""

_EARLIER_METHODS = {(64, 0): (0x28, 2), (72, 0): (0x60, 8)}
"""The same for versions that lie elsewhere: (class, version)."""

_REPLY_TO_HLS = 0xFA00 + 0x58
"""reply_to_HLS_authentication of the current association, whatever its version."""

_RETURNING = {(12, 3), (12, 4), (12, 8)}
"""Methods that return something: (class, method). They are read, the others written."""


class Selects(Protocol):
    """A selection, such as `get.ByRange`."""

    def encode(self) -> bytes:
        """Selector and parameters."""


@dataclass(frozen=True, slots=True)
class SnObject:
    """A row of the object list."""

    base: int
    class_id: int
    version: int
    obis: str


class ShortNames:
    """The base names of one type of meter. They change with its firmware only: keep them by that."""

    def __init__(self, objects: Sequence[SnObject]) -> None:
        self.objects = tuple(objects)
        self._bases: Mapping[tuple[int, str], SnObject] = {(item.class_id, item.obis): item for item in objects}

    def __len__(self) -> int:
        return len(self.objects)

    def attribute(self, attribute: Attribute) -> int:
        """Its short name. PeerError "peer-access", object-undefined, where the meter has no such object."""
        return self._find(attribute.class_id, attribute.obis, str(attribute)).base + (attribute.attribute - 1) * 8 & 0xFFFF

    def method(self, method: Method) -> int:
        """Its short name. PeerError likewise, or where the class has no such method."""
        found = self._find(method.class_id, method.obis, str(method))
        first, count = _EARLIER_METHODS.get((found.class_id, found.version)) or _METHODS.get(found.class_id, (0, 0))
        if not 1 <= method.method <= count:
            raise access_refused(4, str(method))
        return found.base + first + (method.method - 1) * 8 & 0xFFFF

    def _find(self, class_id: int, obis: str, subject: str) -> SnObject:
        found = self._bases.get((class_id, cosem.obis(cosem.obis_bytes(obis))))
        if found is None:
            raise access_refused(4, subject)
        return found


def read_names(link: Associated, *, limits: Limits = LIMITS) -> Session[ShortNames]:
    """The object list of the current association."""
    subject = "12/0.0.40.0.0.255/2"
    data = yield from _read(link, _name(ASSOCIATION + 8), subject, limits)
    value, after = axdr.decode(data)
    if after != len(data) or not isinstance(value, axdr.Array):
        raise DecodeError("dlms-axdr", f"{subject}: no list of objects: ask the vendor whether the meter has short names")
    objects = []
    for row in value:
        match row:
            case (int(base), int(class_id), int(version), bytes(name), *_) if len(name) == 6:
                objects.append(SnObject(base & 0xFFFF, class_id, version, cosem.obis(name)))
            case _:
                raise DecodeError("dlms-axdr", f"{subject}: object {len(objects) + 1} is none: ask the vendor")
    return ShortNames(objects)


def sn_get(
    link: Associated, names: ShortNames, attribute: Attribute, selection: Selects | None = None, *, limits: Limits = LIMITS
) -> Session[bytes]:
    """The A-XDR data of `attribute`. PeerError where the meter refuses it."""
    name = names.attribute(attribute)
    asked = _name(name) if selection is None else _parameterized(name, selection.encode())
    return (yield from _read(link, asked, str(attribute), limits))


def sn_get_list(
    link: Associated, names: ShortNames, attributes: Sequence[Attribute], *, limits: Limits = LIMITS
) -> Session[tuple[bytes | PeerError, ...]]:
    """The A-XDR data of each attribute, or the refusal of it; as many in one request as the meter takes."""
    link = link.short or link
    several = _LIST_LENGTH if Conformance.MULTIPLE_REFERENCES in link.conformance else 1
    if link.max_send_pdu:
        several = max(1, min(several, (link.max_send_pdu - 2) // 3))
    found: list[bytes | PeerError] = []
    for at in range(0, len(attributes), several):
        some = attributes[at : at + several]
        known: dict[Attribute, int] = {}
        answers: dict[Attribute, bytes | PeerError] = {}
        for attribute in some:
            try:
                known[attribute] = names.attribute(attribute)
            except PeerError as error:
                answers[attribute] = error
        if known:
            subject = str(next(iter(known))) + (f" and {len(known) - 1} more" if len(known) > 1 else "")
            asked = [_name(name) for name in known.values()]
            answers.update(zip(known, (yield from _read_all(link, asked, subject, limits)), strict=True))
        found += [answers[attribute] for attribute in some]
    return tuple(found)


def sn_put(link: Associated, names: ShortNames, attribute: Attribute, value: bytes) -> Session[None]:
    """Write `value`. PeerError where the meter refuses it."""
    yield from _write(link, names.attribute(attribute), value, str(attribute))


def sn_invoke(
    link: Associated,
    names: ShortNames,
    method: Method,
    parameter: bytes | None = None,
    *,
    returns: bool | None = None,
    limits: Limits = LIMITS,
) -> Session[bytes | None]:
    """Invoke a method: by writing to it or, where it `returns` something, by reading it with its parameter (selector 0).

    None takes what the standard says. Some peers (jDLMS) let all of their methods be read, and none be written.
    """
    name, subject = names.method(method), str(method)
    value = b"\0" if parameter is None else parameter
    if (method.class_id, method.method) in _RETURNING if returns is None else returns:
        return (yield from _read(link, _parameterized(name, b"\0" + value), subject, limits))
    yield from _write(link, name, value, subject)
    return None


def reply_to_hls(link: Associated, proof: bytes) -> Session[bytes]:
    """Pass 3 of high level security, and what pass 4 brings: the method is read, with our proof as its parameter."""
    subject = "12/0.0.40.0.0.255, reply_to_HLS_authentication"
    return (yield from _read(link, _parameterized(_REPLY_TO_HLS, b"\0" + proof), subject, LIMITS))


def _name(name: int) -> bytes:
    return bytes((_VARIABLE,)) + name.to_bytes(2, "big")


def _parameterized(name: int, parameter: bytes) -> bytes:
    """`parameter` is the selector and its data."""
    return bytes((_PARAMETERIZED,)) + name.to_bytes(2, "big") + parameter


def _read(link: Associated, asked: bytes, subject: str, limits: Limits) -> Session[bytes]:
    (result,) = yield from _read_all(link, [asked], subject, limits)
    if isinstance(result, PeerError):
        raise result
    return result


def _read_all(
    link: Associated, asked: Sequence[bytes], subject: str, limits: Limits
) -> Session[tuple[bytes | PeerError, ...]]:
    """One request to read, in blocks where it is longer than the meter takes, and its answer, in blocks or not."""
    link = link.short or link
    content = bytes((len(asked),)) + b"".join(asked)
    if not link.max_send_pdu or len(content) < link.max_send_pdu:
        answer = yield bytes((READ_REQUEST,)) + content
    else:
        for last, number, part in _cut(content, link.max_send_pdu - 9, subject):
            block = bytes((READ_REQUEST, 1, _READ_BLOCK, last)) + number.to_bytes(2, "big")
            answer = yield block + axdr.encode_length(len(part)) + part
            if not last and answer != bytes((READ_RESPONSE, 1, _NEXT)) + number.to_bytes(2, "big"):
                raise _refusal(answer, READ_RESPONSE, number, subject)
    if answer[:3] == bytes((READ_RESPONSE, 1, _BLOCK)):
        return _joined((yield from _blocks(answer, subject, limits)), len(asked), subject)
    if answer[:1] != bytes((READ_RESPONSE,)) or len(answer) < 2:
        raise not_an_answer(answer, subject)
    found, after = _results(answer, 1, len(asked), subject)
    if after != len(answer):
        raise DecodeError("dlms-axdr", f"{subject}: {len(answer) - after} octets after the answer: ask again")
    return found


def _results(octets: bytes, at: int, expected: int, subject: str) -> tuple[tuple[bytes | PeerError, ...], int]:
    count, at = axdr.read_length(octets, at)
    if count != expected:
        raise PeerError("peer-unexpected", f"{subject}: {count} results for {expected} names: ask again", retry=True)
    found: list[bytes | PeerError] = []
    for _ in range(count):
        choice = octets[at : at + 1]
        if choice == bytes((_DATA,)):
            after = axdr.skip(octets, at + 1)
            found.append(octets[at + 1 : after])
        elif choice == bytes((_ERROR,)) and at + 2 <= len(octets):
            after = at + 2
            found.append(access_refused(octets[at + 1], subject))
        else:
            detail = f"{subject}: {choice.hex() or 'nothing'} where 00 (data) or 01 (error) belongs: ask again"
            raise DecodeError("dlms-axdr", detail)
        at = after
    return tuple(found), at


def _blocks(answer: bytes, subject: str, limits: Limits) -> Session[bytes]:
    """All blocks of a long answer, joined; the totals are bounded."""
    parts: list[bytes] = []
    total = 0
    while True:
        if answer[:3] != bytes((READ_RESPONSE, 1, _BLOCK)):
            raise _refusal(answer, READ_RESPONSE, 0, subject)
        if len(answer) < 7:
            raise _broken(subject, f"a block of {len(answer)} octets has no head")
        size, at = axdr.read_length(answer, 6)
        if size != len(answer) - at:
            raise _broken(subject, f"a block of {size} octets was announced, {len(answer) - at} came")
        number = int.from_bytes(answer[4:6], "big")
        if number != len(parts) + 1:
            raise _broken(subject, f"block {number} came where {len(parts) + 1} was due")
        parts.append(answer[at:])
        total += size
        if total > limits.octets or len(parts) > limits.blocks or number == 0xFFFF:
            raise PeerError("peer-block", f"{subject}: more than {limits.octets} octets or 65,534 blocks: ask for less")
        if answer[3]:
            return b"".join(parts)
        answer = yield bytes((READ_REQUEST, 1, _BLOCK_NUMBER)) + number.to_bytes(2, "big")


def _joined(octets: bytes, expected: int, subject: str) -> tuple[bytes | PeerError, ...]:
    """The results in a long answer: the standard's list of them or, for one name, its data alone as some meters send it."""
    try:
        found, after = _results(octets, 0, expected, subject)
        if after == len(octets):
            return found
    except (DecodeError, PeerError):
        pass
    for start in (1, 0):
        try:
            if expected == 1 and axdr.skip(octets, start) == len(octets) and (not start or octets[0] == _DATA):
                return (octets[start:],)
        except DecodeError:
            continue
    raise DecodeError("dlms-axdr", f"{subject}: {len(octets)} octets in blocks hold no answer: ask for less")


def _write(link: Associated, name: int, value: bytes, subject: str) -> Session[None]:
    link = link.short or link
    content = b"\x01" + _name(name) + b"\x01" + value
    if not link.max_send_pdu or len(content) < link.max_send_pdu:
        answer = yield bytes((WRITE_REQUEST,)) + content
    else:
        for last, number, part in _cut(content, link.max_send_pdu - 11, subject):
            block = bytes((WRITE_REQUEST, 1, _WRITE_BLOCK, last)) + number.to_bytes(2, "big")
            answer = yield block + b"\x01" + axdr.encode(part)
            if not last and answer != bytes((WRITE_RESPONSE, 1, _WRITE_NEXT)) + number.to_bytes(2, "big"):
                raise _refusal(answer, WRITE_RESPONSE, number, subject)
    if answer != bytes((WRITE_RESPONSE, 1, 0)):
        raise _refusal(answer, WRITE_RESPONSE, 0, subject)


def _cut(content: bytes, size: int, subject: str) -> Iterator[tuple[bool, int, bytes]]:
    """Whether it is the last, its number, and each part of `size` octets."""
    if size < 1 or len(content) > size * 0xFFFE:
        detail = f"{subject}: {len(content)} octets in blocks of {size}: send less at once"
        raise PeerError("peer-pdu-size", detail)
    for at in range(0, len(content), size):
        yield at + size >= len(content), at // size + 1, content[at : at + size]


def _refusal(answer: bytes, response: int, number: int, subject: str) -> PeerError:
    """The error for what came in place of the wanted answer; `number` is the block's that it should have acknowledged."""
    if answer[:3] == bytes((response, 1, _ERROR)) and len(answer) == 4:
        return access_refused(answer[3], subject)
    if answer[:1] == bytes((response,)) and number:
        return _broken(subject, f"the meter did not acknowledge block {number}")
    return not_an_answer(answer, subject)


def _broken(subject: str, what: str) -> PeerError:
    return PeerError("peer-block", f"{subject}: {what}: ask for the whole again, or for less", retry=True)
