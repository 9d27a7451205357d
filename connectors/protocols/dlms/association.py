"""Opening and closing an application association (ACSE in BER; IEC 62056-5-3, 8.4 and 9.4).

    idle ──AARQ──▶ pending ──AARE accepted──▶ [passes 3 and 4] ──▶ associated ──RLRQ──▶ closing ──RLRE, or it closes──▶ idle
                      └──AARE refused, exception-response, confirmed-service-error, no proof──▶ idle, as a PeerError

Logical or short names, with no authentication, a password (low level security) or `hls`, in clear or through a channel of
`security`. With a channel that ciphers, every session goes through `security.secured`, these here included. The password
goes into the AARQ and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from typing import TYPE_CHECKING

from connectors.protocols.dlms.ber import fields, inner, integer, malformed, tlv
from connectors.protocols.dlms.client_apdus import CONFIRMED_SERVICE_ERROR, Session, not_an_answer
from connectors.protocols.dlms.errors import CipherError, PeerError

if TYPE_CHECKING:  # both stand on this module
    from connectors.protocols.dlms.hls import Hls
    from connectors.protocols.dlms.security import Channel
    from connectors.protocols.dlms.short_names import ShortNames

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
_KEPT = 256
_WINDOWS = 63


class Conformance(IntFlag):
    """The conformance block: services of IEC 62056-5-3, 9.4.6.1; bit 0 of the standard is the highest of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    ATTRIBUTE_0_WITH_SET = 1 << 15
    PRIORITY = 1 << 14
    ATTRIBUTE_0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
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


PROPOSED_SHORT_NAMES = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.INFORMATION_REPORT
    | Conformance.PARAMETERIZED_ACCESS
)
"""The same of a client that uses short names."""


@dataclass(frozen=True, slots=True)
class Association:
    """How to associate: a password means low level security, `hls` high, neither means no authentication.

    Raises ValueError where the parts do not fit.
    """

    password: bytes | None = field(default=None, repr=False)
    conformance: Conformance = PROPOSED
    max_receive_pdu: int = 0xFFFF  # octets; what the meter may send at once
    hls: Hls | None = None
    channel: Channel | None = None
    """Keys and system titles, for ciphering and for what `hls` needs of them."""
    short_names: bool = False
    user: int | None = None
    """Which of several users of this client (calling-AE-invocation-id), 0 to 255."""
    gbt_window: int = 0
    """General block transfer: blocks that the meter may stream before it waits, 1 to 63; 0 does not propose it."""

    def __post_init__(self) -> None:
        if self.hls is not None and self.password is not None:
            raise ValueError("a password and high level security: a meter has one of them for a client")
        if self.hls is not None and self.hls.titled and self.channel is None:
            raise ValueError(f"authentication with {self.hls.mechanism.name} needs a channel: system title and keys")
        if not 0 <= self.gbt_window <= _WINDOWS:
            raise ValueError(f"a window of {self.gbt_window} blocks: 1 to {_WINDOWS} are possible, 0 for none")

    @property
    def ciphered(self) -> bool:
        """Whether the application context is one with ciphering."""
        return self.channel is not None and self.channel.ciphered


@dataclass(slots=True)
class Associated:
    """An open association: what was agreed, and what must be remembered between requests."""

    conformance: Conformance
    max_send_pdu: int  # octets; the longest APDU that the meter takes; 0 is no limit
    negotiated: bool = True  # False where the AARE had no user-information and the proposal is taken for agreed
    system_title: bytes | None = None  # the meter's, where it named one
    short: Associated | None = None
    """With short names what was agreed, and this here is how sessions with logical names see it: `by_short_names`."""
    names: ShortNames | None = field(default=None, init=False)
    """The base names, once they are known. Who keeps them by meter type and sets them saves a request."""
    invoke_id: int = field(default=0, init=False)
    lists_proved: bool = field(default=False, init=False)
    """Whether what the meter refused in a list was refused alone, too: see `get.get_list`."""
    in_list: bool = field(default=False, init=False)
    """Whether a request with list was not answered so far: what ends the session then may have to do with it."""

    def next_invoke_id(self) -> int:
        """1 to 15, round and round: a late answer to the request before is told from the one to this."""
        self.invoke_id = self.invoke_id % 15 + 1
        return self.invoke_id


