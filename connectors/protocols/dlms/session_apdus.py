"""What stands in the APDUs of a session between client and meter, for who looks at a capture of one.

Nothing here takes part in a session: `get`, `association` and their like do. A get-response does not say of which attribute
it is; where its request came before it (whatever direction either went, told by the invoke id), its value gets the name.
What is ciphered is opened where there are keys: `session_ciphering`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import AARE, AARQ, RLRE, RLRQ, Conformance
from connectors.protocols.dlms.axdr import Value
from connectors.protocols.dlms.ber import fields, inner, integer, read_tlv
from connectors.protocols.dlms.ciphering import GENERAL_SIGNING
from connectors.protocols.dlms.client_apdus import DATA_ACCESS_RESULTS, not_an_answer
from connectors.protocols.dlms.cosem import obis
from connectors.protocols.dlms.errors import DecodeError, DlmsError
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.names import Descriptor
from connectors.protocols.dlms.push import with_cipher
from connectors.protocols.dlms.session_ciphering import SEALED, Opener
from connectors.protocols.dlms.telegram import Scalar, Telegram, TelegramValue, octets_of, scalar

_CONTEXTS = {1: "logical names", 2: "short names", 3: "logical names, ciphered", 4: "short names, ciphered"}
_MECHANISMS = ("none", "low", "high", "high, MD5", "high, SHA-1", "high, GMAC", "high, SHA-256", "high, ECDSA")
_RESULTS = ("accepted", "rejected-permanent", "rejected-transient")
_DIAGNOSTICS = {
    1: "no-reason-given",
    2: "application-context-name-not-supported",
    11: "authentication-mechanism-name-not-recognised",
    12: "authentication-mechanism-name-required",
    13: "authentication-failure",
    14: "authentication-required",
}
_NORMAL, _BLOCK, _LIST = 1, 2, 3
_INVOKE = 0x0F
_DESCRIPTOR = 9
_COUNTER_ERROR = 6
_MOST_BLOCKS = 4096
_MOST_OCTETS = 262_144
_INSIDE = 2  # general-signing around general-ciphering, and no more
_WRITES = {0xC1: "set-request", 0xC3: "action-request"}


@dataclass(slots=True)
class Sessions:
    """What was asked in a conversation and not answered yet, and the blocks of a long answer."""

    opener: Opener = field(default_factory=lambda: Opener(lambda _: None))
    """Of ciphered APDUs; without keys there is none."""
    _asked: dict[int, tuple[Descriptor, ...]] = field(default_factory=dict)
    _parts: list[bytes] = field(default_factory=list)

    def read(self, apdu: bytes, transport: str) -> Telegram | None:
        """What one APDU says; None where it is of no session, or nobody can open it. Raises DlmsError."""
        if apdu and apdu[0] in SEALED:
            return self._opened(apdu, transport, _INSIDE)
        return self._plain(apdu, transport)

    def _opened(self, apdu: bytes, transport: str, deep: int) -> Telegram | None:
        found = self.opener.open(apdu)
        if found is None:
            return None
        opened, authenticated = found
        inside = opened.plain
        try:
            if inside and inside[0] in SEALED:
                return self._opened(inside, transport, deep - 1) if deep else None
            telegram = self._plain(inside, transport)
        except DlmsError:
            if authenticated or apdu[0] == GENERAL_SIGNING:
                raise
            return None  # a wrong key makes anything of it
        return None if telegram is None else with_cipher(telegram, opened, authenticated=authenticated)

    def _plain(self, apdu: bytes, transport: str) -> Telegram | None:
        readers: dict[int, Callable[[bytes, str], Telegram | None]] = {
            0xC0: self._get_request, 0xC4: self._get_response, 0x0C: self._read_response,
            0xC1: self._write, 0xC3: self._write, 0xC5: self._outcome, 0xC7: self._outcome,
            0xD8: self._error, 0x0E: self._error,
            AARQ: self._acse, AARE: self._acse, RLRQ: self._acse, RLRE: self._acse,
        }  # fmt: skip
        reader = readers.get(apdu[0]) if apdu else None
        try:
            return None if reader is None else reader(apdu, transport)
        except IndexError:
            raise DecodeError("dlms-truncated", f"an APDU of {len(apdu)} octets ends inside a field") from None

    def _get_request(self, apdu: bytes, transport: str) -> Telegram:
        invoke = apdu[2] & _INVOKE
        if apdu[1] == _BLOCK:
            number = int.from_bytes(_some(apdu, 3, 4), "big")
            return _telegram("get-request", transport, apdu, source="next block", unnamed=(number,))
        if apdu[1] not in (_NORMAL, _LIST):
            raise DecodeError("dlms-axdr", f"a get-request of choice {apdu[1]}: there are 1 to 3")
        count, at = (1, 3) if apdu[1] == _NORMAL else axdr.read_length(apdu, 3)
        asked: list[Descriptor] = []
        for _ in range(count):
            asked.append(_descriptor(_some(apdu, at, _DESCRIPTOR)))
            at += _DESCRIPTOR
            at = axdr.skip(apdu, at + 2) if apdu[at : at + 1] == b"\x01" else at + 1  # selective access
        _ended(apdu, at)
        self._asked[invoke] = tuple(asked)
        self._parts.clear()
        return _telegram("get-request", transport, apdu, source=", ".join(one.text for one in asked))

    def _get_response(self, apdu: bytes, transport: str) -> Telegram | None:
        asked = self._asked.get(apdu[2] & _INVOKE, ())
        if apdu[1] == _BLOCK:
            return self._block(apdu, transport, asked)
        if apdu[1] not in (_NORMAL, _LIST):
            raise DecodeError("dlms-axdr", f"a get-response of choice {apdu[1]}: there are 1 to 3")
        count, at = (1, 3) if apdu[1] == _NORMAL else axdr.read_length(apdu, 3)
        results: list[Value | str] = []
        for _ in range(count):
            result, at = _result(apdu, at)
            results.append(result)
        _ended(apdu, at)
        return _answered("get-response", transport, apdu, asked, results)

    def _block(self, apdu: bytes, transport: str, asked: tuple[Descriptor, ...]) -> Telegram | None:
        last, number = apdu[3], int.from_bytes(_some(apdu, 4, 4), "big")
        if apdu[8] != 0:
            return _answered("get-response", transport, apdu, asked, [_refusal(apdu[9])])
        size, at = axdr.read_length(apdu, 9)
        if number == 1:
            self._parts.clear()
        if number != len(self._parts) + 1 or number > _MOST_BLOCKS:
            due = len(self._parts) + 1
            raise DecodeError(
                "dlms-axdr", f"block {number} of a get-response where block {due} is due: those before are missing"
            )
        self._parts.append(_some(apdu, at, size))
        _ended(apdu, at + size)
        if sum(map(len, self._parts)) > _MOST_OCTETS:
            raise DecodeError("dlms-axdr", f"blocks of a get-response beyond {_MOST_OCTETS} octets")
        if not last:
            return _telegram("get-response", transport, apdu, source=f"block {number}")
        whole = b"".join(self._parts)
        self._parts.clear()
        value, end = axdr.decode(whole)
        _ended(whole, end)
        return _answered("get-response", transport, whole, asked, [value])

    def _write(self, apdu: bytes, transport: str) -> Telegram:
        """A set-request or action-request. What sets a secret is not shown."""
        name = _WRITES[apdu[0]]
        if apdu[1] != _NORMAL:
            raise DecodeError("dlms-axdr", f"a {name} of choice {apdu[1]} is not read here, only single ones are")
        what, at = _descriptor(_some(apdu, 3, _DESCRIPTOR)), 3 + _DESCRIPTOR
        given = apdu[at]
        at = axdr.skip(apdu, at + 2) if given and apdu[0] == 0xC1 else at + 1  # selective access
        shown: tuple[Scalar, ...] = ()
        if given or apdu[0] == 0xC1:
            value, at = axdr.decode(apdu, at)
            shown = (scalar(value),)
        _ended(apdu, at)
        kept = masked(apdu)
        return _telegram(name, transport, kept, source=what.text, unnamed=shown if kept == apdu else ())

    def _read_response(self, apdu: bytes, transport: str) -> Telegram:
        count, at = axdr.read_length(apdu, 1)
        results: list[Value | str] = []
        for _ in range(count):
            result, at = _result(apdu, at)
            results.append(result)
        _ended(apdu, at)
        return _answered("read-response", transport, apdu, (), results)

    def _outcome(self, apdu: bytes, transport: str) -> Telegram:
        if apdu[1] != _NORMAL:
            raise DecodeError("dlms-axdr", f"an answer of choice {apdu[1]} is not read here, only single ones are")
        name = {0xC5: "set-response", 0xC7: "action-response"}[apdu[0]]
        results: list[Value | str] = ["success" if apdu[3] == 0 else _refusal(apdu[3])]
        at = 4
        if name == "action-response" and apdu[4:5] == b"\x01":
            value, at = _result(apdu, 5)
            results.append(value)
        _ended(apdu, at + (name == "action-response" and apdu[4:5] == b"\0"))
        return _answered(name, transport, apdu, (), results)

    def _error(self, apdu: bytes, transport: str) -> Telegram:
        name = "exception-response" if apdu[0] == 0xD8 else "confirmed-service-error"
        _ended(apdu, {0xD8: 7 if apdu[2] == _COUNTER_ERROR else 3}.get(apdu[0], 4))
        return _telegram(name, transport, apdu, unnamed=(not_an_answer(apdu, "the meter").detail,))

    def _acse(self, apdu: bytes, transport: str) -> Telegram:
        name = {AARQ: "aarq", AARE: "aare", RLRQ: "rlrq", RLRE: "rlre"}[apdu[0]]
        _, body, at = read_tlv(apdu, 0)
        _ended(apdu, at)
        said = fields(body)
        out: list[Scalar] = []
        if 0xA1 in said:
            out.append("context: " + _CONTEXTS.get(inner(said[0xA1], 0x06)[-1], "of no DLMS"))
        if name == "aare" and 0xA2 in said:
            result = integer(said[0xA2])
            out.append("result: " + (_RESULTS[result] if result < len(_RESULTS) else str(result)))
            if result and 0xA3 in said:
                diagnostic = integer(inner(said[0xA3], said[0xA3][0]))
                out.append("diagnostic: " + _DIAGNOSTICS.get(diagnostic, str(diagnostic)))
        title = said.get(0xA6 if name == "aarq" else 0xA4)
        system_title = inner(title, 0x04).hex().upper() if title else None
        mechanism = said.get(0x8B if name == "aarq" else 0x89, b"")
        if mechanism:
            out.append("authentication: " + (_MECHANISMS[mechanism[-1]] if mechanism[-1] < len(_MECHANISMS) else "unknown"))
        if name in ("aarq", "aare"):
            self.opener.titled(inner(title, 0x04) if title else None, client=name == "aarq")
            out += _initiate(self.opener.initiate(inner(said[0xBE], 0x04))) if 0xBE in said else ()
        return _telegram(name, transport, apdu, unnamed=tuple(out), system_title=system_title)


def _initiate(octets: bytes) -> list[Scalar]:
    """Conformance and the longest APDU in a plain initiate; that it is ciphered, where it is."""
    at = octets.find(b"\x5f\x1f\x04\x00")
    if octets[:1] not in (b"\x01", b"\x08") or at < 0:
        return ["initiate: ciphered" if octets[:1] in (b"\x21", b"\x28", b"\xdb") else "initiate: unreadable"]
    conformance = Conformance(int.from_bytes(_some(octets, at + 4, 3), "big"))
    names = ", ".join(str(one.name).lower().replace("_", "-") for one in conformance)
    return [f"conformance: {names}", f"max-pdu: {int.from_bytes(_some(octets, at + 7, 2), 'big')}"]


def _descriptor(octets: bytes) -> Descriptor:
    return Descriptor(obis(octets[2:8]), int.from_bytes(octets[:2], "big"), octets[8])


def _some(octets: bytes, at: int, size: int) -> bytes:
    if at + size > len(octets):
        raise DecodeError("dlms-truncated", f"{size} octets needed at {at}, {max(0, len(octets) - at)} there: cut short")
    return octets[at : at + size]


def _ended(octets: bytes, at: int) -> None:
    if at != len(octets):
        what = f"{len(octets) - at} octets after its end" if at < len(octets) else f"{at - len(octets)} octets short"
        raise DecodeError("dlms-axdr", f"an APDU of a session with {what}")


class _Refusal(str):
    """A data-access-result in place of a value."""

    __slots__ = ()


def _refusal(result: int) -> str:
    name = DATA_ACCESS_RESULTS[result][0] if result in DATA_ACCESS_RESULTS else "not in the standard"
    return _Refusal(f"data-access-result {result} ({name})")


def _result(apdu: bytes, at: int) -> tuple[Value | str, int]:
    """Get-Data-Result: 00 and data, or 01 and a data-access-result."""
    if apdu[at] == 0:
        return axdr.decode(apdu, at + 1)
    if apdu[at] == 1:
        return _refusal(apdu[at + 1]), at + 2
    raise DecodeError("dlms-axdr", f"{apdu[at]:#04x} at {at} where 00 (data) or 01 (refused) belongs")


def _answered(name: str, transport: str, apdu: bytes, asked: tuple[Descriptor, ...], results: list[Value | str]) -> Telegram:
    """Values under the names that were asked for, or without them; refusals among the latter."""
    source = ", ".join(one.text for one in asked)
    if len(asked) != len(results) or any(isinstance(result, _Refusal) for result in results):
        return _telegram(name, transport, apdu, source=source, unnamed=tuple(scalar(result) for result in results))
    values = tuple(
        TelegramValue(one.obis, scalar(value), one.attribute, one.class_id, octets=octets_of(value))
        for one, value in zip(asked, results, strict=True)
    )
    return _telegram(name, transport, apdu, source=source, values=values)


def _telegram(
    name: str,
    transport: str,
    apdu: bytes,
    *,
    source: str = "",
    values: tuple[TelegramValue, ...] = (),
    unnamed: tuple[Scalar, ...] = (),
    system_title: str | None = None,
) -> Telegram:
    return Telegram(
        transport, name, values, "session", source or "session", apdu, system_title=system_title, unnamed=unnamed
    )
