"""`hes run clickhouse`: from five topics into the tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from connectors.clickhouse.cluster import local, on_cluster
from connectors.clickhouse.errors import RefusedError
from connectors.clickhouse.migrations import check, columns_of, migrate, shipped
from connectors.clickhouse.retention import TIMES, keep
from connectors.clickhouse.rollups import Rollups
from connectors.clickhouse.sink import Sink
from connectors.clickhouse.store import Store, open_store
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.overlap import Limits, OverlappedLoop
from streams.runtime.service import Runtime, run
from streams.runtime.settings import ClickHouse, Settings

TOPICS = ("hes.readings.intervals", "hes.readings.registers", "hes.alarms", "hes.command-acks", "hes.read-success")

_AGAIN_S = 1.0
_ROLLUP_S = 900.0
"""How long ClickHouse may take for a day of all meters."""
_END_S = 5.0
"""How long a stopping service waits for a day that is being made; it is made anew next time."""


def main(settings: Settings) -> int:
    """Run the sink in the foreground; the process's exit code."""
    return run("clickhouse", settings, serve)


def serve(runtime: Runtime) -> None:
    """Bring the tables up to date, then consume until asked to stop."""
    settings = runtime.settings.clickhouse
    store = open_store(settings)
    stores = [store]
    try:
        if _once_there(runtime, lambda: prepare(store, settings.database, settings)):
            stores += [open_store(settings) for _ in range(settings.inserts - 1)]
            handles = [sink_of(one, runtime).handle for one in stores]
            fetch = settings.batch_octets // 8, min(0.5, settings.batch_wait_s / 4)
            limits = Limits(settings.batch_records, settings.batch_octets, settings.batch_wait_s, *fetch)
            loop = OverlappedLoop(runtime, TOPICS, handles, limits)
            with rolling_up(runtime, lambda: loop.owns(TOPICS[0], 0)):
                loop.run()
    finally:
        for one in stores:
            one.close()


def sink_of(store: Store, runtime: Runtime) -> Sink:
    """A sink on a store of its own."""
    settings = runtime.settings.clickhouse
    return Sink(store, runtime.codec, runtime.dead_letters, settings.database, insert_rows=settings.insert_rows)


def prepare(store: Store, database: str, settings: ClickHouse | None = None) -> None:
    """Migrate, see that the tables are as this release needs them, and have them keep rows for as long as `settings` say."""
    migrations, log = shipped(), structlog.get_logger("migrations")
    on_one: Callable[[str], Sequence[str]] = lambda sql: (sql,)  # noqa: E731 - a name for the other case
    cluster = settings.cluster if settings else ""
    for name in migrate(store, database, migrations, spread=on_cluster(cluster) if cluster else on_one):
        log.info("applied", migration=name, database=database)
    check(store, database, columns_of(migrations))
    if settings is not None:
        held = {table: local(table) for table in TIMES} if cluster else {}
        for table in keep(store, database, settings.keep_days, held):
            log.info("retention-changed", table=table, days=settings.keep_days.get(table, 0))


@contextmanager
def rolling_up(runtime: Runtime, ours: Callable[[], bool]) -> Iterator[None]:
    """Make days anew now and then, on a thread and a connection of its own, while this process is the one to do it."""
    settings = runtime.settings.clickhouse
    over = threading.Event()

    def roll() -> None:
        log = structlog.get_logger("rollups")
        store = open_store(settings.model_copy(update={"timeout_s": max(settings.timeout_s, _ROLLUP_S)}))
        rollups = Rollups(store, settings.database, settings.rollup_zone)
        while not over.wait(settings.rollup_every_s):
            try:
                if ours() and (days := rollups.refresh()):
                    log.info("days-rolled-up", days=len(days), first=str(days[0]), last=str(days[-1]))
            except (TemporaryError, FatalError, RefusedError) as error:
                # Rows are what must not be lost; a rollup that fails is made with the next.
                log.warning("rollup-failed", reason=str(error))
        store.close()

    thread = threading.Thread(target=roll, name="rollups", daemon=True)
    if settings.rollup_every_s:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if settings.rollup_every_s:
            thread.join(_END_S)


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
