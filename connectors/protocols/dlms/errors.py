"""What can go wrong with DLMS/COSEM bytes, on one page. Codes are stable: they go on dead letters and job results.

Whose fault it is decides the class: the link's (FramingError), the key's or a forger's (CipherError), the telegram's
(DecodeError), the meter's answer (PeerError). A detail says what was found, what was expected and what to do next; it
never holds a key, a password or deciphered bytes.
"""

from __future__ import annotations

CODES = {
    "frame-truncated": "bytes ended inside a frame; the meter sends again, or the link loses bytes",
    "frame-oversized": "a length field or a frame beyond the limit",
    "frame-checksum": "HCS, FCS, M-Bus or P1 checksum does not match",
    "frame-garbage": "bytes that begin no known frame",
    "frame-malformed": "a frame whose header contradicts itself",
    "frame-segmentation": "a segment missing, out of order, or of another message",
    "link-timeout": "the meter did not answer on the link, however often it was asked",
    "link-refused": "the meter refused or left the link (HDLC DM, FRMR)",
    "link-state": "a link used in a state that does not allow it",
    "block-transfer": "a general-block-transfer block missing, out of order or aborted",
    "key-missing": "no key in the key store for this system title",
    "cipher-authentication": "the tag does not verify: wrong key, or altered on the way",
    "cipher-malformed": "a ciphered APDU whose header contradicts itself",
    "cipher-counter": "an invocation counter that did not rise (an answer played again), or ours is used up",
    "cipher-policy": "an answer less protected than the security policy asks for",
    "cipher-suite-unsupported": "a security suite or flag that is not supported",
    "dlms-truncated": "A-XDR data ended inside a value",
    "dlms-axdr": "A-XDR data that breaks its own encoding",
    "dlms-apdu-unknown": "an APDU tag that is no push",
    "dlms-layout-unknown": "a push body in no layout that is known or in the template",
    "dlms-nesting": "structures nested beyond the limit",
    "dlms-time": "a date-time that is none",
    "dlms-acse": "an association answer that cannot be read",
    "profile-shape": "a profile buffer that does not fit its capture objects, or is beyond the limits",
    "profile-clock": "rows of a profile that cannot be placed in time",
    "peer-association-refused": "the meter refused the association",
    "peer-authentication": "the meter did not prove that it knows the secret or key",
    "peer-title": "an answer under another system title than the meter's",
    "peer-access": "the meter refused the object: data-access-result",
    "peer-action": "the meter refused the method: action-result",
    "peer-state": "an object of the meter is in no state for what was asked",
    "object-shape": "an attribute of another form than its class says",
    "object-value": "a value that the object cannot hold",
    "peer-exception": "the meter answered with an exception-response or a confirmed-service-error",
    "peer-unexpected": "the meter answered something else than was asked",
    "peer-closed": "the meter closed the connection in the middle of a session",
    "peer-block": "a block of a long answer missing, out of order or too many",
    "peer-pdu-size": "a request longer than the meter takes, and it grants no blocks",
}
"""Every code of this package, with its meaning."""


class DlmsError(Exception):
    """The root: `code` from `CODES`, and a detail for a person."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class FramingError(DlmsError):
    """The link's bytes are no frame."""


class CipherError(DlmsError):
    """A ciphered APDU cannot be opened. `system_title` is whose, where it says."""

    def __init__(self, code: str, detail: str, system_title: bytes | None = None) -> None:
        super().__init__(code, detail)
        self.system_title = system_title


class DecodeError(DlmsError):
    """The telegram's content cannot be read."""


class LayoutError(DecodeError):
    """A push body in no known layout. `unnamed` is what it holds, in order: numbers and texts, for who looks at it."""

    def __init__(self, detail: str, unnamed: tuple[int | float | str | None, ...]) -> None:
        super().__init__("dlms-layout-unknown", detail)
        self.unnamed = unnamed


class PeerError(DlmsError):
    """The meter said no, or something unexpected. `retry` is whether asking again can help."""

    def __init__(self, code: str, detail: str, *, retry: bool = False) -> None:
        super().__init__(code, detail)
        self.retry = retry
