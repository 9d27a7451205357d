"""What follows alarms: which jobs, how many, and that nothing follows twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.resources import files

import pytest

from schemas.records import AlarmKind, Cause, CommandAck, CommandState, Job, Meter, MeterState, Operation, Priority
from streams.followup.core import Core, Output
from streams.followup.errors import TABLE
from streams.followup.policy_file import parse_policy
from tests.unit.streams.followup.world import DEADLINE_MS, MINUTE, NOW, alarm, alarms, core, jobs, policy, street

HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("kind", "operation", "many"),
    [
        (AlarmKind.TAMPER_COVER, Operation.READ_EVENT_LOG, 1),
        (AlarmKind.TAMPER_OTHER, Operation.READ_EVENT_LOG, 1),
        (AlarmKind.OUTAGE, Operation.PING, 4),
        (AlarmKind.CLOCK, Operation.READ_CLOCK, 1),
        (AlarmKind.VOLTAGE, None, 0),
        (AlarmKind.RESTORATION, None, 0),
    ],
)
def test_what_follows_an_alarm_at_once(kind: AlarmKind, operation: Operation | None, many: int) -> None:
    found = jobs(core().take(alarm(kind=kind), NOW))
    assert [job.operation for job in found] == [operation] * many
    for job in found:
        assert (job.priority, job.cause, job.caused_by) == (Priority.FOLLOW_UP, Cause.FOLLOW_UP, alarm(kind=kind).id)
        assert (job.issued_at, job.deadline, job.request) == (NOW, NOW + DEADLINE_MS, b"")


def acknowledged(job: Job, state: CommandState = CommandState.FAILED) -> CommandAck:
    return CommandAck(
        job_id=job.id, meter_id=job.meter_id, cause=Cause.FOLLOW_UP, state=state, code="answer-timeout", at=NOW + 20 * MINUTE
    )  # fmt: skip


def verified(tested: Core) -> Job:
    """The ping a quarter of an hour after an outage."""
    tested.take(alarm(kind=AlarmKind.OUTAGE), NOW)
    (job,) = [job for job in jobs(tested.due(NOW + 15 * MINUTE)) if job.meter_id == "m00"]
    return job


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (CommandState.FAILED, [AlarmKind.COMMUNICATION]),
        (CommandState.EXPIRED, [AlarmKind.COMMUNICATION]),
        (CommandState.DONE, []),
    ],
)
def test_a_restoration_that_cannot_be_verified_is_an_alarm(state: CommandState, kinds: list[AlarmKind]) -> None:
    tested = core()
    job = verified(tested)
    found = alarms(tested.told(acknowledged(job, state)))
    assert [(each.kind, each.code, each.meter_id, each.transformer) for each in found] == [
        (kind, "meter-unanswered", "m00", "T0") for kind in kinds
    ]
    assert tested.told(acknowledged(job, state)) == []
    assert [tested.take(each, NOW) for each in found] == [[] for _ in kinds]  # nothing follows it


def test_an_answer_is_waited_for_until_it_comes() -> None:
    tested = core()
    waits = [tested.waits]
    job = verified(tested)
    waits.append(tested.waits)
    for state in (CommandState.SENT, CommandState.FAILED):
        tested.told(acknowledged(job, state))
        waits.append(tested.waits)
    assert waits == [False, True, True, False]


def test_what_was_asked_before_a_restart_is_waited_for_too() -> None:
    job = verified(core())
    again = core()
    again.take(alarm(kind=AlarmKind.OUTAGE), NOW + 16 * MINUTE, known=True)
    again.acted(NOW + 15 * MINUTE)
    (found,) = alarms(again.told(acknowledged(job)))
    (same,) = alarms(_told_again(job))
    assert found == same


def _told_again(job: Job) -> list[Output]:
    tested = core()
    verified(tested)
    return tested.told(acknowledged(job))


def test_answers_to_other_jobs_are_nothing_and_no_answer_is_waited_for_for_ever() -> None:
    tested = core()
    job = verified(tested)
    assert tested.told(acknowledged(replace(job, id="another"))) == []
    tested.due(NOW + 2 * HOUR)
    assert not tested.waits


def test_neighbours_that_do_not_answer_are_an_alarm_where_the_policy_says_so() -> None:
    text = files("streams.followup").joinpath("standard.yaml").read_text(encoding="utf-8")
    tested = core(parse_policy(text.replace("    most: 5 ", "    unanswered: OUTAGE\n    most: 5 ")))
    first, *_ = jobs(tested.take(alarm(kind=AlarmKind.OUTAGE), NOW))
    assert [each.kind for each in alarms(tested.told(acknowledged(first)))] == [AlarmKind.OUTAGE]


def test_a_log_is_read_from_before_the_alarm_by_the_meters_own_time() -> None:
    (job,) = jobs(core().take(alarm(occurred_at=NOW - 5 * HOUR, meter_time_given=True), NOW))
    assert (job.meter_id, job.from_time, job.to_time) == ("m00", NOW - 29 * HOUR, None)


def test_neighbours_are_others_below_the_same_transformer() -> None:
    found = jobs(core().take(alarm("m01", AlarmKind.OUTAGE), NOW))
    assert {int(job.meter_id[1:]) % 2 for job in found} == {1}
    assert "m01" not in {job.meter_id for job in found}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"received_at": NOW - 31 * MINUTE}, "stale", id="long ago"),
        pytest.param({"meter_id": "m99"}, "unknown", id="a meter that nobody registered"),
        pytest.param({"source": "7/0.0.99.98.1.255/2"}, "from-log", id="read out of the log itself"),
        pytest.param({"source": "table/76"}, "from-log", id="read out of the log of a C12 meter"),
    ],
)
def test_alarms_that_nothing_follows(fields: dict[str, object], why: str) -> None:
    tested = core()
    assert tested.take(alarm(**fields), NOW) == []  # type: ignore[arg-type]  # a table of fields
    assert tested.take_tally().passed == Counter({("tamper", why): 1})


def test_an_outage_found_in_a_log_hours_later_causes_nothing() -> None:
    assert core().take(alarm(kind=AlarmKind.OUTAGE, source="7/0.0.99.98.0.255/2", occurred_at=NOW - HOUR), NOW) == []


def test_alarms_of_its_own_cause_nothing() -> None:
    assert core().take(alarm(kind=AlarmKind.CLOCK, code_table=TABLE), NOW) == []


def test_a_retired_meter_is_left_alone() -> None:
    directory = street()
    directory.apply("m00", Meter(id="m00", state=MeterState.RETIRED))
    assert core(directory=directory).take(alarm(), NOW) == []


@pytest.mark.parametrize(
    ("later_ms", "many"), [(0, 0), (59 * MINUTE, 0), (60 * MINUTE, 1)], ids=["twice", "in the window", "in the next"]
)
def test_a_meter_that_alarms_again(later_ms: int, many: int) -> None:
    tested = core()
    (first,) = jobs(tested.take(alarm(), NOW))
    again = jobs(tested.take(alarm(at=NOW + later_ms), NOW + later_ms))
    assert len(again) == many
    assert first.id not in {job.id for job in again}


def test_the_same_alarm_in_another_process_makes_jobs_of_the_same_ids() -> None:
    first = core().take(alarm(kind=AlarmKind.OUTAGE), NOW)
    other = core().take(alarm(kind=AlarmKind.OUTAGE), NOW + MINUTE)
    assert [job.id for job in jobs(first)] == [job.id for job in jobs(other)]


def test_a_street_that_goes_dark_is_pinged_once() -> None:
    tested = core(policy())
    found = [job for number in range(20) for job in jobs(tested.take(alarm(f"m{number:02d}", AlarmKind.OUTAGE), NOW))]
    assert len({job.meter_id for job in found}) == len(found)
    assert 2 * 4 <= len(found) <= 2 * 5


def test_whoever_alarms_first_the_same_neighbours_are_asked() -> None:
    asked = {
        job.meter_id
        for number in range(0, 20, 2)
        for job in jobs(core().take(alarm(f"m{number:02d}", AlarmKind.OUTAGE), NOW))
    }
    assert len(asked) == 5


def test_restoration_is_looked_for_later_and_at_a_few() -> None:
    tested = core(policy())
    for number in range(20):
        tested.take(alarm(f"m{number:02d}", AlarmKind.OUTAGE), NOW)
    assert len(tested) == 2 * 3
    assert tested.due(NOW + 15 * MINUTE - 1) == []
    found = jobs(tested.due(NOW + 15 * MINUTE))
    assert [job.operation for job in found] == [Operation.PING] * 6
    assert {job.meter_id for job in found} == {f"m0{number}" for number in range(6)}
    assert tested.due(NOW + 16 * MINUTE) == []


@pytest.mark.parametrize(
    ("budgets", "many", "what"),
    [
        ({"all": 3}, 3, ""),
        ({"feeder": 4}, 4, "F"),
        ({"segment": 2}, 2, "S"),
        ({"transformer": 1}, 2, "T0"),
        ({"all": 0}, 0, ""),
    ],
    ids=str,
)
def test_a_storm_stops_at_the_budget_and_says_so_once(budgets: dict[str, int], many: int, what: str) -> None:
    tested = core(policy(**budgets))
    outputs = [each for number in range(20) for each in tested.take(alarm(f"m{number:02d}"), NOW)]
    assert len(jobs(outputs)) == many
    told = alarms(outputs)
    assert len(told) == (2 if what == "T0" else 1)
    assert {each.code for each in told} == {"followup-storm"}
    assert what in (told[0].transformer or told[0].feeder or told[0].segment)


def test_a_new_minute_has_a_new_budget_and_what_was_left_out_may_come_again() -> None:
    tested = core(policy(all=1))
    assert len(jobs(tested.take(alarm("m00"), NOW) + tested.take(alarm("m01"), NOW))) == 1
    later = tested.take(alarm("m01", at=NOW + MINUTE), NOW + MINUTE)
    assert [job.meter_id for job in jobs(later)] == ["m01"]


def test_what_is_remembered_is_not_done_again() -> None:
    tested = core()
    for kind in (AlarmKind.TAMPER_COVER, AlarmKind.OUTAGE, AlarmKind.CLOCK):
        assert tested.take(alarm(kind=kind), NOW + MINUTE, known=True) == []
        assert tested.take(alarm(kind=kind, at=NOW + MINUTE), NOW + MINUTE) == []
    assert len(tested) == 1
    tested.acted(NOW + 15 * MINUTE - 1)
    assert len(jobs(tested.due(NOW + 20 * MINUTE))) == 1


def test_what_waited_and_was_written_before_is_not_written_again() -> None:
    tested = core()
    tested.take(alarm(kind=AlarmKind.OUTAGE), NOW + 16 * MINUTE, known=True)
    tested.acted(NOW + 15 * MINUTE)
    assert tested.due(NOW + 20 * MINUTE) == []


def test_nothing_is_remembered_for_ever() -> None:
    tested = core()
    tested.take(alarm(kind=AlarmKind.OUTAGE), NOW)
    tested.take(alarm(), NOW)
    tested.due(NOW + 48 * HOUR)
    assert (tested._done, tested._counts) == ({}, {})
