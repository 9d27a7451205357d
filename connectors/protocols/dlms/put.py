"""The SET service of logical-name referencing (IEC 62056-5-3, 9.3.7): attributes written one by one, as a list, in blocks.

    C1 request   01 normal   04 with list   02 first block          03 further block
    C5 answer    01 result   05 results     02 next block, please   03 result of the last block

A value is A-XDR data as on the wire. Where the connection closes before the answer, whether the meter took the value is
not known: read it back.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session, access_refused, not_an_answer
from connectors.protocols.dlms.confirmed import NORMAL, Service, list_length, send_list, send_value
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute, Selection

LIST, LAST_BLOCK, RESULTS = 4, 3, 5
SET = Service(0xC1, 0xC5, Conformance.BLOCK_TRANSFER_WITH_SET, first_block=2, with_block=3, next_block=2)

Item = tuple[Attribute, bytes]
"""An attribute and the value it is to have."""


def put(link: Associated, attribute: Attribute, value: bytes, selection: Selection | None = None) -> Session[None]:
    """Write `value` to `attribute`. PeerError "peer-access" with the data-access-result."""
    subject = str(attribute)
    descriptor = attribute.encode() + (b"\0" if selection is None else b"\x01" + selection.encode())
    _, answer = yield from send_value(link, SET, descriptor, b"", value, subject)
    if answer[1] not in (NORMAL, LAST_BLOCK) or len(answer) != (4 if answer[1] == NORMAL else 8):
        raise not_an_answer(answer, subject)
    if answer[3]:
        raise access_refused(answer[3], subject)


def put_list(link: Associated, items: Sequence[Item]) -> Session[tuple[PeerError | None, ...]]:
    """Write each value, in order: None, or the meter's refusal of it.

    Where the meter grants no lists, or refuses one as a whole, the values are written one by one. Anything that leaves open
    which of them were taken (a closed connection, an answer that cannot be read) is raised.
    """
    found: list[PeerError | None] = []
    while len(found) < len(items):
        some = items[len(found) : len(found) + list_length(link, (10 + len(value) for _, value in items[len(found) :]))]
        if len(some) > 1:
            try:
                found += yield from _put_some(link, some)
                continue
            except PeerError as error:
                if error.code not in ("peer-exception", "peer-access"):
                    raise
                link.conformance &= ~Conformance.MULTIPLE_REFERENCES  # it says that it can, and cannot
        try:
            yield from put(link, *some[0])
            found.append(None)
        except PeerError as error:
            if error.code not in ("peer-access", "peer-exception"):
                raise
            found.append(error)
    return tuple(found)


def _put_some(link: Associated, items: Sequence[Item]) -> Session[list[PeerError | None]]:
    subject = f"{items[0][0]} and {len(items) - 1} more"
    descriptors = [attribute.encode() + b"\0" for attribute, _ in items]
    _, answer = yield from send_list(link, SET, LIST, descriptors, [value for _, value in items], subject)
    if answer[1] == NORMAL and answer[3]:
        raise access_refused(answer[3], subject)
    if answer[1] != RESULTS:
        raise not_an_answer(answer, subject)
    try:
        count_given, at = axdr.read_length(answer, 3)
    except DecodeError as error:
        raise DecodeError(error.code, f"{subject}: {error.detail}: read the attributes back") from None
    results = answer[at : at + count_given]
    if count_given != len(items) or len(results) != len(items):
        raise PeerError("peer-unexpected", f"{subject}: {count_given} results for {len(items)} attributes: read them back")
    return [
        access_refused(result, str(attribute)) if result else None
        for result, (attribute, _) in zip(results, items, strict=True)
    ]
