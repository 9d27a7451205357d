"""What `hes bench on-demand` makes of reads: percentiles that leave out nothing that was asked for."""

from __future__ import annotations

import pytest

from connectors.cli.bench.on_demand_load import job_of
from connectors.cli.bench.on_demand_reads import STAGES, WAYS, Asked, rows_of
from schemas.records import CommandAck, CommandState, Priority

_MS = 1_000_000


def asked(number: int, took_ms: int, way: str = WAYS[0]) -> Asked:
    """A read that was acknowledged and read after so long."""
    ack = CommandAck(command_id=f"c{number}", state=CommandState.DONE, command_ms=3, queue_ms=4, read_ms=2, pipeline_ms=1)
    at = (1_000 + number) * _MS
    return Asked(f"c{number}", "m", way, at, ack, at + took_ms * _MS, at + 2 * took_ms * _MS)


def test_percentiles_are_of_all_reads_and_each_way_has_its_own() -> None:
    rows = {row["what"]: row for row in rows_of([asked(n, n + 1, WAYS[n % 2]) for n in range(100)])}
    told = rows["acknowledged"]
    assert [told[name] for name in ("reads", "p50_ms", "p95_ms", "p99_ms", "max_ms")] == [100, 50.0, 95.0, 99.0, 100.0]
    assert rows["reading there"]["p99_ms"] == 198.0
    assert [rows[f"acknowledged, {way}"]["max_ms"] for way in WAYS] == [99.0, 100.0]


def test_what_the_acknowledgement_does_not_account_for_is_its_delivery() -> None:
    stages = asked(0, 25).stages_ms()
    assert stages == dict.fromkeys(STAGES, 0.0) | {"command": 3, "queue": 4, "read": 2, "pipeline": 1, "delivery": 15}


def test_a_read_that_was_given_up_counts_with_the_time_it_was_given() -> None:
    given_up = Asked("c", "m", WAYS[0], 0, given_up_at=9_000 * _MS)
    refused = Asked("d", "m", WAYS[0], 0, CommandAck(command_id="d", state=CommandState.REJECTED, code="frozen"), 7 * _MS)
    rows = {row["what"]: row for row in rows_of([asked(0, 10), given_up])}
    assert (rows["acknowledged"]["max_ms"], rows["reading there"]["max_ms"], rows["queue"]["reads"]) == (9_000.0, 9_000.0, 1)
    assert (given_up.failed, refused.failed, refused.over, asked(0, 1).failed) == ("unanswered", "frozen", True, "")


def test_without_reads_there_are_no_figures() -> None:
    assert {(row["reads"], row["p99_ms"]) for row in rows_of([])} == {(0, None)}


@pytest.mark.parametrize("due", [1_000, 1_772_406_001_000])
def test_a_job_of_the_load_is_a_scheduled_one_that_does_not_outlive_its_turn(due: int) -> None:
    job = job_of(7, "m1", due, due + 9_000)
    assert (job.priority, job.not_before, job.deadline) == (Priority.SCHEDULED, due, due + 9_000)
    assert job.id != job_of(8, "m1", due, due + 9_000).id
