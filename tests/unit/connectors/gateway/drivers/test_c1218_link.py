"""C12.18 on a transport that loses what it is given: sent again in time, given up in the end, and kept masked."""

from __future__ import annotations

import asyncio

import pytest

from connectors.gateway.drivers.c1218_link import PsemMeterLink, timing
from connectors.gateway.errors import JobError
from connectors.gateway.session import LinkTerms
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_session import User, open_session
from connectors.simulator.c12.psem_server import PsemServer, Settings
from connectors.simulator.c12.psem_tables import OctetTables
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.drivers.c12_meter import PASSWORD, tables


class Line(asyncio.Transport):
    """A line to a meter; the first writes are lost."""

    def __init__(self, link: PsemMeterLink, clock: ManualClock, lost: int, rate: int = 0) -> None:
        super().__init__({"rate": rate})
        self.meter = PsemServer(OctetTables(tables()), Settings(password=PASSWORD))
        self._link, self._clock, self._lost = link, clock, lost
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self._lost -= 1
        if self._lost < 0 and (answer := self.meter.receive(bytes(data), self._clock.monotonic())):
            asyncio.get_running_loop().call_soon(self._link.data_received, answer)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, lost: int = 0, rate: int = 0) -> None:
        self.clock = ManualClock(0)
        self.link = PsemMeterLink(LinkTerms(self.clock, 9.0, lambda *_: None, lambda: None))
        self.line = Line(self.link, self.clock, lost, rate)
        self.link.connection_made(self.line)

    async def run(self, seconds: int) -> object:
        task = asyncio.ensure_future(self.link.drive(open_session(User(password=PASSWORD))))
        for _ in range(seconds):
            for _ in range(50):
                await asyncio.sleep(0)
            if task.done():
                break
            self.clock.advance(1.0)
            self.link.tick(self.clock.monotonic())
        return await task


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_what_is_lost_is_sent_again(lost: int) -> None:
    bench = Bench(lost)
    await bench.run(30)
    assert bench.line.written[: lost + 1] == bench.line.written[:1] * (lost + 1)
    frames = [frame.data for frame in bench.link.take_frames()]
    assert frames
    assert any(PASSWORD in data for data in bench.line.written)
    assert not any(PASSWORD in data for data in frames)


async def test_who_never_answers_is_given_up() -> None:
    bench = Bench(1_000)
    with pytest.raises(C12Error) as caught:
        await bench.run(60)
    assert (caught.value.code, bench.line.closed) == ("link-timeout", True)


async def test_a_line_that_ends() -> None:
    bench = Bench(1_000)
    task = asyncio.ensure_future(bench.link.drive(open_session(User())))
    await asyncio.sleep(0)
    bench.link.connection_lost(None)
    with pytest.raises(JobError, match="closed the connection"):
        await task


def test_patience_is_the_lines() -> None:
    assert timing(9.0, modem=False).traffic_s == 9.0
    assert timing(9.0, modem=False, rate=300).line_octets_s == 30.0
    assert timing(9.0, modem=True).octet_s == 1.0
