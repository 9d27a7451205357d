"""Meters' bytes through the gateway's own decoder, for `hes replay` and `hes dead-letters redrive`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.cli import context
from connectors.cli.commands.meters import registry
from connectors.cli.failure import CommandError
from connectors.gateway.conversation import Conversation
from connectors.gateway.deliveries import Deliveries
from connectors.gateway.directory import Change, Directory
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_settings import C12Settings
from connectors.gateway.drivers.c1222_hearing import C1222Conversation
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.drivers.c1222_pushes import Pushes as C1222Pushes
from connectors.gateway.drivers.c1222_pushes import PushTools
from connectors.gateway.emit import Emitter
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import KeyStore, open_key_store
from connectors.gateway.pipeline import Pipeline, Push
from connectors.templates.c12_loader import load_c12_templates
from connectors.templates.loader import load_templates
from schemas.records import Meter, Protocol
from streams.runtime.clock import SystemClock
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.kafka import Done, Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import REPLAY_TO, Headers

_UNDER_WAY = 2_000


@dataclass(frozen=True, slots=True)
class Octets:
    """What a meter sent, from where, and when it arrived first."""

    data: bytes
    endpoint: str
    received_at: int
    datagram: bool = False
    protocol: Protocol = Protocol.DLMS


class MarkedPublisher(Publisher):
    """A publisher whose records name the services that a replay is meant to reach beyond storage."""

    def __init__(self, given: Settings, reach: Iterable[str]) -> None:
        super().__init__(given.kafka, "hes-replay")
        self._reach = ",".join(reach)

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        done: Done | None = None,
    ) -> None:
        """As `Publisher.send`, marked."""
        marked = [*(headers or []), (REPLAY_TO, self._reach.encode())] if self._reach else headers
        super().send(topic, key, value, marked, done)


class Decoder:
    """The gateway's pipeline on the meters, keys and templates that the settings name, writing to Kafka."""

    def __init__(self, given: Settings, publisher: Publisher, replay_id: str, *, frames: bool) -> None:
        """`frames`: whether what is decoded is written to hes.frames too; not where it came from there."""
        self._codec = context.codec(given)
        self._publisher = publisher
        self._replay_id = replay_id
        self._frames = frames
        self._clock = SystemClock()
        keys, folder = _keys(given), _folder(given.gateway.templates_dir)
        self.meters = registry(given)
        self._pipeline = Pipeline(_directory(self.meters), keys, load_templates(folder))
        c12 = PushTools(
            self._pipeline,
            keys,
            load_c12_templates(folder),
            Known(),
            Numbers(self._clock),
            Windows(),
            C12Settings().c1222.registration_period_s,
            announce=0,
        )
        self._c1222 = C1222Pushes(c12)
        self._letters = DeadLetters(publisher, self._codec, "gateway", self._clock)
        self.outcomes: Counter[str] = Counter()

    def run(self, items: Iterable[Octets]) -> int:
        """Decode and write all of them, and wait until Kafka has them; how many telegrams there were."""
        return asyncio.run(self._run(items))

    async def _run(self, items: Iterable[Octets]) -> int:
        loop = asyncio.get_running_loop()
        deliveries = Deliveries(loop, _UNDER_WAY, 1 << 28)
        emitter = Emitter(self._publisher, self._codec, self._letters, deliveries, source="replay")
        failures: list[Exception] = []
        telegrams = 0

        def then(error: Exception | None) -> None:
            if error is not None:
                failures.append(error)

        for item in items:
            for push in self._pushes(item):
                telegrams += 1
                self.outcomes[push.outcome] += 1
                emitter.push(push, then, frames=self._frames)
            while deliveries.full and not failures:
                await loop.run_in_executor(None, self._publisher.flush)
        await loop.run_in_executor(None, self._publisher.flush)
        # Every report has come; what is left is for the loop to hand them on.
        while deliveries.groups and not failures:  # noqa: ASYNC110 - a command that ends soon, no service
            await asyncio.sleep(0.01)
        if failures:
            raise failures[0]
        return telegrams

    def _pushes(self, item: Octets) -> list[Push]:
        conversation: Conversation | C1222Conversation
        if item.protocol is Protocol.C1222:
            conversation = C1222Conversation(self._c1222, item.endpoint, self._replay_id)
        else:
            conversation = Conversation(self._pipeline, item.endpoint, self._replay_id)
        if item.datagram:
            return conversation.datagram(item.data, item.received_at) + conversation.close(item.received_at)
        return conversation.feed(item.data, item.received_at) + conversation.close(item.received_at)


def _directory(meters: Mapping[str, Meter]) -> Directory:
    directory = Directory()
    directory.apply([Change(meter_id, meter) for meter_id, meter in meters.items()])
    return directory


def _keys(given: Settings) -> KeyStore:
    try:
        return open_key_store(given.gateway)
    except KeyStoreError as error:
        raise CommandError(str(error)) from error


def _folder(name: str) -> Path | None:
    return Path(name) if name else None
