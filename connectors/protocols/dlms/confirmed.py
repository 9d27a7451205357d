"""What SET and ACTION have in common (IEC 62056-5-3, 9.3.7, 9.3.8): the answer that belongs to a request, and long values.

Unlike a GET, these change the meter. So an answer counts only under the request's invoke-id, and where it is not known
whether the meter did what was asked, nothing here asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session, not_an_answer
from connectors.protocols.dlms.errors import DecodeError, PeerError

NORMAL = 1
"""The kind of a request for one object, and of its answer."""

CONFIRMED_HIGH = 0xC0
"""Of invoke-id-and-priority: service class confirmed, priority high."""

LIST_LENGTH = 16
"""Objects in one request with list; more has been seen to overrun meters."""

_RESULTS = (NORMAL, 3)  # kinds of answers with a result: ACTION and SET, and SET after a block
_LIST_HEAD = 5  # service, kind, invoke-id and two counts
_STALE = 3  # answers to earlier requests that are passed over before the meter is given up


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a long value."""

    last: bool
    number: int
    raw: bytes

    def encode(self) -> bytes:
        """DataBlock-SA: last-block, block-number, raw-data."""
        return bytes((self.last,)) + self.number.to_bytes(4, "big") + axdr.encode_length(len(self.raw)) + self.raw


@dataclass(frozen=True, slots=True)
class Service:
    """The octets in which SET and ACTION differ."""

    request: int
    response: int
    blocks: Conformance
    """The bit that grants long requests."""
    first_block: int
    """The kind of request that carries a descriptor and the first block of its value."""
    with_block: int
    """The kind of request that carries a further block."""
    next_block: int
    """The kind of answer that asks for it."""


def ask(request: bytes, service: Service, invoke: int, subject: str) -> Session[bytes]:
    """Send and return the service's answer with the same invoke-id; late answers to earlier requests are passed over.

    A refusal under invoke-id 0, which no request has, counts too: some peers forget the id when they refuse.
    """
    answer = yield request
    for left in reversed(range(_STALE + 1)):
        if len(answer) < 4 or answer[0] != service.response:
            raise not_an_answer(answer, subject)
        given = answer[2] & 0x0F
        if given == invoke or (given == 0 and answer[1] == NORMAL and answer[3] != 0):
            return answer
        if left:
            answer = yield b""
    detail = f"{subject}: the meter keeps answering with other invoke-ids than {invoke}: associate again"
    raise PeerError("peer-unexpected", detail, retry=True)


def send_value(
    link: Associated, service: Service, descriptor: bytes, joint: bytes, value: bytes, subject: str
) -> Session[tuple[int, bytes]]:
    """Send `descriptor`, `joint` and `value` in one request or, where that is longer than the meter takes, `descriptor` and
    the first part of `value` in one, the rest in further blocks. Returns the invoke-id and the answer to the last of them.

    With general block transfer the request stays whole: cutting it is `gbt_session`'s.
    """
    invoke = link.next_invoke_id()
    head = bytes((service.request, NORMAL, CONFIRMED_HIGH | invoke)) + descriptor
    size = len(head) + len(joint) + len(value)
    if fits(link, size):
        return invoke, (yield from ask(head + joint + value, service, invoke, subject))
    if service.blocks not in link.conformance:
        what = f"a request of {size} octets, the meter takes {link.max_send_pdu} and no blocks"
        raise PeerError("peer-pdu-size", f"{subject}: {what}: send less at once")
    head = bytes((service.request, service.first_block)) + head[2:]
    answer = b""
    for block in _cut(value, link.max_send_pdu, len(head), subject):
        answer = yield from ask(head + block.encode(), service, invoke, subject)
        head = bytes((service.request, service.with_block, CONFIRMED_HIGH | invoke))
        if block.last:
            break
        if answer[1] in _RESULTS and answer[3]:
            break  # the meter refuses the rest
        if answer[1] != service.next_block:
            raise broken(subject, f"the meter answered block {block.number} as if it were the last")
        number = int.from_bytes(answer[3:7], "big")
        if len(answer) != 7 or number != block.number:
            raise broken(subject, f"the meter did not acknowledge block {block.number}")
    return invoke, answer


def send_list(
    link: Associated, service: Service, kind: int, descriptors: Sequence[bytes], values: Sequence[bytes], subject: str
) -> Session[tuple[int, bytes]]:
    """Send one request with list, which fits (see `list_length`). Returns the invoke-id and the answer."""
    invoke, count = link.next_invoke_id(), bytes((len(descriptors),))
    head = bytes((service.request, kind, CONFIRMED_HIGH | invoke))
    request = head + count + b"".join(descriptors) + count + b"".join(values)
    return invoke, (yield from ask(request, service, invoke, subject))


def list_length(link: Associated, sizes: Iterable[int]) -> int:
    """How many items one request with list may have. `sizes` are their octets, descriptor and value. Those that fit into one
    APDU; a long value goes alone and in blocks, since lists in blocks are known to few meters.
    """
    if Conformance.MULTIPLE_REFERENCES not in link.conformance:
        return 1
    totals = accumulate(islice(sizes, LIST_LENGTH), initial=_LIST_HEAD)
    return max(1, sum(1 for total in totals if fits(link, total)) - 1)


def fits(link: Associated, size: int) -> bool:
    """Whether the meter takes an APDU of `size` octets at once, or general block transfer will see to it."""
    return not link.max_send_pdu or size <= link.max_send_pdu or Conformance.GENERAL_BLOCK_TRANSFER in link.conformance


def read_block(octets: bytes, at: int, subject: str) -> Block:
    """The DataBlock-SA that fills `octets` from `at`."""
    if len(octets) < at + 6:
        raise broken(subject, f"a block of {len(octets)} octets has no head")
    try:
        size, start = axdr.read_length(octets, at + 5)
    except DecodeError:
        raise broken(subject, "a block's length cannot be read") from None
    if size != len(octets) - start:
        raise broken(subject, f"a block of {size} octets was announced, {len(octets) - start} came")
    return Block(octets[at] != 0, int.from_bytes(octets[at + 1 : at + 5], "big"), octets[start:])


def broken(subject: str, what: str) -> PeerError:
    """The error for blocks that make no whole."""
    return PeerError("peer-block", f"{subject}: {what}: send the whole again", retry=True)


def _cut(value: bytes, size: int, head: int, subject: str) -> Iterator[Block]:
    """`value` in blocks of APDUs of `size` octets; the first APDU has `head` octets before its block, the others three."""
    at, number = 0, 1
    while True:
        room = _room(size - head - 5)
        if room < 1:
            detail = f"{subject}: the meter takes {size} octets at once, too few for a block: ask the vendor"
            raise PeerError("peer-pdu-size", detail)
        yield Block(at + room >= len(value), number, value[at : at + room])
        at, number, head = at + room, number + 1, 3


def _room(size: int) -> int:
    """How many octets fit into `size` with their length before them; below 1, none do."""
    for length in (1, 2):
        if size >= length and len(axdr.encode_length(size - length)) == length:
            return size - length
    return size - 3
