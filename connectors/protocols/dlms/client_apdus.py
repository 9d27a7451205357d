"""What every session of the pull side shares: its shape, and the ways in which a meter says no.

A session is a generator. It yields the octets of an APDU to send and is sent the octets of the APDU that came. Two
conventions make it complete: it yields `b""` where nothing is to be sent and the next APDU is wanted, and it is sent `b""`
(`CLOSED`) where the meter closed the connection. Framing, timeouts and unsolicited notifications (0x0F, 0xC2) are the
driver's: it keeps the latter away from the session. What goes wrong comes out of the driver's `send` as a `DlmsError`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

from connectors.protocols.dlms.errors import PeerError

T = TypeVar("T")

Session: TypeAlias = Generator[bytes, bytes, T]
"""Yields APDUs to send, is sent APDUs that came, returns T."""

CLOSED = b""
"""Sent into a session in place of an APDU: the connection has ended."""

CONFIRMED_SERVICE_ERROR, EXCEPTION_RESPONSE = 0x0E, 0xD8

_NEVER, _LATER = False, True

DATA_ACCESS_RESULTS: dict[int, tuple[str, str, bool]] = {
    1: ("hardware-fault", "the meter reports its own fault: see its error register 0.0.97.97.0.255", _NEVER),
    2: ("temporary-failure", "ask again later", _LATER),
    3: ("read-write-denied", "this client may not: associate as another (template: client, authentication)", _NEVER),
    4: ("object-undefined", "the meter has no such object: compare the template with 15/0.0.40.0.0.255/2", _NEVER),
    9: ("object-class-inconsistent", "the object is there in another class or version: correct the template", _NEVER),
    11: ("object-unavailable", "the meter cannot give it now: ask again later", _LATER),
    12: ("type-unmatched", "the meter takes access parameters of other types: see the template's switches", _NEVER),
    13: ("scope-of-access-violated", "beyond this client: narrow the range, or associate as another client", _NEVER),
    14: ("data-block-unavailable", "the meter lost the long answer: ask for the whole again", _LATER),
    15: ("long-get-aborted", "the meter gave the long answer up: ask for the whole again", _LATER),
    16: ("no-long-get-in-progress", "the meter forgot the long answer: ask for the whole again", _LATER),
    17: ("long-set-aborted", "write the whole again", _LATER),
    18: ("no-long-set-in-progress", "write the whole again", _LATER),
    19: ("data-block-number-invalid", "meter and client count blocks differently: ask for the whole again", _LATER),
    250: ("other-reason", "the meter gives no reason: ask for less at once, or as another client", _NEVER),
}  # fmt: skip
"""Data-Access-Result (IEC 62056-5-3, 9.5): name, what to do next, whether asking again can help."""

_STATE_ERRORS = {1: "service-not-allowed", 2: "service-unknown"}
_SERVICE_ERRORS: dict[int, tuple[str, str]] = {
    1: ("operation-not-possible", "associate first, or as a client with the right"),
    2: ("service-not-supported", "leave this service out in the template's conformance"),
    3: ("other-reason", "release, associate again and retry"),
    4: ("pdu-too-long", "ask for less at once"),
    5: ("deciphering-error", "check the meter's keys"),
    6: ("invocation-counter-error", "the counter must rise above what the meter says"),
}

_CONFIRMED_SERVICES = {
    1: "initiate",
    2: "get-status",
    3: "get-name-list",
    4: "get-variable-attribute",
    5: "read",
    6: "write",
}
_ERROR_KINDS: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("application-reference", ("other", "time-elapsed", "application-unreachable", "application-reference-invalid",
                                  "application-context-unsupported", "provider-communication-error", "deciphering-error")),
    1: ("hardware-resource", ("other", "memory-unavailable", "processor-resource-unavailable", "mass-storage-unavailable",
                              "other-resource-unavailable")),
    2: ("vde-state-error", ("other", "no-dlms-context", "loading-data-set", "status-nochange", "status-inoperable")),
    3: ("service", ("other", "pdu-size", "service-unsupported")),
    4: ("definition", ("other", "object-undefined", "object-class-inconsistent", "object-attribute-inconsistent")),
    5: ("access", ("other", "scope-of-access-violated", "object-access-violated", "hardware-fault", "object-unavailable")),
    6: ("initiate", ("other", "dlms-version-too-low", "incompatible-conformance", "pdu-size-too-short",
                     "refused-by-the-VDE-handler")),
}  # fmt: skip

_SERVICE_MENDS = {
    "no-dlms-context": "associate first",
    "service-unsupported": "this client has no such service there: another client, or other names (template: referencing)",
}


def access_refused(result: int, subject: str) -> PeerError:
    """The error for a data-access-result of `subject`, such as "7/1.0.99.1.0.255/2"."""
    name, mend, retry = DATA_ACCESS_RESULTS.get(result, ("not in the standard", "ask the vendor what it means", False))
    return PeerError("peer-access", f"{subject}: data-access-result {result} ({name}): {mend}", retry=retry)


def not_an_answer(apdu: bytes, subject: str) -> PeerError:
    """The error for whatever came in place of the answer to `subject`: a closed connection, a refusal, something else."""
    if not apdu:
        return PeerError(
            "peer-closed", f"{subject}: the meter closed the connection before it answered: try again", retry=True
        )
    if apdu[0] == EXCEPTION_RESPONSE and len(apdu) >= 3:
        return _exception(apdu, subject)
    if apdu[0] == CONFIRMED_SERVICE_ERROR and len(apdu) >= 4:
        return _confirmed_service_error(apdu, subject)
    head = apdu[:8].hex(" ").upper()
    detail = f"{subject}: the meter answered {head}…, which answers something else: release, associate again and retry"
    return PeerError("peer-unexpected", detail, retry=True)


def _exception(apdu: bytes, subject: str) -> PeerError:
    state = _STATE_ERRORS.get(apdu[1], str(apdu[1]))
    name, mend = _SERVICE_ERRORS.get(apdu[2], (str(apdu[2]), "ask the vendor what it means"))
    if apdu[2] == 6 and len(apdu) >= 7:
        mend = f"{mend}: {int.from_bytes(apdu[3:7], 'big')}"
    return PeerError("peer-exception", f"{subject}: exception-response, {state}, {name}: {mend}", retry=apdu[2] in (3, 6))


def _confirmed_service_error(apdu: bytes, subject: str) -> PeerError:
    service = _CONFIRMED_SERVICES.get(apdu[1], str(apdu[1]))
    kind, names = _ERROR_KINDS.get(apdu[2], (str(apdu[2]), ()))
    name = names[apdu[3]] if apdu[3] < len(names) else str(apdu[3])
    mend = _SERVICE_MENDS.get(name, "compare client, conformance and PDU size with the template")
    return PeerError("peer-exception", f"{subject}: confirmed-service-error, {service}: {kind}, {name}: {mend}")
