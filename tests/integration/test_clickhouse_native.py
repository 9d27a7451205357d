"""The sink on a real ClickHouse server, by the native protocol and by HTTP.

Debian's 18.16.1 is old: it knows no deduplication tokens and no CODEC, LowCardinality or DateTime64, which
`as_18_16` strips from the tables. What is modern in them, tokens included, is proven in test_clickhouse_embedded.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from pydantic import SecretStr

from connectors.clickhouse.columns import Runs
from connectors.clickhouse.errors import TableError
from connectors.clickhouse.migrations import Migration, check, columns_of, migrate, shipped
from connectors.clickhouse.store import Store, open_store
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.settings import ClickHouse
from tests.integration.clickhouse_cases import INTERVALS, PROFILE, Loaded, SinkCases
from tests.integration.clickhouse_server import BINARY, PASSWORD, Server, as_18_16, debian

pytest.importorskip("clickhouse_driver", reason="clickhouse-driver is in the extra `clickhouse`")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(BINARY is None, reason="clickhouse-server is absent: apt-get install clickhouse-server"),
]

DATABASES = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with debian(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


def opened(server: Server, scheme: str, password: str = PASSWORD, timeout_s: float = 30.0) -> Store:
    port = server.ports[0 if scheme == "clickhouse" else 1]
    return open_store(ClickHouse(url=SecretStr(f"{scheme}://default:{password}@127.0.0.1:{port}"), timeout_s=timeout_s))


def tables() -> list[Migration]:
    """The tables; the views and rollups use functions and types that 18.16 lacks."""
    return [migration for migration in shipped() if not re.search("views|rollups", migration.name)]


@pytest.fixture(params=["clickhouse", "http"])
def store(server: Server, request: pytest.FixtureRequest) -> Iterator[Store]:
    connected = opened(server, request.param)
    yield connected
    connected.close()


@pytest.fixture
def loaded(store: Store) -> Loaded:
    database = f"hes_{next(DATABASES)}"
    migrate(store, database, tables(), as_18_16)
    return Loaded(store, database)


class TestSink(SinkCases):
    pass


def test_it_is_the_old_server(store: Store) -> None:
    assert store.ping() == (18, 16)


def test_migrations_are_applied_once_and_an_edited_file_is_refused(store: Store) -> None:
    database = f"hes_{next(DATABASES)}"
    names = [migration.name for migration in tables()]
    assert migrate(store, database, tables(), as_18_16) == names
    assert migrate(store, database, tables(), as_18_16) == []
    first, *rest = tables()
    with pytest.raises(FatalError, match="001_intervals was applied"):
        migrate(store, database, [Migration(1, first.name, first.text + "\n"), *rest], as_18_16)


def test_the_tables_are_as_the_files_say(loaded: Loaded) -> None:
    expected = {
        table: {name: as_18_16(kind) for name, kind in columns.items()} for table, columns in columns_of(tables()).items()
    }
    check(loaded.store, loaded.database, expected)
    loaded.store.execute(f"ALTER TABLE {loaded.database}.intervals MODIFY COLUMN value String")
    with pytest.raises(TableError, match="column value is String and must be Int64"):
        check(loaded.store, loaded.database, expected)


def test_low_cardinality_by_the_native_protocol(server: Server) -> None:
    store = opened(server, "clickhouse")
    store.execute("SET allow_experimental_low_cardinality_type = 1")
    store.execute("CREATE TABLE default.words (a LowCardinality(String), b LowCardinality(String)) ENGINE = Memory")
    runs = Runs([f"w{number}" for number in range(300)], np.arange(300), np.full(300, 2))
    store.insert("default.words", {"a": runs, "b": [f"x{number % 7}" for number in range(600)]}, "")
    rows = store.query("SELECT a, b FROM default.words").rows
    assert rows == [(f"w{number // 2}", f"x{number % 7}") for number in range(600)]
    store.close()


@pytest.mark.parametrize("scheme", ["clickhouse", "http"])
def test_a_wrong_password_ends_the_service_and_is_not_told(server: Server, scheme: str) -> None:
    store = opened(server, scheme, password="letmein-7391")
    with pytest.raises(FatalError, match=r"clickhouse\.url") as caught:
        store.ping()
    assert "letmein-7391" not in str(caught.value)
    store.close()


def test_a_server_that_is_killed_is_away_until_it_is_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    with debian(tmp_path_factory.mktemp("clickhouse-killed")) as server:
        stores = {scheme: opened(server, scheme, timeout_s=5) for scheme in ("clickhouse", "http")}
        for scheme, store in stores.items():
            migrate(store, scheme, tables(), as_18_16)
            assert Loaded(store, scheme).sink(PROFILE) == []
        server.kill()
        for scheme, store in stores.items():
            with pytest.raises(TemporaryError, match="did not answer"):
                Loaded(store, scheme).sink(PROFILE, first=1)
        server.start()
        for scheme, store in stores.items():
            assert Loaded(store, scheme).intervals() == INTERVALS
            assert Loaded(store, scheme).sink(PROFILE, first=1) == []
            assert Loaded(store, scheme).intervals() == INTERVALS
            store.close()
