from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import pytest

from connectors.gateway.drivers.dlms_wrapper import WrapperFraming
from connectors.gateway.errors import JobError
from connectors.gateway.session import LinkTerms, MeterLink
from connectors.protocols.dlms.errors import FramingError, PeerError
from schemas.records import Direction
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import NOW, reading, wrapped

ANSWER = bytes.fromhex("C401C10011 05".replace(" ", ""))
ASK = bytes.fromhex("C001C1000801")


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close


class Bench:
    """A link whose other end is the test."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.wire = Wire()
        self.pushed: list[bytes] = []
        self.spilled: list[int] = []
        self.ended: list[tuple[Any, Exception | None]] = []
        self.link = MeterLink(WrapperFraming(16, 1), LinkTerms(self.clock, 30, self._push, self._spill))
        self.link.connection_made(cast("asyncio.Transport", self.wire))

    def run(self, session: Generator[bytes, bytes, Any]) -> None:
        self.link.run(session, lambda result, error: self.ended.append((result, error)))

    def _push(self, _frame: bytes, apdu: bytes) -> None:
        self.pushed.append(apdu)

    def _spill(self) -> None:
        self.spilled.append(sum(len(frame.data) for frame in self.link.take_frames()))


def echo(count: int = 1) -> Generator[bytes, bytes, list[bytes]]:
    """Asks, and returns the answers."""
    answers: list[bytes] = []
    while len(answers) < count:
        answers += [(yield ASK)]
    return answers


def from_meter(apdu: bytes, source: int = 1, destination: int = 16) -> bytes:
    return wrapped(apdu, source, destination)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_session_asks_and_is_answered_in_whatever_pieces(size: int) -> None:
    bench = Bench()
    bench.run(echo(2))
    for _ in range(2):
        data = from_meter(ANSWER)
        for at in range(0, len(data), size):
            bench.link.data_received(data[at : at + size])
    assert bench.ended == [([ANSWER, ANSWER], None)]
    assert bench.wire.written == [wrapped(ASK, 16, 1)] * 2


def test_frames_are_kept_in_order_until_they_are_taken() -> None:
    bench = Bench()
    bench.run(echo())
    bench.link.data_received(from_meter(ANSWER))
    kept = [(frame.direction, frame.data, frame.at) for frame in bench.link.take_frames()]
    assert kept == [(Direction.TO_METER, wrapped(ASK, 16, 1), NOW), (Direction.FROM_METER, from_meter(ANSWER), NOW)]
    assert bench.link.take_frames() == ()


def test_many_frames_are_spilled_before_they_are_too_many() -> None:
    bench = Bench()
    bench.run(echo(10))
    for _ in range(9):
        bench.link.data_received(from_meter(bytes(60_000)))
    assert bench.spilled
    assert max(bench.spilled) < 400_000


def test_frames_for_another_client_are_kept_and_not_taken_for_an_answer() -> None:
    bench = Bench()
    bench.run(echo())
    bench.link.data_received(from_meter(b"\xc4late", destination=17))
    assert bench.ended == []
    bench.link.data_received(from_meter(ANSWER))
    assert bench.ended == [([ANSWER], None)]
    assert len(bench.link.take_frames()) == 3


def test_a_notification_between_answers_is_given_away() -> None:
    bench = Bench()
    bench.run(echo())
    bench.link.data_received(from_meter(reading()) + from_meter(ANSWER))
    assert (bench.pushed, bench.ended) == ([reading()], [([ANSWER], None)])


def test_a_silent_meter_is_given_up() -> None:
    bench = Bench()
    bench.run(echo())
    bench.clock.advance(29.9)
    bench.link.tick(bench.clock.monotonic())
    assert bench.ended == []
    bench.clock.advance(0.1)
    bench.link.tick(bench.clock.monotonic())
    ((_, error),) = bench.ended
    assert isinstance(error, JobError)
    assert (error.code, error.retry, bench.wire.closed) == ("answer-timeout", True, True)


def test_between_sessions_nobody_is_waited_for() -> None:
    bench = Bench()
    bench.clock.advance(1000)
    bench.link.tick(bench.clock.monotonic())
    assert not bench.wire.closed


def leaves() -> Generator[bytes, bytes, str]:
    """A session for which a closed connection is an answer."""
    return "gone" if (yield ASK) == b"" else "answered"


def refused() -> Generator[bytes, bytes, None]:
    """A session for which it is an error."""
    if (yield ASK) == b"":
        raise PeerError("peer-unexpected", "nothing came")


def test_a_session_that_takes_leave_may_find_the_connection_closed() -> None:
    bench = Bench()
    bench.run(leaves())
    bench.link.connection_lost(None)
    assert bench.ended == [("gone", None)]


@pytest.mark.parametrize("made", [partial(echo, 2), refused], ids=["goes-on", "raises"])
@pytest.mark.parametrize("exc", [None, ConnectionResetError(104, "reset")], ids=["closed", "reset"])
def test_any_other_fails_so_that_it_is_tried_again(
    made: Callable[[], Generator[bytes, bytes, Any]], exc: Exception | None
) -> None:
    bench = Bench()
    bench.run(made())
    bench.link.connection_lost(exc)
    ((_, error),) = bench.ended
    assert isinstance(error, JobError)
    assert (error.code, error.retry) == ("connection-lost", True)


def test_octets_that_are_no_frame_end_the_session() -> None:
    bench = Bench()
    bench.run(echo())
    bench.link.data_received(b"\xff" * 20)
    ((_, error),) = bench.ended
    assert isinstance(error, FramingError)
    assert bench.wire.closed
    assert bench.link.take_frames()[-1].data == b"\xff" * 20


def test_a_bug_in_a_session_ends_that_session_only() -> None:
    def broken() -> Generator[bytes, bytes, None]:
        yield ASK
        raise ZeroDivisionError

    bench = Bench()
    bench.run(broken())
    bench.link.data_received(from_meter(ANSWER))
    bench.run(echo())
    bench.link.data_received(from_meter(ANSWER))
    assert isinstance(bench.ended[0][1], ZeroDivisionError)
    assert bench.ended[1] == ([ANSWER], None)


def test_one_session_at_a_time() -> None:
    bench = Bench()
    bench.run(echo())
    with pytest.raises(RuntimeError, match="under way"):
        bench.run(echo())
