"""Requests into statements, errors into statuses, and who may ask."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from connectors.local.chdb_http import from_a_web_page, media_type, owner_of, request_of, status_of
from connectors.local.chdb_sql import Request, StatementError


@pytest.mark.parametrize(
    ("target", "headers", "request_"),
    [
        pytest.param("/?query=SELECT%201", {}, Request(b"SELECT 1"), id="plain"),
        pytest.param("/", {}, Request(b""), id="in-the-body"),
        pytest.param(
            "/?query=S&database=hes&default_format=CSV", {}, Request(b"S", b"", "hes", "CSV"), id="database-and-format"
        ),
        pytest.param(
            "/?query=S",
            {"x-clickhouse-database": "hes", "x-clickhouse-format": "CSV"},
            Request(b"S", b"", "hes", "CSV"),
            id="by-headers",
        ),
        pytest.param(
            "/?query=S&insert_deduplication_token=t%2F0%2F1-5&max_threads=1&query_id=q&user=u&password=p&compress=0",
            {},
            Request(b"S", settings={"insert_deduplication_token": "t/0/1-5", "max_threads": "1"}),
            id="settings-and-what-is-none",
        ),
        pytest.param("/?query=S&param_id=M%271", {}, Request(b"S", parameters={"id": "M'1"}), id="parameters"),
    ],
)
def test_request_of(target: str, headers: dict[str, str], request_: Request) -> None:
    assert request_of(target, headers, b"", reading_only=False) == request_


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param("/?session_id=1", {}, id="session"),
        pytest.param("/?compress=1", {}, id="compressed-answer"),
        pytest.param("/", {"content-encoding": "gzip"}, id="compressed-request"),
    ],
)
def test_what_is_not_here_is_refused_by_name(target: str, headers: dict[str, str]) -> None:
    with pytest.raises(StatementError, match=r"NOT_IMPLEMENTED") as raised:
        request_of(target, headers, b"", reading_only=False)
    assert status_of(raised.value.code) == 501


@pytest.mark.parametrize(
    ("code", "status"),
    [(62, 400), (60, 404), (81, 404), (115, 404), (117, 400), (241, 500), (381, 411), (66, 413), (1002, 500)],
)
def test_status_of(code: int, status: int) -> None:
    assert status_of(code) == status


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8"),
        ("ArrowStream", "application/octet-stream"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
    ],
)
def test_media_type(kind: str, media: str) -> None:
    assert media_type(kind) == media


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        pytest.param({"host": "127.0.0.1:8123"}, False, id="a-client"),
        pytest.param({"host": "localhost:8123"}, False, id="a-client-by-name"),
        pytest.param({"host": "127.0.0.1:8123", "sec-fetch-site": "none"}, False, id="the-address-bar"),
        pytest.param({"host": "127.0.0.1:8123", "origin": "http://evil.example"}, True, id="a-page"),
        pytest.param({"host": "127.0.0.1:8123", "sec-fetch-site": "cross-site"}, True, id="an-image-of-a-page"),
        pytest.param({"host": "evil.example:8123"}, True, id="a-name-rebound"),
        pytest.param({}, True, id="no-host"),
    ],
)
def test_from_a_web_page(headers: dict[str, str], refused: bool) -> None:
    assert from_a_web_page(headers, 8123) is refused


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this system has no /proc/net/tcp")
def test_owner_of_a_real_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        taken, peer = server.accept()
        with taken:
            assert owner_of(peer) == os.getuid()


def test_owner_of_somebody_elses_connection(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1FBB 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n"
        "   1: 0100007F:C350 0100007F:1FBB 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0\n"
    )
    assert owner_of(("127.0.0.1", 50_000), table) == 1001
    assert owner_of(("127.0.0.1", 50_001), table) is None
    assert owner_of(("127.0.0.1", 50_000), tmp_path / "absent") is None
