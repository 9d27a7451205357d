"""A C12.18 link in each of its states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.protocols.c12.errors import FramingError
from connectors.protocols.c12.psem_link import PsemLink, State
from connectors.protocols.c12.psem_timing import DEFAULTS, Agreed, Timing
from connectors.protocols.c12.requests import ReadFull
from connectors.protocols.c12.services import encode_request
from tests.unit.connectors.protocols.c12.psem_octets import ACK, packet

TIMING = Timing(octet_s=0.5, answer_s=2, traffic_s=6, retries=3, patience_s=20)
READ, ANSWER = encode_request(ReadFull(1)), b"\x00\x00\x01\x41\xbf"
READ_PACKET, ANSWER_PACKET = packet(READ), packet(ANSWER)
LONG = bytes(range(200))
PARTS = (packet(LONG[:100], 0xC0, 1), packet(LONG[100:], 0xA0, 0))


def opened(*, asks: bool = True, timing: Timing = TIMING, agreed: Agreed = DEFAULTS) -> PsemLink:
    link = PsemLink(timing, asks=asks)
    link.open(0.0)
    link.agree(agreed)
    return link


def idle() -> PsemLink:
    return opened()


def sending() -> PsemLink:
    link = opened()
    link.send(READ, 0.0)
    return link


def waiting() -> PsemLink:
    link = sending()
    link.receive(ACK, 0.0)
    return link


def receiving() -> PsemLink:
    link = waiting()
    link.receive(PARTS[0], 0.0)
    return link


def broken() -> PsemLink:
    link = waiting()
    with pytest.raises(FramingError):
        link.receive(packet(b"x", 0x80, 0), 0.0)
    return link


def closed() -> PsemLink:
    return PsemLink(TIMING)


STATES: dict[State, Callable[[], PsemLink]] = {
    State.CLOSED: closed,
    State.IDLE: idle,
    State.SENDING: sending,
    State.WAITING: waiting,
    State.RECEIVING: receiving,
    State.BROKEN: broken,
}


def state_of(link: PsemLink) -> State:
    """The state, which mypy else thinks to be what was asserted last."""
    return link.state


def until_given_up(link: PsemLink) -> None:
    while link.deadline is not None:
        link.tick(link.deadline)
