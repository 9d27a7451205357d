"""What can go wrong with ANSI C12 bytes, on one page. Codes are stable: they go on dead letters and job results.

Whose fault it is decides the class: the link's (FramingError), the key's or a forger's (CipherError), the message's
(DecodeError), the meter's answer (PeerError). A detail says what was found, what was expected and what to do next; it
never holds a key, a password or deciphered bytes. Codes that DLMS has too mean the same here.
"""

from __future__ import annotations

CODES = {
    "c1222-truncated": "a C12.22 message ended inside one of its elements",
    "c1222-oversized": "a C12.22 message, or one put together from segments, beyond the limit",
    "c1222-garbage": "bytes on a C12.22 port that begin no ACSE message (60)",
    "c1222-ber": "a length or a tag of a C12.22 message that breaks its encoding (an indefinite length is one)",
    "c1222-acse": "an element of a C12.22 message that is not what the standard says it is, stands twice or is missing",
    "c1222-epsem": "an EPSEM whose control byte, services or MAC do not fit its length",
    "c1222-title": "an application title that is none: not an object identifier, or a relative one without a base",
    "c1222-title-unknown": "a message from, or for, an application title that nobody registered",
    "c1222-key-missing": "no key for this application title and key id",
    "c1222-authentication": "the MAC does not verify: wrong key, or altered on the way",
    "c1222-replay": "a message whose initialisation vector was seen before, or is older than the window",
    "c1222-policy": "a message less protected than the security policy asks for",
    "c1222-short-cleartext": "a secured message of 16 bytes or less, which EAX' does not protect against forgery",
    "c1222-segment": "a segment that contradicts the others of its message",
    "c1222-segments-incomplete": "a segmented message that never became whole",
    "c1222-segments-limit": "more, or larger, unfinished segmented messages than are kept",
    "psem-truncated": "a PSEM service that ended inside one of its fields",
    "psem-service-unknown": "a PSEM request or response code that is not in the standard",
    "psem-malformed": "a PSEM service whose fields contradict its length",
    "psem-checksum": "the checksum of a table's bytes does not match",
    "psem-response": "the meter refused the service: a response code other than OK",
    "peer-unexpected": "the meter answered something else than was asked",
    "peer-closed": "the meter closed the connection in the middle of a session",
    "link-timeout": "the meter did not answer on the link, however often it was asked",
    "link-state": "a link used in a state that does not allow it",
    "frame-truncated": "bytes ended inside a packet; the sender repeats it, or the link loses bytes",
    "frame-oversized": "a packet, or a service put together from packets, beyond the limit",
    "frame-checksum": "the CRC of a C12.18 packet does not match",
    "frame-garbage": "bytes that begin no C12.18 packet",
    "frame-segmentation": "a packet missing, out of order, or of another service",
    "psem-packets": "a service longer than the packets that were negotiated for one",
    "psem-ticket": "the meter gives no ticket of the form that the key is for",
    "peer-authentication": "the meter did not prove that it knows the key",
    "table-size": "a table of fewer or more octets than its declaration and the tables that size it say",
    "table-prerequisite": "a table that another one sizes or explains, and that was not read",
    "table-not-listed": "a table or procedure that the meter's table 0 does not list",
    "table-unknown": "a table or procedure that nobody declared",
    "table-format": "a number, text or time format that is not in the standard, or not supported",
    "table-value": "octets that are no value of their type, or a value that a field cannot hold",
    "table-shape": "a field missing or of another kind than is needed",
    "table-declaration": "a manufacturer's declaration that cannot be read",
    "profile-shape": "a load profile that does not fit its control and status tables, or is beyond the limits",
    "profile-clock": "intervals that cannot be placed in time",
    "procedure-result": "the meter did not do what a procedure asks: a result code other than completed",
}
"""Every code of this package, with its meaning."""


class C12Error(Exception):
    """The root: `code` from `CODES`, and a detail for a person."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class FramingError(C12Error):
    """The link's bytes are no frame, or their segments no message."""


class CipherError(C12Error):
    """A secured message cannot be opened. `title` is the calling application title, where it says."""

    def __init__(self, code: str, detail: str, title: str | None = None) -> None:
        super().__init__(code, detail)
        self.title = title


class DecodeError(C12Error):
    """The message's content cannot be read."""


class PeerError(C12Error):
    """The meter said no, or something unexpected. `response` is the response code where it sent one, `retry` whether asking
    again can help.
    """

    def __init__(self, code: str, detail: str, *, retry: bool = False, response: int | None = None) -> None:
        super().__init__(code, detail)
        self.retry = retry
        self.response = response
