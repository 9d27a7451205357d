"""ClickHouse's native protocol over TCP, by clickhouse-driver; the blocks of an insert are encoded by `columns`.

The driver's own columnar insert takes some 140 to 290 ns a text, and a row of intervals has five: the run-length encoded
texts of `columns` take a few. Everything else (handshake, queries, compression, reading) is the driver's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
from clickhouse_driver import Client, errors
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.defines import DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION, DBMS_MIN_REVISION_WITH_TEMPORARY_TABLES
from clickhouse_driver.protocol import ClientPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str, write_binary_uint8

from connectors.clickhouse.columns import ColumnError, Columns, Runs, encode, rows_of
from connectors.clickhouse.errors import TableError, translated
from connectors.clickhouse.store import PING, Address, Result, Tokens, Value, Version, bind, insert_settings
from streams.runtime.errors import TemporaryError

_CONNECT_S = 10.0

# It warns with a traceback each time a server is away; what it raises is told by us, in a sentence.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)


class NativeStore:
    """A `Store` on one TCP connection. Not for several threads."""

    def __init__(self, address: Address, timeout_s: float, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """`more`: settings of every insert."""
        self.address = address
        self._more = more
        self._client = _BlockClient(
            address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            secure=address.scheme == "clickhouses",
            connect_timeout=min(timeout_s, _CONNECT_S),
            send_receive_timeout=timeout_s,
            sync_request_timeout=min(timeout_s, _CONNECT_S),
            client_name="hes",
        )
        self._version: Version | None = None
        self._since = ""
        self._tokens = Tokens()

    def ping(self) -> Version:
        """Ask the server for its version."""
        version, since = self.query(PING).rows[0]
        major, minor = version.split(".")[:2]
        self._version, self._since = (int(major), int(minor)), str(since)
        return self._version

    def execute(self, sql: str, params: Mapping[str, Value] | None = None) -> None:
        """Run a statement that gives no rows."""
        with self._translated("running a statement"):
            self._client.execute(bind(sql, params))

    def query(self, sql: str, params: Mapping[str, Value] | None = None) -> Result:
        """Run a query."""
        with self._translated("running a query"):
            rows, types = self._client.execute(bind(sql, params), with_column_types=True)
        return Result(tuple(name for name, _type in types), rows)

    def insert(self, table: str, columns: Columns, token: str) -> int:
        """Insert rows as one block."""
        version = self._version or self.ping()
        doing = f"inserting into {table}"
        settings = insert_settings(version, self._tokens.sent(token), self._more, self._since)
        try:
            with self._translated(doing):
                try:
                    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
                    rows = int(self._client.execute(sql, [columns], settings=settings))
                except ColumnError as error:
                    raise TableError(f"{doing}: {error}; undo what was altered in the table by hand") from error
        except Exception as error:
            if not isinstance(error, TemporaryError):
                self._tokens.settled(token)
            raise
        self._tokens.settled(token)
        return rows

    def close(self) -> None:
        """Close the connection."""
        self._client.disconnect()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except errors.ServerException as error:
            raise translated(error.code, error.message, doing) from error
        except (errors.Error, OSError, EOFError) as error:
            # The server may have been replaced meanwhile: ask again what it knows.
            self._version = None
            raise TemporaryError(f"{doing}: {self.address} did not answer: {type(error).__name__} {error}") from error


class _BlockClient(Client):  # type: ignore[misc]  # the driver has no type hints
    """The driver's client, with our encoding of the block of an insert in place of its own."""

    def send_data(
        self,
        sample_block: Any,
        data: list[Columns],
        types_check: bool = False,  # noqa: ARG002 - the signature is the driver's
        columnar: bool = False,  # noqa: ARG002 - as above
    ) -> int:
        """Send one block; the server has told the types of its columns in `sample_block`."""
        (columns,) = data
        connection, out = self.connection, self.connection.block_out
        revision = connection.server_info.used_revision
        rows = rows_of(columns)
        encoded = [(name, kind, encode(kind, columns[name])) for name, kind in sample_block.columns_with_types]
        write_varint(ClientPacketTypes.DATA, connection.fout)
        if revision >= DBMS_MIN_REVISION_WITH_TEMPORARY_TABLES:
            write_binary_str("", connection.fout)
        BlockInfo().write(out.fout)
        write_varint(len(encoded), out.fout)
        write_varint(rows, out.fout)
        for name, kind, octets in encoded:
            write_binary_str(name, out.fout)
            write_binary_str(kind, out.fout)
            if revision >= DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
                write_binary_uint8(0, out.fout)
            out.fout.write(octets)
        out.finalize()
        self.receive_profile_events()
        connection.send_data(ColumnOrientedBlock())
        self.receive_profile_events()
        return rows


def plain_insert(address: Address, table: str, columns: Columns) -> int:
    """The same insert as clickhouse-driver makes it by itself, with numpy: what `bench` holds ours against."""
    secure, settings = address.scheme == "clickhouses", {"use_numpy": True}
    with Client(
        address.host, address.port, user=address.user, password=address.password, secure=secure, settings=settings
    ) as client:
        data = [
            np.array(column.texts(), object) if isinstance(column, Runs) else np.asarray(column)
            for column in columns.values()
        ]
        return int(client.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES", data, columnar=True))
