"""The pure half of the HTTP server: a request's parts into a statement's, an error into a status."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from connectors.local.chdb_sql import DEFAULT_FORMAT, Request, StatementError

NO_SETTINGS = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "query_id", "wait_end_of_query", "buffer_size"}
)
"""URL parameters that are no settings; users are not checked here, and answers always wait for the end of their query."""

REFUSED = frozenset({"session_id", "compress", "decompress", "role"})
"""URL parameters that would change the meaning of a request, and that this server does not have."""

STATUS = {
    400: {6, 8, 15, 16, 22, 25, 26, 27, 33, 36, 38, 41, 42, 43, 44, 53, 62, 72, 117, 167, 168, 223, 321, 376, 427},
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336},
    408: {159},
    411: {381},
    413: {66},
    501: {48},
    503: {76, 209, 439},
}
"""ClickHouse's error codes by the HTTP status they get; any other gets 500."""

TYPES = {
    "json": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "arrow": "application/octet-stream",
    "native": "application/octet-stream",
    "orc": "application/octet-stream",
    "parquet": "application/octet-stream",
    "rowbinary": "application/octet-stream",
}
"""Media types by how a format's name begins; the longest fits."""


def status_of(code: int) -> int:
    """The HTTP status of a ClickHouse error code."""
    return next((status for status, codes in STATUS.items() if code in codes), 500)


def media_type(kind: str) -> str:
    """The media type of an answer in a format."""
    fits = [prefix for prefix in TYPES if kind.lower().startswith(prefix)]
    return TYPES[max(fits, key=len)] if fits else "text/plain; charset=UTF-8"


def request_of(target: str, headers: Mapping[str, str], body: bytes, *, reading_only: bool) -> Request:
    """What a request to `/` asks; headers by lower-case name. `StatementError` for what this server does not have."""
    given = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True, max_num_fields=200))
    if refused := sorted(REFUSED & given.keys() - {name for name, value in given.items() if value in ("", "0")}):
        raise StatementError(48, "NOT_IMPLEMENTED", f"The parameter {refused[0]} is not supported by the embedded server")
    if headers.get("content-encoding", "identity") != "identity":
        raise StatementError(48, "NOT_IMPLEMENTED", "Compressed requests are not supported by the embedded server")
    return Request(
        query=given.get("query", "").encode(),
        body=body,
        database=given.get("database") or headers.get("x-clickhouse-database") or "default",
        default_format=given.get("default_format") or headers.get("x-clickhouse-format") or DEFAULT_FORMAT,
        settings={
            name: value
            for name, value in given.items()
            if name not in NO_SETTINGS | REFUSED and not name.startswith("param_")
        },
        parameters={name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")},
        reading_only=reading_only,
    )


def from_a_web_page(headers: Mapping[str, str], port: int) -> bool:
    """Whether a browser sent this for some page: such a page must not reach the data of whoever looks at it."""
    own = {f"127.0.0.1:{port}", f"localhost:{port}"}
    return "origin" in headers or headers.get("sec-fetch-site", "none") != "none" or headers.get("host", "") not in own


def owner_of(peer: tuple[str, int], table: Path = Path("/proc/net/tcp")) -> int | None:
    """The user whose process is at the other end of a loopback connection; None where the system does not tell."""
    octets = bytes(int(octet) for octet in peer[0].split("."))
    local = f"{int.from_bytes(octets, 'little'):08X}:{peer[1]:04X}"
    try:
        with table.open() as lines:
            for line in lines:
                fields = line.split(None, 8)
                if len(fields) > 7 and fields[1] == local:
                    return int(fields[7])
    except OSError:
        pass
    return None
