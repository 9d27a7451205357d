"""The port to ClickHouse: what the sink, the migrations, the demo and `hes query` ask of it, whichever way it is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from connectors.clickhouse.cluster import INSERT_SETTINGS
from connectors.clickhouse.columns import Columns
from streams.runtime.errors import FatalError
from streams.runtime.settings import ClickHouse

Value = int | float | str | None
Version = tuple[int, int]

_TOKENS_SINCE: Version = (22, 2)
_PORTS = {"clickhouse": 9000, "clickhouses": 9440, "http": 8123, "https": 8443}


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        """One column's values."""
        at = self.names.index(name)
        return [row[at] for row in self.rows]


class Store(Protocol):
    """A ClickHouse server.

    Every method may raise `TemporaryError` (network, time-out, overload: the same call may succeed later), `TableError`
    or `FatalError` (a person must mend something), or `RefusedError` (this statement or these rows, never). A connection
    that was lost is opened again by the next call.
    """

    def ping(self) -> Version:
        """Ask the server for its version."""

    def execute(self, sql: str, params: Mapping[str, Value] | None = None) -> None:
        """Run a statement that gives no rows; `%(name)s` stands for a parameter."""

    def query(self, sql: str, params: Mapping[str, Value] | None = None) -> Result:
        """Run a query. Times are `datetime`, aware where the column names a time zone."""

    def insert(self, table: str, columns: Columns, token: str) -> int:
        """Insert rows as one block; returns how many once ClickHouse has them.

        Where the server knows deduplication tokens, a second insert with the same token is dropped without a word, unless
        nobody knows what became of the first: a token stands for exactly these rows. Fewer than 1,048,576 rows.
        """

    def close(self) -> None:
        """Close the connection."""


def open_store(settings: ClickHouse) -> Store:
    """A store for `settings.url`; nothing is connected yet. `FatalError` for a URL that names neither protocol."""
    address = Address.of(settings.url.get_secret_value())
    more = INSERT_SETTINGS if settings.cluster else {}
    if address.scheme in ("clickhouse", "clickhouses"):
        from connectors.clickhouse.native import NativeStore  # noqa: PLC0415 - clickhouse-driver is an extra

        return NativeStore(address, settings.timeout_s, more)
    from connectors.clickhouse.http import HttpStore  # noqa: PLC0415 - only where it is asked for, as above

    return HttpStore(address, settings.timeout_s, more)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and who we are there. Its repr tells no password."""

    scheme: str
    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Read clickhouse://user:password@host:port, or clickhouses, http, https. An error's message tells no password."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
            default = _PORTS[scheme]
        except (ValueError, KeyError):
            scheme, host, port, default = "", None, None, 0
        if not host:
            raise FatalError(
                "clickhouse.url must be clickhouse://[user:password@]host[:9000] or http://…, or either with an s"
            )
        return cls(scheme, host, port or default, unquote(parts.username or "default"), unquote(parts.password or ""))

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    __str__ = __repr__


class Tokens:
    """The tokens of one store's inserts as the server is told them.

    A server notes a token before it has the rows. One that was killed in between, or failed, would drop the rows that are
    sent again: what is sent for a second time is another insert, and the newest statement of a row wins, as always.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()

    def sent(self, token: str) -> str:
        """What an insert is named that is being sent."""
        if token in self._open:
            return f"{token}-{uuid4().hex}"
        self._open.add(token)
        return token

    def settled(self, token: str) -> None:
        """It is known what became of an insert."""
        self._open.discard(token)


PING = "SELECT version() AS version, toUnixTimestamp(now()) - uptime() AS since"


def insert_settings(
    version: Version, token: str, more: Mapping[str, str] = MappingProxyType({}), since: str = ""
) -> dict[str, str]:
    """Settings of an insert: written when acknowledged, and once for a token; none for servers that know no tokens. `more`
    comes on top.

    `since` tells when the server was started, and is part of the token; see `Tokens`.

    Rows of one key are left to merges and FINAL: looking for them in each insert took three fifths of its time.
    """
    if version < _TOKENS_SINCE:
        return {}
    return {
        "async_insert": "0",
        "optimize_on_insert": "0",
        "insert_deduplicate": "1",
        "insert_deduplication_token": f"{token}-{since}" if since else token,
        **more,
    }


def bind(sql: str, params: Mapping[str, Value] | None) -> str:
    """The statement with its parameters as literals. Without parameters it is left as it is, percent signs included."""
    if not params:
        return sql
    return re.sub(r"%\((\w+)\)s", lambda match: _literal(params[match[1]]), sql)


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(int(value) if isinstance(value, bool) else value)
