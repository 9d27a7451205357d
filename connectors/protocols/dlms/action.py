"""The ACTION service of logical-name referencing (IEC 62056-5-3, 9.3.8): normal, in blocks both ways, with list.

    C3 request   01 normal   03 with list   04 first block   06 further block        02 next block, please
    C7 answer    01 normal   03 with list   02 block         04 next block, please

A parameter and what a method returns are A-XDR data as on the wire. Where the connection closes before the answer, whether
the method ran is not known: read the object before invoking again what must not run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session, access_refused, not_an_answer
from connectors.protocols.dlms.confirmed import (
    CONFIRMED_HIGH,
    NORMAL,
    Service,
    ask,
    broken,
    list_length,
    read_block,
    send_list,
    send_value,
)
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import LIMITS, Limits

BLOCK, LIST = 2, 3
ACTION = Service(0xC3, 0xC7, Conformance.BLOCK_TRANSFER_WITH_ACTION, first_block=4, with_block=6, next_block=4)

_NEXT_BLOCK = 2  # of the requests
_NEVER, _LATER = False, True

ACTION_RESULTS: dict[int, tuple[str, str, bool]] = {
    1: ("hardware-fault", "the meter reports its own fault: see its error register 0.0.97.97.0.255", _NEVER),
    2: ("temporary-failure", "the object is in no state for it now: read its state, try again later", _LATER),
    3: ("read-write-denied", "this client may not: associate as another (template: client, authentication)", _NEVER),
    4: ("object-undefined", "the meter has no such object or method: compare with 15/0.0.40.0.0.255/2", _NEVER),
    9: ("object-class-inconsistent", "the object is there in another class or version: correct the template", _NEVER),
    11: ("object-unavailable", "the meter cannot do it now: try again later", _LATER),
    12: ("type-unmatched", "the parameter has another type than the meter wants: see the template's switches", _NEVER),
    13: ("scope-of-access-violated", "beyond this client: associate as another", _NEVER),
    14: ("data-block-unavailable", "the meter lost the long parameter or answer: invoke again", _LATER),
    15: ("long-action-aborted", "the meter gave the long parameter or answer up: invoke again", _LATER),
    16: ("no-long-action-in-progress", "the meter forgot the long parameter or answer: invoke again", _LATER),
    250: ("other-reason", "the meter gives no reason: read the object's state, or try as another client", _NEVER),
}  # fmt: skip
"""Action-Result (IEC 62056-5-3, 9.5): name, what to do next, whether asking again can help."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of one object, written class/OBIS/method, such as 70/0.0.96.3.10.255/1."""

    class_id: int
    obis: str
    method: int

    @classmethod
    def parse(cls, text: str) -> Method:
        """From "class/OBIS/method"; ValueError where it is not that."""
        parts = text.split("/")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[2].isdigit()):
            raise ValueError(f"{text!r} is no method: class/OBIS/method is expected, such as 70/0.0.96.3.10.255/1")
        obis_bytes(parts[1])
        return cls(int(parts[0]), parts[1], int(parts[2]))

    def __str__(self) -> str:
        return f"{self.class_id}/{self.obis}/{self.method}"

    def encode(self) -> bytes:
        """The cosem-method-descriptor, nine octets."""
        return self.class_id.to_bytes(2, "big") + obis_bytes(self.obis) + self.method.to_bytes(1, "big", signed=True)


def invoke(
    link: Associated, method: Method, parameter: bytes | None = None, *, limits: Limits = LIMITS
) -> Session[bytes | None]:
    """Invoke `method`; what it returns, None where that is nothing. PeerError "peer-action" with the action-result."""
    subject = str(method)
    joint = b"\0" if parameter is None else b"\x01"
    sending = send_value(link, ACTION, method.encode(), joint, parameter or b"", subject)
    invoke_id, answer = yield from sending
    if answer[1] == NORMAL:
        return _single(answer[3:], subject)
    if answer[1] == BLOCK:
        return _joined((yield from _blocks(answer, invoke_id, subject, limits)), subject)
    raise not_an_answer(answer, subject)


def invoke_list(
    link: Associated, methods: Sequence[tuple[Method, bytes | None]], *, limits: Limits = LIMITS
) -> Session[tuple[bytes | PeerError | None, ...]]:
    """Invoke each method with its parameter, in order: what it returns, or the meter's refusal of it.

    Where the meter grants no lists, or refuses one as a whole, the methods are invoked one by one. Anything that leaves
    open which of them ran (a closed connection, an answer that cannot be read) is raised.
    """
    found: list[bytes | PeerError | None] = []
    while len(found) < len(methods):
        some = methods[
            len(found) : len(found) + list_length(link, (9 + len(value or b"0") for _, value in methods[len(found) :]))
        ]
        if len(some) > 1:
            try:
                found += yield from _invoke_some(link, some, limits)
                continue
            except PeerError as error:
                if error.code not in ("peer-exception", "peer-action"):
                    raise
                link.conformance &= ~Conformance.MULTIPLE_REFERENCES  # it says that it can, and cannot
        try:
            found.append((yield from invoke(link, *some[0], limits=limits)))
        except PeerError as error:
            if error.code not in ("peer-action", "peer-access", "peer-exception"):
                raise
            found.append(error)
    return tuple(found)


