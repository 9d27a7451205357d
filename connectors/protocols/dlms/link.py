"""What carries APDUs between a session and a meter, as a driver sees it: the wrapper here, HDLC in `hdlc_link`.

    data = link.open(now)              driver: write what comes back, feed what arrives, call tick when `deadline` is due
    received = link.receive(data, now) replies are written at once, APDUs go to the session
    data = link.send(apdu, now)        what the session yields; b"" asks the link for one more APDU
    data = link.close(now)             until `opened` is False again, or the driver has enough

No link reads a clock: `now` is seconds of any clock that does not go back. A link raises `DlmsError` and nothing else; what
it raised is its end, and `close` may still be called to part in good manners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from connectors.protocols.dlms.errors import FramingError, PeerError
from connectors.protocols.dlms.framing.wrapper import Deframer, pack


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, in seconds, and how often to ask again."""

    answer_s: float = 10.0
    """From a request to the first octets of its answer; on HDLC from frame to frame."""
    octet_s: float = 2.0
    """Between octets of a frame; where more passes, the frame is given up."""
    poll_s: float = 0.2
    """HDLC: before a meter that had nothing to say yet is asked again."""
    patience_s: float = 60.0
    """How long a meter may make no progress, be it that it has nothing to say or that octets trickle."""
    retries: int = 3
    """HDLC: how often a frame is sent again before the meter is given up."""

    def extended(self, deadline: float, now: float, progress: float) -> float:
        """The deadline for an answer of which some octets came just now; `progress` is when something whole last came."""
        return max(deadline, min(now + self.octet_s, progress + self.patience_s))


TIMING = Timing()


class Received(NamedTuple):
    """What octets from the meter amounted to."""

    apdus: tuple[bytes, ...]
    replies: bytes
    """To be written at once."""


class Link(Protocol):
    """Wrapper or HDLC: the same to a driver."""

    @property
    def opened(self) -> bool:
        """Whether APDUs may be sent."""

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None where nothing is waited for."""

    def open(self, now: float) -> bytes:
        """Octets that open the link; it is open once `opened` says so."""

    def send(self, apdu: bytes, now: float) -> bytes:
        """Octets that carry `apdu`; further ones may come out of `receive`. b"" waits for one more APDU."""

    def receive(self, data: bytes, now: float) -> Received:
        """Octets that came, in whatever pieces."""

    def tick(self, now: float) -> bytes:
        """Time has passed: octets to send again. Raises PeerError "link-timeout" where the meter is given up."""

    def close(self, now: float) -> bytes:
        """Octets that close the link."""


class WrapperLink:
    """The wrapper of TCP and UDP (IEC 62056-47): nothing to open, nothing is lost, so nothing is sent again."""

    def __init__(self, client: int, server: int, timing: Timing = TIMING, max_apdu: int = 0xFFFF) -> None:
        self._client, self._server, self._timing = client, server, timing
        self._deframer = Deframer(max_apdu)
        self._deadline: float | None = None
        self._asked = 0.0
        self.opened = False

    @property
    def deadline(self) -> float | None:
        """See `Link`."""
        return self._deadline

    def open(self, now: float) -> bytes:  # noqa: ARG002 - a Link's signature
        """See `Link`."""
        self.opened = True
        return b""

    def send(self, apdu: bytes, now: float) -> bytes:
        """See `Link`."""
        if not self.opened:
            raise not_now("send", "closed")
        self._asked, self._deadline = now, now + self._timing.answer_s
        return pack(self._client, self._server, apdu) if apdu else b""

    def receive(self, data: bytes, now: float) -> Received:
        """See `Link`. APDUs between other wPorts are passed over: a meter answers the client before late."""
        found = self._deframer.feed(data)
        apdus = tuple(apdu for source, to, apdu in found if (source, to) == (self._server, self._client))
        if apdus:
            self._deadline = None
        elif self._deadline is not None and data:
            self._deadline = self._timing.extended(self._deadline, now, self._asked)
        return Received(apdus, b"")

    def tick(self, now: float) -> bytes:
        """See `Link`."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            raise silent("did not answer in time")
        return b""

    def close(self, now: float) -> bytes:  # noqa: ARG002 - a Link's signature
        """See `Link`."""
        self.opened, self._deadline = False, None
        return b""


def silent(what: str) -> PeerError:
    """The error for a meter that is given up."""
    detail = f"the meter {what}: check its addresses and that it has power and coverage, or try again later"
    return PeerError("link-timeout", detail, retry=True)


def not_now(what: str, state: str) -> FramingError:
    """The error for a call that the link's state does not allow."""
    return FramingError("link-state", f"{what} on a link that is {state}: open it first, and only once")
