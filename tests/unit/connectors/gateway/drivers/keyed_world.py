"""A gateway's calls to one meter whose keys are changed, life after life: each with a key store read anew, and counters that
another opened before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway import counting
from connectors.gateway.addresses import Address
from connectors.gateway.drivers.dlms import DlmsCall, DlmsDriver, DlmsTools
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.keystore import FileKeyStore, MeterKeys
from connectors.gateway.reservations import Counting, Reservations
from connectors.gateway.session import LinkTerms, MeterLink
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState
from connectors.protocols.dlms.template import PullTemplate, Template
from schemas.records import Job, Meter, Operation
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import AK, EK, NOW, pipeline
from tests.unit.connectors.gateway.drivers.keyed_meter import KEK, KeyedMeter
from tests.unit.connectors.gateway.ledgers import FakeLedger, Shared
from tests.unit.connectors.gateway.meters import Network

GMAC = PullTemplate(client=1, auth="hls-gmac", security="both")
HELD = MeterKeys(EK, AK, kek=KEK, meter="m1")
MASTER = bytes(32)
OURS = bytes.fromhex("4845530000000001")
METER = Meter(id="m1", template="t", key_ref="ref", endpoint="tcp://10.0.0.7:4059", time_zone="UTC")
_UNTIL = 200


class DiedError(Exception):
    """The process did."""


class Store(FileKeyStore):
    """Dies where it is told to: before or after a call."""

    dies = ""

    def at(self, point: str) -> None:
        if self.dies == point:
            raise DiedError(point)

    def propose(self, ref: str, keys: MeterKeys) -> Any:
        found = super().propose(ref, keys)
        self.at("proposed")
        return found

    def note(self, ref: str, event: KeyEvent, of: Any = None) -> KeyState:
        self.at(f"before {event.value}")
        found = super().note(ref, event, of)
        self.at(f"after {event.value}")
        return found


@dataclass
class Deed:
    """One command, over several lives of the gateway."""

    dies: str = ""
    refuses: str = ""
    late: bool = False
    intended: bool = False
    sure: bool = False
    before: str = ""

    @property
    def unsettled(self) -> bool:
        return self.intended and not self.sure

    async def intend(self, before: str) -> None:
        if self.refuses:
            raise JobError(self.refuses, "no")
        self.before, self.intended = before, True
        if self.dies == "intended":
            raise DiedError("intended")

    def still(self) -> None:
        self.sure = True
        if self.late:
            raise JobError("command-too-late", "no")
        self.sure = False
        if self.dies == "about to send":
            raise DiedError("about to send")

    def known(self) -> None:
        self.sure = True


@dataclass
class Way:
    """See `port.Way`."""

    network: Network
    clock: ManualClock
    call: DlmsCall | None = None
    partition: int = 0
    link: MeterLink | None = None

    async def connected(self) -> MeterLink:
        if self.link is None or self.link.lost:
            assert self.call is not None
            terms = LinkTerms(self.clock, 10, lambda _frame, _message: None, lambda: None)
            link = self.link = self.call.link(terms, datagrams=False)
            await self.network.connect(lambda: link, Address("tcp", "10.0.0.7", 4059))
        return self.link

    def spent(self, _octets: int) -> float:
        return 0.0

    async def rest(self, _seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class World:
    """One meter, its keys and counters, and gateways one after another."""

    path: Path
    meter: KeyedMeter = field(default_factory=KeyedMeter)
    ledger: Shared = field(default_factory=Shared)
    pull: PullTemplate = GMAC
    alarms: list[str] = field(default_factory=list)
    known: Meter = METER

    def __post_init__(self) -> None:
        self.network = Network({4059: self.meter})
        self.clock = ManualClock(NOW)
        if not self.path.exists():
            self.store().put_many({"ref": HELD})

    def store(self) -> Store:
        store = Store(self.path, MASTER, self.clock)
        store._reopen()
        return store

    @property
    def held(self) -> MeterKeys:
        found = self.store().get("ref")
        assert found is not None
        return found

    @property
    def state(self) -> KeyState | None:
        found = self.store().pending("ref")
        return None if found is None else found.state

    def live(self, job: Job, deed: Deed | None = None, dies: str = "") -> Found:
        """A gateway that does one job. Raises what the job ends in."""
        return asyncio.run(self._live(job, deed, dies))

    async def _live(self, job: Job, deed: Deed | None, dies: str) -> Found:
        store = self.store()
        store.dies = dies
        self.clock.advance(2.0)
        counters = Reservations(
            FakeLedger(self.ledger), self.clock, lambda _: True, lambda _m, code, _d: self.alarms.append(code),
            owner="test", block=100, most_raised=1_000, pause_s=10,
        )  # fmt: skip
        template = Template("t", pull=self.pull)
        driver = DlmsDriver(DlmsTools(self.clock, OURS, store, {"t": template}, pipeline(), counters))
        found, way = self.found, self.way = Found(), Way(self.network, self.clock)
        order = driver.order(job, self.known)
        call = way.call = driver.call(order)
        try:
            await quickly(self.clock, call.open(way))
            if deed is None:
                await call.perform(order, found)
            else:
                await quickly(self.clock, call.act(order, deed, found))
            await call.close()
        finally:
            if way.link is not None:
                way.link.close()
            await asyncio.sleep(0)
            if not dies:
                await counters.close()
        return found

    def read(self) -> None:
        """The meter is read, whatever was."""
        self.live(READ)

    def rotate(self, deed: Deed | None = None, dies: str = "", **parameters: str) -> Found:
        return self.live(rotation(**parameters), deed or Deed(), dies)

    def code(self, deed: Deed | None = None, **parameters: str) -> str:
        try:
            self.rotate(deed, **parameters)
        except (JobError, DlmsError) as error:
            return error.code
        return ""


async def quickly(clock: ManualClock, work: Coroutine[Any, Any, Any]) -> Any:
    """Work, and a clock that goes on where it waits for a meter that says nothing."""
    task = asyncio.ensure_future(work)
    for _ in range(_UNTIL):
        done, _ = await asyncio.wait([task], timeout=0.01)
        if done:
            break
    return await task


def rotation(**parameters: str) -> Job:
    return Job(id="j", meter_id="m1", operation=Operation.ROTATE_KEY, parameters=parameters)


READ = Job(id="r", meter_id="m1", operation=Operation.READ_REGISTERS, objects=("1/0.0.96.1.0.255/2",))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "keys")


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Every counter under every key that was used in a test; none is twice."""
    seen: set[tuple[str, int]] = set()
    plain = Counting.next

    def once(self: Counting) -> int:
        value = plain(self)
        assert (self.mark, value) not in seen
        seen.add((self.mark, value))
        return value

    monkeypatch.setattr(counting.Counting, "next", once)
    return seen


def agree(world: World) -> bool:
    """Whether store and meter have the same keys."""
    return (world.held.ek, world.held.ak, world.held.kek) == (*world.meter.keys, world.meter.kek)


def die(world: World, taken: bool) -> None:
    """The keys have come to the meter, or were lost on the way; nobody hears more of it."""
    world.meter.apply(taken=taken)
    raise DiedError("in the meter")
