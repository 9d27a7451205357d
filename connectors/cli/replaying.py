"""A replay: from files or a topic, at a rate, remembering where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from connectors.cli.c12_telegrams import Family, family_of, title_texts, unasked
from connectors.cli.failure import usage
from connectors.cli.output import progress, say
from connectors.cli.telegrams import Capture, read
from connectors.cli.through_gateway import Decoder, MarkedPublisher, Octets
from connectors.cli.topics import Span, decoded, read_topic
from schemas.codec import CodecError
from schemas.ids import event_id
from schemas.records import Direction, Protocol, SessionFrames, SessionKind
from streams.runtime.clock import SystemClock
from streams.runtime.settings import Settings
from streams.runtime.tracing import REPLAY, REPLAY_TO, header, pairs_of

FRAMES = "hes.frames"
PASSED = ("hes.events.urgent", "hes.events.bulk", "hes.readings.intervals", "hes.readings.registers", "hes.alarms")
"""Topics whose records are written again as they are."""
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to replay, and how fast."""

    meter: str
    start_ms: int | None
    end_ms: int | None
    rate: float
    limit: int
    reach: tuple[str, ...]


class Replay:
    """One replay. Its id is a function of what was asked, so the same command is the same replay and can go on."""

    def __init__(self, given: Settings, folder: Path, wanted: Wanted) -> None:
        self._given = given
        self._folder = folder
        self._wanted = wanted
        self._publisher = MarkedPublisher(given, wanted.reach)

    def files(self, names: list[str]) -> dict[str, Any]:
        """Replay captured telegrams; the summary."""
        replay_id = event_id("Replay", *names, *astuple(self._wanted))
        decoder = Decoder(self._given, self._publisher, replay_id, frames=True)
        captures = (capture for name in names for capture in read(name))
        items = _octets(captures, title_texts(decoder.meters.values()), SystemClock().now_ms())
        telegrams = decoder.run(self._paced(islice(items, self._wanted.limit or None)))
        return _summary(replay_id, ", ".join(names), telegrams, 0, decoder)

    def topic(self, topic: str, *, restart: bool) -> dict[str, Any]:
        """Replay a topic up to its present end; the summary."""
        if topic != FRAMES and topic not in PASSED:
            raise usage(f"{topic} cannot be replayed", "there are " + ", ".join((FRAMES, *PASSED)))
        replay_id = event_id("Replay", topic, *astuple(self._wanted))
        place = self._folder / f"{replay_id}.json"
        offsets = {} if restart else _position(place)
        if offsets:
            say(f"going on where an earlier run stopped (--restart begins anew): {place}")
        span = Span(start_ms=self._wanted.start_ms, end_ms=self._wanted.end_ms, offsets=offsets)
        # What this replay itself writes to the topic is beyond the end that was read, or is marked with its id.
        messages = (m for m in read_topic(self._given, topic, span) if header(m.headers(), REPLAY) != replay_id)
        decoder = Decoder(self._given, self._publisher, replay_id, frames=False) if topic == FRAMES else None
        done = skipped = 0
        with progress(words=f"replaying {topic}") as bar:
            for batch in _batches(self._paced(islice(messages, self._wanted.limit or None)), _BATCH):
                passed = self._decode(decoder, batch) if decoder else self._pass_on(topic, replay_id, batch)
                done, skipped = done + passed, skipped + len(batch) - passed
                _remember(place, offsets, batch)
                bar.advance(bar.task_ids[0], len(batch))
        place.unlink(missing_ok=True)
        return _summary(replay_id, topic, done, skipped, decoder)

    def _decode(self, decoder: Decoder, batch: list[Message]) -> int:
        """Frames that meters pushed; answers to reads are left out, since their readings are on hes.events.bulk."""
        items = []
        for _, record in decoded(self._given, iter(batch)):
            if isinstance(record, SessionFrames) and record.kind is SessionKind.PUSH and self._is_wanted(record.meter_id):
                data = b"".join(frame.data for frame in record.frames if frame.direction is Direction.FROM_METER)
                items.append(Octets(data, record.endpoint, record.started_at, protocol=record.protocol))
        decoder.run(items)
        return len(items)

    def _pass_on(self, topic: str, replay_id: str, batch: list[Message]) -> int:
        passed = 0
        for message, record in decoded(self._given, iter(batch)):
            if isinstance(record, CodecError) or not self._is_wanted(getattr(record, "meter_id", "")):
                continue
            kept = [pair for pair in pairs_of(message.headers()) if pair[0] not in (REPLAY, REPLAY_TO)]
            self._publisher.send(topic, message.key(), message.value(), [*kept, (REPLAY, replay_id.encode())])
            passed += 1
        self._publisher.flush()
        return passed

    def _is_wanted(self, meter_id: str) -> bool:
        return self._wanted.meter in ("", meter_id)

    def _paced(self, items: Iterable[Any]) -> Iterator[Any]:
        began = time.monotonic()
        for number, item in enumerate(items):
            if self._wanted.rate and (ahead := number / self._wanted.rate - (time.monotonic() - began)) > 0:
                time.sleep(ahead)
            yield item


def _octets(captures: Iterable[Capture], titles: Set[str], now_ms: int) -> Iterator[Octets]:
    """What meters sent; of C12.22, where both sides may be in one file, what they sent unasked."""
    for found in captures:
        at, endpoint = now_ms if found.at_ms is None else found.at_ms, found.endpoint or "file"
        if family_of(found) is Family.C1222:
            for octets in unasked(found, titles):
                yield Octets(octets, endpoint, at, found.datagram, Protocol.C1222)
        else:
            yield Octets(found.data, endpoint, at, found.datagram)


def _batches(messages: Iterator[Message], size: int) -> Iterator[list[Message]]:
    while batch := list(islice(messages, size)):
        yield batch


def _position(place: Path) -> dict[int, int]:
    try:
        return {int(part): int(offset) for part, offset in json.loads(place.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember(place: Path, offsets: dict[int, int], batch: list[Message]) -> None:
    """Keep where each partition goes on, whole or not at all; only what Kafka has acknowledged comes here."""
    for message in batch:
        offsets[message.partition() or 0] = (message.offset() or 0) + 1
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps(offsets))
    draft.replace(place)


def _summary(replay_id: str, source: str, done: int, skipped: int, decoder: Decoder | None) -> dict[str, Any]:
    row: dict[str, Any] = {"replay_id": replay_id, "source": source, "replayed": done, "skipped": skipped}
    if decoder is not None:
        failed = {code: count for code, count in decoder.outcomes.items() if code != "events"}
        row |= {"telegrams": sum(decoder.outcomes.values()), "events": decoder.outcomes["events"], "dead_letters": failed}
    return row
