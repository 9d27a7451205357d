"""C12.21: what a modem's line adds (ANSI C12.21, 5.2): timing setup, and authentication by DES in place of a password.

The meter gives a ticket with its identity. The client sends it back enciphered with the key that both know; the meter
enciphers that once more, which proves that it knows the key, too. DES protects nobody today: this is for meters that know
nothing better, and the line below has to be protected by other means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB

from connectors.protocols.c12.errors import DecodeError, PeerError
from connectors.protocols.c12.psem_session import CLOSED, PROPOSED, Opened, Session, User, call, identify, log_on, negotiate
from connectors.protocols.c12.requests import Authenticate, Negotiate, Security, Timings
from connectors.protocols.c12.responses import (
    AUTHENTICATION,
    AUTHENTICATION_TICKET,
    SNS,
    Authenticated,
    Identified,
    Refused,
    refused,
)
from connectors.protocols.c12.services import decode_response, encode_request

DES = 0x00
"""The authentication algorithm of the standard. There are meters with others; they are told apart and not spoken to."""

TIMINGS = Timings(traffic_s=30, octet_s=1, answer_s=4, retries=3)
"""The standard's defaults."""

_BLOCK = 8
_REQUIRED = 0x01


@dataclass(frozen=True, slots=True)
class Key:
    """A DES key of eight octets, and the number by which the meter knows it."""

    number: int
    octets: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.octets) != _BLOCK:
            detail = f"a DES key of {len(self.octets)} octets: it has {_BLOCK}, the parity bits included"
            raise DecodeError("psem-ticket", detail)


@dataclass(frozen=True, slots=True)
class Offered:
    """What the meter says of authentication in its identity."""

    required: bool
    algorithm: int
    ticket: bytes = b""


def offered(identified: Identified) -> Offered | None:
    """The feature of authentication (C12.21, 5.2.2.1), None where the meter knows none."""
    for feature in identified.features:
        if feature.kind in (AUTHENTICATION, AUTHENTICATION_TICKET):
            kind, algorithm = feature.body[:2]
            return Offered(bool(kind & _REQUIRED), algorithm, feature.body[3:])
    return None


def encipher(key: Key, ticket: bytes) -> bytes:
    """One block of DES: 3DES with the same key three times is DES."""
    # The standard's cipher; there is no other that these meters know.
    encryptor = Cipher(TripleDES(key.octets * 3), ECB()).encryptor()  # noqa: S305 - the cipher that the standard has
    return encryptor.update(ticket)


def authenticate(identified: Identified, key: Key) -> Session[None]:
    """Prove that we know the key, and that the meter does.

    Raises DecodeError "psem-ticket" where the meter gives no ticket for DES, PeerError "psem-response" where it refuses and
    "peer-authentication" where its own proof is wrong.
    """
    what = offered(identified)
    if what is None or what.algorithm != DES or len(what.ticket) != _BLOCK:
        given = "nothing" if what is None else f"algorithm {what.algorithm:02X} and a ticket of {len(what.ticket)} octets"
        detail = f"authenticate: the meter offers {given}, not DES with {_BLOCK}: log on with a password, see the template"
        raise DecodeError("psem-ticket", detail)
    number = bytes((key.number,))
    ours = encipher(key, what.ticket)
    answer = yield from call(Authenticate(number + ours), f"authenticate with key {key.number}")
    if not isinstance(answer, Authenticated) or not compare_digest(answer.data, number + encipher(key, ours)):
        detail = f"the meter did not prove that it knows key {key.number}: another device answers, or the key is another's"
        raise PeerError("peer-authentication", detail)


def set_timings(timings: Timings = TIMINGS) -> Session[Timings]:
    """Agree on patience; the link takes over what the meter answers. A meter without the service changes nothing."""
    octets = yield encode_request(timings)
    if octets == CLOSED:
        raise PeerError("peer-closed", "timing setup: the connection ended before the meter answered: try again", retry=True)
    response = decode_response(octets, timings.code)
    if isinstance(response, Timings):
        return response
    if response == Refused(SNS):
        return timings
    if isinstance(response, Refused):
        raise refused(response.response, "timing setup")
    raise PeerError(
        "peer-unexpected", "timing setup: the meter answered something else: terminate and begin again", retry=True
    )


def open_session(
    user: User, key: Key | None = None, propose: Negotiate | None = PROPOSED, timings: Timings | None = TIMINGS
) -> Session[Opened]:
    """Identify, set timings, negotiate (the line's rate is the modems'), log on, and authenticate or show the password."""
    identified = yield from identify()
    if timings is not None:
        yield from set_timings(timings)
    agreed = yield from negotiate(propose)
    yield from log_on(user)
    if key is not None:
        yield from authenticate(identified, key)
    elif user.password is not None:
        yield from call(Security(user.password), "security")
    return Opened(identified, agreed)
