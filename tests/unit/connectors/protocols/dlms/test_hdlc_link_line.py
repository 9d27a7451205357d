"""The HDLC link to a station by the standard, on a line that drops, doubles, swaps and alters frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import DISC, DM, POLL, SNRM, UA, Frame
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_link import HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters
from connectors.protocols.dlms.link import Timing
from tests.unit.connectors.protocols.dlms.hdlc_octets import STATIONS, TIMING, frames_of, from_meter, mirrored, rr


@dataclass
class Station:
    """A meter's end of the link (IEC 62056-46, secondary, normal response mode). It answers an APDU with its reverse."""

    limits: Parameters
    lazy: int = 0
    """How often it says "not yet" before it answers."""
    taken: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frames = Frames(1.0)
        self.connected = False
        self.reset()

    def reset(self) -> None:
        self.vs = self.va = self.vr = 0
        self.out: list[tuple[bytes, bool]] = []  # from V(A) on
        self.parts: list[bytes] = []
        self.delay = 0

    def receive(self, octets: bytes, now: float) -> list[bytes]:
        return [answer for frame in self.frames.feed(octets, now) for answer in self.take(frame)]

    def take(self, frame: Frame) -> list[bytes]:
        control = frame.control & ~POLL
        if control == SNRM:
            self.connected = True
            self.reset()
            return [from_meter(UA | POLL, self.limits.encode())]
        if control == DISC:
            was, self.connected = self.connected, False
            return [from_meter((UA if was else DM) | POLL)]
        if not self.connected:
            return [from_meter(DM | POLL)]
        acknowledged = frame.control >> 5
        if (acknowledged - self.va & 7) <= (self.vs - self.va & 7):
            self.out = self.out[acknowledged - self.va & 7 :]
            self.va = acknowledged
        if frame.numbered and frame.send_sequence == self.vr:
            self.vr = self.vr + 1 & 7
            self.parts.append(frame.information)
            if not frame.segmented:
                self.answer(b"".join(self.parts))
        return self.respond() if frame.control & POLL else []

    def answer(self, data: bytes) -> None:
        self.parts = []
        self.taken.append(data[3:])
        reply = hdlc.LLC_FROM_SERVER + data[3:][::-1]
        size = self.limits.max_transmit
        self.out += [(reply[at : at + size], at + size < len(reply)) for at in range(0, len(reply), size)]
        self.delay = self.lazy

    def respond(self) -> list[bytes]:
        if self.delay:
            self.delay -= 1
            return [rr(self.vr)]
        self.vs = self.va
        frames = []
        window = self.out[: self.limits.window_transmit]
        for n, (part, segmented) in enumerate(window):
            control = self.vr << 5 | (POLL if n == len(window) - 1 else 0) | self.vs << 1
            frames.append(from_meter(control, part, segmented=segmented))
            self.vs = self.vs + 1 & 7
        return frames or [rr(self.vr)]


class Line:
    """What happens to each frame, in turn; once used up, nothing does."""

    def __init__(self, fates: Iterable[str]) -> None:
        self.fates = iter(fates)

    def carry(self, frames: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        for frame in frames:
            fate = next(self.fates, "-")
            if fate == "swap" and out:
                out.insert(len(out) - 1, frame)
            elif fate == "double":
                out += [frame, frame]
            elif fate == "alter":
                at = len(frame) // 2
                out.append(frame[:at] + bytes((frame[at] ^ 0x24,)) + frame[at + 1 :])
            elif fate == "cut":
                out.append(frame[: len(frame) // 2])
            elif fate == "noise":
                out += [b"\x7e\xa0\x30\x7e", frame]
            elif fate != "drop":
                out.append(frame)
        return out


def converse(link: HdlcLink, station: Station, line: Line, apdus: list[bytes], came: list[bytes]) -> None:
    """Send each APDU and wait for its answer, which `came` gets."""
    now, steps = 0.0, 0

    def until(done: Callable[[], bool], out: bytes) -> None:
        nonlocal now, steps
        while not done():
            steps += 1
            assert steps < 20_000, "no end"
            back = [a for f in line.carry([f.octets for f in frames_of(out)]) for a in station.receive(f, now)]
            now += 0.01
            answer = b"".join(line.carry(back))
            received = link.receive(answer, now)
            came.extend(received.apdus)
            out = received.replies
            if not out and not done():
                now = max(now, link.deadline if link.deadline is not None else now)
                out = link.tick(now)

    until(lambda: link.opened, link.open(now))
    for n, apdu in enumerate(apdus):
        until(lambda n=n: len(came) > n, link.send(apdu, now))  # type: ignore[misc]  # a lambda's default
    until(lambda: link.state is State.CLOSED, link.close(now))


def parameters() -> st.SearchStrategy[Parameters]:
    sizes = st.sampled_from([8, 20, 128])
    return st.builds(Parameters, sizes, sizes, st.integers(1, 7), st.integers(1, 7))


APDUS = [bytes(range(1, 90)), b"\xc0", b"\xc1" * 40, bytes(range(120, 250)), b"\xc3\x01"]


@settings(max_examples=50, deadline=None)
@given(parameters(), parameters(), st.integers(0, 3))
def test_a_good_line(ours: Parameters, theirs: Parameters, lazy: int) -> None:
    link, station = HdlcLink(STATIONS, ours, TIMING), Station(theirs, lazy)
    station.limits = Parameters(
        min(ours.max_receive, theirs.max_transmit), min(ours.max_transmit, theirs.max_receive),
        min(ours.window_receive, theirs.window_transmit), min(ours.window_transmit, theirs.window_receive),
    )  # fmt: skip
    came: list[bytes] = []
    converse(link, station, Line([]), APDUS, came)
    assert came == [apdu[::-1] for apdu in APDUS]
    assert station.taken == APDUS
    assert link._frames.refused == 0


@settings(max_examples=150, deadline=None)
@given(
    parameters(),
    st.integers(0, 2),
    st.lists(st.sampled_from(["-", "-", "-", "drop", "double", "swap", "alter", "cut", "noise"]), max_size=120),
)
def test_a_bad_line(limits: Parameters, lazy: int, fates: list[str]) -> None:
    """Each APDU arrives once, whole and in order, both ways; or there is an error of ours. It always ends."""
    link, station = HdlcLink(STATIONS, limits, TIMING), Station(mirrored(limits), lazy)
    came: list[bytes] = []
    try:
        converse(link, station, Line(fates), APDUS, came)
        assert len(came) == len(APDUS)
    except DlmsError as error:
        assert error.code in ("link-timeout", "link-refused")  # noqa: PT017 - both outcomes are right
    assert came == [apdu[::-1] for apdu in APDUS[: len(came)]]
    assert station.taken == APDUS[: len(station.taken)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["-"] * 8 + ["drop", "double", "alter"]), max_size=200))
def test_a_line_that_is_mostly_good_loses_nothing(fates: list[str]) -> None:
    link = HdlcLink(STATIONS, Parameters(20, 20, 4, 4), Timing(5, 1, 0.5, 600, retries=40))
    station = Station(Parameters(20, 20, 4, 4))
    came: list[bytes] = []
    converse(link, station, Line(fates), APDUS, came)
    assert came == [apdu[::-1] for apdu in APDUS]
    assert station.taken == APDUS