_CONTEXT = bytes.fromhex("60 85 74 05 08 01")  # 1 logical names, 2 short names, 3 and 4 the same with ciphering
MECHANISM = bytes.fromhex("60 85 74 05 08 02")
LOW = 1
_REQUIREMENTS = bytes.fromhex("8A 02 07 80")  # sender-acse-requirements: authentication
_NORMAL = bytes((0x80, 1, 0))  # reason of a release
_SUBJECT = "association"

_RESULTS = {1: "rejected-permanent", 2: "rejected-transient"}
_AUTHENTICATION = "check the password, the client address and the authentication in the template"
_DIAGNOSTICS: dict[int, tuple[str, str]] = {
    0: ("null", "compare client address, authentication and conformance with the template"),
    1: ("no-reason-given", "compare client address, authentication and conformance with the template"),
    2: (
        "application-context-name-not-supported",
        "the meter wants other names (long, short) or ciphering: correct the template",
    ),
    3: ("calling-AP-title-not-recognized", "the meter wants another system title of the client"),
    11: ("authentication-mechanism-name-not-recognised", "the meter has another authentication for this client address"),
    12: ("authentication-mechanism-name-required", "the meter wants authentication: set it in the template"),
    13: ("authentication-failure", _AUTHENTICATION),
    14: ("authentication-required", "the meter wants authentication: " + _AUTHENTICATION),
}
_UNSAID = (0, 1, 13)
_UNDECIPHERED = (
    "a meter that cannot decipher the request, or heard a higher invocation counter of ours, says so too: check that the"
    " encryption and authentication keys are this meter's, and what it tells the public client of the counter"
)
_PROVIDER = {0: "null", 1: "no-reason-given", 2: "no-common-acse-version"}


def associate(config: Association) -> Session[Associated]:
    """Open an association. PeerError "peer-association-refused" with the meter's diagnostic and what to do about it,
    "peer-authentication" where the meter cannot prove itself.
    """
    challenge = b"" if config.hls is None else config.hls.challenge()
    answer = yield aarq(config, challenge)
    if not answer:
        detail = f"{_SUBJECT}: the meter closed the connection: check the client address in the template, or try again"
        raise PeerError("peer-closed", detail, retry=True)
    if answer[0] != AARE:
        raise not_an_answer(answer, _SUBJECT)
    if config.hls is None:
        link = read_aare(answer, config)
    else:
        found = fields(inner(answer, AARE))
        link = _accepted(found, config)
    if config.short_names:
        link = _in_logical_names(link)
    if config.hls is not None:
        yield from config.hls.authenticate(link, challenge, _challenge(found, config.hls), config.channel)
    if config.channel is not None:
        config.channel.established()
    return link


def _in_logical_names(agreed: Associated) -> Associated:
    """An association with short names as `by_short_names` presents it: no request is too long, since it cuts them."""
    services = agreed.conformance | Conformance.GET | Conformance.SET | Conformance.ACTION
    if Conformance.PARAMETERIZED_ACCESS in agreed.conformance:
        services |= Conformance.SELECTIVE_ACCESS
    return Associated(services, 0, agreed.negotiated, agreed.system_title, agreed)


def release(config: Association | None = None) -> Session[None]:
    """Close the association. A meter that closes the connection instead, or answers anything else, is as good.

    With the `config` of a ciphered association the request is protected, so that nobody else can close it.
    """
    content = _NORMAL
    if config is not None and config.channel is not None and config.channel.ciphered:
        content += tlv(0xBE, tlv(0x04, config.channel.seal_initiate(_initiate(config))))
    yield tlv(RLRQ, content)


def aarq(config: Association, challenge: bytes = b"") -> bytes:
    """The association request. With a channel, a new association of that channel begins."""
    return _always_the_same(config) if config.channel is None and config.hls is None else _aarq(config, challenge)


@lru_cache(maxsize=_KEPT)
def _always_the_same(config: Association) -> bytes:
    return _aarq(config, b"")


