"""HDLC as a client speaks it (IEC 62056-46, unbalanced normal response mode): octets and time in, octets and APDUs out.

    closed ──SNRM──▶ opening ──UA──▶ ready ──I──▶ waiting ──I, final──▶ ready ──DISC──▶ closing ──UA, DM──▶ closed
                                                   └── no progress, FRMR ──▶ broken ──SNRM, DISC──▶

Who has the turn speaks: a frame of ours with the poll bit gives it to the meter, one of its with the final bit gives it
back. Lost frames show by their numbers when the turn comes back, or by silence: then what the meter did not acknowledge is
sent again, or it is asked (RR) for what is missing. So each APDU arrives once and whole, or the link raises. REJ, which the
standard leaves out, is understood and never sent. Frames with wrong checksums, of other stations, repeated or out of place
are passed over; UI frames that hold a whole APDU (notifications) are given out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import ClassVar

from connectors.protocols.dlms.errors import DlmsError, FramingError, PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import POLL, Frame
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.link import TIMING, Received, Timing, not_now, silent

_RR = 0x01
_LLC = (hdlc.LLC_FROM_SERVER, hdlc.LLC_TO_SERVER)


class State(Enum):
    """Where the link is."""

    CLOSED = "closed"
    OPENING = "opening"
    READY = "ready"
    WAITING = "waiting"
    CLOSING = "closing"
    BROKEN = "broken"


class Event(Enum):
    """What moves it: frames of the meter, calls, and what they lead to."""

    I = "I"  # noqa: E741 - the standard's name
    RR = "RR"
    RNR = "RNR"
    REJ = "REJ"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    OPEN = "open"
    SEND = "send"
    CLOSE = "close"
    ANSWERED = "answered"
    GIVE_UP = "give up"


_E, _S = Event, State

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.CLOSED: {_E.OPEN: _S.OPENING, _E.CLOSE: _S.CLOSED},
    _S.OPENING: {_E.UA: _S.READY, _E.DM: _S.CLOSED, _E.GIVE_UP: _S.CLOSED, _E.CLOSE: _S.CLOSING},
    _S.READY: {_E.SEND: _S.WAITING, _E.I: _S.WAITING, _E.DM: _S.CLOSED, _E.FRMR: _S.BROKEN, _E.CLOSE: _S.CLOSING},
    _S.WAITING: {_E.SEND: _S.WAITING, _E.I: _S.WAITING, _E.RR: _S.WAITING, _E.RNR: _S.WAITING, _E.REJ: _S.WAITING,
                 _E.ANSWERED: _S.READY, _E.DM: _S.CLOSED, _E.FRMR: _S.BROKEN, _E.GIVE_UP: _S.BROKEN, _E.CLOSE: _S.CLOSING},
    _S.CLOSING: {_E.UA: _S.CLOSED, _E.DM: _S.CLOSED, _E.GIVE_UP: _S.CLOSED, _E.CLOSE: _S.CLOSING},
    _S.BROKEN: {_E.OPEN: _S.OPENING, _E.CLOSE: _S.CLOSING},
}  # fmt: skip
"""The machine. A frame without a row is passed over, a call without one raises "link-state"."""

_UNNUMBERED = {hdlc.UA: Event.UA, hdlc.DM: Event.DM, 0x87: Event.FRMR}
_SUPERVISORY = {0x01: Event.RR, 0x05: Event.RNR, 0x09: Event.REJ}


class HdlcLink:
    """One client's link to one meter; see `link.Link`. Nothing is held but one APDU each way."""

    def __init__(
        self, stations: Stations, propose: Parameters | None = None, timing: Timing = TIMING, max_apdu: int = 0x10000
    ) -> None:
        self._client, self._server = stations.client_octets(), stations.server_octets()
        self._any_server = stations.any_server()
        self._propose = propose or Parameters()
        self._timing, self._max_apdu = timing, max_apdu
        self.state = State.CLOSED
        self.agreed = Parameters()
        """What was negotiated, once open."""
        self._failure: DlmsError | None = None
        self._reset()

    def _reset(self) -> None:
        self._frames = Frames(self._timing.octet_s)
        self._send_next = self._receive_next = 0  # V(S), V(R)
        self._unacknowledged: deque[tuple[bytes, bool]] = deque()
        self._unsent: deque[tuple[bytes, bool]] = deque()
        self._segments: list[bytes] = []
        self._size = 0
        self._busy = self._answered = self._polling = False
        self._turned = False  # the turn came back with octets that are being read
        self._attempts = 0
        self._progress = 0.0
        self.told: list[tuple[bytes, bytes]] = []
        """Of what was received last: APDUs that came in UI frames, so are no answers, each after its frame."""
        self._deadline: float | None = None

    @property
    def opened(self) -> bool:
        """See `Link`."""
        return self.state in (State.READY, State.WAITING)

    @property
    def deadline(self) -> float | None:
        """See `Link`."""
        return float("-inf") if self._failure is not None else self._deadline

    def open(self, now: float) -> bytes:
        """See `Link`."""
        self._call(Event.OPEN)
        self._failure = None
        self._reset()
        self._progress = now
        self._wait(now)
        return self._snrm()

    def send(self, apdu: bytes, now: float) -> bytes:
        """See `Link`. Where the meter still has the turn, `apdu` goes out when that comes back."""
        self._raise_failure()
        speaking = self.state is State.WAITING
        self._call(Event.SEND)
        self._answered = False
        self._attempts, self._progress = 0, now
        if apdu:
            data, size = hdlc.LLC_TO_SERVER + apdu, self.agreed.max_transmit
            self._unsent.extend((data[at : at + size], at + size < len(data)) for at in range(0, len(data), size))
        if speaking:
            return b""
        return self._window(now) if apdu else self._poll(now)

    def receive(self, data: bytes, now: float) -> Received:
        """See `Link`."""
        self._raise_failure()
        apdus: list[bytes] = []
        replies = b""
        self._turned = False
        self.told = []
        for frame in self._frames.feed(data, now):
            try:
                replies += self._take(frame, now, apdus)
            except DlmsError as error:
                if not apdus:
                    raise
                self._failure = error  # what came whole before it is not withheld
                break
        if self._deadline is not None and self._frames.partial:
            self._deadline = self._timing.extended(self._deadline, now, self._progress)
        return Received(tuple(apdus), replies)

    def tick(self, now: float) -> bytes:
        """See `Link`."""
        self._raise_failure()
        if self._deadline is None or now < self._deadline:
            return b""
        if self.state is State.WAITING and self._polling:
            return self._poll(now)
        if self.state is State.WAITING and self._answered:  # all is here but the final bit: take the turn
            return self._take_turn(now)
        if not self._again():
            return b""
        if self.state is State.WAITING:
            return self._repeat(now) if self._unacknowledged or self._unsent else self._poll(now)
        self._wait(now)
        return self._snrm() if self.state is State.OPENING else self._disc()

    def close(self, now: float) -> bytes:
        """See `Link`."""
        if self.state is State.CLOSED:
            return b""
        self._call(Event.CLOSE)
        self._failure, self._attempts = None, 0
        self._wait(now)
        return self._disc()

    def _take(self, frame: Frame, now: float, apdus: list[bytes]) -> bytes:
        if frame.destination != self._client or not (self._any_server or _same(frame.source, self._server)):
            return b""
        control = frame.control & ~POLL
        if control == hdlc.UI:
            if self.opened and not frame.segmented and (apdu := _without_llc(frame.information)):
                apdus.append(apdu)
                self.told.append((frame.octets, apdu))
            return b""
        event = Event.I if frame.numbered else _UNNUMBERED.get(control) or _SUPERVISORY.get(control & 0x0F)
        if event is None or event not in TRANSITIONS[self.state]:
            return b""
        if self._turned and event not in self._HANDLERS:
            return b""  # sent before the meter could know of our turn: repeated or overtaken, its numbers mean another time
        if event is Event.I:
            return self._information(frame, now, apdus)
        handler = self._HANDLERS.get(event, HdlcLink._supervisory)
        return handler(self, frame, event, now)

    def _information(self, frame: Frame, now: float, apdus: list[bytes]) -> bytes:
        final = bool(frame.control & POLL)
        ahead = frame.send_sequence - self._receive_next & 7
        if ahead >= self.agreed.window_receive:
            return b""  # repeated: silence will tell whether the meter waits for something
        if ahead:
            # What is missing is asked for when the turn comes back; unasked for, the turn is ours already
            if not final or self.state is State.READY or not self._again():
                return b""
            self._turned = True
            return self._poll(now)
        if not self._acknowledge(frame.control >> 5, now):
            return b""
        self._step(Event.I)
        self._busy = False
        self._receive_next = self._receive_next + 1 & 7
        self._segments.append(frame.information)
        self._size += len(frame.information)
        if frame.information:
            self._attempts, self._progress = 0, now
        if self._size > self._max_apdu + 3:
            self._step(Event.GIVE_UP)
            self._deadline = None
            detail = f"HDLC segments of more than {self._max_apdu} octets for one APDU: ask for less, or in blocks"
            raise FramingError("frame-oversized", detail)
        whole = not frame.segmented
        if whole:
            apdu = _without_llc(b"".join(self._segments))
            self._segments, self._size = [], 0
            if apdu:
                apdus.append(apdu)
                self._answered = True
        if final:
            return self._take_turn(now, progress=bool(frame.information))
        self._wait(now)
        return b""

    def _supervisory(self, frame: Frame, event: Event, now: float) -> bytes:
        if not self._acknowledge(frame.control >> 5, now):
            return b""
        self._step(event)
        self._busy = event is Event.RNR
        if not frame.control & POLL and event is not Event.REJ:
            return b""
        return self._take_turn(now)

    def _ua(self, frame: Frame, event: Event, now: float) -> bytes:  # noqa: ARG002 - a handler's signature
        if self.state is State.CLOSING:
            self._step(event)
            self._deadline = None
            return b""
        self.agreed = self._propose.agreed(frame.information)
        if self._any_server:
            self._server, self._any_server = frame.source, False
        self._step(event)
        self._deadline, self._attempts = None, 0
        return b""

    def _dm(self, frame: Frame, event: Event, now: float) -> bytes:  # noqa: ARG002 - a handler's signature
        before = self.state
        self._step(event)
        self._deadline = None
        if before is State.CLOSING:
            return b""
        what = "refused the HDLC link" if before is State.OPENING else "has left the HDLC link"
        detail = f"the meter {what} (DM): another client may hold it, or it timed out: open again later"
        raise PeerError("link-refused", detail, retry=True)

    def _frmr(self, frame: Frame, event: Event, now: float) -> bytes:  # noqa: ARG002 - a handler's signature
        self._step(event)
        self._deadline = None
        why = f" ({frame.information[:3].hex(' ').upper()})" if frame.information else ""
        detail = f"the meter rejected a frame{why}, FRMR: open again, with smaller frames and a window of 1"
        raise PeerError("link-refused", detail, retry=True)

    _HANDLERS: ClassVar[dict[Event, Callable[[HdlcLink, Frame, Event, float], bytes]]] = {
        Event.UA: _ua,
        Event.DM: _dm,
        Event.FRMR: _frmr,
    }

    def _acknowledge(self, expected: int, now: float) -> bool:
        """N(R): the meter has everything before it. False where it names what was never sent, or was acknowledged before."""
        count = expected - (self._send_next - len(self._unacknowledged)) & 7
        if count > len(self._unacknowledged):
            return False
        for _ in range(count):
            self._unacknowledged.popleft()
        if count:
            self._attempts, self._progress = 0, now
        return True

    def _take_turn(self, now: float, *, progress: bool = False) -> bytes:
        """The meter gave the turn back: go on sending, go on listening, or be done."""
        self._turned = True
        if self._busy:
            return self._poll_later(now)
        if self._unacknowledged:
            return self._repeat(now) if self._again() else b""
        if self._unsent:
            return self._window(now)
        if self._answered:
            self._step(Event.ANSWERED)
            self._deadline, self._polling = None, False
            return b""
        return self._poll(now) if progress else self._poll_later(now)

    def _repeat(self, now: float) -> bytes:
        """Everything from the first frame that was not acknowledged."""
        self._send_next = self._send_next - len(self._unacknowledged) & 7
        self._unsent.extendleft(reversed(self._unacknowledged))
        self._unacknowledged.clear()
        return self._window(now)

    def _window(self, now: float) -> bytes:
        """As many frames as the window takes; the last gives the turn away."""
        out = []
        for left in reversed(range(min(self.agreed.window_transmit, len(self._unsent)))):
            information, segmented = self._unsent.popleft()
            control = self._receive_next << 5 | (0 if left else POLL) | self._send_next << 1
            out.append(hdlc.frame(self._server, self._client, control, information, segmented=segmented))
            self._unacknowledged.append((information, segmented))
            self._send_next = self._send_next + 1 & 7
        self._wait(now)
        return b"".join(out)

    def _poll(self, now: float) -> bytes:
        self._wait(now)
        return hdlc.frame(self._server, self._client, self._receive_next << 5 | POLL | _RR)

    def _poll_later(self, now: float) -> bytes:
        if now - self._progress >= self._timing.patience_s:
            self._give_up(f"had nothing to say for {self._timing.patience_s:g} s")
        self._deadline, self._polling = now + self._timing.poll_s, True
        return b""

    def _wait(self, now: float) -> None:
        self._deadline, self._polling = now + self._timing.answer_s, False

    def _again(self) -> bool:
        """Whether to try once more; raises where that was done often enough, and is False where nobody minds."""
        self._attempts += 1
        if self._attempts <= self._timing.retries:
            return True
        self._give_up(f"did not answer on the HDLC link, asked {self._attempts} times")
        return False

    def _give_up(self, what: str) -> None:
        closing = self.state is State.CLOSING
        self._step(Event.GIVE_UP)
        self._deadline = None
        if not closing:
            raise silent(what)

    def _snrm(self) -> bytes:
        return hdlc.frame(self._server, self._client, hdlc.SNRM | POLL, self._propose.encode())

    def _disc(self) -> bytes:
        return hdlc.frame(self._server, self._client, hdlc.DISC | POLL)

    def _step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    def _call(self, event: Event) -> None:
        if event not in TRANSITIONS[self.state]:
            raise not_now(event.value, self.state.value)
        self._step(event)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


def _same(one: bytes, other: bytes) -> bool:
    """Whether two addresses are one number: gurux' servers answer with the shortest form, however they were addressed."""
    return one == other or hdlc.address_value(one) == hdlc.address_value(other)


def _without_llc(data: bytes) -> bytes:
    return data[3:] if data.startswith(_LLC) else data
