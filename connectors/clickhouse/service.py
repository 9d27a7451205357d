"""`hes run clickhouse`: from five topics into the tables."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from connectors.clickhouse.migrations import check, columns_of, migrate, shipped
from connectors.clickhouse.sink import Sink
from connectors.clickhouse.store import Store, open_store
from streams.runtime.consumer import BatchLoop
from streams.runtime.errors import TemporaryError
from streams.runtime.service import Runtime, run
from streams.runtime.settings import Settings

TOPICS = ("hes.readings.intervals", "hes.readings.registers", "hes.alarms", "hes.command-acks", "hes.read-success")

_AGAIN_S = 1.0


def main(settings: Settings) -> int:
    """Run the sink in the foreground; the process's exit code."""
    return run("clickhouse", settings, serve)


def serve(runtime: Runtime) -> None:
    """Bring the tables up to date, then consume until asked to stop."""
    settings = runtime.settings.clickhouse
    store = open_store(settings)
    try:
        if _once_there(runtime, lambda: prepare(store, settings.database)):
            sink = Sink(store, runtime.codec, runtime.dead_letters, settings.database)
            BatchLoop(runtime, TOPICS, sink.handle, records=settings.batch_records, wait_s=settings.batch_wait_s).run()
    finally:
        store.close()


def prepare(store: Store, database: str) -> None:
    """Migrate, and see that the tables are as this release needs them."""
    migrations = shipped()
    for name in migrate(store, database, migrations):
        structlog.get_logger("migrations").info("applied", migration=name, database=database)
    check(store, database, columns_of(migrations))


def _once_there(runtime: Runtime, action: Callable[[], None]) -> bool:
    """Do it as soon as ClickHouse answers; false where the service was asked to stop before."""
    while not runtime.stopping.is_set():
        runtime.health.progress()
        try:
            action()
        except TemporaryError as error:
            structlog.get_logger("service").warning("waiting-for-clickhouse", again_in_s=_AGAIN_S, reason=str(error))
            runtime.stopping.wait(_AGAIN_S)
        else:
            return True
    return False
