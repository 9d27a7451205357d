"""Sessions that speak logical names, over an association that has short names: an adapter, like `secured` and `gbt_session`.

    session ──GET, SET, ACTION──▶ read, write by base name ──▶ meter
            ◀── their answers ─── data, errors, blocks ◀──────

So everything that is written for logical names (clock, registers, profiles, all of `objects`) reads older meters, too. The
object list is asked for when a name is first needed, and is kept in `Associated.names`. A meter's refusal comes back as the
answer that says it with logical names. Long answers come back whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.action import ACTION, Method
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import DATA_ACCESS_RESULTS, Session, T
from connectors.protocols.dlms.cosem import obis, obis_bytes
from connectors.protocols.dlms.errors import DecodeError, DlmsError, PeerError
from connectors.protocols.dlms.get import GET_REQUEST, GET_RESPONSE, Attribute
from connectors.protocols.dlms.put import LIST, RESULTS, SET
from connectors.protocols.dlms.short_names import ShortNames, read_names, sn_get, sn_get_list, sn_invoke, sn_put

_NORMAL, _GET_LIST = 1, 3
_DESCRIPTOR = 9
_ANSWER = 4  # from a request's tag to its answer's
_CURRENT = "0.0.40.0.0.255"
_OBJECT_LIST = (15, _CURRENT, 2)
_OTHER_REASON = 250
_SERVICES = tuple(bytes((tag,)) for tag in (GET_REQUEST, SET.request, ACTION.request))
_NO_RIGHTS = bytes.fromhex("02 02 01 00 01 00")


@dataclass(frozen=True, slots=True)
class _Selected:
    """What a selection is encoded to: its selector and parameters, the same with either kind of names."""

    octets: bytes

    def encode(self) -> bytes:
        return self.octets


def by_short_names(session: Session[T], link: Associated) -> Session[T]:
    """`session` with its requests translated. What goes wrong is thrown into it, which may know better."""
    try:
        apdu = next(session)
        while True:
            try:
                answer = yield from _exchange(apdu, link)
            except DlmsError as error:
                apdu = session.throw(error)
            else:
                apdu = session.send(answer)
    except StopIteration as ended:
        result: T = ended.value
        return result
    finally:
        session.close()


def _exchange(apdu: bytes, link: Associated) -> Session[bytes]:
    if apdu[:1] not in _SERVICES:
        return (yield apdu)
    names = link.names
    if names is None:
        names = link.names = yield from read_names(link)
    if apdu[0] == GET_REQUEST and apdu[1] == _GET_LIST:
        return bytes((GET_RESPONSE, _GET_LIST)) + apdu[2:3] + (yield from _get_list(apdu, link, names))
    if apdu[0] == SET.request and apdu[1] == LIST:
        return bytes((SET.response, RESULTS)) + apdu[2:3] + (yield from _set_list(apdu, link, names))
    if apdu[1] != _NORMAL:
        detail = f"a request of kind {apdu[1]} has no counterpart with short names: ask for one object at a time"
        raise PeerError("peer-exception", detail)
    head = bytes((apdu[0] + _ANSWER, _NORMAL)) + apdu[2:3]
    try:
        return head + (yield from _ACTS[apdu[0]](apdu[3:], link, names))
    except PeerError as error:
        result = _result_of(error)
        if result is None:
            raise
        return head + (bytes((1, result)) if apdu[0] == GET_REQUEST else bytes((result,)))


def _get(asked: bytes, link: Associated, names: ShortNames) -> Session[bytes]:
    attribute, after = _attribute(asked, 0)
    if (attribute.class_id, attribute.obis, attribute.attribute) == _OBJECT_LIST:
        return b"\0" + _object_list(names)
    selection = _Selected(asked[after + 1 :]) if asked[after : after + 1] == b"\x01" else None
    return b"\0" + (yield from sn_get(link, names, attribute, selection))


def _get_list(apdu: bytes, link: Associated, names: ShortNames) -> Session[bytes]:
    count, at = axdr.read_length(apdu, 3)
    asked = []
    for _ in range(count):
        attribute, at = _attribute(apdu, at)
        at += 1  # no list of ours selects
        asked.append(attribute)
    out = [axdr.encode_length(count)]
    for answer in (yield from sn_get_list(link, names, asked)):
        if isinstance(answer, PeerError):
            result = _result_of(answer)
            out.append(bytes((1, _OTHER_REASON if result is None else result)))
        else:
            out.append(b"\0" + answer)
    return b"".join(out)


def _set(asked: bytes, link: Associated, names: ShortNames) -> Session[bytes]:
    attribute, after = _attribute(asked, 0)
    if asked[after]:
        raise PeerError("peer-unexpected", f"{attribute}: a part of it cannot be written by short names: write the whole")
    yield from sn_put(link, names, attribute, asked[after + 1 :])
    return b"\0"


def _set_list(apdu: bytes, link: Associated, names: ShortNames) -> Session[bytes]:
    """One after another: an answer to several writes does not say which of them a refusal is of, where one is lost."""
    count, at = axdr.read_length(apdu, 3)
    asked = []
    for _ in range(count):
        attribute, at = _attribute(apdu, at)
        at += 1  # no list of ours selects
        asked.append(attribute)
    _, at = axdr.read_length(apdu, at)
    results = bytearray()
    for attribute in asked:
        after = axdr.skip(apdu, at)
        value, at = apdu[at:after], after
        try:
            yield from sn_put(link, names, attribute, value)
            results.append(0)
        except PeerError as error:
            result = _result_of(error)
            if result is None:
                raise
            results.append(result)
    return axdr.encode_length(count) + bytes(results)


def _act(asked: bytes, link: Associated, names: ShortNames) -> Session[bytes]:
    attribute, after = _attribute(asked, 0)
    method = Method(attribute.class_id, attribute.obis, attribute.attribute)
    parameter = asked[after + 1 :] if asked[after : after + 1] == b"\x01" else None
    returned = yield from sn_invoke(link, names, method, parameter)
    return b"\0\0" if returned is None else b"\0\x01\0" + returned


_ACTS: dict[int, Callable[[bytes, Associated, ShortNames], Session[bytes]]] = {
    GET_REQUEST: _get, SET.request: _set, ACTION.request: _act,
}  # fmt: skip


def _attribute(octets: bytes, at: int) -> tuple[Attribute, int]:
    """What a descriptor names, and the index after it."""
    if len(octets) < at + _DESCRIPTOR:
        raise DecodeError("dlms-truncated", "a request without a whole descriptor cannot be put into short names")
    name = obis(octets[at + 2 : at + 8])
    return Attribute(int.from_bytes(octets[at : at + 2], "big"), name, octets[at + 8]), at + _DESCRIPTOR


def _result_of(error: PeerError) -> int | None:
    """The data-access-result that an error was made of; None where it was made of something else."""
    if error.code != "peer-access":
        return None
    said = error.detail.partition("data-access-result ")[2].partition(" ")[0]
    return int(said) if said.isdecimal() and int(said) in DATA_ACCESS_RESULTS else _OTHER_REASON


def _object_list(names: ShortNames) -> bytes:
    """The base names as attribute 2 of class 15 lists objects: class, version, logical name, and no rights, which short
    names do not tell there.
    """
    rows = [
        b"\x02\x04\x12" + item.class_id.to_bytes(2, "big") + b"\x11" + bytes((item.version & 0xFF,))
        + b"\x09\x06" + obis_bytes(item.obis) + _NO_RIGHTS
        for item in names.objects
    ]  # fmt: skip
    return b"\x01" + axdr.encode_length(len(rows)) + b"".join(rows)
