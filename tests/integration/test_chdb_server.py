"""The embedded ClickHouse over HTTP, as a process of its own: no Java needed."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pytest

from connectors.local.chdb_http import media_type
from connectors.local.clickhouse import CLICKHOUSE
from connectors.local.home import Running
from connectors.local.ports import choose
from connectors.local.process import Command, alive, spawn, stop, tail

pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra `local`")
pytest.importorskip("chdb", reason="chdb is in the extra `local`")

TABLE = """
CREATE TABLE readings (meter_id String, ts DateTime CODEC(DoubleDelta, ZSTD(1)), value Int64, version UInt64)
ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(ts) ORDER BY (meter_id, ts)
SETTINGS non_replicated_deduplication_window = 1000
"""


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def await_end(running: Running) -> None:
    while alive(running):
        time.sleep(0.01)  # it needs the processor itself


class Server:
    """The server as a process on one folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = choose(["clickhouse"], {})
        self.running: Running | None = None

    def start(self) -> None:
        self.ports = choose(["clickhouse"], self.ports)
        data = ["--path", str(self.folder / "data"), "--port", str(self.ports["clickhouse"])]
        command = Command([sys.executable, "-m", "connectors.local.chdb_server", *data])
        self.running = spawn(command, self.folder / "log", tied=True)
        while not CLICKHOUSE.ready(self.ports):
            assert alive(self.running), tail(self.folder / "log")
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> None:
        assert self.running is not None
        os.kill(self.running.pid, number)
        await_end(self.running)

    def ask(self, query: str = "", body: bytes = b"", method: str = "POST", path: str = "/", **parameters: str) -> Reply:
        return self.raw(method, f"{path}?{urlencode({'query': query, **parameters})}", body, {})

    def raw(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.ports["clickhouse"], timeout=60)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def number(self, query: str) -> int:
        reply = self.ask(query)
        assert reply.status == 200, reply
        return int(reply.body)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("chdb"))
    server.start()
    assert server.running is not None
    yield server
    stop([server.running])


@pytest.fixture
def server(shared: Server) -> Server:
    """A server with an empty database `hes`."""
    assert shared.ask("DROP DATABASE IF EXISTS hes").status == 200
    assert shared.ask("CREATE DATABASE hes").status == 200
    assert shared.ask("", TABLE.encode(), database="hes").status == 200
    return shared


def arrow(rows: int, first: int = 0) -> bytes:
    """An Arrow IPC stream of one record batch."""
    table: Any = pa.table(
        {
            "meter_id": [f"M{n // 96:05}" for n in range(rows)],
            "ts": (1_700_000_000 + np.arange(rows) % 96 * 900).astype("u4"),
            "value": np.arange(first, first + rows),
            "version": np.full(rows, 1, "u8"),
        }
    )
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


INSERT = "INSERT INTO readings (meter_id, ts, value, version) FORMAT ArrowStream"


def test_ping(shared: Server) -> None:
    for path in ("/ping", "/"):
        assert shared.raw("GET", path, b"", {})[::2] == (200, b"Ok.\n")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("TabSeparated", b"1\tx\n"),
        ("JSONEachRow", b'{"a":1,"b":"x"}\n'),
        ("CSVWithNames", b'"a","b"\n1,"x"\n'),
    ],
)
def test_a_format_by_clause_and_by_parameter(shared: Server, form: str, body: bytes) -> None:
    query = "SELECT 1 AS a, 'x' AS b"
    for reply in (
        shared.ask(f"{query} FORMAT {form}"),
        shared.ask(query, default_format=form),
        shared.ask(query, method="GET", default_format=form),
    ):
        assert (reply.status, reply.body) == (200, body)
        assert reply.headers["X-ClickHouse-Format"] == form
        assert reply.headers["Content-Type"] == media_type(form)


