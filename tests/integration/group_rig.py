"""Simulated meters that hear a multicast group, on a loop of their own; and what the group, and the gateway, can tell."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import uvloop

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.fleet import Fleet
from connectors.simulator.group import Ear
from connectors.simulator.image_transfer import ImageTransfer
from connectors.simulator.meter import RunningMeter
from connectors.simulator.models import MODELS
from tests.integration.firmware_rig import OLD

T = TypeVar("T")
KEY, AK = bytes(range(0x20, 0x30)), bytes(range(0xA0, 0xB0))
OPEN = next(model for model in MODELS if model.open and model.confirmed and model.pdu == 256)
"""Its public client may do everything, its blocks have 128 octets."""
BLOCK = OPEN.pdu // 2
ADDRESS, LOOPBACK = "239.192.0.7", "127.0.0.1"


def multicast_port() -> int:
    """A port of the group that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@dataclass
class Street:
    """The fleet, and how to reach it from another thread."""

    fleet: Fleet
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[], T]) -> T:
        """Something, on the fleet's own thread."""

        async def done() -> T:
            return work()

        return self._wait(done())

    def image(self, number: int) -> ImageTransfer:
        meter = self.fleet._meters[number]
        assert isinstance(meter, RunningMeter)
        return meter.cosem.image

    def ear(self, number: int) -> Ear:
        return self.fleet.ears[self.fleet.plans[number].id]

    @property
    def heard(self) -> tuple[int, int]:
        """Datagrams that were said to the group, and their octets."""
        assert self.fleet.group is not None
        return self.fleet.group.datagrams, self.fleet.group.octets

    def _wait(self, work: Awaitable[T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)  # type: ignore[arg-type]  # every awaitable here is a coroutine


@contextmanager
def street(home: Path, meters: int, port: int, loses: float) -> Iterator[Street]:
    """Meters with one broadcast key that hear the group, until the block ends."""
    config = FleetConfig(
        home, meters=meters, group=Address(ADDRESS, port), group_loses=loses, restart_s=0.5, profile_days=1, drift_share=0
    )
    fleet = Fleet(config)
    fleet.plans = tuple(
        replace(plan, model=OPEN, firmware=OLD, broadcast_key=KEY, authentication_key=AK) for plan in fleet.plans
    )
    loop = uvloop.new_event_loop()  # takes all datagrams that wait, before the requests behind them
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = Street(fleet, loop)
    made._wait(fleet.start())
    try:
        yield made
    finally:
        made._wait(fleet.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass
class Overheard:
    """Somebody who records what is said to the group, and says it again."""

    port: int
    said: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._in.bind((ADDRESS, self.port))
        here = socket.inet_aton(ADDRESS) + socket.inet_aton(LOOPBACK)
        self._in.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, here)
        self._in.setblocking(False)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))

    def take(self) -> list[bytes]:
        """Everything so far."""
        with suppress(BlockingIOError):
            while True:
                self.said.append(self._in.recv(65_535))
        return self.said

    def say(self, datagram: bytes) -> None:
        self._out.sendto(datagram, (ADDRESS, self.port))

    def close(self) -> None:
        self._in.close()
        self._out.close()


def metric(port: int, name: str, labels: str = "") -> float:
    """What `/metrics` says of one; 0 where it is not there yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{labels} ")), 0.0)
