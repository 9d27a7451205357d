"""Meters that dial in: whose line a connection is, and a session on it beside the pushes."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.drivers.dlms_wrapper import WrapperFraming
from connectors.gateway.lines import LentTransport, Lines
from connectors.gateway.session import LinkTerms, MeterLink
from schemas.records import Identity, IdentityKind, Meter
from tests.unit.connectors.gateway.builders import directory, meter, reading, wrapped
from tests.unit.connectors.gateway.test_deliveries import turn
from tests.unit.connectors.gateway.test_push_listener import Bench as ListenerBench
from tests.unit.connectors.gateway.test_push_listener import FakeTransport

DIALS = meter("m1", endpoint="dial-in")
OTHER = meter("m2", Identity(IdentityKind.SERIAL, "777"), endpoint="dial-in")


class FakeLine:
    def __init__(self, *, proven: bool = False) -> None:
        self.endpoint, self.proven, self.free = "10.0.0.7:1", proven, True

    def lend(self, link: MeterLink) -> None: ...
    def pushed(self, frame: bytes) -> None: ...
    def close(self) -> None: ...


def test_the_last_connection_of_a_meter_is_its_line() -> None:
    told: list[str] = []
    lines, old, new = Lines(told.append), FakeLine(), FakeLine()
    lines.speaks(old, DIALS)
    lines.speaks(old, DIALS)
    lines.speaks(new, DIALS)
    assert (lines.get("m1"), told, len(lines)) == (new, ["m1", "m1"], 1)
    lines.lost(old)
    assert lines.get("m1") is new
    lines.lost(new)
    assert lines.get("m1") is None


@pytest.mark.parametrize("known", [None, meter("m1", endpoint="tcp://h:1"), meter("m1", endpoint="")], ids=str)
def test_a_meter_that_does_not_dial_in_has_no_line(known: Meter | None) -> None:
    lines = Lines(lambda _: None)
    lines.speaks(FakeLine(), known)
    assert len(lines) == 0


def test_who_only_says_a_name_does_not_take_the_line_of_who_has_shown_it() -> None:
    lines, real, forged = Lines(lambda _: None), FakeLine(proven=True), FakeLine()
    lines.speaks(real, DIALS)
    lines.speaks(forged, DIALS)
    assert lines.get("m1") is real
    again = FakeLine(proven=True)
    lines.speaks(again, DIALS)
    assert lines.get("m1") is again


def test_a_connection_of_several_meters_is_nobodys() -> None:
    lines, line = Lines(lambda _: None), FakeLine()
    for known in (DIALS, OTHER, DIALS):
        lines.speaks(line, known)
    assert (lines.get("m1"), lines.get("m2"), lines.meter_of(line)) == (None, None, "")


class Bench(ListenerBench):
    """A listener that knows meters that dial in."""

    def __init__(self, *known: Meter, **settings: Any) -> None:
        super().__init__(**settings)
        self.listener.pipeline.directory = directory(*(known or (DIALS, OTHER)))
        self.unasked: list[bytes] = []

    def link(self) -> MeterLink:
        terms = LinkTerms(self.clock, 30, lambda _, apdu: self.unasked.append(apdu), lambda: None)
        return MeterLink(WrapperFraming(16, 1), terms)


async def test_a_connection_is_a_line_once_its_meter_has_pushed() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    assert bench.listener.lines.get("m1") is None
    connection.data_received(wrapped(reading()))
    assert bench.listener.lines.get("m1") is connection
    assert (connection.free, connection.proven) == (True, False)
    connection.connection_lost(None)
    assert bench.listener.lines.get("m1") is None


async def test_a_meter_with_a_registered_address_needs_to_push_nothing() -> None:
    bench = Bench(meter("m1", Identity(IdentityKind.ENDPOINT, "10.0.0.7"), endpoint="dial-in"))
    connection, _ = bench.connect()
    assert bench.listener.lines.get("m1") is connection
    assert connection.proven


async def test_an_unknown_meter_has_no_line() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    connection.data_received(wrapped(reading("nobody")))
    assert len(bench.listener.lines) == 0


async def test_a_session_has_the_line_to_itself_and_gives_it_back() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    connection.data_received(wrapped(reading()))
    link = bench.link()
    connection.lend(link)
    assert [connection.free] == [False]
    ended: list[Any] = []

    def asks() -> Any:
        return (yield b"\xc0\x01\xc1")

    link.run(asks(), lambda result, error: ended.append((result, error)))
    assert transport.written == [wrapped(b"\xc0\x01\xc1", 16, 1)]
    connection.data_received(wrapped(reading(value=2), 1, 102) + wrapped(b"\xc4\x01\xc1", 1, 16))
    assert (ended, bench.unasked) == ([(b"\xc4\x01\xc1", None)], [reading(value=2)])
    before = len(bench.publisher.sent)
    connection.pushed(wrapped(reading(value=2), 1, 102))
    assert len(bench.publisher.sent) > before
    link.close()
    assert connection.free
    assert transport.state == "open"
    assert bench.letters() == []


async def test_a_ciphered_push_for_another_client_is_no_answer() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    link = bench.link()
    connection.lend(link)
    connection.data_received(wrapped(b"\xdb\x08abc", 1, 102) + wrapped(b"\xdb\x08def", 1, 16))
    assert bench.unasked == [b"\xdb\x08abc"]


async def test_a_line_that_is_aborted_is_closed() -> None:
    bench = Bench()
    connection, transport = bench.connect()
    link = bench.link()
    connection.lend(link)
    link.abort()
    assert (transport.state, connection.free) == ("closed", True)


async def test_a_meter_that_hangs_up_ends_the_session() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    link = bench.link()
    connection.lend(link)
    connection.connection_lost(None)
    assert link.lost


async def test_a_half_received_push_is_waited_for() -> None:
    bench = Bench()
    connection, _ = bench.connect()
    connection.data_received(wrapped(reading())[:20])
    assert not connection.free
    connection.data_received(wrapped(reading())[20:])
    assert connection.free


async def test_a_session_that_takes_long_is_no_silence() -> None:
    bench = Bench(idle_timeout_s=50)
    connection, transport = bench.connect()
    connection.data_received(wrapped(reading()))
    bench.publisher.deliver()
    await turn()
    link = bench.link()
    connection.lend(link)
    bench.pass_s(100)
    assert transport.state == "open"
    link.close()
    bench.pass_s(1)
    assert transport.state == "closed"


def test_a_lent_transport_that_was_given_back_writes_nothing() -> None:
    wire: Any = FakeTransport()
    lent = LentTransport(wire, lambda: None)
    lent.write(b"a")
    lent.close()
    lent.close()
    lent.write(b"b")
    assert (wire.written, lent.is_closing(), wire.state) == ([b"a"], True, "open")
