"""The gateway as a service: listeners, directory, worker and consumers, put together, watched, and ended in order."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop
from pydantic import ValidationError

from connectors.gateway.addresses import SERIAL, Address
from connectors.gateway.bad_records import BadRecords
from connectors.gateway.conversation import Conversation
from connectors.gateway.counter_ledger import CounterLedger
from connectors.gateway.deeds import Commands
from connectors.gateway.deliveries import Deliveries
from connectors.gateway.directory import Directory
from connectors.gateway.drivers.c12 import c12_parts
from connectors.gateway.drivers.c12_settings import C12Settings
from connectors.gateway.drivers.dlms import DlmsDriver, DlmsTools
from connectors.gateway.drivers.port import Door
from connectors.gateway.drivers.table import drivers_of
from connectors.gateway.emit import Emitter, lanes_of
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.evidence import Evidence
from connectors.gateway.firmware_deed import deed_of
from connectors.gateway.group_sending import Groups
from connectors.gateway.intake import Intake, Ticket
from connectors.gateway.intent_ledger import IntentLedger
from connectors.gateway.intents import Intents
from connectors.gateway.keystore import open_key_store
from connectors.gateway.lines import Lines
from connectors.gateway.meters_feed import MetersFeed
from connectors.gateway.openings import Openings
from connectors.gateway.pipeline import Pipeline
from connectors.gateway.proofs import Authority
from connectors.gateway.push_datagrams import PushDatagrams
from connectors.gateway.push_listener import PushConnection, PushListener
from connectors.gateway.relay import Relay, client_id, members_of
from connectors.gateway.reservations import Reservations
from connectors.gateway.serial_line import open_serial
from connectors.gateway.worker import Tools, Worker
from connectors.protocols.dlms.framing import Limits
from connectors.templates.c12_loader import load_c12_templates
from connectors.templates.loader import load_templates
from connectors.templates.schema import TemplateError
from schemas.records import Meter, Protocol
from streams.runtime import metrics
from streams.runtime.errors import FatalError
from streams.runtime.images import ImageStore
from streams.runtime.offsets import Partition
from streams.runtime.service import Runtime, run
from streams.runtime.settings import Settings

_TICK_S = 0.05
_SWEEP_EVERY = 20
_HAND_OVER_EVERY = 5
_SHORTEST_SECRET = 16
_BACKLOG = 4_096
_GARBAGE = (20_000, 20, 50)
"""When garbage is looked for: objects made and not freed, and how often the older ones are looked at."""
_SWITCH_S = 0.001
"""How long a thread waits for the interpreter while another has work: five milliseconds, as Python has it, is what the loop
would wait at each callback while jobs are decoded.
"""


def main(settings: Settings) -> int:
    """Run the gateway in the foreground until SIGTERM; the process's exit code."""
    return run("gateway", settings, body, limit_dead_letters=False)


def body(runtime: Runtime) -> None:
    """The gateway's life, on a loop of its own."""
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(runtime))


async def _live(runtime: Runtime) -> None:
    await _Gateway(runtime, asyncio.get_running_loop()).live()


