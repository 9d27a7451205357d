"""The GET service of logical-name referencing (IEC 62056-5-3, 9.3.6): normal, in blocks, with list; selective access.

A request is `C0`, its kind, invoke-id-and-priority, then attribute descriptors (class, OBIS, attribute) with an optional
selection. An answer is `C4` with the data, or the first block of it; further blocks are asked for one by one. What comes
back is the A-XDR data as it was on the wire, so that who needs no objects builds none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session, access_refused, not_an_answer
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.errors import DecodeError, PeerError

GET_REQUEST, GET_RESPONSE = 0xC0, 0xC4
NORMAL, BLOCK, LIST = 1, 2, 3

_CONFIRMED_HIGH = 0xC0  # of invoke-id-and-priority: service class confirmed, priority high
_STALE = 3  # answers to an earlier request that are passed over before the meter is given up
_NO_LISTS = "a meter that does so each time cannot answer lists: add no-lists to the quirks of its template"
_LIST_LENGTH = 16  # attributes in one request with list; more has been seen to overrun meters


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a meter may answer to one request."""

    octets: int = 4 << 20
    blocks: int = 1 << 16


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one object, written class/OBIS/attribute, such as 7/1.0.99.1.0.255/2."""

    class_id: int
    obis: str
    attribute: int

    @classmethod
    def parse(cls, text: str) -> Attribute:
        """From "class/OBIS/attribute"; ValueError where it is not that."""
        parts = text.split("/")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[2].isdigit()):
            raise ValueError(f"{text!r} is no attribute: class/OBIS/attribute is expected, such as 3/1.0.1.8.0.255/2")
        obis_bytes(parts[1])
        return cls(int(parts[0]), parts[1], int(parts[2]))

    def __str__(self) -> str:
        return f"{self.class_id}/{self.obis}/{self.attribute}"

    def encode(self) -> bytes:
        """The cosem-attribute-descriptor, nine octets."""
        return self.class_id.to_bytes(2, "big") + obis_bytes(self.obis) + self.attribute.to_bytes(1, "big", signed=True)


@dataclass(frozen=True, slots=True)
class ByRange:
    """Rows of a profile whose restricting column (mostly the clock) lies between two date-times, both included.

    `start` and `end` are twelve octets each, see `datetime_octets`; no columns means all of them.
    """

    start: bytes
    end: bytes
    restricting: Attribute = Attribute(8, "0.0.1.0.0.255", 2)
    columns: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """Selector 1 with a range_descriptor (IEC 62056-6-2, Profile generic, selective access)."""
        return (
            b"\x01\x02\x04"
            + _capture_object(self.restricting)
            + axdr.encode(axdr.Tagged(axdr.OCTET_STRING, self.start))
            + axdr.encode(axdr.Tagged(axdr.OCTET_STRING, self.end))
            + bytes((axdr.ARRAY,))
            + axdr.encode_length(len(self.columns))
            + b"".join(_capture_object(column) for column in self.columns)
        )


@dataclass(frozen=True, slots=True)
class ByEntry:
    """Rows `first` to `last` of a profile, counted from 1 in the order in which it keeps them; `last` 0 is the end.

    Columns are counted from 1 likewise.
    """

    first: int = 1
    last: int = 0
    first_column: int = 1
    last_column: int = 0

    def encode(self) -> bytes:
        """Selector 2 with an entry_descriptor."""
        entries = b"".join(b"\x06" + n.to_bytes(4, "big") for n in (self.first, self.last))
        columns = b"".join(b"\x12" + n.to_bytes(2, "big") for n in (self.first_column, self.last_column))
        return b"\x02\x02\x04" + entries + columns


Selection = ByRange | ByEntry


def datetime_octets(utc_ms: int, zone: tzinfo, *, deviation: bool = True, deviation_reversed: bool = False) -> bytes:
    """A date-time in the meter's local time, twelve octets, to the second.

    `deviation` off is for meters that refuse one, `deviation_reversed` for markets that write UTC to local.
    """
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=utc_ms)).astimezone(zone)
    offset = (local.utcoffset() or timedelta()) // timedelta(minutes=1)
    given = -0x8000
    if deviation:
        given = offset if deviation_reversed else -offset
    head = local.year.to_bytes(2, "big") + bytes(
        (local.month, local.day, local.isoweekday(), local.hour, local.minute, local.second, 0)
    )
    return head + given.to_bytes(2, "big", signed=True) + (b"\x80" if local.dst() else b"\x00")


def get(
    link: Associated, attribute: Attribute, selection: Selection | None = None, *, limits: Limits = LIMITS
) -> Session[bytes]:
    """The A-XDR data of one attribute. PeerError names the attribute and what to do next; nothing partial is returned."""
    subject = str(attribute)
    invoke = link.next_invoke_id()
    request = bytes((GET_REQUEST, NORMAL, _CONFIRMED_HIGH | invoke)) + _described(attribute, selection)
    answer = yield from _ask(request, invoke, subject)
    if answer[1] == BLOCK:
        return (yield from _blocks(answer, invoke, subject, limits))
    if answer[1] != NORMAL or len(answer) < 5:
        raise not_an_answer(answer, subject)
    return answer[4:]


def get_list(
    link: Associated, attributes: Sequence[Attribute], *, limits: Limits = LIMITS
) -> Session[tuple[bytes | PeerError, ...]]:
    """The A-XDR data of each attribute, or the meter's refusal of it, in as few requests as the meter grants.

    Where it grants no lists, refuses one as a whole or garbles the answer, the attributes are read one by one; likewise
    where it loses its place in a list at what it refuses. A closed connection and a broken long answer are raised; after
    the former the link's conformance has no lists any more, for whoever opens the next.
    """
    found: list[bytes | PeerError] = []
    while len(found) < len(attributes):
        some = attributes[len(found) : len(found) + _list_length(link)]
        if len(some) > 1:
            link.in_list = True
            try:
                results = yield from _get_some(link, some, limits)
            except (PeerError, DecodeError) as error:
                if error.code == "peer-block":
                    raise
                link.in_list = error.code == "peer-closed"
                link.conformance &= ~Conformance.MULTIPLE_REFERENCES  # it says that it can, and cannot
                if error.code == "peer-closed":
                    raise PeerError(error.code, f"{error.detail}; {_NO_LISTS}", retry=True) from None
            else:
                link.in_list = False
                found += yield from _checked(link, some, results, limits)
                continue
        found.append((yield from _get_one(link, some[0], limits)))
    return tuple(found)


def _checked(
    link: Associated, asked: Sequence[Attribute], found: list[bytes | PeerError], limits: Limits
) -> Session[list[bytes | PeerError]]:
    """The results of a list, as far as they can be believed.

    Servers of gurux in C do not skip the access selector of what they refuse, and take the rest of the list for other
    objects, which they refuse, too. So where a list ends in refusals, the second of them is asked for alone: once a link
    where it is refused again, or else the rest is not believed and there are no more lists.
    """
    first = next((i for i, value in enumerate(found) if isinstance(value, PeerError)), len(found))
    if link.lists_proved or first > len(found) - 2 or not all(isinstance(value, PeerError) for value in found[first:]):
        return found
    alone = yield from _get_one(link, asked[first + 1], limits)
    if isinstance(alone, PeerError):
        link.lists_proved = True
        return found
    link.conformance &= ~Conformance.MULTIPLE_REFERENCES
    return [*found[: first + 1], alone]


def _get_one(link: Associated, attribute: Attribute, limits: Limits) -> Session[bytes | PeerError]:
    try:
        return (yield from get(link, attribute, limits=limits))
    except PeerError as error:
        if error.code not in ("peer-access", "peer-exception"):
            raise
        return error


def _list_length(link: Associated) -> int:
    """How many attributes one request may name: a descriptor takes ten octets of what the meter receives."""
    if Conformance.MULTIPLE_REFERENCES not in link.conformance:
        return 1
    return min(_LIST_LENGTH, max(1, (link.max_send_pdu - 4) // 10)) if link.max_send_pdu else _LIST_LENGTH


def _get_some(link: Associated, attributes: Sequence[Attribute], limits: Limits) -> Session[list[bytes | PeerError]]:
    subject = f"{attributes[0]} and {len(attributes) - 1} more"
    invoke = link.next_invoke_id()
    request = bytes((GET_REQUEST, LIST, _CONFIRMED_HIGH | invoke, len(attributes)))
    answer = yield from _ask(request + b"".join(a.encode() + b"\0" for a in attributes), invoke, subject)
    if answer[1] == BLOCK:
        results = yield from _blocks(answer, invoke, subject, limits)
    elif answer[1] == LIST:
        results = answer[3:]
    else:
        raise not_an_answer(answer, subject)
    return _read_list(results, attributes, subject)


def _read_list(results: bytes, attributes: Sequence[Attribute], subject: str) -> list[bytes | PeerError]:
    count, at = axdr.read_length(results, 0)
    if count != len(attributes):
        raise PeerError(
            "peer-unexpected",
            f"{subject}: {count} results for {len(attributes)} attributes",
        )
    found: list[bytes | PeerError] = []
    for attribute in attributes:
        if at + 2 > len(results):
            raise DecodeError("dlms-truncated", f"{subject}: the answer ends before {attribute}: ask again")
        if results[at] == 0:
            after = axdr.skip(results, at + 1)
            found.append(results[at + 1 : after])
        elif results[at] == 1:
            after = at + 2
            found.append(access_refused(results[at + 1], str(attribute)))
        else:
            raise DecodeError(
                "dlms-axdr",
                f"{attribute}: {results[at]:#04x} where 0 (data) or 1 (result) belongs",
            )
        at = after
    return found


def _ask(request: bytes, invoke: int, subject: str) -> Session[bytes]:
    """Send and return the GET response with the same invoke-id; a refusal of the whole request is raised.

    Late data of earlier requests is passed over. A refusal counts whatever its invoke-id: some peers forget it when they
    refuse.
    """
    answer = yield request
    stale = 0
    while True:
        if len(answer) < 4 or answer[0] != GET_RESPONSE:
            raise not_an_answer(answer, subject)
        if answer[1] == NORMAL and answer[3] == 1:
            raise access_refused(answer[4] if len(answer) > 4 else 250, subject)
        if answer[2] & 0x0F == invoke:
            return answer
        stale += 1
        if stale > _STALE:
            detail = f"{subject}: the meter keeps answering with other invoke-ids than {invoke}: associate again"
            raise PeerError("peer-unexpected", detail, retry=True)
        answer = yield b""


def _blocks(answer: bytes, invoke: int, subject: str, limits: Limits) -> Session[bytes]:
    """All blocks of a long answer, joined. Numbers rise by one from 1 (some meters: from 0); the totals are bounded."""
    parts: list[bytes] = []
    total = 0
    last, number, raw = _block(answer, subject)
    if number > 1:
        raise _broken(subject, f"the first block has number {number}")
    while True:
        parts.append(raw)
        total += len(raw)
        if total > limits.octets or len(parts) > limits.blocks:
            raise PeerError(
                "peer-block",
                f"{subject}: more than {limits.octets} octets or {limits.blocks} blocks: ask for a shorter range",
            )
        if last:
            return b"".join(parts)
        expected = number + 1
        request = bytes((GET_REQUEST, BLOCK, _CONFIRMED_HIGH | invoke)) + number.to_bytes(4, "big")
        answer = yield from _ask(request, invoke, subject)
        if answer[1] != BLOCK:
            raise not_an_answer(answer, subject)
        last, number, raw = _block(answer, subject)
        if number != expected:
            raise _broken(subject, f"block {number} came where {expected} was due")


def _block(answer: bytes, subject: str) -> tuple[bool, int, bytes]:
    """Whether it is the last, its number, its octets."""
    if len(answer) < 10:
        raise _broken(subject, f"a block of {len(answer)} octets has no head")
    if answer[8] == 1:
        raise access_refused(answer[9], subject)
    try:
        size, at = axdr.read_length(answer, 9)
    except DecodeError:
        raise _broken(subject, "a block's length cannot be read") from None
    if size != len(answer) - at:
        raise _broken(subject, f"a block of {size} octets was announced, {len(answer) - at} came")
    return answer[3] != 0, int.from_bytes(answer[4:8], "big"), answer[at:]


def _broken(subject: str, what: str) -> PeerError:
    return PeerError("peer-block", f"{subject}: {what}: ask for the whole again, or for less", retry=True)


@lru_cache(maxsize=512)
def _described(attribute: Attribute, selection: Selection | None) -> bytes:
    """What a request asks for. A fleet is asked for the same again and again."""
    return attribute.encode() + (b"\0" if selection is None else b"\x01" + selection.encode())


def _capture_object(attribute: Attribute) -> bytes:
    """A capture_object_definition: class, logical name, attribute, data index 0."""
    descriptor = attribute.encode()
    return b"\x02\x04\x12" + descriptor[:2] + b"\x09\x06" + descriptor[2:8] + b"\x0f" + descriptor[8:] + b"\x12\0\0"