def _invoke_some(
    link: Associated, methods: Sequence[tuple[Method, bytes | None]], limits: Limits
) -> Session[list[bytes | PeerError | None]]:
    subject = f"{methods[0][0]} and {len(methods) - 1} more"
    descriptors = [method.encode() for method, _ in methods]
    parameters = [b"\0" if parameter is None else parameter for _, parameter in methods]
    invoke_id, answer = yield from send_list(link, ACTION, LIST, descriptors, parameters, subject)
    if answer[1] == BLOCK:
        results = yield from _blocks(answer, invoke_id, subject, limits)
    elif answer[1] == LIST:
        results = answer[3:]
    elif answer[1] == NORMAL and answer[3]:
        raise action_refused(answer[3], subject)
    else:
        raise not_an_answer(answer, subject)
    return _read_list(results, [method for method, _ in methods], subject)


def action_refused(result: int, subject: str) -> PeerError:
    """The error for an action-result of `subject`, such as "70/0.0.96.3.10.255/1"."""
    name, mend, retry = ACTION_RESULTS.get(result, ("not in the standard", "ask the vendor what it means", False))
    return PeerError("peer-action", f"{subject}: action-result {result} ({name}): {mend}", retry=retry)


def _single(octets: bytes, subject: str) -> bytes | None:
    """The whole of an Action-Response-With-Optional-Data."""
    returned, after = _response(octets, 0, subject)
    if after != len(octets):
        raise _unreadable(subject, f"{len(octets) - after} octets follow it")
    if isinstance(returned, PeerError):
        raise returned
    return returned


def _response(octets: bytes, at: int, subject: str) -> tuple[bytes | PeerError | None, int]:
    """What the method returned or its refusal, and the index after them."""
    result, optional = octets[at], octets[at + 1 : at + 2]
    at += 2 if optional else 1  # some meters leave out that nothing is returned
    returned, after = _get_data_result(octets, at, subject) if optional == b"\x01" else (None, at)
    if optional not in (b"", b"\0", b"\x01"):
        raise _unreadable(subject, f"{optional.hex()} where 0 (nothing returned) or 1 belongs")
    return (action_refused(result, subject) if result else returned), after


def _get_data_result(octets: bytes, at: int, subject: str) -> tuple[bytes | PeerError | None, int]:
    choice = octets[at : at + 1]
    if choice == b"\x01" and at + 2 <= len(octets):
        result = octets[at + 1]
        return (access_refused(result, f"{subject}, what it returns") if result else None), at + 2
    start = at + 1 if choice == b"\0" else at  # some meters leave the choice out
    try:
        after = axdr.skip(octets, start)
    except DecodeError as error:
        raise DecodeError(error.code, f"{subject}: what it returned cannot be read: {error.detail}") from None
    return octets[start:after], after


def _joined(octets: bytes, subject: str) -> bytes | None:
    """What a method returned in blocks. The standard leaves open what they join to; each form is told by where it ends:
    a whole response (result, 01, choice), the choice and its data, or the data alone.
    """
    for start in (3, 1, 0):
        if start and octets[:start] != b"\0\x01\0"[:start]:
            continue
        try:
            if axdr.skip(octets, start) == len(octets):
                return octets[start:]
        except DecodeError:
            continue
    return _single(octets, subject) if octets else None


def _blocks(answer: bytes, invoke_id: int, subject: str, limits: Limits) -> Session[bytes]:
    """All blocks of a long answer, joined. Numbers rise by one from 1 (some meters: from 0); the totals are bounded."""
    parts: list[bytes] = []
    total, expected = 0, -1
    while True:
        if answer[1] == NORMAL and answer[3]:
            raise action_refused(answer[3], subject)
        if answer[1] != BLOCK:
            raise not_an_answer(answer, subject)
        block = read_block(answer, 3, subject)
        if block.number != expected and (parts or block.number > 1):
            raise broken(subject, f"block {block.number} came where {max(expected, 1)} was due")
        parts.append(block.raw)
        total += len(block.raw)
        if total > limits.octets or len(parts) > limits.blocks:
            raise PeerError("peer-block", f"{subject}: more than {limits.octets} octets or {limits.blocks} blocks returned")
        if block.last:
            return b"".join(parts)
        expected = block.number + 1
        request = bytes((ACTION.request, _NEXT_BLOCK, CONFIRMED_HIGH | invoke_id)) + block.number.to_bytes(4, "big")
        answer = yield from ask(request, ACTION, invoke_id, subject)


def _read_list(octets: bytes, methods: Sequence[Method], subject: str) -> list[bytes | PeerError | None]:
    count, at = axdr.read_length(octets, 0)
    if count != len(methods):
        raise PeerError("peer-unexpected", f"{subject}: {count} results for {len(methods)} methods: read the objects")
    found: list[bytes | PeerError | None] = []
    for method in methods:
        if at >= len(octets):
            raise DecodeError("dlms-truncated", f"{subject}: the answer ends before {method}: read the objects")
        returned, at = _response(octets, at, str(method))
        found.append(returned)
    if at != len(octets):
        raise _unreadable(subject, f"{len(octets) - at} octets follow it")
    return found


def _unreadable(subject: str, what: str) -> DecodeError:
    return DecodeError("dlms-axdr", f"{subject}: the answer to the method cannot be read, {what}: read the object's state")
