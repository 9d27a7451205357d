from __future__ import annotations

from typing import Any

import pytest

from connectors.clickhouse import service
from connectors.clickhouse.bench import bench_sink, profiles
from connectors.clickhouse.migrations import columns_of, shipped
from schemas.topology import load
from streams.runtime.errors import FatalError, TemporaryError
from tests.unit.connectors.clickhouse.fakes import MemoryStore
from tests.unit.streams.fakes import fake_runtime


def test_it_reads_what_the_topology_says_it_reads() -> None:
    assert set(service.TOPICS) == set(load().services["clickhouse"].consumes)


@pytest.mark.parametrize("away", [0, 1, 3])
def test_it_waits_until_clickhouse_answers(away: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, _, _ = fake_runtime("clickhouse")
    waits: list[float] = []
    monkeypatch.setattr(runtime.stopping, "wait", waits.append)
    calls: list[int] = []

    def action() -> None:
        calls.append(1)
        if len(calls) <= away:
            raise TemporaryError("away")

    assert service._once_there(runtime, action)
    assert len(waits) == away


def test_it_stops_waiting_when_asked_to_stop() -> None:
    runtime, _, _ = fake_runtime("clickhouse")

    def action() -> None:
        runtime.stopping.set()
        raise TemporaryError("away")

    assert not service._once_there(runtime, action)


def test_the_store_is_closed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    runtime, _, _ = fake_runtime("clickhouse")

    def altered(*_: Any) -> None:
        raise FatalError("altered")

    monkeypatch.setattr(service, "open_store", lambda _settings: store)
    monkeypatch.setattr(service, "prepare", altered)
    with pytest.raises(FatalError):
        service.serve(runtime)
    assert store.closed


def test_the_bench_stores_what_it_counts_and_leaves_nothing() -> None:
    store = MemoryStore(answers={"count()": [(60,)]})
    for migration in shipped():  # so that the tables are there, as they ship
        for table, columns in columns_of([migration]).items():
            store.answers[f"DESCRIBE TABLE hes_bench.{table}"] = list(columns.items())
    figures = bench_sink(5, 3, 4, store, batch_records=2)
    assert figures["rows"] == 60 == sum(rows for _, rows, _ in store.inserts)
    assert {"sink_rows_s", "sink_cpu_seconds", "fastavro_rows_s", "columns_rows_s"} <= figures.keys()
    assert store.statements[-1] == "DROP DATABASE IF EXISTS hes_bench"


def test_profiles_of_the_bench_are_the_same_in_every_run() -> None:
    assert profiles(2, 4, 2) == profiles(2, 4, 2)
    assert len({(reading.meter_id, channel.obis) for reading in profiles(2, 4, 6) for channel in reading.channels}) == 12
