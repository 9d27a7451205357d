"""Records to Kafka, as groups that something depends on: a push and its acknowledgement, a job and its offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.pipeline import Push, letter_of
from schemas.codec import Codec, CodecError
from schemas.records import Alarm, IntervalReadings, JobResult, Meter, Record, RegisterReadings, SessionFrames
from streams.runtime import metrics
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.kafka import Outgoing, Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import child_of, headers_of

__all__ = ["MAX_RECORD", "TOPICS", "Emitter", "Lanes", "Outgoing", "Statement", "TooLargeError", "lanes_of"]

FRAMES = "hes.frames"
TOPICS: dict[type, str] = {
    SessionFrames: FRAMES,
    Meter: "hes.meters",
    Alarm: "hes.events.urgent",
    JobResult: "hes.events.urgent",
    IntervalReadings: "hes.events.bulk",
    RegisterReadings: "hes.events.bulk",
}
MAX_RECORD = 900_000
"""Octets of one value: brokers refuse more than 1,048,588 a batch unless they are set to."""


class TooLargeError(Exception):
    """A record is more than a broker takes."""


class Statement(NamedTuple):
    """Records under one key."""

    records: tuple[Record, ...]
    key: str
    trace: str = ""
    replay_id: str = ""
    at_ms: int = 0
    """When they were stated, where that is not the same for all that are encoded with them."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """What jobs come to goes by a producer of its lane, and so by a connection of its own: what somebody waits for neither
    waits until more has come, nor behind what has.
    """

    urgent: Publisher
    bulk: Publisher

    def poll(self) -> None:
        """Serve delivery reports of both."""
        self.urgent.poll()
        self.bulk.poll()

    def close(self) -> None:
        """After a last attempt to deliver what is queued."""
        self.urgent.close()
        self.bulk.close()


def lanes_of(settings: Settings) -> Lanes:
    """What is urgent is sent as it comes; the rest waits for more: fewer and larger requests spare the broker, and us."""
    linger = {"linger.ms": round(1000 * settings.gateway.bulk_linger_s)}
    urgent = Publisher(settings.kafka, "hes-gateway-urgent", **{"linger.ms": 0})
    return Lanes(urgent, Publisher(settings.kafka, "hes-gateway-bulk", **linger))


class Emitter:
    """Encodes, sends, and tells when Kafka has it. On the event loop. Without `lanes`, all goes by `publisher`."""

    def __init__(
        self,
        publisher: Publisher,
        codec: Codec,
        letters: DeadLetters,
        deliveries: Deliveries,
        source: str = "gateway",
        lanes: Lanes | None = None,
    ) -> None:
        self._publisher = publisher
        if lanes is not None:  # what is too large for Kafka is a dead letter whatever way it goes
            lanes.urgent.instead = lanes.bulk.instead = publisher.instead
        self._lanes = lanes or Lanes(publisher, publisher)
        self._codec = codec
        self._letters = letters
        self._deliveries = deliveries
        self._source = source

    def push(self, push: Push, then: Then, *, frames: bool = True) -> None:
        """Write what a push comes to. `frames=False` where its frames are in Kafka already, as in a replay from there.

        What cannot be encoded becomes a dead letter of the whole push. `then` is called once, on the loop.
        """
        if push.waits:
            then(None)
            return
        trace = child_of("")
        try:
            outgoing = self._of_push(push, trace, frames=frames)
        except (CodecError, TooLargeError) as error:
            code = error.code if isinstance(error, CodecError) else "record-oversized"
            push = replace(push, events=(), letter=letter_of(push, code, str(error)))
            outgoing = self._of_push(push, trace, frames=frames)
        metrics.PUSHES.labels(push.outcome).inc()
        letter = push.letter
        size = _size(outgoing) + (0 if letter is None else len(letter.data))
        group = self._deliveries.group(bool(outgoing) + (letter is not None), size, then)
        if outgoing:
            self._publisher.send_all(outgoing, group.done)
        if letter is not None:
            try:
                self._letters.put(
                    letter.code,
                    letter.detail,
                    letter.data,
                    endpoint=push.endpoint,
                    meter_id=push.meter_id,
                    replay_id=push.replay_id,
                    done=group.done,
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, the letter is not sent, and who waits must be told
                group.done(error)

    def encode_pushes(self, pushes: Sequence[Push]) -> list[Outgoing]:
        """Pushes that each have events and nothing else, ready to be sent. Raises `CodecError` or `TooLargeError` where that
        is so for one of them: then each is to be written by itself.
        """
        statements = [
            Statement(
                (push.frames, *push.events), push.meter_id or push.endpoint, child_of(""), push.replay_id, push.received_at
            )
            for push in pushes
        ]
        return [record for some in self.encode_all(statements) for record in some]

    def send_pushes(self, outgoing: Sequence[Outgoing], then: Then, pushes: int, *, frames_wait: bool = False) -> None:
        """Write what so many pushes come to as one group. With `frames_wait` their frames wait for others in the bulk lane,
        and whoever waits for the group does so too.
        """
        metrics.PUSHES.labels("events").inc(pushes)
        if not frames_wait:
            self._send(self._publisher, outgoing, then, pushes)
            return
        group = self._deliveries.group(2, _size(outgoing), then, pushes)
        self._publisher.send_all([record for record in outgoing if record.topic != FRAMES], group.done)
        self._lanes.bulk.send_all([record for record in outgoing if record.topic == FRAMES], group.done)

    def encode(
        self, records: Iterable[Record], key: str, at_ms: int, trace: str = "", replay_id: str = ""
    ) -> list[Outgoing]:
        """Records of one key, ready to be sent. Raises `CodecError` or `TooLargeError`."""
        return self.encode_all([Statement(tuple(records), key, trace, replay_id)], at_ms)[0]

    def encode_all(self, statements: Sequence[Statement], at_ms: int = 0) -> list[list[Outgoing]]:
        """Records of many keys, ready to be sent: columns of all of them are encoded in one go. Raises `CodecError` or
        `TooLargeError` where that is so for one of them.
        """
        by_class: dict[type[Record], list[Record]] = {}
        for statement in statements:
            for record in statement.records:
                by_class.setdefault(type(record), []).append(record)
        values = {cls: iter(self._codec.encode_all(records)) for cls, records in by_class.items()}
        return [self._outgoing(statement, values, statement.at_ms or at_ms) for statement in statements]

    def send(self, outgoing: Sequence[Outgoing], then: Then, effects: int = 1, *, urgent: bool = False) -> None:
        """Send records (at least one) of a lane as one group, of so many effects."""
        self._send(self._lanes.urgent if urgent else self._lanes.bulk, outgoing, then, effects)

    def _send(self, publisher: Publisher, outgoing: Sequence[Outgoing], then: Then, effects: int) -> None:
        group = self._deliveries.group(1, _size(outgoing), then, effects)
        publisher.send_all(outgoing, group.done)

    def _of_push(self, push: Push, trace: str, *, frames: bool) -> list[Outgoing]:
        at, replay_id = push.received_at, push.replay_id
        key = push.meter_id or push.endpoint
        records = (push.frames, *push.events) if frames else push.events
        outgoing = self.encode(records, key, at, trace, replay_id)
        if push.announced is not None:
            outgoing += self.encode((push.announced,), push.announced.id, at, trace, replay_id)
        return outgoing

    def _outgoing(self, statement: Statement, values: Mapping[type[Record], Iterator[bytes]], at_ms: int) -> list[Outgoing]:
        outgoing, key = [], statement.key.encode()
        for record in statement.records:
            cls = type(record)
            value = next(values[cls])
            if len(value) > MAX_RECORD:
                detail = f"{cls.__name__} of {len(value)} octets, {MAX_RECORD} is the limit: have less sent at once"
                raise TooLargeError(detail)
            headers = headers_of(
                record, source=self._source, at_ms=at_ms, parent=statement.trace, replay_id=statement.replay_id
            )
            outgoing.append(Outgoing(TOPICS[cls], key, value, headers))
        return outgoing


def _size(outgoing: Sequence[Outgoing]) -> int:
    return sum([len(item.value or b"") for item in outgoing])
