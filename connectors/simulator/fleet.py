"""A fleet: its listeners, its shipment and truth files, its scenario. The library face of the simulator.

fleet = Fleet(FleetConfig(home, meters=20, push_to=Address("127.0.0.1", 4059)))
await fleet.start()
…
summary = await fleet.stop()
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from pathlib import Path

from connectors.simulator.c12.message_lines import MessageConnection
from connectors.simulator.c12.running import RunningC12Meter
from connectors.simulator.c12.templates import write_templates
from connectors.simulator.config import FleetConfig
from connectors.simulator.group import Ear, GroupListener, listen
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import RunningMeter
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.scenario import happenings
from connectors.simulator.server import MeterConnection
from connectors.simulator.shared import Shared
from connectors.simulator.shipment import write_shipment

BACKLOG = 16
SPARE_DESCRIPTORS = 512


def system_ms() -> int:
    """The wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


class Fleet:
    """Meters that run. Start once, stop once."""

    def __init__(self, config: FleetConfig, now_ms: Callable[[], int] = system_ms) -> None:
        self.config = config
        self.plans = plan_fleet(config)
        self.shipment: Path = config.home / "meters.jsonl"
        self.truth: Path = config.home / "truth.jsonl"
        self.templates: Path = config.home / "templates"
        self.window = config.window(now_ms())
        self.ports: list[int] = []  # by index in the fleet
        self._now_ms = now_ms
        self._servers: list[asyncio.Server] = []
        self._connections: set[MeterConnection] = set()
        self._messages: set[MessageConnection] = set()
        self._meters: list[RunningMeter | RunningC12Meter] = []
        self.ears: dict[str, Ear] = {}
        """By meter: what it did with what was said to the group."""
        self.group: GroupListener | None = None
        """The socket at which it was said."""
        self._group: asyncio.DatagramTransport | None = None
        self._shared: Shared | None = None
        self._scenario: asyncio.Task[None] | None = None

    async def start(self, *, push: bool = True) -> None:
        """Open the listeners, write the shipment and what the meters hold, and `push`. OSError where ports run out."""
        self.config.home.mkdir(parents=True, exist_ok=True)
        _allow_descriptors(len(self.plans) + 2 * self.config.connections + SPARE_DESCRIPTORS)
        ledger = Ledger(self.truth)
        shared = Shared(self.config, ledger, self._now_ms, asyncio.Semaphore(self.config.connections))
        self._shared = shared
        self._meters = [_running(plan, shared) for plan in self.plans]
        for meter in self._meters:
            self.ports.append(await self._listen(meter))
        if self.config.group is not None:
            meters = [meter for meter in self._meters if isinstance(meter, RunningMeter)]
            self.ears = {meter.plan.id: Ear(meter.plan, meter.cosem.image, self.config) for meter in meters}
            self._group, self.group = await listen(self.config.group, self.config.host, self.ears.values())
        endpoints = [f"tcp://{self.config.host}:{port}" for port in self.ports]
        write_shipment(self.shipment, zip(self.plans, endpoints, strict=True))
        write_templates(self.templates, self.plans, self.config.profile_days)
        ledger.write_intervals(self.plans, *self.window)
        if push:
            self.push()

    def push(self) -> None:
        """Begin to push, where there is somewhere to push to; once."""
        if self._scenario is None and (self.config.push_to is not None or self.config.c12_to is not None):
            for meter in self._meters:
                if isinstance(meter, RunningC12Meter):
                    meter.register()
            self._scenario = asyncio.get_running_loop().create_task(self._play())

    async def stop(self) -> dict[str, object]:
        """Stop pushing, wait for outstanding confirmations (at most `drain_s`), close everything, say what was done."""
        shared = self._shared
        if shared is None:
            raise RuntimeError("a fleet that was not started cannot be stopped; call start() first")
        await _cancel([self._scenario] if self._scenario else [])
        shared.draining = True
        if shared.tasks:
            await asyncio.wait(shared.tasks, timeout=self.config.drain_s)
        await _cancel(list(shared.tasks))
        for meter in self._meters:
            meter.give_up()
            if isinstance(meter, RunningC12Meter):
                meter.close()
        if self._group is not None:
            self._group.close()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.close()
        for client in list(self._messages):
            client.close()
        shared.ledger.close()
        return {"meters": len(self.plans), "seed": self.config.seed, "window": list(self.window)} | shared.ledger.summary()

    async def failed(self) -> None:
        """Return only by raising what ended the scenario or a meter's sender; a correct fleet waits here until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            if self._scenario is not None and self._scenario.done():
                self._scenario.result()
            if self._shared is not None and self._shared.failures:
                raise self._shared.failures[0]

    async def _listen(self, meter: RunningMeter | RunningC12Meter) -> int:
        if isinstance(meter, RunningC12Meter):
            return await meter.listen(self._messages, BACKLOG)
        server = await asyncio.get_running_loop().create_server(
            lambda: MeterConnection(meter.cosem, self._connections), self.config.host, 0, backlog=BACKLOG
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _play(self) -> None:
        """Let everything happen at its time after the start."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        for happening in happenings(self.config, self.plans):
            delay = started + happening.at_ms / 1000 - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            self._meters[happening.meter].happen(happening)


def _running(plan: MeterPlan, shared: Shared) -> RunningMeter | RunningC12Meter:
    return RunningMeter(plan, shared) if plan.model.c12 is None else RunningC12Meter(plan, shared)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files as far as the hard limit lets us. A listener a meter needs it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
