"""Sessions over HDLC, against gurux' server: opened, asked again by the clock, parted; and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from gurux_dlms.enums import DataType

from connectors.gateway.drivers.dlms_hdlc_link import HdlcMeterLink
from connectors.gateway.errors import JobError
from connectors.gateway.session import LinkTerms
from connectors.protocols.dlms.association import Association, associate, release
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import DISC, DM, POLL, SNRM, UI
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from schemas.records import Direction, Transport
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import NOW, reading
from tests.unit.connectors.protocols.dlms.gurux_meter import data
from tests.unit.connectors.protocols.dlms.hdlc_meter import HdlcMeter

NAME = Attribute(1, "0.0.96.1.0.255", 2)
VALUE = bytes(i % 251 for i in range(700))
PASSWORD = b"a password that needs more than one frame of forty octets"
STATIONS = Stations(16, 1)
CLIENT, SERVER = STATIONS.client_octets(), STATIONS.server_octets()

Hears = Callable[[int, bytes], bytes]
"""The number of the octets that were sent and these, to what the meter's end says."""


class Wire:
    """A transport whose other end answers at once, or not."""

    def __init__(self, hears: Hears) -> None:
        self._hears, self._link = hears, cast("HdlcMeterLink", None)
        self.sent: list[bytes] = []
        self.closed = False

    def join(self, link: HdlcMeterLink) -> None:
        self._link = link
        link.connection_made(cast("asyncio.BaseTransport", self))

    def write(self, octets: bytes) -> None:
        self.sent.append(octets)
        if answer := self._hears(len(self.sent), octets):
            asyncio.get_running_loop().call_soon(self._link.data_received, answer)

    def close(self) -> None:
        self.closed = True

    abort = close

    @property
    def controls(self) -> list[int]:
        return [frame.control & ~POLL for octets in self.sent for frame in Frames(1.0).feed(octets, 0.0)]


