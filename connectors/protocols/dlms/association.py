"""Opening and closing an application association (ACSE in BER; IEC 62056-5-3, 8.4 and 9.4).

    idle ──AARQ──▶ pending ──AARE accepted──▶ associated ──RLRQ──▶ closing ──RLRE, or the meter closes──▶ idle
                      └──AARE refused, exception-response, confirmed-service-error──▶ idle, as a PeerError

Logical-name referencing without ciphering, with no authentication or a password (low level security). The password goes
into the AARQ and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

from connectors.protocols.dlms.client_apdus import CONFIRMED_SERVICE_ERROR, Session, not_an_answer
from connectors.protocols.dlms.errors import DecodeError, PeerError

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63


class Conformance(IntFlag):
    """The conformance block: services of IEC 62056-5-3, 9.4.6.1; bit 0 of the standard is the highest of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    ATTRIBUTE_0_WITH_SET = 1 << 15
    PRIORITY = 1 << 14
    ATTRIBUTE_0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1


PROPOSED = (
    Conformance.PRIORITY
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.EVENT_NOTIFICATION
    | Conformance.ACTION
)
"""What a client proposes unless the template says less."""


@dataclass(frozen=True, slots=True)
class Association:
    """How to associate: a password means low level security, none means no authentication."""

    password: bytes | None = field(default=None, repr=False)
    conformance: Conformance = PROPOSED
    max_receive_pdu: int = 0xFFFF  # octets; what the meter may send at once


@dataclass(slots=True)
class Associated:
    """An open association: what was agreed, and what must be remembered between requests."""

    conformance: Conformance
    max_send_pdu: int  # octets; the longest APDU that the meter takes; 0 is no limit
    negotiated: bool = True  # False where the AARE had no user-information and the proposal is taken for agreed
    invoke_id: int = field(default=0, init=False)

    def next_invoke_id(self) -> int:
        """1 to 15, round and round: a late answer to the request before is told from the one to this."""
        self.invoke_id = self.invoke_id % 15 + 1
        return self.invoke_id


_LN_CONTEXT = bytes.fromhex("A1 09 06 07 60 85 74 05 08 01 01")  # application context name: logical names, no ciphering
_LOW_LEVEL = bytes.fromhex("8A 02 07 80 8B 07 60 85 74 05 08 02 01")  # ACSE requirement: authentication; mechanism: low
_INITIATE = bytes.fromhex("01 00 00 00 06 5F 1F 04 00")  # no dedicated key, response allowed, no QoS, DLMS 6, conformance
_RELEASE = bytes((RLRQ, 3, 0x80, 1, 0))  # reason: normal
_SUBJECT = "association"

_RESULTS = {1: "rejected-permanent", 2: "rejected-transient"}
_AUTHENTICATION = "check the password, the client address and the authentication in the template"
_DIAGNOSTICS: dict[int, tuple[str, str]] = {
    0: ("null", "compare client address, authentication and conformance with the template"),
    1: ("no-reason-given", "compare client address, authentication and conformance with the template"),
    2: ("application-context-name-not-supported", "the meter wants short names or ciphering: correct the template"),
    3: ("calling-AP-title-not-recognized", "the meter wants another system title of the client"),
    11: ("authentication-mechanism-name-not-recognised", "the meter has another authentication for this client address"),
    12: ("authentication-mechanism-name-required", "the meter wants authentication: set it in the template"),
    13: ("authentication-failure", _AUTHENTICATION),
    14: ("authentication-required", "the meter wants authentication: " + _AUTHENTICATION),
}
_PROVIDER = {0: "null", 1: "no-reason-given", 2: "no-common-acse-version"}


def associate(config: Association) -> Session[Associated]:
    """Open an association. PeerError "peer-association-refused" with the meter's diagnostic and what to do about it."""
    answer = yield aarq(config)
    if not answer:
        detail = f"{_SUBJECT}: the meter closed the connection: check the client address in the template, or try again"
        raise PeerError("peer-closed", detail, retry=True)
    if answer[0] != AARE:
        raise not_an_answer(answer, _SUBJECT)
    return read_aare(answer, config)


def release() -> Session[None]:
    """Close the association. A meter that closes the connection instead, or answers anything else, is as good."""
    yield _RELEASE


def aarq(config: Association) -> bytes:
    """The association request."""
    initiate = _INITIATE + config.conformance.to_bytes(3, "big") + config.max_receive_pdu.to_bytes(2, "big")
    parts = [_LN_CONTEXT]
    if config.password is not None:
        parts += [_LOW_LEVEL, _tlv(0xAC, _tlv(0x80, config.password))]
    parts.append(_tlv(0xBE, _tlv(0x04, initiate)))
    return _tlv(AARQ, b"".join(parts))


