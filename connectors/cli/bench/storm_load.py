"""What `hes bench storm` sends and hears: last gasps at their times, profiles beside them, revisions of outages."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from connectors.cli.failure import CommandError
from connectors.cli.output import progress
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import Alarm, AlarmKind, Cause, Channel, IntervalReadings, OutageEvent, Severity
from streams.runtime.kafka import Publisher
from streams.runtime.tracing import headers_of

BULK = "hes.events.bulk"
SOURCES = {"alarms": "hes.alarms", "events": "hes.events.urgent"}
_LEAD_S = 3.0
_PREPARED_S = (120e-6, 600e-6, 3e-3)
"""Seconds that preparing an alarm is given."""
_ORDERED_S = 30e-6
"""Seconds that passing on when a meter is to push is given."""
STEP_S = 0.005
_FIRST, _MOST = 100_000, 1_000_000_000
"""Numbers of meters: below them are those that push readings; a storm has no more than so many."""
ROWS = 96


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
    connections: int = 1_000
    """At sockets: of the meters to the gateway, at once."""
    each: bool = False
    """At sockets: whether each last gasp has a connection of its own."""
    ciphered: bool = False
    """Whether what meters push is."""
    beside_readings: int = 0
    """Rows a second that other meters push to the gateway meanwhile."""
    profiled: str = "oms"
    """The service that `profile` is of."""

    def profile_of(self, service: str) -> Path | None:
        """Where the profile of a service goes; None where none is wanted."""
        return self.profile if service == self.profiled else None

    @property
    def rate(self) -> int:
        """Alarms a second."""
        return round(self.alarms / self.seconds)


@dataclass(frozen=True, slots=True)
class Gasp:
    """One alarm, ready to be sent at its time. What is pushed on a socket has a meter's number instead of a value, and the
    alarm's id once it is known.
    """

    at_ms: int
    alarm: str
    meter: str
    value: bytes = b""
    headers: Any = None
    number: int = 0


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


def meters_of(options: Options) -> list[list[str]]:
    """Names of the meters below each transformer."""
    each = max(1, round(options.alarms / options.transformers / options.delivered))
    prefix = f"storm-{options.name}"
    return [[f"{prefix}-{number:05d}-{one:03d}" for one in range(each)] for number in range(options.transformers)]


def number_of(transformer: int, meter: int, each: int, options: Options) -> int:
    """The number under which a meter pushes; so many are below each transformer. Those of two storms differ."""
    return _FIRST + int(options.name) * _MOST + transformer * each + meter


def place_of(number: int, options: Options) -> tuple[str, str]:
    """Names of a transformer and its feeder."""
    feeder = number * options.feeders // options.transformers
    return f"TR-{options.name}-{number:05d}", f"FD-{options.name}-{feeder:03d}"


def is_of(options: Options, event: OutageEvent) -> bool:
    """Whether an outage is of this storm: all of its feeders have its name."""
    return event.feeder.startswith(f"FD-{options.name}-")


def gasps_of(names: Sequence[Sequence[str]], options: Options, codec: Codec) -> list[Gasp]:
    """The alarms in order of time, from a moment after now."""
    planned = _planned(names, options)
    # The times in the alarms are those at which they will be sent, so they are prepared before: on a busy machine, again.
    for each_s in _PREPARED_S:
        begin = time.time() + _LEAD_S + len(planned) * each_s
        found = _prepared(planned, begin, names, options, codec)
        if time.time() < begin:
            return found
    raise CommandError("this machine prepares too slowly for the time that is left", mend="give fewer --alarms")


def pushes_of(names: Sequence[Sequence[str]], options: Options) -> list[Gasp]:
    """The same for meters that push: when, and which. What they become is for the services to say."""
    planned = _planned(names, options)
    begin = time.time() + _LEAD_S + len(planned) * _ORDERED_S
    return [
        Gasp(round((begin + after) * 1_000), "", names[transformer][meter],
             number=number_of(transformer, meter, len(names[transformer]), options))
        for after, transformer, meter in planned
    ]  # fmt: skip


def _planned(names: Sequence[Sequence[str]], options: Options) -> list[tuple[float, int, int]]:
    """After how many seconds which meter of which transformer tells, in order."""
    dice = random.Random(options.seed)  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
    planned: list[tuple[float, int, int]] = []
    heard = round(options.alarms / options.transformers)
    for number, meters in enumerate(names):
        dark = dice.random() * max(0.0, options.seconds - options.spread)
        told = dice.sample(range(len(meters)), heard)
        planned += [(dark + dice.random() * options.spread, number, meter) for meter in told]
    return sorted(planned)


def _prepared(
    planned: Sequence[tuple[float, int, int]], begin: float, names: Sequence[Sequence[str]], options: Options, codec: Codec
) -> list[Gasp]:
    found = []
    for after, number, meter in planned:
        at_ms, name = round((begin + after) * 1_000), names[number][meter]
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
        channel = Channel(obis="1.0.1.8.0.255", unit="Wh", scaler=0, longs=tuple(range(number, number + 37 * ROWS, 37)))
        reading = IntervalReadings(
            id=event_id("IntervalReadings", name, start),
            meter_id=name,
            source="7/1.0.99.1.0.255/2",
            first_end=start,
            period_s=900,
            rows=ROWS,
            channels=(channel,),
            read_at=start,
            cause=Cause.SCHEDULED,
        )
        found.append((name, codec.encode(reading), headers_of(reading, source="bench", at_ms=start)))
    return found


@dataclass(slots=True)
class Beside:
    """Profiles that are put on hes.events.bulk while the storm lasts."""

    publisher: Publisher
    profiles: Sequence[tuple[str, bytes, Any]]
    a_second: int
    begin: float
    sent: int = 0

    def send(self, now: float) -> None:
        """What is due."""
        while self.sent < (now - self.begin) * self.a_second:
            name, value, headers = self.profiles[self.sent % len(self.profiles)]
            self.publisher.send(BULK, name, value, headers)
            self.sent += 1


def send(
    publisher: Publisher, look: Callable[[float], None], gasps: Sequence[Gasp], beside: Beside, options: Options
) -> list[float]:
    """Each at its time, or as soon after as can be; when that was. `look` is called in between, and may take a moment."""
    topic = SOURCES[options.source]
    sent: list[float] = []
    with progress(len(gasps), "alarms") as bar:
        while len(sent) < len(gasps):
            now = time.time()
            while len(sent) < len(gasps) and (gasp := gasps[len(sent)]).at_ms <= now * 1_000:
                publisher.send(topic, gasp.meter, gasp.value, gasp.headers)
                sent.append(now)
            beside.send(now)
            look(STEP_S)
            bar.update(bar.task_ids[0], completed=len(sent))
    return sent
