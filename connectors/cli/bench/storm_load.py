"""What `hes bench storm` sends and hears: last gasps at their times, profiles beside them, revisions of outages."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from connectors.cli.failure import CommandError
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import Alarm, AlarmKind, Cause, Channel, IntervalReadings, Severity
from streams.runtime.kafka import Publisher
from streams.runtime.tracing import headers_of

BULK = "hes.events.bulk"
SOURCES = {"alarms": "hes.alarms", "events": "hes.events.urgent"}
_LEAD_S = 3.0
_PREPARED_S = (120e-6, 600e-6, 3e-3)
"""Seconds that preparing an alarm is given."""
_STEP_S = 0.005
_ROWS = 96


@dataclass(frozen=True, slots=True)
class Options:
    """What goes dark, and what else there is to do."""

    alarms: int = 100_000
    seconds: float = 10.0
    transformers: int = 4_000
    feeders: int = 20
    delivered: float = 0.6
    spread: float = 1.5
    bulk: int = 300
    """Profiles of 96 x 1 a second."""
    source: str = "alarms"
    profile: Path | None = None
    """Where the CPU profile of the service goes."""
    seed: int = 7
    rates: tuple[int, ...] = ()
    """Alarms a second: a storm each, of as many alarms as come in `seconds`, and of transformers in proportion."""
    name: str = "0"
    """Of this storm, in the names of its meters."""

    @property
    def rate(self) -> int:
        """Alarms a second."""
        return round(self.alarms / self.seconds)


@dataclass(frozen=True, slots=True)
class Gasp:
    """One alarm, ready to be sent at its time."""

    at_ms: int
    alarm: str
    meter: str
    value: bytes
    headers: Any


@dataclass(slots=True)
class Heard:
    """What came on oms.outages: the time at which each batch was there, and its values."""

    batches: list[tuple[float, list[bytes]]] = field(default_factory=list)

    def look(self, consumer: Consumer, wait_s: float) -> None:
        """Take what there is."""
        messages = consumer.consume(10_000, wait_s)
        now = time.time()
        values = [value for message in messages if message.error() is None and (value := message.value()) is not None]
        if values:
            self.batches.append((now, values))


@dataclass(slots=True)
class Sent:
    """When each alarm was really sent, in their order, and how many profiles went beside them."""

    at: list[float] = field(default_factory=list)
    profiles: int = 0


def meters_of(options: Options) -> list[list[str]]:
    """Names of the meters below each transformer."""
    each = max(1, round(options.alarms / options.transformers / options.delivered))
    prefix = f"storm-{options.name}"
    return [[f"{prefix}-{number:05d}-{one:03d}" for one in range(each)] for number in range(options.transformers)]


def place_of(number: int, options: Options) -> tuple[str, str]:
    """Names of a transformer and its feeder."""
    feeder = number * options.feeders // options.transformers
    return f"TR-{options.name}-{number:05d}", f"FD-{options.name}-{feeder:03d}"


def gasps_of(names: Sequence[Sequence[str]], options: Options, codec: Codec) -> list[Gasp]:
    """The alarms in order of time, from a moment after now."""
    dice = random.Random(options.seed)  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
    planned: list[tuple[float, int, str]] = []
    heard = round(options.alarms / options.transformers)
    for number, meters in enumerate(names):
        dark = dice.random() * max(0.0, options.seconds - options.spread)
        planned += [(dark + dice.random() * options.spread, number, name) for name in dice.sample(meters, heard)]
    planned.sort()
    # The times in the alarms are those at which they will be sent, so they are prepared before: on a busy machine, again.
    for each_s in _PREPARED_S:
        begin = time.time() + _LEAD_S + len(planned) * each_s
        found = _prepared(planned, begin, options, codec)
        if time.time() < begin:
            return found
    raise CommandError("this machine prepares too slowly for the time that is left", mend="give fewer --alarms")


def _prepared(planned: Sequence[tuple[float, int, str]], begin: float, options: Options, codec: Codec) -> list[Gasp]:
    found = []
    for after, number, name in planned:
        at_ms = round((begin + after) * 1_000)
        transformer, feeder = place_of(number, options)
        alarm = Alarm(
            id=event_id("Alarm", name, at_ms),
            meter_id=name,
            kind=AlarmKind.OUTAGE,
            severity=Severity.CRITICAL,
            occurred_at=at_ms // 1_000 * 1_000,
            meter_time_given=True,
            received_at=at_ms,
            code="1",
            code_table="0.0.96.11.0.255",
            event_type="3.26.0.85",
            transformer=transformer,
            feeder=feeder,
        )
        headers = headers_of(alarm, source="bench", at_ms=at_ms)
        found.append(Gasp(at_ms, alarm.id, name, codec.encode(alarm), headers))
    return found


def profiles_of(codec: Codec) -> list[tuple[str, bytes, Any]]:
    """A thousand profiles, to be sent again and again."""
    found = []
    for number in range(1_000):
        name, start = f"bulk-{number:04d}", 1_772_323_200_000
        channel = Channel(obis="1.0.1.8.0.255", unit="Wh", scaler=0, longs=tuple(range(number, number + 37 * _ROWS, 37)))
        reading = IntervalReadings(
            id=event_id("IntervalReadings", name, start),
            meter_id=name,
            source="7/1.0.99.1.0.255/2",
            first_end=start,
            period_s=900,
            rows=_ROWS,
            channels=(channel,),
            read_at=start,
            cause=Cause.SCHEDULED,
        )
        found.append((name, codec.encode(reading), headers_of(reading, source="bench", at_ms=start)))
    return found


def send(
    publisher: Publisher,
    tap: Consumer,
    heard: Heard,
    gasps: Sequence[Gasp],
    profiles: Sequence[tuple[str, bytes, Any]],
    options: Options,
) -> Sent:
    """Each at its time, or as soon after as can be."""
    topic = SOURCES[options.source]
    begin = gasps[0].at_ms / 1_000
    sent = Sent()
    while len(sent.at) < len(gasps):
        now = time.time()
        while len(sent.at) < len(gasps) and (gasp := gasps[len(sent.at)]).at_ms <= now * 1_000:
            publisher.send(topic, gasp.meter, gasp.value, gasp.headers)
            sent.at.append(now)
        while sent.profiles < (now - begin) * options.bulk:
            name, value, headers = profiles[sent.profiles % len(profiles)]
            publisher.send(BULK, name, value, headers)
            sent.profiles += 1
        heard.look(tap, _STEP_S)
    return sent