def test_json_and_arrow_come_back_whole(shared: Server) -> None:
    query = "SELECT number AS n FROM numbers(200000)"
    reply = json.loads(shared.ask(query, default_format="JSONCompact").body)
    assert (reply["meta"], reply["rows"]) == ([{"name": "n", "type": "UInt64"}], 200_000)
    table = pa.ipc.open_stream(shared.ask(query, default_format="ArrowStream").body).read_all()
    assert table.column("n").to_pylist() == list(range(200_000))


def test_arrow_goes_in_and_a_token_makes_it_once(server: Server) -> None:
    for token, rows in (("t/0/0-9", 9_600), ("t/0/0-9", 9_600), ("t/0/10-19", 19_200)):
        reply = server.ask(INSERT, arrow(9_600), database="hes", insert_deduplication_token=token)
        assert reply.status == 200
        assert json.loads(reply.headers["X-ClickHouse-Summary"])["written_rows"] == "9600"
        assert server.number("SELECT count() FROM hes.readings") == rows
    assert server.number("SELECT count() FROM hes.readings FINAL") == 9_600
    assert server.number("SELECT sum(value) FROM hes.readings FINAL") == sum(range(9_600))


def test_settings_and_database_are_of_one_request(server: Server) -> None:
    query = "SELECT getSetting('max_block_size'), currentDatabase(), getSetting('insert_deduplication_token')"
    plain = server.ask(query).body
    assert plain.endswith(b"\tdefault\t\n")
    reply = server.ask(query, max_block_size="77", database="hes", insert_deduplication_token="t")
    assert reply.body == b"77\thes\tt\n"
    create = "CREATE TABLE hes.other (a Int8) ENGINE = Memory"
    assert server.ask(create, readonly="1").headers["X-ClickHouse-Exception-Code"] == "164"
    for _ in range(8):  # whichever session takes it
        assert server.ask(query).body == plain
        assert server.ask("TRUNCATE TABLE hes.readings").status == 200


def test_parameters_of_a_query(shared: Server) -> None:
    assert shared.ask("SELECT {id:String} = 'it''s'", param_id="it's").body in (b"1\n", b"true\n")


@pytest.mark.parametrize(
    ("query", "body", "parameters", "status", "code"),
    [
        pytest.param("SELECT * FROM absent", b"", {}, 404, 60, id="unknown-table"),
        pytest.param("SELEC 1", b"", {}, 400, 62, id="syntax"),
        pytest.param("1 + 1", b"", {}, 400, 62, id="an-expression"),
        pytest.param("SELECT 1; SELECT 2", b"", {}, 400, 62, id="two-statements"),
        pytest.param("", b"", {"x": "1"}, 404, 115, id="unknown-setting"),
        pytest.param("SELECT 1", b"", {"max_threads": "many"}, 400, 27, id="setting-not-a-number"),
        pytest.param("SELECT 1", b"", {"x' = 1, y": "1"}, 404, 115, id="setting-with-a-quote"),
        pytest.param("SELECT 1", b"", {"database": "absent"}, 404, 81, id="unknown-database"),
        pytest.param("SELECT 1", b"", {"default_format": "DataFrame"}, 404, 73, id="unknown-format"),
        pytest.param("SELECT 1", b"", {"session_id": "1"}, 501, 48, id="not-here"),
        pytest.param("", b"", {}, 400, 62, id="nothing"),
        pytest.param("SELECT sleep(3)", b"", {"max_execution_time": "1"}, 408, 159, id="too-long"),
        pytest.param(INSERT, b"no arrow at all " * 9, {"database": "hes"}, 400, 117, id="not-arrow"),
        pytest.param(INSERT, b"", {}, 200, None, id="no-data-is-no-row"),
        pytest.param("INSERT INTO absent FORMAT CSV", b"1", {}, 404, 60, id="insert-unknown-table"),
        pytest.param(
            "INSERT INTO readings (meter) FORMAT CSV", b"1", {"database": "hes"}, 400, 16, id="insert-unknown-column"
        ),
    ],
)
def test_errors_are_clickhouses(
    server: Server, query: str, body: bytes, parameters: dict[str, str], status: int, code: int | None
) -> None:
    reply = server.ask(query, body, **parameters)
    assert (reply.status, reply.headers.get("X-ClickHouse-Exception-Code")) == (status, None if code is None else str(code))
    if code is not None:
        assert reply.body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert server.number("SELECT count() FROM hes.readings") == 0


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        pytest.param("GET", "/?query=DROP+DATABASE+hes", {}, 500, "164", id="get-changes-nothing"),
        pytest.param("POST", "/?query=SELECT+1", {"Origin": "http://evil.example"}, 500, "497", id="web-page"),
        pytest.param("POST", "/?query=SELECT+1", {"Host": "evil.example"}, 500, "497", id="rebound-name"),
        pytest.param("POST", "/", {"Content-Length": "99999999999"}, 413, "66", id="oversized"),
        pytest.param("POST", "/", {"Content-Length": "-1"}, 411, "381", id="negative-length"),
        pytest.param("POST", "/", {"Transfer-Encoding": "chunked"}, 411, "381", id="chunked"),
        pytest.param("POST", "/", {"Content-Encoding": "gzip", "Content-Length": "0"}, 501, "48", id="compressed"),
        pytest.param("GET", "/nowhere", {}, 501, "48", id="other-path"),
    ],
)
def test_requests_that_are_refused(
    server: Server, method: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    reply = server.raw(method, target, b"", headers)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert server.number("SELECT count() FROM system.databases WHERE name = 'hes'") == 1


def test_a_request_cut_off_is_not_run(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.ports["clickhouse"], timeout=10)
    connection.putrequest("POST", "/?database=hes&query=INSERT+INTO+readings+FORMAT+CSV")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b'"M1",1700000000,1,1\n')
    connection.sock.shutdown(1)
    with pytest.raises((HTTPException, OSError)):
        connection.getresponse()
    connection.close()
    assert server.number("SELECT count() FROM hes.readings") == 0