class Bench:
    """A link to something on HDLC."""

    def __init__(self, hears: Hears, propose: Parameters | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.pushed: list[tuple[bytes, bytes]] = []
        terms = LinkTerms(self.clock, 20, lambda frame, apdu: self.pushed.append((frame, apdu)), lambda: None)
        self.link = HdlcMeterLink(lambda client: Stations(client, 1), propose or Parameters(), terms)
        self.wire = Wire(hears)
        self.wire.join(self.link)

    async def until(self, waited: Any, seconds: int = 60) -> Any:
        """The end of something, with time passing."""
        task = asyncio.ensure_future(waited)
        for _ in range(seconds):
            for _ in range(60):
                await asyncio.sleep(0)
            if task.done():
                break
            self.clock.advance(1)
            self.link.tick(self.clock.monotonic())
        return await task


def meter(size: int = 128, password: bytes | None = None) -> HdlcMeter:
    there = HdlcMeter(Parameters(size, size, 1, 1), [data("0.0.96.1.0.255", VALUE, DataType.OCTET_STRING)])
    there.password = password
    return there


async def visit(bench: Bench, config: Association | None = None) -> bytes:
    """A whole visit: the value."""
    await bench.until(bench.link.enter(16))
    peer = await bench.until(bench.link.drive(associate(config or Association())))
    value: bytes = await bench.until(bench.link.drive(get(peer, NAME)))
    await bench.until(bench.link.drive(release()))
    await bench.until(bench.link.leave())
    return value


@pytest.mark.parametrize("size", [40, 128, 300])
async def test_a_meter_is_read(size: int) -> None:
    there = meter(size)
    bench = Bench(lambda _, octets: there.octets(octets), Parameters(size, size, 1, 1))
    assert await visit(bench) == encode(VALUE)
    assert (bench.wire.controls[0], bench.wire.controls[-1]) == (SNRM, DISC)
    assert bench.link.transport is Transport.HDLC


@pytest.mark.parametrize("lost", range(1, 9))
async def test_what_is_lost_is_sent_again(lost: int) -> None:
    there = meter()
    bench = Bench(lambda number, octets: b"" if number == lost else there.octets(octets))
    assert await visit(bench) == encode(VALUE)
    assert len(bench.wire.sent) == 1 + len({*bench.wire.sent[: lost - 1]}) + len(bench.wire.sent[lost:])


async def test_a_meter_that_does_not_answer_is_given_up() -> None:
    bench = Bench(lambda *_: b"")
    with pytest.raises(PeerError) as caught:
        await bench.until(bench.link.enter(16))
    assert (caught.value.code, caught.value.retry) == ("link-timeout", True)
    assert (len(bench.wire.sent), bench.wire.closed, bench.link.answered) == (4, True, False)


async def test_a_meter_whose_link_another_client_holds() -> None:
    bench = Bench(lambda *_: hdlc.frame(CLIENT, SERVER, DM | POLL))
    with pytest.raises(PeerError) as caught:
        await bench.until(bench.link.enter(16))
    assert caught.value.code == "link-refused"


async def test_a_meter_that_hangs_up_before_the_link_is_open() -> None:
    bench = Bench(lambda *_: b"")
    entering = asyncio.ensure_future(bench.link.enter(16))
    await asyncio.sleep(0)
    bench.link.connection_lost(None)
    with pytest.raises(JobError) as caught:
        await entering
    assert (caught.value.code, caught.value.retry) == ("connection-lost", True)
    await bench.link.leave()


async def test_a_session_that_fails_parts_without_waiting() -> None:
    there = meter()
    bench = Bench(lambda _, octets: there.octets(octets))
    await bench.until(bench.link.enter(16))
    bench.link.fail(JobError("job-expired", "the deadline passed"))
    assert (bench.wire.controls, bench.wire.closed) == ([SNRM, DISC], True)


async def test_another_client_gets_a_link_of_its_own() -> None:
    there = meter()
    bench = Bench(lambda _, octets: there.octets(octets))
    await bench.until(bench.link.enter(16))
    await bench.until(bench.link.enter(16))
    assert bench.wire.controls == [SNRM, DISC, SNRM]


async def test_a_notification_in_a_frame_of_its_own_is_given_away() -> None:
    there, ui = meter(), hdlc.frame(CLIENT, SERVER, UI | POLL, hdlc.LLC_FROM_SERVER + reading())
    bench = Bench(lambda number, octets: (ui if number == 2 else b"") + there.octets(octets))
    assert await visit(bench) == encode(VALUE)
    assert bench.pushed == [(ui, reading())]


@pytest.mark.parametrize("size", [40, 128])
@pytest.mark.parametrize("echoes", [False, True], ids=["", "on-a-line-that-echoes"])
async def test_frames_are_kept_with_the_password_starred_and_can_be_read(size: int, echoes: bool) -> None:
    there = meter(size, PASSWORD)
    bench = Bench(lambda _, octets: (octets if echoes else b"") + there.octets(octets), Parameters(size, size, 1, 1))
    assert await visit(bench, Association(password=PASSWORD)) == encode(VALUE)
    assert any(PASSWORD[10:20] in octets for octets in bench.wire.sent)
    kept = bench.link.take_frames()
    whole = b"".join(frame.data for frame in kept)
    assert not [at for at in range(len(PASSWORD) - 5) if PASSWORD[at : at + 6] in whole]
    sent = [frame for item in kept if item.direction is Direction.TO_METER for frame in Frames(1.0).feed(item.data, 0.0)]
    assert [frame.control for frame in sent] == [
        frame.control for octets in bench.wire.sent for frame in Frames(1.0).feed(octets, 0.0)
    ]
    assert b"".join(frame.information for frame in sent).count(b"*") == len(PASSWORD)
    assert sum(len(item.data) for item in kept if item.direction is Direction.TO_METER) == sum(map(len, bench.wire.sent))
