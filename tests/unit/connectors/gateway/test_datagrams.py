from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, cast

import pytest

from connectors.gateway.datagrams import DatagramLink
from connectors.gateway.drivers.dlms_wrapper import WrapperFraming
from connectors.gateway.errors import JobError
from connectors.gateway.session import LinkTerms
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import NOW, wrapped

ASK = b"\xc0\x01\xc1"


def answer(number: int) -> bytes:
    return wrapped(b"\xc4\x01" + bytes((number,)), 1, 16)


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def sendto(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close


class Bench:
    def __init__(self, asks: int = 2) -> None:
        self.clock = ManualClock(NOW)
        self.wire = Wire()
        self.ended: list[tuple[Any, Exception | None]] = []
        self.link = DatagramLink(WrapperFraming(16, 1), LinkTerms(self.clock, 30, lambda *_: None, lambda: None, 2))
        self.link.connection_made(cast("asyncio.BaseTransport", self.wire))
        self.link.run(self._session(asks), lambda result, error: self.ended.append((result, error)))

    def _session(self, asks: int) -> Generator[bytes, bytes, list[bytes]]:
        answers: list[bytes] = []
        while len(answers) < asks:
            answers += [(yield ASK + bytes((len(answers),)))]
        return answers

    def come(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.link.datagram_received(datagram, ("10.0.0.7", 4059))

    def sends(self, seconds: int) -> list[int]:
        """At which seconds something is sent."""
        at = []
        for second in range(1, seconds + 1):
            before = len(self.wire.sent)
            self.clock.advance(1)
            self.link.tick(self.clock.monotonic())
            at += [second] * (len(self.wire.sent) - before)
        return at


def test_a_request_that_stays_unanswered_is_sent_again_octet_for_octet_and_then_given_up() -> None:
    bench = Bench()
    assert bench.sends(40) == [2, 6, 14]
    assert len(set(bench.wire.sent)) == 1
    ((_, error),) = bench.ended
    assert isinstance(error, JobError)
    assert (error.code, bench.wire.closed) == ("answer-timeout", True)


def test_an_answer_that_comes_twice_is_one() -> None:
    bench = Bench()
    bench.come(answer(1), answer(1))
    assert (len(bench.wire.sent), bench.ended) == (2, [])
    bench.come(answer(2))
    assert bench.ended == [([b"\xc4\x01\x01", b"\xc4\x01\x02"], None)]


def test_the_next_request_has_patience_of_its_own() -> None:
    bench = Bench()
    bench.sends(3)
    bench.come(answer(1))
    assert bench.sends(3) == [2]


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no-wrapper"),
        pytest.param(answer(9)[:-1], id="cut"),
        pytest.param(answer(9) + b"\0", id="more-behind"),
        pytest.param(wrapped(b"\xc4\x01\x09", 1, 99), id="for-another-client"),
    ],
)
def test_what_anybody_may_send_ends_nothing(noise: bytes) -> None:
    bench = Bench(1)
    bench.come(noise, answer(1))
    assert bench.ended == [([b"\xc4\x01\x01"], None)]


def test_nobody_listens_there() -> None:
    bench = Bench()
    bench.link.error_received(ConnectionRefusedError(111, "Connection refused"))
    ((_, error),) = bench.ended
    assert isinstance(error, JobError)
    assert (error.code, error.retry) == ("connect-refused", True)
    bench.link.error_received(ConnectionRefusedError(111, "Connection refused"))
    assert len(bench.ended) == 1
