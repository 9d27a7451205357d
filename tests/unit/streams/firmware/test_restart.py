"""A desk that is killed and reads its books again sends what one would have sent that lived: at every step of a campaign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.records import Job, JobResult, Network, Operation, Outcome, Verdict
from streams.runtime.authority.chain import Break, walk
from tests.unit.streams.firmware.region import SETTINGS
from tests.unit.streams.firmware.world import DAY, START, Room, meter
from tests.unit.streams.runtime.authority.builders import CODEC

STEP_S, DAYS = 600, 5
LUCK: dict[int, dict[str, Any]] = {
    0: {"outcome": Outcome.FAILED, "code": "peer-closed", "rows": 0},
    1: {"outcome": Outcome.FAILED, "code": "firmware-unfinished", "after": "400/980", "rows": 420},
    2: {"outcome": Outcome.FAILED, "code": "firmware-silent", "rows": 1_000},
    3: {"outcome": Outcome.FAILED, "code": "firmware-refused", "rows": 980},
    4: {"outcome": Outcome.FAILED, "code": "frozen", "rows": 0},
}
"""What a transfer comes to, by a number that follows from its job; any other is done."""


def world(activate: str) -> Room:
    places = [(Network.PLC_PRIME, "a"), (Network.NB_IOT, "b"), (Network.NB_IOT, "c")]
    zones = ["Europe/Madrid", "Europe/Helsinki"]
    meters = [
        meter(f"m{number:02}", network=places[number % 3][0], segment=places[number % 3][1], time_zone=zones[number % 2])
        for number in range(40)
    ]
    room = Room(*meters, settings=SETTINGS)
    room.begin(
        canary="4",
        waves="50%,100%",
        soak="2h",
        wave_done="60%",
        failures="95%",
        silent="95%",
        activate=activate,
        silent_after="1d",
        retries="2",
    )
    return room


def answers(room: Room, jobs: list[Job], waiting: list[tuple[int, JobResult]], activate: str) -> None:
    """What each job's gateway will say, and when: the same for the same job."""
    for job in jobs:
        luck = int(job.id[:4], 16) % 12
        start = job.not_before or job.issued_at
        fields = LUCK.get(luck, {})
        finished = start + (400_000 if fields.get("rows", 1) else 5_000)
        if job.operation is Operation.PING:
            fields, finished = ({} if luck % 2 else {"outcome": Outcome.FAILED, "code": "peer-closed"}), start + 3_000
        due = activate == "now" or start >= START + 4 * DAY
        whole: dict[str, Any] = {
            "id": f"r-{job.id}", "job_id": job.id, "meter_id": job.meter_id, "operation": job.operation,
            "caused_by": job.caused_by, "attempt": job.attempt, "issued_at": job.issued_at, "started_at": start,
            "finished_at": finished, "outcome": Outcome.DONE, "after": "2.0" if due else "verified", "rows": 1_000,
        }  # fmt: skip
        waiting.append((finished, JobResult(**(whole | fields))))
    waiting.sort(key=lambda item: (item[0], item[1].id))


def story(activate: str, restart: Callable[[int], bool]) -> tuple[list[Job], Room]:
    """All jobs of a campaign, with a restart after each step that `restart` says; a pause in its middle."""
    room, waiting, jobs = world(activate), [], []  # type: ignore[var-annotated]  # both are told by what is put in
    for number in range(DAYS * DAY // 1_000 // STEP_S):
        room.clock.advance(STEP_S)
        while waiting and waiting[0][0] <= room.clock.now_ms():
            result = waiting.pop(0)[1]
            room.desk.result(result, CODEC.encode(result))
        if number == 100:
            room.desk.decision(room.decides(value_of(room), by="alice", verdict=Verdict.PAUSE))
        if number == 180:
            room.desk.decision(room.decides(value_of(room), verdict=Verdict.RESUME))
        room.desk.tick()
        stirred = room.desk.stirred or len(room.desk.paper) > 0
        sent = [record for record in room.take() if isinstance(record, Job)]
        jobs += sent
        answers(room, sent, waiting, activate)
        if stirred and restart(number):
            room.restart()
    return jobs, room


def value_of(room: Room) -> bytes:
    case = room.desk.case("f1")
    assert case is not None
    return case.asked.value


@pytest.mark.parametrize("activate", ["now", "2026-10-09T09:00:00+00:00"])
def test_killed_after_any_step_it_sends_the_same_jobs(activate: str) -> None:
    lived, room = story(activate, lambda _: False)
    case = room.desk.case("f1")
    assert case is not None
    assert len(lived) > 60
    assert {job.operation for job in lived} == {Operation.FIRMWARE_TRANSFER, Operation.PING}
    killed, again = story(activate, lambda _: True)
    assert killed == lived
    assert again.counts() == room.counts()
    assert not any(isinstance(found, Break) for found in walk(again.audit(), chain="firmware"))
    assert [entry.action for entry in again.audit()] == [entry.action for entry in room.audit()]
