"""What is planned and too large for Kafka: the plan goes on, and a dead letter has what was not written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.records import Job, PlanSlice, Target, Tick
from streams.runtime.dead_letters import TOO_LARGE, TOPIC
from streams.runtime.errors import DeliveryError, FatalError
from streams.schedules.core import JOBS, PLANS, TICKS, Work
from streams.schedules.ledger import Ledger
from streams.schedules.rules import problems
from tests.unit.streams.fake_producer import FakeProducer
from tests.unit.streams.fakes import CODEC, fake_runtime
from tests.unit.streams.schedules.world import World, meter, ms, schedule

HOUR = 3_600_000
MIDNIGHT = ms("2026-06-01T00:00")
LIMIT = 2_000
WIDE = schedule(parameters={"profile": "x" * 3 * LIMIT})


def opened(**limits: int) -> tuple[Ledger, FakeProducer]:
    runtime, _, _ = fake_runtime("schedules")
    ledger, producer = Ledger(runtime), FakeProducer({f"hes.{name}": limit for name, limit in limits.items()})
    ledger._producer = cast("Any", producer)
    return ledger, producer


@pytest.mark.parametrize(
    ("topic", "key", "record"),
    [
        pytest.param(TICKS, "profile", Tick(id="t1", schedule=WIDE), id="tick"),
        pytest.param(PLANS, "s1", PlanSlice(id="s1", schedule=WIDE), id="slice"),
        pytest.param(JOBS, "m1", Job(id="j1", meter_id="m1", parameters=WIDE.parameters), id="job"),
        pytest.param(JOBS, "m1", Job(id="j1", meter_id="m1", request=b"x" * 1_100_000), id="more-than-any-record"),
    ],
)
def test_a_dead_letter_stands_in_its_place_and_the_rest_is_written(
    topic: str, key: str, record: Tick | PlanSlice | Job
) -> None:
    ledger, producer = opened(**{topic.removeprefix("hes."): LIMIT})
    small = Job(id="j2", meter_id="m2")
    ledger.write([(JOBS, "m2", small), (topic, key, record), (PLANS, "s2", None)])
    assert sorted((name, written) for name, written, _ in producer.taken) == sorted(
        [(JOBS, "m2"), (TOPIC, key), (PLANS, "s2")]
    )
    letter = producer.letter()
    assert (letter.service, letter.code, letter.topic, letter.key) == ("schedules", TOO_LARGE, topic, key.encode())
    assert letter.data == CODEC.encode(record)[:900_000]
    assert "max.message.bytes" in letter.detail
    ledger.write([(JOBS, "m3", small)])
    assert producer.taken[-1][:2] == (JOBS, "m3")


def test_many_jobs_that_are_too_large_together_are_all_written() -> None:
    ledger, producer = opened(**{"jobs.bulk": LIMIT})
    ledger.write([(JOBS, f"m{number}", Job(id=f"j{number}", request=b"x" * 400)) for number in range(20)])
    assert [key for _, key, _ in producer.taken] == [f"m{number}" for number in range(20)]


def test_where_no_letter_can_be_written_either_the_process_ends() -> None:
    ledger, producer = opened(ticks=LIMIT, **{"dead-letters": 100})
    with pytest.raises(FatalError, match=r"hes\.dead-letters does not take a letter either.*max\.message\.bytes"):
        ledger.write([(TICKS, "profile", Tick(id="t1", schedule=WIDE))])
    assert producer.taken == []


@pytest.mark.parametrize(
    ("code", "raised"),
    [(KafkaError._TIMED_OUT, DeliveryError), (KafkaError.PRODUCER_FENCED, FatalError)],
    ids=["kafka-is-away", "another-plans"],
)
def test_what_else_goes_wrong_is_told_apart(code: int, raised: type[Exception]) -> None:
    ledger, producer = opened()

    def fails(_timeout: float) -> None:
        raise KafkaException(KafkaError(code))

    cast("Any", producer).commit_transaction = fails
    with pytest.raises(raised):
        ledger.write([(PLANS, "s1", None)])
    assert producer.in_transaction is (raised is FatalError)


def test_a_schedule_of_thousands_of_named_meters_is_planned_in_slices_that_fit() -> None:
    names = [f"m{number:05d}" for number in range(9_000)]
    wanted = tuple(f"{name}-{'n' * 80}" for name in names)
    day = World(MIDNIGHT, 0)
    for number, name in enumerate(wanted):
        for directory in day.directories:
            directory.apply(name, replace(meter(number, segment=""), id=name), number % 12)
    given = schedule(target=Target(meters=wanted), description="why " * 1_000, active_from=MIDNIGHT, window_s=60)
    assert problems(given) == []
    day.set(given)
    sizes: list[int] = []

    def measured(work: Work) -> str:
        sizes.extend(len(CODEC.encode(record)) for _, _, record in work.records() if record is not None)
        return ""

    day.kill = measured
    day.run(MIDNIGHT + 5 * HOUR)
    assert sorted(job.meter_id for job in day.jobs) == sorted(wanted)
    assert [tick.schedule for tick in day.ticks] == [given]
    assert max(sizes) < 1_000_000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"target": Target(meters=("m" * 100,) * 9_001)}, "target and description: 900,100 octets", id="target"),
        pytest.param({"description": "ü" * 450_001}, "target and description: 900,003 octets", id="description"),
        pytest.param({"objects": ("1.0.1.8.0.255",) * 4_000}, "objects and parameters: 52,", id="objects"),
        pytest.param({"parameters": {"profile": "x" * 50_000}}, "objects and parameters: 50,007 octets", id="parameters"),
    ],
)
def test_a_schedule_that_no_record_holds_is_refused(given: dict[str, Any], says: str) -> None:
    (problem,) = problems(schedule(**given))
    assert problem.startswith(says)
