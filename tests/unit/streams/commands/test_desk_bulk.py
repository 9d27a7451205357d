"""Commands to many meters: their pace, their turns, and what a restart in the middle does."""

from __future__ import annotations

from schemas.records import Job, Outcome, Verdict
from streams.runtime.settings import Commands
from tests.unit.streams.commands.builders import Room, S, many
from tests.unit.streams.runtime.authority.builders import decides


def test_bulk_goes_by_the_bulk_lane_paced_with_one_summary() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    assert room.request(many(room, 25)) == [S.RECEIVED, S.APPROVED, S.QUEUED]
    seen = []
    for _ in range(3):
        room.tick(1)
        seen.append(len(room.jobs()))
    assert seen == [10, 20, 25]
    assert {out.topic for out in room.written if isinstance(out.record, Job)} == {"hes.jobs.bulk"}
    assert len({job.id for job in room.jobs()}) == 25
    jobs = room.jobs()
    for job in jobs[:-1]:
        assert room.result(job) == []
    assert room.result(jobs[-1], Outcome.FAILED, code="connect-refused", detail="no") == [S.FAILED]
    assert room.last().detail == "24 done, 1 failed; meter b024: no"
    assert room.last().code == "connect-refused"


def test_bulk_commands_take_turns() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    value = many(room, 30)
    room.request(value)
    room.request(many(room, 30, id="c2"))
    room.tick(1)
    room.tick(1)
    assert [sum(job.caused_by == name for job in room.jobs()) for name in ("c1", "c2")] == [10, 10]


def test_bulk_cancelled_half_way() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    value = many(room, 25)
    room.request(value)
    room.tick(1)
    cancel = decides(value, by="carol", verdict=Verdict.CANCEL, reason="enough")
    assert room.decision(cancel) == [S.SENT]
    assert room.tick(5) == []
    assert len(room.jobs()) == 10
    for job in room.jobs()[:9]:
        room.result(job)
    assert room.result(room.jobs()[9]) == [S.CANCELLED]
    assert room.last().detail.startswith("10 done, 15 cancelled")


def test_bulk_survives_a_restart_in_the_middle_and_issues_each_job_once() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    room.request(many(room, 25))
    room.tick(1)
    room = room.restarted()
    for _ in range(5):
        room.tick(1)
        room = room.restarted()
    assert sorted(job.meter_id for job in room.jobs()) == [f"b{number:03}" for number in range(25)]
    for job in room.jobs():
        room.result(job)
        room = room.restarted()
    assert room.last().state is S.DONE
    room.audit()