def _aarq(config: Association, challenge: bytes) -> bytes:
    channel, hls = config.channel, config.hls
    if channel is not None:
        channel.begin()
    title, certificate = None if channel is None else channel.title, None if hls is None else hls.certificate
    mechanism = (0 if config.password is None else LOW) if hls is None else int(hls.mechanism)
    head = _head(1 + config.short_names + 2 * config.ciphered, title, certificate, config.user, mechanism)
    if mechanism:
        head += tlv(0xAC, tlv(0x80, (config.password or b"") if hls is None else challenge))
    initiate = _initiate(config)
    return tlv(AARQ, head + tlv(0xBE, tlv(0x04, initiate if channel is None else channel.seal_initiate(initiate))))


@lru_cache(maxsize=_KEPT)
def _head(context: int, title: bytes | None, certificate: bytes | None, user: int | None, mechanism: int) -> bytes:
    """What precedes the authentication value; nothing in it is secret."""
    parts = [tlv(0xA1, tlv(0x06, _CONTEXT + bytes((context,))))]
    if title is not None:
        parts.append(tlv(0xA6, tlv(0x04, title)))
    if certificate is not None:
        parts.append(tlv(0xA7, tlv(0x04, certificate)))
    if user is not None:
        parts.append(tlv(0xA9, tlv(0x02, bytes((user,)))))
    if mechanism:
        parts += [_REQUIREMENTS, tlv(0x8B, MECHANISM + bytes((mechanism,)))]
    return b"".join(parts)


def _initiate(config: Association) -> bytes:
    """An initiateRequest: 01, dedicated key, response allowed, no quality of service, DLMS 6, conformance, our PDU size."""
    channel = config.channel
    key = b"" if channel is None else channel.dedicated_key
    general = channel is not None and channel.general
    proposal = _proposal(config.conformance, config.max_receive_pdu, general, config.gbt_window != 0)
    return b"\x01" + bytes((1, len(key))) + key + proposal if key else b"\x01\0" + proposal


@lru_cache(maxsize=_KEPT)
def _proposal(conformance: Conformance, size: int, general: bool, blocks: bool) -> bytes:
    """What follows the dedicated key in an initiateRequest."""
    if general:
        conformance |= Conformance.GENERAL_PROTECTION
    if blocks:
        conformance |= Conformance.GENERAL_BLOCK_TRANSFER
    return b"\0\0\x06\x5f\x1f\x04\0" + conformance.to_bytes(3, "big") + size.to_bytes(2, "big")


def read_aare(apdu: bytes, proposed: Association) -> Associated:
    """What the meter agreed to, or the PeerError for its refusal."""
    if proposed.channel is not None or proposed.hls is not None:
        return _accepted(fields(inner(apdu, AARE)), proposed)
    agreed = _read_before(apdu, proposed)
    return Associated(agreed.conformance, agreed.max_send_pdu, agreed.negotiated, agreed.system_title)


@lru_cache(maxsize=_KEPT)
def _read_before(apdu: bytes, proposed: Association) -> Associated:
    """A fleet answers with few different AAREs; never handed out itself, since a session changes its own."""
    return _accepted(fields(inner(apdu, AARE)), proposed)


def _accepted(found: dict[int, bytes], proposed: Association) -> Associated:
    """The same from the fields of the AARE."""
    result, source, diagnostic = _outcome(found.get(0xA2), found.get(0xA3, b""))
    information = found.get(0xBE, b"")
    initiate = inner(information, 0x04) if information else b""
    if result != 0:
        raise _refused(result, source, diagnostic, initiate, ciphered=proposed.ciphered)
    title = inner(found[0xA4], 0x04) if 0xA4 in found else None
    channel = proposed.channel
    if channel is not None and (channel.ciphered or (proposed.hls is not None and proposed.hls.titled)):
        channel.meet(title)
    if channel is not None and channel.ciphered:
        _check_context(found, proposed)
        initiate = channel.open_initiate(initiate)
    if initiate[:1] == bytes((CONFIRMED_SERVICE_ERROR,)):
        raise not_an_answer(initiate, _SUBJECT)
    if diagnostic == 14 and source == 0xA1 and proposed.hls is None:
        detail = f"{_SUBJECT}: the meter accepts only after high level security: set the authentication in the template"
        raise PeerError("peer-association-refused", detail)
    if not initiate:  # seen in the field: accepted, and not a word of what was agreed
        return Associated(proposed.conformance, 0, negotiated=False, system_title=title)
    conformance, size = _agreed(initiate)
    overhead = 0 if channel is None else channel.overhead  # so much less a session may send
    return Associated(conformance, max(size - overhead, 1) if size else 0, system_title=title)


