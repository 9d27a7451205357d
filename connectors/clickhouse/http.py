"""ClickHouse's HTTP interface: one connection kept alive, inserts as FORMAT Native, queries as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from connectors.clickhouse.columns import ColumnError, Columns, block, rows_of
from connectors.clickhouse.errors import TableError, translated
from connectors.clickhouse.store import PING, Address, Result, Tokens, Value, Version, bind, insert_settings
from streams.runtime.errors import TemporaryError

_CODE = re.compile(r"Code: (\d+)")
_UNKNOWN = 1002  # ClickHouse's own code for what it has no code for
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_OVERLOADED = 429, 502, 503, 504  # what a proxy in between says


class HttpStore:
    """A `Store` on one HTTP connection. Not for several threads."""

    def __init__(self, address: Address, timeout_s: float, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """`more`: settings of every insert."""
        self._address = address
        self._more = more
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None
        self._version: Version | None = None
        self._since = ""
        self._tokens = Tokens()
        self._types: dict[str, dict[str, str]] = {}

    def ping(self) -> Version:
        """Ask the server for its version."""
        version, since = self.query(PING).rows[0]
        major, minor = version.split(".")[:2]
        self._version, self._since = (int(major), int(minor)), str(since)
        return self._version

    def execute(self, sql: str, params: Mapping[str, Value] | None = None) -> None:
        """Run a statement that gives no rows."""
        self._post("running a statement", dict, bind(sql, params).encode())

    def query(self, sql: str, params: Mapping[str, Value] | None = None) -> Result:
        """Run a query."""
        statement = f"{bind(sql, params).rstrip().rstrip(';')}\nFORMAT JSONCompact"
        answer = json.loads(self._post("running a query", dict, statement.encode()))
        converts = [_converter(column["type"]) for column in answer["meta"]]
        rows = [tuple(convert(value) for convert, value in zip(converts, row, strict=True)) for row in answer["data"]]
        return Result(tuple(column["name"] for column in answer["meta"]), rows)

    def insert(self, table: str, columns: Columns, token: str) -> int:
        """Insert rows as one block."""
        doing = f"inserting into {table}"
        if self._version is None:
            self.ping()
        try:
            body = block(columns, self._types_of(table))
        except ColumnError as error:
            self._types.pop(table, None)
            raise TableError(f"{doing}: {error}; undo what was altered in the table by hand") from error
        query = {"query": f"INSERT INTO {table} ({', '.join(columns)}) FORMAT Native"}

        def parameters() -> dict[str, str]:
            version = self._version or self.ping()
            return query | insert_settings(version, self._tokens.sent(token), self._more, self._since)

        try:
            self._post(doing, parameters, body)
        except Exception as error:
            self._types.pop(table, None)  # it may have been altered: read its types again next time
            if not isinstance(error, TemporaryError):
                self._tokens.settled(token)
            raise
        self._tokens.settled(token)
        return rows_of(columns)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _types_of(self, table: str) -> dict[str, str]:
        if (known := self._types.get(table)) is None:
            known = self._types[table] = {row[0]: row[1] for row in self.query(f"DESCRIBE TABLE {table}").rows}
        return known

    def _post(self, doing: str, parameters: Callable[[], dict[str, str]], body: bytes) -> bytes:
        try:
            status, code, answer = self._exchange(parameters, body)
        except (OSError, HTTPException) as error:
            self.close()
            self._version = None  # the server may have been replaced meanwhile
            raise TemporaryError(f"{doing}: {self._address} did not answer: {type(error).__name__} {error}") from error
        if status == 200 and code is None:
            return answer
        said = answer.decode("utf-8", "replace")
        found = code or (match[1] if (match := _CODE.search(said)) else None)
        if found is None and status in _OVERLOADED:
            raise TemporaryError(f"{doing}: {self._address} answered {status}")
        raise translated(int(found or _UNKNOWN), said, doing)

    def _exchange(self, parameters: Callable[[], dict[str, str]], body: bytes) -> tuple[int, str | None, bytes]:
        """Status, ClickHouse's error code and body. A kept connection that the server has closed is opened again, once.

        What is sent may arrive twice then, as with every retry of ours: an insert carries its token. `parameters` are made
        each time: what closed the connection may be a server that was started anew.
        """
        headers = {"X-ClickHouse-User": self._address.user, "X-ClickHouse-Key": self._address.password}
        if not self._address.password:
            del headers["X-ClickHouse-Key"]
        kept = self._connection is not None
        try:
            return self._once(_path(parameters()), body, headers)
        except _STALE:
            self.close()
            self._version = None
            if not kept:
                raise
            return self._once(_path(parameters()), body, headers)

    def _once(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
            self._connection = kind(self._address.host, self._address.port, timeout=self._timeout_s)
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.getheader("X-ClickHouse-Exception-Code"), response.read()


def _path(parameters: Mapping[str, str]) -> str:
    return "/?" + urlencode({"wait_end_of_query": "1", **parameters})


_INTEGER = re.compile(r"U?Int\d+")
_ZONED = re.compile(r"DateTime(?:64)?\((?:\d+, )?'([^']+)'\)")


def _converter(kind: str) -> Callable[[Any], Any]:
    """From JSON's value to Python's, by ClickHouse's type: 64-bit integers may come as text, times always do."""
    while wrapped := re.fullmatch(r"(?:LowCardinality|Nullable)\((.*)\)", kind):
        kind = wrapped[1]
    convert: Callable[[Any], Any]
    if _INTEGER.fullmatch(kind):
        convert = int
    elif kind.startswith("Float"):
        convert = float
    elif kind.startswith("DateTime"):
        zone = ZoneInfo(zoned[1]) if (zoned := _ZONED.fullmatch(kind)) else None

        def convert(value: str) -> datetime:
            return datetime.fromisoformat(value).replace(tzinfo=zone)

    elif kind in ("Date", "Date32"):
        convert = date.fromisoformat
    else:
        return lambda value: value
    return lambda value: None if value is None else convert(value)