class _Gateway:
    """All parts. Threads reach the loop by `_on_loop` only; what ends one of them ends the process."""

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        settings = runtime.settings.gateway
        try:
            keys = open_key_store(settings, runtime.clock)
            own_templates = Path(settings.templates_dir) if settings.templates_dir else None
            templates, c12_templates = load_templates(own_templates), load_c12_templates(own_templates)
            c1222 = C12Settings().c1222
        except (KeyStoreError, TemplateError, ValidationError, OSError) as error:
            raise FatalError(str(error)) from error
        self._runtime = runtime
        self._settings = settings
        self._loop = loop
        self._failure: Exception | None = None
        self._sweeps = 0
        self._log = structlog.get_logger("gateway")
        self._directory = Directory()
        bad = BadRecords(runtime)
        failed = self._on_loop(self._failed)
        self._feed = MetersFeed(runtime, bad, self._on_loop(self._directory.apply), failed)
        self._deliveries = Deliveries(
            loop,
            settings.max_unacknowledged,
            settings.max_unacknowledged_octets,
            fatal=self._failed,
            poll=self._poll,
        )
        self._lanes = lanes_of(runtime.settings)
        emitter = Emitter(
            runtime.publisher, runtime.codec, runtime.dead_letters, self._deliveries, runtime.service, self._lanes
        )
        announce = settings.max_discovered if settings.discover else 0
        pipeline = Pipeline(
            self._directory,
            keys,
            templates,
            limits=Limits(max_apdu=settings.max_apdu),
            announce=announce,
            proved=Evidence(keys).new_works,
        )
        c12 = c12_parts(c1222, runtime.clock, keys, c12_templates, pipeline, announce=announce)
        # The listener and the worker know each other: meters that dialled in. So do the worker and the intake: jobs one
        # way, offsets the other.
        lines = self._lines = Lines(self._dialled_in)
        dlms_door = Door(Protocol.DLMS, partial(Conversation, pipeline), settings.tcp_port, settings.udp_port)
        self._doors = (dlms_door, *c12.doors)
        self._listener = PushListener(settings, runtime.clock, pipeline, emitter, self._deliveries, lines, self._doors)
        self._intake = Intake(
            runtime, bad, self._on_loop(self._take), self._on_loop(self._revoked), failed, self._on_loop(self._share)
        )
        owner = runtime.settings.kafka.instance_id or f"{socket.gethostname()}-{os.getpid()}"
        self._counters = Reservations(
            CounterLedger(runtime, bad),
            runtime.clock,
            self._intake.owns,
            self._alarm,
            owner=owner,
            block=settings.counter_block,
            most_raised=settings.counter_raise,
            pause_s=runtime.settings.kafka.session_timeout_s,
        )
        self._authority = Authority(runtime)
        self._openings = Openings(runtime, self._authority.policy.openings_a_minute, owner)
        self._intents = Intents(
            IntentLedger(runtime, bad),
            runtime.clock,
            self._intake.owns,
            pause_s=runtime.settings.kafka.session_timeout_s,
            fatal=self._failed,
        )
        self._images = ImageStore(runtime, self._authority.around)
        commands = Commands(
            runtime.clock,
            self._authority,
            self._openings,
            self._intents,
            owner,
            lambda: self._intake.partitions,
            deed_of,
            self._images,
        )
        self._relay = self._new_relay()
        title = bytes.fromhex(settings.system_title)
        groups = Groups(
            runtime.settings.firmware.groups,
            runtime.clock,
            self._counters,
            self._intake.owns,
            lambda: self._intake.partitions,
        )
        dlms = DlmsDriver(DlmsTools(runtime.clock, title, keys, templates, pipeline, self._counters, self._images, groups))
        self._worker = Worker(
            Tools(
                settings=settings,
                clock=runtime.clock,
                drivers=drivers_of((dlms, *c12.drivers)),
                pipeline=pipeline,
                emitter=emitter,
                deliveries=self._deliveries,
                offsets=self._intake,
                connect=self._connect,
                chance=random.random,
                lines=lines,
                counters=self._counters,
                commands=commands,
                firmware=runtime.settings.firmware,
                groups=groups,
            )
        )

    async def live(self) -> None:
        """Catch up, listen and work until asked to stop; then finish what is in hand."""
        self._feed.start()
        while not self._feed.caught_up.is_set() and await self._pause():
            pass
        await asyncio.sleep(0)  # the last changes were handed over before the event was set
        if not self._runtime.stopping.is_set():
            self._log.info("caught-up", meters=len(self._directory))
            # What is known of a million meters is no garbage: looking through it again and again costs pauses of seconds.
            gc.freeze()
            gc.set_threshold(*_GARBAGE)
            await self._serve()
        self._feed.stop()

    async def _serve(self) -> None:
        settings, loop = self._settings, self._loop
        servers: list[asyncio.Server] = []
        sockets: list[asyncio.DatagramTransport] = []
        heard: list[PushDatagrams] = []
        for door in self._doors:
            ports = {}
            try:
                if door.tcp_port >= 0:
                    connection = partial(self._listener.connection, door.protocol)
                    tcp = await loop.create_server(connection, settings.host, door.tcp_port, backlog=_BACKLOG)
                    servers.append(tcp)
                    ports["tcp_port"] = tcp.sockets[0].getsockname()[1]
                if door.udp_port >= 0:
                    udp, datagrams = await loop.create_datagram_endpoint(
                        partial(self._listener.datagrams, door.protocol), local_addr=(settings.host, door.udp_port)
                    )
                    sockets.append(udp)
                    heard.append(datagrams)
                    ports["udp_port"] = udp.get_extra_info("sockname")[1]
            except OSError as error:
                where = f"{settings.host}, TCP port {door.tcp_port}, UDP port {door.udp_port}"
                raise FatalError(
                    f"the gateway cannot listen for {door.protocol.value} on {where}: {error.strerror or error}. "
                    "End what has the port, or set another (`hes doctor --settings`)"
                ) from error
            self._log.info("listening", protocol=door.protocol.value, host=settings.host, **ports)
        relay = await self._open_relay()
        self._authority.start()
        self._openings.start()
        self._images.start()
        self._intake.start()
        self._runtime.health.ready()
        ticks = 0
        while await self._pause():
            self._worker.tick()
            ticks += 1
            if ticks % _SWEEP_EVERY == 0:
                self._sweep(heard)
        self._runtime.health.not_ready()
        for server in servers:
            server.close()
        if relay is not None:
            relay.close()
        await self._finish()
        for udp in sockets:
            udp.close()

    async def _finish(self) -> None:
        """Nothing new; what is in hand to its end, within the grace time; then commit and part."""
        until = self._runtime.clock.monotonic() + self._settings.shutdown_s
        self._intake.quiet()
        self._worker.drain()
        self._listener.drain()
        await self._settle(until, lambda: self._worker.busy)
        self._listener.close()
        await self._settle(until, lambda: self._deliveries.groups > 0)
        await self._worker.abandon()
        await self._counters.close()
        await self._intents.close()
        await asyncio.to_thread(self._authority.stop)
        await asyncio.to_thread(self._openings.stop)
        await asyncio.to_thread(self._images.stop)
        await asyncio.to_thread(self._intake.stop)
        await asyncio.to_thread(self._lanes.close)

    async def _settle(self, until: float, busy: Callable[[], bool]) -> None:
        while (busy() or self._deliveries.groups) and self._runtime.clock.monotonic() < until:
            await asyncio.sleep(_TICK_S)
            self._worker.tick()
            self._alive()

    def _new_relay(self) -> Relay | None:
        settings, runtime = self._settings, self._runtime
        if settings.relay_port < 0:
            return None
        secret = settings.relay_secret.get_secret_value()
        if len(secret) < _SHORTEST_SECRET:
            raise FatalError(f"gateway.relay_secret has less than {_SHORTEST_SECRET} characters; or set relay_port to -1")
        members = members_of(runtime.settings.kafka, runtime.group)
        return Relay(runtime.clock, self._intake, members, self._listener.connection, self._directory.get, secret.encode())

    async def _open_relay(self) -> asyncio.Server | None:
        """Take pipes from other workers, and tell the group where."""
        if self._relay is None:
            return None
        settings = self._settings
        server = await self._loop.create_server(self._relay.inlet, settings.host, settings.relay_port)
        port = server.sockets[0].getsockname()[1]
        self._intake.client_id = client_id("hes-gateway", settings.relay_host or settings.host, port)
        self._log.info("relaying", port=port)
        return server

    def _sweep(self, heard: Sequence[PushDatagrams]) -> None:
        self._listener.sweep()
        for datagrams in heard:
            datagrams.sweep()
        self._sweeps += 1
        if self._relay is not None:
            self._relay.sweep()
            if self._sweeps % _HAND_OVER_EVERY == 0:
                for meter_id, _ in self._lines.all():
                    self._hand_over(meter_id)
        metrics.METERS.set(len(self._directory))

    async def _pause(self) -> bool:
        """Wait a tick; whether to go on. Raises what ended a thread."""
        await asyncio.sleep(_TICK_S)
        self._poll()  # what nobody waits for
        self._alive()
        return not self._runtime.stopping.is_set()

    def _poll(self) -> None:
        self._runtime.publisher.poll()
        self._lanes.poll()

    def _alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._authority.check()
        self._openings.check()
        self._images.check()
        runtime, threads = self._runtime, (self._feed, self._intake)
        still = min((thread.moved_at for thread in threads if thread.running), default=runtime.clock.monotonic())
        if runtime.clock.monotonic() - still < runtime.settings.health.stuck_s:
            runtime.health.progress()

    def _take(self, tickets: list[Ticket]) -> None:
        self._worker.take(tickets)

    def _share(self, share: float) -> None:
        self._worker.share(share)

    def _dialled_in(self, meter_id: str) -> None:
        self._worker.dialled_in(meter_id)
        self._hand_over(meter_id)

    def _hand_over(self, meter_id: str) -> None:
        """A meter whose jobs another worker has is handed over to it."""
        line = self._lines.get(meter_id)
        if self._relay is not None and isinstance(line, PushConnection) and not self._relay.owned(meter_id):
            self._relay.hand_over(line, meter_id)

    def _alarm(self, meter: Meter, code: str, detail: str) -> None:
        self._worker.alarm(meter, code, detail)

    def _revoked(self, partitions: set[Partition]) -> None:
        self._worker.revoked(partitions)

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _on_loop(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda argument: _quietly(self._loop, call, argument)

    async def _connect(self, factory: Callable[[], Any], address: Address) -> None:
        if address.scheme == SERIAL:
            await open_serial(address.host, address.port, factory)
        elif address.scheme == "udp":
            await self._loop.create_datagram_endpoint(factory, remote_addr=(address.host, address.port))
        else:
            await self._loop.create_connection(factory, address.host, address.port)


def _quietly(loop: asyncio.AbstractEventLoop, call: Callable[[Any], None], argument: Any) -> None:
    try:
        loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        if not loop.is_closed():  # closed: the process ends anyway
            raise
