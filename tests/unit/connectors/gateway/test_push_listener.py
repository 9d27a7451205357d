from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from connectors.gateway.deliveries import Deliveries
from connectors.gateway.push_datagrams import PushDatagrams, endpoint_of
from connectors.gateway.push_listener import PushConnection, PushListener
from schemas.records import DeadLetter, Identity, IdentityKind, SessionFrames
from streams.runtime import metrics
from streams.runtime.clock import ManualClock
from streams.runtime.errors import DeliveryError
from streams.runtime.settings import Gateway
from tests.unit.connectors.gateway.builders import ENDPOINT, NOW, meter, pipeline, reading, wrapped
from tests.unit.connectors.gateway.test_deliveries import HeldPublisher, emitter, turn

PEER = ("10.0.0.7", 41000)


class FakeTransport:
    """What a connection does to its transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.state = "open"
        self.reading = True

    def get_extra_info(self, _name: str) -> Any:
        return PEER

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def sendto(self, data: bytes, addr: Any) -> None:
        assert addr == PEER
        self.written.append(data)

    def close(self) -> None:
        self.state = "closed" if self.state == "open" else self.state

    def abort(self) -> None:
        self.state = "aborted"

    def is_closing(self) -> bool:
        return self.state != "open"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Bench:
    """A listener with everything around it in the test's hands."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(NOW)
        self.publisher = HeldPublisher()
        self.deliveries = Deliveries(asyncio.get_running_loop(), settings.pop("limit", 100), 1 << 20)
        self.listener = PushListener(
            Gateway(**settings), self.clock, pipeline(meter()), emitter(self.publisher, self.deliveries), self.deliveries
        )

    def connect(self) -> tuple[PushConnection, FakeTransport]:
        connection, transport = self.listener.connection(), FakeTransport()
        connection.connection_made(cast("asyncio.Transport", transport))
        return connection, transport

    def datagrams(self) -> tuple[PushDatagrams, FakeTransport]:
        protocol, transport = self.listener.datagrams(), FakeTransport()
        protocol.connection_made(cast("asyncio.DatagramTransport", transport))
        return protocol, transport

    def letters(self) -> list[str]:
        return [letter.code for letter in self.publisher.records("hes.dead-letters") if isinstance(letter, DeadLetter)]

    def pass_s(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.listener.sweep()


def confirmed(invoke: int) -> bytes:
    return wrapped(reading(value=invoke, invoke_id=0x40000000 | invoke))


def confirm(invoke: int) -> bytes:
    return wrapped(b"\x10" + (0x40000000 | invoke).to_bytes(4) + b"\0", 102, 1)


async def test_a_telegram_is_acknowledged_only_when_kafka_has_it() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(confirmed(1))
    await turn()
    assert transport.written == []
    bench.publisher.deliver(1)
    await turn()
    assert transport.written == []
    bench.publisher.deliver(1)
    await turn()
    assert transport.written == [confirm(1)]


async def test_acknowledgements_keep_the_order_of_the_telegrams() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    for invoke in (1, 2, 3):
        connection.data_received(confirmed(invoke))
    waiting, bench.publisher.waiting = bench.publisher.waiting, []
    for done in waiting[2:]:
        done(None)
    await turn()
    assert transport.written == []
    for done in waiting[:2]:
        done(None)
    await turn()
    assert transport.written == [confirm(1), confirm(2), confirm(3)]


async def test_what_kafka_does_not_take_is_not_acknowledged_and_the_connection_is_closed() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(confirmed(1) + confirmed(2))
    bench.publisher.deliver(1, DeliveryError("away"))
    bench.publisher.deliver()
    await turn()
    assert (transport.written, transport.state) == ([], "aborted")


async def test_an_unknown_meters_push_is_acknowledged_once_its_letter_is_in_kafka() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(wrapped(reading("777", invoke_id=0x40000001)))
    assert bench.letters() == ["meter-unknown"]
    assert transport.written == []
    bench.publisher.deliver()
    await turn()
    assert transport.written == [confirm(1)]


async def test_sockets_are_not_read_while_too_much_waits() -> None:
    bench = Bench(limit=2)
    connection, transport = bench.connect()
    _, other = bench.connect()
    connection.data_received(confirmed(1))
    assert (transport.reading, other.reading) == (True, True)
    connection.data_received(confirmed(2))
    _, late = bench.connect()
    assert (transport.reading, other.reading, late.reading) == (False, False, False)
    bench.pass_s(100_000)
    assert {transport.state, other.state, late.state} == {"open"}
    bench.publisher.deliver()
    await turn()
    assert (transport.reading, other.reading, late.reading) == (True, True, True)
    bench.listener.sweep()
    assert {transport.state, other.state, late.state} == {"open"}


async def test_datagrams_are_dropped_while_too_much_waits() -> None:
    bench = Bench(limit=1)
    protocol, transport = bench.datagrams()
    protocol.datagram_received(confirmed(1), PEER)
    protocol.datagram_received(confirmed(2), PEER)
    bench.publisher.deliver()
    await turn()
    assert transport.written == [confirm(1)]
    protocol.datagram_received(confirmed(2), PEER)
    bench.publisher.deliver()
    await turn()
    assert transport.written == [confirm(1), confirm(2)]


async def test_a_silent_connection_is_closed_and_one_that_speaks_is_not() -> None:
    bench = Bench(idle_timeout_s=100)
    _, silent = bench.connect()
    speaking, spoken = bench.connect()
    bench.pass_s(60)
    speaking.data_received(confirmed(1))
    bench.publisher.deliver()
    await turn()
    bench.pass_s(50)
    assert (silent.state, spoken.state) == ("closed", "open")


async def test_a_frame_that_does_not_end_is_closed_and_kept() -> None:
    bench = Bench(frame_timeout_s=10)
    connection, transport = bench.connect()
    for octet in wrapped(reading())[:20]:
        connection.data_received(bytes((octet,)))
        bench.clock.advance(1)
    bench.listener.sweep()
    assert transport.state == "closed"
    assert bench.letters() == ["frame-truncated"]
    assert bench.listener.buffered == 0


async def test_a_busy_connection_that_always_has_a_part_of_a_frame_is_not_slow() -> None:
    bench = Bench(frame_timeout_s=10)
    connection, transport = bench.connect()
    data = b"".join(confirmed(n) for n in range(20))
    for at in range(0, len(data), 70):
        connection.data_received(data[at : at + 70])
        bench.pass_s(5)
    assert transport.state == "open"


async def test_what_is_half_received_when_the_meter_goes_is_a_dead_letter() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    connection.data_received(wrapped(reading())[:-1])
    assert bench.listener.buffered > 0
    connection.connection_lost(None)
    assert bench.letters() == ["frame-truncated"]
    assert (bench.listener.buffered, bench.listener.connections) == (0, set())
    bench.publisher.deliver()
    await turn()


async def test_a_meter_that_only_closes_its_own_side_gets_its_acknowledgement() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(confirmed(1))
    assert connection.eof_received()
    assert transport.state == "open"
    bench.publisher.deliver()
    await turn()
    assert (transport.written, transport.state) == ([confirm(1)], "closed")


async def test_more_connections_than_allowed_are_closed_at_once() -> None:
    bench = Bench(max_connections=1)
    _, first = bench.connect()
    _, second = bench.connect()
    assert (first.state, second.state) == ("open", "aborted")


async def test_half_received_frames_are_bounded_over_all_connections() -> None:
    bench = Bench(max_buffered=3000)
    held = [bench.connect() for _ in range(4)]
    for connection, _ in held:
        connection.data_received(b"\0\1\0\1\0\1\4\0" + b"\x0f" + bytes(990))
    assert [transport.state for _, transport in held] == ["open", "open", "open", "closed"]
    assert bench.letters() == ["frame-truncated"]


async def test_a_meter_that_takes_no_acknowledgements_is_not_read() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.pause_writing()
    assert not transport.reading
    connection.resume_writing()
    assert transport.reading


async def test_a_resting_connection_gives_its_decoder_back_and_still_reads() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(confirmed(1))
    bench.publisher.deliver()
    await turn()
    bench.pass_s(61)
    assert connection._conversation is None
    assert connection._acks is None
    connection.data_received(confirmed(2))
    bench.publisher.deliver()
    await turn()
    assert transport.written == [confirm(1), confirm(2)]


async def test_a_draining_listener_answers_what_came_and_reads_no_more() -> None:
    bench = Bench(limit=1)
    connection, transport = bench.connect()
    protocol, _ = bench.datagrams()
    connection.data_received(confirmed(1))
    bench.listener.drain()
    protocol.datagram_received(confirmed(2), PEER)
    bench.publisher.deliver()
    await turn()
    assert (transport.written, transport.reading) == ([confirm(1)], False)
    bench.listener.close()
    assert transport.state == "closed"


@pytest.mark.parametrize("who", ["gateway", "meter"])
async def test_what_is_half_received_when_the_gateway_stops_is_kept_and_is_no_dead_letter(who: str) -> None:
    bench, before = Bench(), metrics.PUSHES.labels("interrupted")._value.get()
    connection, transport = bench.connect()
    half = confirmed(2)[:-5]
    connection.data_received(confirmed(1) + half)
    bench.listener.drain()
    bench.publisher.deliver()
    await turn()
    if who == "gateway":
        bench.listener.close()
    else:
        connection.connection_lost(None)
    bench.publisher.deliver()
    await turn()
    assert bench.letters() == []
    *_, kept = bench.publisher.records("hes.frames")
    assert isinstance(kept, SessionFrames)
    assert [frame.data for frame in kept.frames] == [half]
    assert metrics.PUSHES.labels("interrupted")._value.get() == before + 1
    assert (bench.listener.buffered, bench.deliveries.groups) == (0, 0)
    assert transport.written == [confirm(1)]


async def test_a_connection_that_the_gateway_hands_on_leaves_no_dead_letter_either() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(confirmed(1)[:-5])
    connection.close(ours=True)
    bench.publisher.deliver()
    await turn()
    assert (bench.letters(), transport.state) == ([], "closed")


def blocks() -> list[bytes]:
    apdu = reading(invoke_id=0x40000001)
    middle = len(apdu) // 2
    return [
        wrapped(b"\xe0" + bytes((0x40 if n == 1 else 0xC0,)) + n.to_bytes(2) + b"\0\0" + bytes((len(part),)) + part)
        for n, part in ((1, apdu[:middle]), (2, apdu[middle:]))
    ]


async def test_a_telegram_in_blocks_may_take_several_datagrams() -> None:
    bench = Bench()
    protocol, transport = bench.datagrams()
    for block in blocks():
        protocol.datagram_received(block, PEER)
    bench.publisher.deliver()
    await turn()
    assert bench.letters() == []
    assert transport.written == [confirm(1)]
    assert not protocol._senders


async def test_a_sender_whose_blocks_stop_is_given_up() -> None:
    bench = Bench(frame_timeout_s=10)
    protocol, _ = bench.datagrams()
    protocol.datagram_received(blocks()[0], PEER)
    bench.clock.advance(11)
    protocol.sweep()
    assert bench.letters() == ["block-transfer"]


async def test_senders_with_open_blocks_are_bounded() -> None:
    bench = Bench(limit=10_000)
    protocol, _ = bench.datagrams()
    for port in range(1, 1005):
        protocol.datagram_received(blocks()[0], ("10.0.0.7", port))
    assert len(protocol._senders) == 1000
    assert bench.letters() == ["block-transfer"] * 4


async def test_a_cut_datagram_is_a_dead_letter_and_the_next_is_read() -> None:
    bench = Bench()
    protocol, transport = bench.datagrams()
    protocol.datagram_received(confirmed(1)[:-2], PEER)
    protocol.datagram_received(confirmed(2), PEER)
    bench.publisher.deliver()
    await turn()
    assert bench.letters() == ["frame-truncated"]
    assert transport.written == [confirm(2)]


@pytest.mark.parametrize(
    ("peer", "endpoint"),
    [
        pytest.param(PEER, ENDPOINT, id="ipv4"),
        pytest.param(("::1", 5, 0, 0), "[::1]:5", id="ipv6"),
        pytest.param(None, "unknown:0", id="none"),
    ],
)
def test_endpoints_are_host_and_port(peer: Any, endpoint: str) -> None:
    assert endpoint_of(peer) == endpoint


def test_an_endpoint_identity_is_the_host() -> None:
    assert Identity(IdentityKind.ENDPOINT, ENDPOINT.rpartition(":")[0]).value == PEER[0]
