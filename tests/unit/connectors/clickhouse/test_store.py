from __future__ import annotations

import pytest
from pydantic import SecretStr

from connectors.clickhouse.errors import RefusedError, TableError, translated
from connectors.clickhouse.http import HttpStore
from connectors.clickhouse.store import Address, bind, insert_settings, open_store
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.settings import ClickHouse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8123", ("http", "127.0.0.1", 8123, "default", "")),
        ("https://db", ("https", "db", 8443, "default", "")),
        ("clickhouse://me:p%40ss%2Fw@db", ("clickhouse", "db", 9000, "me", "p@ss/w")),
        ("clickhouses://me@[::1]:1", ("clickhouses", "::1", 1, "me", "")),
    ],
)
def test_an_address(url: str, address: tuple[str, str, int, str, str]) -> None:
    read = Address.of(url)
    assert (read.scheme, read.host, read.port, read.user, read.password) == address


@pytest.mark.parametrize("url", ["", "db:9000", "tcp://me:secret@db", "http://", "http://me:secret@db:port", "http://[::1"])
def test_what_is_no_address_is_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(FatalError, match=r"clickhouse\.url") as caught:
        Address.of(url)
    assert "secret" not in str(caught.value)


def test_no_password_in_a_repr() -> None:
    assert "secret" not in repr(Address.of("clickhouse://me:secret@db")) + str(Address.of("http://me:secret@db"))


def test_the_scheme_chooses_the_protocol() -> None:
    pytest.importorskip("clickhouse_driver", reason="clickhouse-driver is an extra")
    assert isinstance(open_store(ClickHouse(url=SecretStr("http://127.0.0.1:1"))), HttpStore)
    assert type(open_store(ClickHouse(url=SecretStr("clickhouse://127.0.0.1:1")))).__name__ == "NativeStore"


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1:1", "clickhouse://me:secret@127.0.0.1:1"])
def test_a_server_that_is_away_can_be_tried_again(url: str) -> None:
    pytest.importorskip("clickhouse_driver", reason="clickhouse-driver is an extra")
    store = open_store(ClickHouse(url=SecretStr(url), timeout_s=5))
    with pytest.raises(TemporaryError, match="did not answer") as caught:
        store.ping()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "params", "bound"),
    [
        ("SELECT 1 % 2", None, "SELECT 1 % 2"),
        ("SELECT %(a)s, %(b)s", {"a": 1, "b": None}, "SELECT 1, NULL"),
        ("SELECT %(a)s", {"a": "it's \\ %(a)s"}, "SELECT 'it\\'s \\\\ %(a)s'"),
        ("SELECT %(a)s", {"a": True}, "SELECT 1"),
    ],
)
def test_parameters_become_literals(sql: str, params: dict[str, int | str | None] | None, bound: str) -> None:
    assert bind(sql, params) == bound


def test_servers_that_know_no_tokens_get_none() -> None:
    assert insert_settings((18, 16), "t") == {}
    assert insert_settings((26, 9), "t")["insert_deduplication_token"] == "t"
    assert insert_settings((26, 9), "t", since="7")["insert_deduplication_token"] == "t-7"


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (241, "Memory limit exceeded", TemporaryError),
        (252, "Too many parts (300)", TemporaryError),
        (252, "Too many partitions for single INSERT block (more than 100)", RefusedError),
        (16, "No such column x in table", TableError),
        (60, "Table hes.intervals doesn't exist", TableError),
        (516, "Authentication failed", FatalError),
        (469, "Constraint c is violated", RefusedError),
        (1002, "what nobody foresaw", RefusedError),
    ],
)
def test_an_answer_is_sorted_by_what_helps(code: int, text: str, kind: type[Exception]) -> None:
    error = translated(code, text, "inserting into hes.intervals")
    assert type(error) is kind
    assert str(error).startswith(f"inserting into hes.intervals: ClickHouse says {code}: ")


def test_a_long_answer_is_cut() -> None:
    assert len(str(translated(1, "x" * 100_000, "running"))) < 1_000
