from __future__ import annotations

import pytest

from schemas.codec import CodecError
from schemas.records import (
    Alarm,
    Cause,
    CommandAck,
    CommandState,
    IntervalReadings,
    JobResult,
    Meter,
    Operation,
    Outcome,
    Record,
    RegisterReadings,
)
from streams.split.route import STATES, acknowledgement, route
from tests.unit.streams.fakes import CODEC

RESULT = JobResult(
    id="r1",
    job_id="j1",
    meter_id="m1",
    segment="s1",
    operation=Operation.READ_PROFILE,
    cause=Cause.SCHEDULED,
    caused_by="c1",
    outcome=Outcome.DONE,
    issued_at=1_000,
    started_at=1_500,
    connected_at=1_700,
    associated_at=1_800,
    finished_at=2_000,
    rows=96,
)


@pytest.mark.parametrize(
    ("record", "topic"),
    [
        (IntervalReadings(id="i"), "hes.readings.intervals"),
        (RegisterReadings(id="r"), "hes.readings.registers"),
        (Alarm(id="a"), "hes.alarms"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_readings_and_alarms_pass_byte_by_byte(record: Record, topic: str) -> None:
    value = CODEC.encode(record)
    routed = route(CODEC, value)
    assert (routed.topic, routed.value, routed.ack) == (topic, value, None)


def test_a_result_becomes_the_acknowledgement_of_what_caused_it() -> None:
    routed = route(CODEC, CODEC.encode(RESULT))
    ack = CODEC.decode(routed.value)
    assert isinstance(ack, CommandAck)
    assert routed.topic == "hes.command-acks"
    assert (ack.command_id, ack.job_id, ack.meter_id, ack.segment, ack.rows) == ("c1", "j1", "m1", "s1", 96)
    assert (ack.state, ack.operation, ack.cause, ack.at) == (
        CommandState.DONE,
        Operation.READ_PROFILE,
        Cause.SCHEDULED,
        2_000,
    )
    assert (ack.queue_ms, ack.connect_ms, ack.associate_ms, ack.read_ms) == (500, 200, 100, 200)


def test_a_replayed_result_is_the_same_acknowledgement() -> None:
    assert acknowledgement(RESULT) == acknowledgement(RESULT)


def test_a_stage_that_was_not_reached_has_no_time() -> None:
    ack = acknowledgement(JobResult(id="r", issued_at=1, started_at=5, finished_at=9, outcome=Outcome.FAILED))
    assert (ack.queue_ms, ack.connect_ms, ack.associate_ms, ack.read_ms) == (4, None, None, None)


def test_every_outcome_has_a_state() -> None:
    assert set(STATES) == set(Outcome)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(None, "avro-framing", id="tombstone"),
        pytest.param(b"", "avro-framing", id="empty"),
        pytest.param(b"\x01\0\0\0\x01", "avro-framing", id="other-magic"),
        pytest.param(b"\0\0\0\xff\xff", "avro-unknown-schema", id="unknown-id"),
        pytest.param(CODEC.encode(Meter(id="m")), "record-unexpected", id="no-event"),
        pytest.param(CODEC.encode(RESULT)[:9], "avro-body", id="cut-result"),
    ],
)
def test_what_no_topic_may_hold_is_named(value: bytes | None, code: str) -> None:
    with pytest.raises(CodecError) as refused:
        route(CODEC, value)
    assert refused.value.code == code
