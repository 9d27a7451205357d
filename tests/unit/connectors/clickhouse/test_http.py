from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.http import HttpStore
from connectors.clickhouse.store import Address
from streams.runtime.errors import FatalError, TemporaryError


def version(since: int = 5) -> bytes:
    meta = b'{"meta": [{"name": "version", "type": "String"}, {"name": "since", "type": "Int64"}]'
    return meta + b', "data": [["26.9.1.1", %d]]}' % since


COLUMNS = b'{"meta": [{"name": "name", "type": "String"}, {"name": "type", "type": "String"}], "data": [["a", "String"]]}'


class Scripted(ThreadingHTTPServer):
    """Answers in the order given; a None hangs up without one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, dict[str, str], bytes] | None] = []
        self.seen: list[tuple[dict[str, list[str]], dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((parse_qs(urlsplit(self.path).query), dict(self.headers), body))
        answer = self.server.script.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, headers, said = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is http.server's
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def store(server: Scripted) -> Iterator[HttpStore]:
    port = server.server_address[1]
    opened = HttpStore(Address.of(f"http://me:secret@127.0.0.1:{port}"), timeout_s=5)
    yield opened
    opened.close()


def ok(body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    return 200, {}, body


def error(code: int, status: int = 500) -> tuple[int, dict[str, str], bytes]:
    return status, {"X-ClickHouse-Exception-Code": str(code)}, f"Code: {code}. DB::Exception: no".encode()


def test_an_insert_names_its_columns_its_token_and_its_user(server: Scripted, store: HttpStore) -> None:
    server.script = [ok(version()), ok(COLUMNS), ok()]
    assert store.insert("hes.t", {"a": ["x", "y"]}, "token-1") == 2
    query, headers, body = server.seen[-1]
    assert query["query"] == ["INSERT INTO hes.t (a) FORMAT Native"]
    assert query["insert_deduplication_token"] == ["token-1-5"]
    assert query["async_insert"] == ["0"]
    assert (headers["X-ClickHouse-User"], headers["X-ClickHouse-Key"]) == ("me", "secret")
    assert body == b"\x01\x02\x01a\x06String\x01x\x01y"


def test_an_insert_of_which_nobody_knows_is_sent_again_as_another(server: Scripted, store: HttpStore) -> None:
    server.script = [ok(version(5)), ok(COLUMNS), ok(), None, ok(version(9)), ok(), error(241), ok(COLUMNS), ok(), ok()]
    store.insert("hes.t", {"a": ["x"]}, "one")
    assert store.insert("hes.t", {"a": ["y"]}, "two") == 1  # the kept connection was closed, by a server that ended perhaps
    with pytest.raises(TemporaryError):
        store.insert("hes.t", {"a": ["z"]}, "three")
    for _ in range(2):
        assert store.insert("hes.t", {"a": ["z"]}, "three") == 1
    tokens = [query["insert_deduplication_token"][0] for query, _, _ in server.seen if "insert_deduplication_token" in query]
    names = [re.sub("-[0-9a-f]{32}-", "-again-", token) for token in tokens]
    assert names == ["one-5", "two-5", "two-again-9", "three-9", "three-again-9", "three-9"]


def test_a_kept_connection_that_the_server_has_closed_is_opened_again(server: Scripted, store: HttpStore) -> None:
    server.script = [ok(), None, ok()]
    store.execute("SELECT 1")
    store.execute("SELECT 2")
    assert [body for _, _, body in server.seen] == [b"SELECT 1", b"SELECT 2", b"SELECT 2"]


def test_a_server_that_hangs_up_at_once_is_away(server: Scripted, store: HttpStore) -> None:
    server.script = [None, ok()]
    with pytest.raises(TemporaryError, match="did not answer"):
        store.execute("SELECT 1")
    store.execute("SELECT 2")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(241), TemporaryError),
        (error(60, 404), TableError),
        (error(516, 403), FatalError),
        (error(62, 400), RefusedError),
        (error(159, 200), TemporaryError),
        ((503, {}, b"upstream is away"), TemporaryError),
        ((413, {}, b"too large"), RefusedError),
        ((500, {}, b"Code: 241. DB::Exception: Memory limit"), TemporaryError),
    ],
)
def test_errors_are_sorted_and_tell_no_password(
    server: Scripted, store: HttpStore, answer: tuple[int, dict[str, str], bytes], kind: type[Exception]
) -> None:
    server.script = [answer]
    with pytest.raises(kind) as caught:
        store.execute("SELECT 1")
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def test_a_column_that_is_gone_is_a_table_error_and_types_are_asked_for_again(server: Scripted, store: HttpStore) -> None:
    server.script = [ok(version()), ok(COLUMNS), ok(COLUMNS), ok()]
    with pytest.raises(TableError, match=r"hes\.t: there is no column b"):
        store.insert("hes.t", {"b": ["x"]}, "t")
    assert store.insert("hes.t", {"a": ["x"]}, "t") == 1


def test_values_are_pythons_own(server: Scripted, store: HttpStore) -> None:
    types = ["UInt64", "Nullable(Int64)", "Float64", "DateTime('UTC')", "DateTime64(3, 'UTC')", "Date", "Nullable(String)"]
    meta = ", ".join(f'{{"name": "c{at}", "type": "{kind}"}}' for at, kind in enumerate(types))
    row = '["18446744073709551615", null, 3, "2026-03-01 00:15:00", "2026-03-01 00:15:00.123", "2026-03-01", "x"]'
    server.script = [ok(f'{{"meta": [{meta}], "data": [{row}]}}'.encode())]
    result = store.query("SELECT … ;")
    assert server.seen[0][2] == "SELECT … \nFORMAT JSONCompact".encode()
    assert result.rows == [
        (
            2**64 - 1,
            None,
            3.0,
            datetime(2026, 3, 1, 0, 15, tzinfo=UTC),
            datetime(2026, 3, 1, 0, 15, 0, 123_000, tzinfo=UTC),
            date(2026, 3, 1),
            "x",
        )
    ]
    assert type(result.rows[0][2]) is float
    assert result.column("c6") == ["x"]