def _challenge(found: dict[int, bytes], hls: Hls) -> bytes:
    """StoC. Raises PeerError "peer-authentication" where the meter asks for no proof, or for another kind."""
    mechanism = found.get(0x89)
    if mechanism is not None and mechanism != MECHANISM + bytes((hls.mechanism,)):
        detail = f"{_SUBJECT}: the meter authenticates by another mechanism ({mechanism.hex().upper()}) than was asked for"
        raise PeerError("peer-authentication", detail)
    if 0xAA not in found:
        detail = f"{_SUBJECT}: the meter accepts us without proving itself: compare its security setup with the template"
        raise PeerError("peer-authentication", detail)
    return inner(found[0xAA], 0x80)


def _check_context(found: dict[int, bytes], proposed: Association) -> None:
    """The application context of an accepted association that we want ciphered."""
    name = inner(found[0xA1], 0x06) if 0xA1 in found else b""
    if name != _CONTEXT + bytes((3 + proposed.short_names,)):
        detail = f"{_SUBJECT}: the meter accepts another application context ({name.hex().upper()}) than the ciphered one"
        raise CipherError("cipher-policy", f"{detail}: compare its security setup with the template")


@lru_cache(maxsize=_KEPT)
def _agreed(initiate: bytes) -> tuple[Conformance, int]:
    """Conformance and receive size in an initiateResponse: 08, optional quality of service, version, conformance, the
    meter's receive size, 00 07 or FA 00.
    """
    try:
        if initiate[0] != 0x08:
            raise malformed(f"user-information starts with {initiate[0]:#04x}: 0x08, an initiateResponse, was expected")
        at = 2 if initiate[1] == 0 else 3
        version = initiate[at]
        at += 1
        if initiate[at] != 0x5F:
            raise malformed("the initiateResponse has no conformance block")
        at += 2 if initiate[at + 1] == 0x1F else 1  # meters of the first edition leave the second tag octet out
        if version < 6 or initiate[at : at + 2] != b"\x04\x00" or len(initiate) < at + 7:
            raise malformed(f"DLMS version {version} and a conformance block of another form; version 6 is needed")
    except IndexError:
        raise malformed("the initiateResponse is cut short") from None
    conformance = Conformance(int.from_bytes(initiate[at + 2 : at + 5], "big"))
    return conformance, int.from_bytes(initiate[at + 5 : at + 7], "big")


def _refused(result: int, source: int, diagnostic: int, initiate: bytes, *, ciphered: bool) -> PeerError:
    if source == 0xA2:
        name, mend = _PROVIDER.get(diagnostic, str(diagnostic)), "the meter's ACSE is another version: ask the vendor"
    else:
        name, mend = _DIAGNOSTICS.get(diagnostic, (str(diagnostic), "ask the vendor what it means"))
    why = f"{_SUBJECT}: {_RESULTS.get(result, str(result))}, {name}: {mend}"
    if ciphered and source == 0xA1 and diagnostic in _UNSAID:
        why += f"; {_UNDECIPHERED}"
    if initiate[:1] == bytes((CONFIRMED_SERVICE_ERROR,)):
        why += f"; {not_an_answer(initiate, _SUBJECT).detail}"
    return PeerError("peer-association-refused", why, retry=result == 2)


@lru_cache(maxsize=_KEPT)
def _outcome(answered: bytes | None, diagnosed: bytes) -> tuple[int, int, int]:
    """Result, who diagnosed (0xA1 user, 0xA2 provider), diagnostic."""
    if answered is None:
        raise malformed("the AARE has no result")
    result = integer(answered)
    if not diagnosed:
        return result, 0xA1, 0
    source = diagnosed[0]
    return result, source, integer(inner(diagnosed, source))