def masked(apdu: bytes) -> bytes:
    """An APDU as it may be kept: in an AARQ, each octet of the password is an asterisk."""
    if apdu[:1] != bytes((AARQ,)):
        return apdu
    at = apdu.find(_LOW_LEVEL)
    if at < 0:
        return apdu
    at += len(_LOW_LEVEL)
    tag, secret, after = _read_tlv(apdu, at)
    if tag != 0xAC:
        return apdu
    return apdu[:at] + _tlv(0xAC, _tlv(0x80, b"*" * len(_inner(secret, 0x80)))) + apdu[after:]


def read_aare(apdu: bytes, proposed: Association) -> Associated:
    """What the meter agreed to, or the PeerError for its refusal."""
    fields = _fields(apdu)
    result, source, diagnostic = _outcome(fields)
    information = fields.get(0xBE, b"")
    initiate = _inner(information, 0x04) if information else b""
    if result != 0:
        raise _refused(result, source, diagnostic, initiate)
    if initiate[:1] == bytes((CONFIRMED_SERVICE_ERROR,)):
        raise not_an_answer(initiate, _SUBJECT)
    if diagnostic == 14 and source == 0xA1:
        detail = f"{_SUBJECT}: the meter accepts only after high level security: set the authentication in the template"
        raise PeerError("peer-association-refused", detail)
    if not initiate:  # seen in the field: accepted, and not a word of what was agreed
        return Associated(proposed.conformance, 0, negotiated=False)
    return _agreed(initiate)


def _agreed(initiate: bytes) -> Associated:
    """An initiateResponse: 08, optional quality of service, version, conformance, the meter's receive size, 00 07."""
    try:
        if initiate[0] != 0x08:
            raise _malformed(f"user-information starts with {initiate[0]:#04x}: 0x08, an initiateResponse, was expected")
        at = 2 if initiate[1] == 0 else 3
        version = initiate[at]
        at += 1
        if initiate[at] != 0x5F:
            raise _malformed("the initiateResponse has no conformance block")
        at += 2 if initiate[at + 1] == 0x1F else 1  # meters of the first edition leave the second tag octet out
        if version < 6 or initiate[at : at + 2] != b"\x04\x00" or len(initiate) < at + 7:
            raise _malformed(f"DLMS version {version} and a conformance block of another form; version 6 is needed")
    except IndexError:
        raise _malformed("the initiateResponse is cut short") from None
    conformance = Conformance(int.from_bytes(initiate[at + 2 : at + 5], "big"))
    return Associated(conformance, int.from_bytes(initiate[at + 5 : at + 7], "big"))


def _refused(result: int, source: int, diagnostic: int, initiate: bytes) -> PeerError:
    if source == 0xA2:
        name, mend = _PROVIDER.get(diagnostic, str(diagnostic)), "the meter's ACSE is another version: ask the vendor"
    else:
        name, mend = _DIAGNOSTICS.get(diagnostic, (str(diagnostic), "ask the vendor what it means"))
    why = f"{_SUBJECT}: {_RESULTS.get(result, str(result))}, {name}: {mend}"
    if initiate[:1] == bytes((CONFIRMED_SERVICE_ERROR,)):
        why += f"; {not_an_answer(initiate, _SUBJECT).detail}"
    return PeerError("peer-association-refused", why, retry=result == 2)


def _outcome(fields: dict[int, bytes]) -> tuple[int, int, int]:
    """Result, who diagnosed (0xA1 user, 0xA2 provider), diagnostic."""
    if 0xA2 not in fields:
        raise _malformed("the AARE has no result")
    result = _integer(fields[0xA2])
    diagnosed = fields.get(0xA3, b"")
    if not diagnosed:
        return result, 0xA1, 0
    source = diagnosed[0]
    return result, source, _integer(_inner(diagnosed, source))


def _integer(octets: bytes) -> int:
    value = _inner(octets, 0x02)
    if not 1 <= len(value) <= 4:
        raise _malformed(f"an integer of {len(value)} octets")
    return int.from_bytes(value, "big")


def _fields(apdu: bytes) -> dict[int, bytes]:
    body = _inner(apdu, AARE)
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        tag, content, at = _read_tlv(body, at)
        fields.setdefault(tag, content)
    return fields


def _inner(octets: bytes, tag: int) -> bytes:
    found, content, _ = _read_tlv(octets, 0)
    if found != tag:
        raise _malformed(f"tag {found:#04x} where {tag:#04x} belongs")
    return content


def _read_tlv(octets: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and the index after it; BER lengths of up to two octets, checked against what is there."""
    if at + 2 > len(octets):
        raise _malformed("it is cut short")
    tag, size = octets[at], octets[at + 1]
    at += 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 2 or at + count > len(octets):
            raise _malformed(f"a length of {count} octets")
        size = int.from_bytes(octets[at : at + count], "big")
        at += count
    if at + size > len(octets):
        raise _malformed(f"{size} octets announced, {len(octets) - at} there")
    return tag, octets[at : at + size], at + size


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    return bytes((tag, 0x82)) + size.to_bytes(2, "big") + content


def _malformed(what: str) -> DecodeError:
    return DecodeError(
        "dlms-acse", f"{_SUBJECT}: the meter's answer cannot be read, {what}: keep its bytes and ask the vendor"
    )
