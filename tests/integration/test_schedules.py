"""Planners and gap finders as processes of their own on a real Kafka: killed, paused, and a gap that fills itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.cli.commands.schedules import schedules as commands
from connectors.gateway.keystore import MeterKeys
from schemas.records import (
    Alarm,
    Cause,
    DeadLetter,
    IntervalReadings,
    Job,
    Meter,
    MeterGaps,
    MeterState,
    Network,
    Operation,
    Outcome,
    ReadSuccess,
    Schedule,
    Target,
    Tick,
)
from schemas.records import JobResult as Result
from tests.integration.gateway_bench import PATIENCE_S, Cluster, Tap, open_cluster, running
from tests.integration.service_processes import ServiceProcess, stopped_at_the_end
from tests.integration.test_gateway_pull import _meter
from tests.unit.streams.schedules.world import schedule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUARTER, MINUTE = 900_000, 60_000
METERS = 200


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


class PlannerProcess(ServiceProcess):
    name, ready = "schedules", "caught-up"


class GapsProcess(ServiceProcess):
    name, ready = "gaps", "caught-up"


class SplitProcess(ServiceProcess):
    name, ready = "split", "partitions-assigned"


def planner(cluster: Cluster, home: Path, suffix: str) -> PlannerProcess:
    quick = {"SETTLE_S": "0", "SLICE_S": "1", "AHEAD_S": "1", "POLL_S": "0.1", "SLICE_METERS": "7"}
    return PlannerProcess(cluster, home, {f"HES_SCHEDULES__{name}": value for name, value in quick.items()}, suffix)


@pytest.fixture
def due(cluster: Cluster) -> Iterator[Schedule]:
    """A schedule that was due less than five minutes ago, for 200 meters."""
    run = uuid.uuid4().hex[:6]
    known = [
        Meter(
            id=f"s{number}-{run}",
            segment=f"dc-{number % 4}",
            network=Network.ETHERNET,
            groups=(run,),
            state=MeterState.NORMAL,
        )
        for number in range(METERS)
    ]
    cluster.put_meters(known)
    made = schedule(
        f"due-{run}",
        cron="*/5 * * * *",
        time_zone="UTC",
        target=Target(groups=(run,)),
        operation=Operation.READ_REGISTERS,
        period_s=0,
        window_s=60,
        active_from=int(time.time() * 1_000) - 6 * MINUTE,
    )
    cluster.put("hes.schedules", made.id, cluster.codec.encode(made))
    yield made
    cluster.publisher.send("hes.schedules", made.id, None)
    cluster.publisher.flush()


def jobs_of(tap: Tap, made: Schedule) -> list[Job]:
    return [job for job in tap.of(Job) if job.caused_by == made.id]


def once(tap: Tap, made: Schedule, ticks: int = 1) -> None:
    """Every meter of every tick has its job, and no job is there twice: what was not committed is not seen."""
    tap.look(1.0)
    jobs = jobs_of(tap, made)
    assert Counter(Counter(job.id for job in jobs).values()) == {1: len(jobs)}
    assert len(jobs) == METERS * ticks
    assert set(Counter(job.meter_id for job in jobs).values()) == {ticks}


def test_a_planner_that_is_killed_in_its_window_is_followed_by_one_that_goes_on(
    cluster: Cluster, due: Schedule, tmp_path: Path
) -> None:
    tap = Tap(cluster, "hes.jobs.bulk", "hes.ticks", "hes.dead-letters")
    wrong = replace(due, id=f"{due.id}-wrong", cron="whenever", operation=Operation.DISCONNECT)
    cluster.put("hes.schedules", wrong.id, cluster.codec.encode(wrong))
    suffix = f"-{uuid.uuid4().hex[:8]}"
    first, second = planner(cluster, tmp_path, suffix), planner(cluster, tmp_path, suffix)
    with stopped_at_the_end(first):
        tap.until(lambda: len(jobs_of(tap, due)) >= 20, "some jobs")
        first.kill()
    sent = len(jobs_of(tap, due))
    assert sent < METERS
    with stopped_at_the_end(second):
        tap.until(lambda: len(jobs_of(tap, due)) >= METERS, "all jobs")
        once(tap, due)
        assert second.terminate() == 0
    (tick,) = [tick for tick in tap.of(Tick) if tick.schedule.id == due.id]
    assert (tick.meters, tick.unplaced) == (METERS, 0)
    assert tick.at % (5 * MINUTE) == 0
    # Each of the two says so; it is one dead letter. It names all that is wrong.
    letters = {letter.id: letter for letter in tap.of(DeadLetter) if letter.key == wrong.id.encode()}
    ((_, letter),) = letters.items()
    assert letter.code == "schedule-invalid"
    assert "no cron expression" in letter.detail
    assert "a schedule only reads" in letter.detail
    cluster.publisher.send("hes.schedules", wrong.id, None)
    tap.close()


@pytest.mark.long
def test_a_planner_that_was_paused_and_replaced_writes_nothing_more(cluster: Cluster, due: Schedule, tmp_path: Path) -> None:
    tap = Tap(cluster, "hes.jobs.bulk")
    suffix = f"-{uuid.uuid4().hex[:8]}"
    first, second = planner(cluster, tmp_path, suffix), planner(cluster, tmp_path, suffix)
    with stopped_at_the_end(first):
        tap.until(lambda: len(jobs_of(tap, due)) >= 20, "some jobs")
        first.signal(signal.SIGSTOP)  # for longer than the session timeout
        with stopped_at_the_end(second):
            second.wait_for("planning")
            first.signal(signal.SIGCONT)
            tap.until(lambda: len(jobs_of(tap, due)) >= METERS, "all jobs")
            once(tap, due)
    tap.close()


def test_the_command_line_sets_shows_and_removes(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"cli-{uuid.uuid4().hex[:6]}"
    file = tmp_path / "mine.yaml"
    monkeypatch.setenv("HES_KAFKA__BOOTSTRAP", cluster.kafka)
    monkeypatch.setenv("HES_REGISTRY__URL", cluster.registry)
    monkeypatch.setenv("HES_HOME", str(tmp_path / "home"))

    def hes(*words: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(commands, words, catch_exceptions=False)
        assert done.exit_code == 0
        return [json.loads(line) for line in done.stdout.splitlines()]

    file.write_text(
        f"schedules:\n- {{id: {name}, cron: '0 2 * * *', time_zone: Europe/Vienna, target: {{groups: [nobody]}}, "
        "operation: READ_PROFILE, window: 2h, period: 15m}\n"
    )
    (made,) = hes("set", "-f", str(file))
    assert (made["id"], made["enabled"], made["window_s"], made["period_s"]) == (name, True, 7_200, 900)
    (shown,) = hes("show", name)
    assert shown["schedule"]["active_from"] == shown["schedule"]["updated_at"]
    assert shown["last_tick"] is None
    times = hes("show", name, "--next", "3")
    assert [each["local"][11:16] for each in times] == ["02:00"] * 3
    hes("set", "-f", str(file))
    (again,) = hes("show", name)
    assert again["schedule"]["active_from"] == shown["schedule"]["active_from"]  # the same times: it goes on
    assert hes("disable", name)[0]["next"] is None
    assert hes("enable", name)[0]["next"] is not None
    assert hes("remove", name) == [{"removed": name}]
    assert name not in {each["id"] for each in hes("list")}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Meter], dict[str, MeterKeys]]]:
    home = tmp_path_factory.mktemp("fleet")
    process = subprocess.Popen(
        [sys.executable, "-m", "connectors.simulator", "--home", str(home), "--meters", "4", "--seed", "21"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        rows = [json.loads(line) for line in (home / "meters.jsonl").read_text().splitlines()]
        yield (
            [_meter(row) for row in rows],
            {row["key_ref"]: MeterKeys(password=row["secrets"]["password"].encode()) for row in rows},
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def test_a_gap_punched_into_a_profile_is_found_and_filled_without_anyone_asking(
    cluster: Cluster, fleet: tuple[list[Meter], dict[str, MeterKeys]], tmp_path: Path
) -> None:
    meters, keys = fleet
    run, suffix = uuid.uuid4().hex[:6], f"-{uuid.uuid4().hex[:8]}"
    names = {meter.id for meter in meters}
    cluster.put_meters(meters)
    now = int(time.time() * 1_000)
    at = (now - 30 * MINUTE) // QUARTER * QUARTER
    since, hole = at - 16 * QUARTER, (at - 9 * QUARTER, at - 5 * QUARTER)
    made = schedule(f"gap-{run}", target=Target(meters=tuple(sorted(names))), active_from=since)
    tick = Tick(f"t-{run}", made, at, since, planned_at=at, opens_at=at, closes_at=at + MINUTE, meters=len(meters))
    settings = {"GRACE_S": "1", "LOOK_EVERY_S": "0.3", "SPREAD_S": "1", "BATCH_WAIT_S": "0.1", "REPORT_EVERY_S": "0.3"}
    gaps = GapsProcess(cluster, tmp_path, {f"HES_GAPS__{name}": value for name, value in settings.items()}, suffix)
    split = SplitProcess(cluster, tmp_path, {}, suffix)
    tap = Tap(
        cluster, "hes.readings.intervals", "hes.jobs.bulk", "hes.gaps", "hes.read-success", "hes.alarms", "hes.events.urgent"
    )

    def filled() -> set[tuple[str, int]]:
        return {
            (item.meter_id, end)
            for item in tap.of(IntervalReadings)
            if item.meter_id in names
            for end in (item.ends or [item.first_end + n * item.period_s * 1_000 for n in range(item.rows)])
        }

    def backfill() -> list[Job]:
        return [job for job in tap.of(Job) if job.caused_by == made.id and job.cause is Cause.BACKFILL]

    def success() -> list[ReadSuccess]:
        latest = {
            (each.day, each.segment, each.partition): each for each in tap.of(ReadSuccess) if each.schedule_id == made.id
        }
        return list(latest.values())

    # What is read by the schedule lacks an hour.
    given: dict[str, Any] = {
        "operation": Operation.READ_PROFILE,
        "cause": Cause.SCHEDULED,
        "caused_by": made.id,
        "issued_at": now,
    }
    parts = [(since + 1_000, hole[0] + 1_000), (hole[1] + 1_000, at + 1_000)]
    jobs = [
        Job(id=f"{meter.id}-{number}-{run}", meter_id=meter.id, from_time=start, to_time=end, **given)
        for meter in meters
        for number, (start, end) in enumerate(parts)
    ]
    cluster.put("hes.schedules", made.id, cluster.codec.encode(made))
    with running(cluster, tmp_path, keys), stopped_at_the_end(split):
        cluster.put_jobs(jobs)
        ids = {job.id for job in jobs}
        tap.until(lambda: len([r for r in tap.of(Result) if r.job_id in ids]) == len(ids), "the reads")
        assert {r.outcome for r in tap.of(Result) if r.job_id in ids} == {Outcome.DONE}
        cluster.put("hes.ticks", made.id, cluster.codec.encode(tick))
        wanted = {(name, end) for name in names for end in range(since + QUARTER, at + 1, QUARTER)}
        punched = {(name, end) for name in names for end in range(hole[0] + QUARTER, hole[1] + 1, QUARTER)}
        tap.until(lambda: wanted - punched <= filled(), "the readings")
        assert not filled() & punched
        with stopped_at_the_end(gaps):
            tap.until(lambda: wanted <= filled(), "the hour that was missing")
            tap.until(lambda: sum(each.arrived for each in success()) == 16 * len(meters), "the success")
            gaps.kill()
        asked = backfill()
        assert {(job.meter_id, job.from_time, job.to_time) for job in asked} == {
            (name, hole[0] + 1_000, hole[1] + 1_000) for name in names
        }
        assert len(asked) == len({job.id for job in asked}) == len(meters)
        assert {(each.expected, each.arrived) for each in success()} == {(16, 16)} or sum(
            e.expected for e in success()
        ) == 64
        # What it knew is on hes.gaps: after its death nothing is asked for again.
        with stopped_at_the_end(gaps):
            gaps.wait_for("books-opened")
            tap.look(2.0)
            assert len(backfill()) == len(asked)
            assert gaps.terminate() == 0
    rows = {row.meter_id: row.watches[0] for row in tap.of(MeterGaps) if row.meter_id in names and row.watches}
    assert {int.from_bytes(watch.arrived, "little").bit_count() for watch in rows.values()} == {16}
    assert [alarm for alarm in tap.of(Alarm) if alarm.code == "gap-given-up"] == []
    cluster.publisher.send("hes.schedules", made.id, None)
    cluster.publisher.flush()
    tap.close()
