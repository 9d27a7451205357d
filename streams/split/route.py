"""Where an event goes, by the schema id in its first five bytes.

Readings and alarms pass through as they are; a job's result becomes the acknowledgement that operators read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from schemas.codec import Codec, expect
from schemas.ids import event_id
from schemas.records import Alarm, CommandAck, CommandState, IntervalReadings, JobResult, Outcome, Record, RegisterReadings

LANES = ("hes.events.urgent", "hes.events.bulk")
ACKS = "hes.command-acks"
PASSED: dict[type[Record], str] = {
    IntervalReadings: "hes.readings.intervals",
    RegisterReadings: "hes.readings.registers",
    Alarm: "hes.alarms",
}
"""Topic by record, for what is passed on byte by byte."""

STATES = {
    Outcome.DONE: CommandState.DONE,
    Outcome.FAILED: CommandState.FAILED,
    Outcome.EXPIRED: CommandState.EXPIRED,
    Outcome.CANCELLED: CommandState.CANCELLED,
    Outcome.OUTCOME_UNKNOWN: CommandState.OUTCOME_UNKNOWN,
    Outcome.UNKNOWN: CommandState.UNKNOWN,
}
"""What an outcome means to whoever asked."""


@dataclass(frozen=True, slots=True)
class Routed:
    """One record to write. `ack` is set where the value is not the one that came."""

    topic: str
    value: bytes
    ack: CommandAck | None = None


def route(codec: Codec, value: bytes | None) -> Routed:
    """Where a value goes.

    `CodecError`: avro-framing and avro-unknown-schema as the codec says, avro-body for a result that cannot be read,
    record-unexpected for a record that no lane may hold. `RegistryError` passes through: the registry is down.
    """
    record = codec.type_of(value)
    if (topic := PASSED.get(record)) is not None:
        return Routed(topic, value or b"")
    ack = acknowledgement(expect(codec.decode(value), JobResult))
    return Routed(ACKS, codec.encode(ack), ack)


def acknowledgement(result: JobResult) -> CommandAck:
    """The acknowledgement of a job's result; the same result always gives the same one, with the same id."""
    stages = (result.issued_at, result.started_at, result.connected_at, result.associated_at)
    queue, connect, associate = map(_between, stages, stages[1:])
    return CommandAck(
        id=event_id("CommandAck", result.id),
        command_id=result.caused_by,
        state=STATES[result.outcome],
        at=result.finished_at,
        queue_ms=queue,
        connect_ms=connect,
        associate_ms=associate,
        read_ms=_between(result.associated_at, result.finished_at),
        **{name: getattr(result, name) for name in _SAME},
    )


def _between(start: int | None, end: int | None) -> int | None:
    return None if not start or not end else max(0, end - start)


_SAME = sorted(
    {field.name for field in dataclasses.fields(CommandAck)}
    & {field.name for field in dataclasses.fields(JobResult)} - {"id"}
)
"""What an acknowledgement states in the result's own words."""