def test_many_at_once(server: Server) -> None:
    replies: list[Reply] = []

    def work(worker: int) -> None:
        for n in range(10):
            row = json.dumps({"meter_id": f"M{worker}", "ts": 1_700_000_000 + n, "value": n, "version": 1}).encode()
            replies.append(server.ask("INSERT INTO readings FORMAT JSONEachRow", row, database="hes"))
            replies.append(server.ask("SELECT count() FROM readings", database="hes"))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} == {200}
    assert server.number("SELECT uniqExact(meter_id, ts) FROM hes.readings") == 80


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_every_acknowledged_insert_is_there_and_none_in_part(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(tmp_path)
    server.start()
    assert server.ask("CREATE TABLE held (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY n").status == 200
    acknowledged: list[int] = []
    enough = threading.Event()

    def work() -> None:
        try:
            for batch in range(100_000):
                body = b"".join(b"%d,%d\n" % (batch, n) for n in range(1_000))
                if server.ask("INSERT INTO held FORMAT CSV", body).status == 200:
                    acknowledged.append(batch)
                if len(acknowledged) == 20:
                    enough.set()
        except (OSError, HTTPException):
            return

    thread = threading.Thread(target=work)
    thread.start()
    enough.wait()
    server.end(number)
    thread.join()
    server.start()
    try:
        held = [
            int(line)
            for line in server.ask("SELECT batch FROM held GROUP BY batch HAVING count() = 1000 ORDER BY batch").body.split()
        ]
        assert set(acknowledged) <= set(held)
        assert server.number("SELECT uniqExact(batch) FROM held") == len(held) <= len(acknowledged) + 1
        assert server.number("SELECT count() FROM held") == 1_000 * len(held)
    finally:
        server.end(signal.SIGTERM)


def test_a_second_server_on_the_same_data_says_why_it_ends(shared: Server) -> None:
    second = Server(shared.folder)
    data = ["--path", str(shared.folder / "data"), "--port", str(second.ports["clickhouse"])]
    log = shared.folder / "second.log"
    running = spawn(Command([sys.executable, "-m", "connectors.local.chdb_server", *data]), log, tied=True)
    await_end(running)
    assert "cannot open the data" in tail(log)
