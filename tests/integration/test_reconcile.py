"""`hes reconcile` on a real Kafka, gap finder and ClickHouse: a whole day, a gap, and a row that somebody deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from connectors.cli import context
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.commands.reconcile import register
from connectors.cli.failure import CommandError
from connectors.clickhouse.store import open_store
from connectors.local.home import Home
from schemas.records import Channel, IntervalReadings, Meter, MeterState, Network, Operation, Record, Schedule, Target, Tick
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]

app = typer.Typer()
register(app)

DAY_MS, QUARTER = 86_400_000, 900_000
SOURCE = "7/1.0.99.1.0.255/2"


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        yield stack


def put(settings: Settings, topic: str, records: dict[str, Record]) -> None:
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "test")
    for key, record in records.items():
        publisher.send(topic, key, codec.encode(record))
    publisher.flush()


def run(settings: Settings, *words: str, code: int) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, [*words, "--format", "json"], env=context.addresses(settings))
    assert done.exit_code == code, f"{done.output} {done.exception}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def until(settings: Settings, expected: dict[str, int], *words: str, code: int = 0) -> dict[str, Any]:
    """The one line, once it says what is expected."""
    end = time.monotonic() + 60
    while True:
        done = CliRunner().invoke(app, [*words, "--format", "json"], env=context.addresses(settings))
        rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        if len(rows) == 1 and expected.items() <= rows[0].items() and done.exit_code == code:
            return rows[0]
        assert time.monotonic() < end, f"{done.exit_code} {done.output}"
        time.sleep(0.5)


def test_a_day_with_a_gap_agrees_and_a_lost_row_is_named(running: tuple[Settings, Home]) -> None:
    settings, home = running
    day: date = datetime.now(UTC).date() - timedelta(days=1)
    start = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    names = ["m1", "m2", "m3"]
    nothing = CliRunner().invoke(app, [], env=context.addresses(settings))
    assert isinstance(nothing.exception, CommandError)
    assert "hes run clickhouse" in nothing.exception.mend
    meters: dict[str, Record] = {
        name: Meter(id=name, segment="dc-1", network=Network.PLC_G3, state=MeterState.NORMAL) for name in names
    }
    put(settings, "hes.meters", meters)
    load = Schedule(
        id="load", cron="0 0 * * *", time_zone="UTC", target=Target(meters=tuple(names)), operation=Operation.READ_PROFILE,
        window_s=3_600, period_s=900, enabled=True, active_from=start,
    )  # fmt: skip
    end = start + DAY_MS
    tick = Tick("t1", load, end, start, planned_at=end, opens_at=end, closes_at=end + 60_000, meters=3)
    put(settings, "hes.schedules", {"load": load})
    put(settings, "hes.ticks", {"load": tick})
    rows = {"m1": 96, "m2": 96, "m3": 90}
    for name, many in rows.items():
        value = IntervalReadings(
            id=name, meter_id=name, source=SOURCE, first_end=start + QUARTER, period_s=900, rows=many, read_at=end,
            channels=(Channel("1.0.1.8.0.255", unit="Wh", scaler=0, longs=tuple(range(many))),),
        )  # fmt: skip
        put(settings, "hes.readings.intervals", {name: value})
    quick = {"HES_GAPS__GRACE_S": "1", "HES_GAPS__LOOK_EVERY_S": "0.3", "HES_GAPS__REPORT_EVERY_S": "0.3"}
    figures = {"expected": 288, "arrived": 282, "missing": 6, "received": 282, "points": 282, "stored": 282, "meters": 3}
    with service("gaps", settings, home, quick), service("clickhouse", settings, home):
        row = until(settings, {**figures, "complete": 2})
    assert (row["schedule"], row["segment"], row["network"], row["agrees"]) == ("load", "dc-1", "PLC_G3", True)
    assert row["day"] == str(day)
    assert run(settings, "--segment", "dc-2", code=0) == []
    store = open_store(settings.clickhouse)
    sql = "ALTER TABLE hes.intervals DELETE WHERE meter_id = 'm2' AND ts = toDateTime(%(at)s) SETTINGS mutations_sync = 2"
    store.execute(sql, {"at": (start + 5 * QUARTER) // 1000})
    store.close()
    (line,) = run(settings, code=1)
    assert (line["points"], line["stored"], line["agrees"]) == (282, 281, False)
    (each,) = run(settings, str(day), "--each", code=1)
    assert each == {"day": str(day), "meter": "m2", "source": SOURCE, "segment": "dc-1", "points": 96, "stored": 95}
    # The day before has nothing to do with it.
    both = run(settings, str(day - timedelta(days=1)), "--to", str(day), code=1)
    assert [row["day"] for row in both] == [str(day)]


@pytest.mark.parametrize(
    "words", [("yesterday",), ("2026-02-01", "--to", "2026-01-01"), ("2026-02-01", "--zone", "Mars/Olympus")]
)
def test_what_is_no_day_is_said(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, CommandError)
    assert done.exception.exit_code == 2
