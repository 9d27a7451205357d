"""A store in memory that behaves as ClickHouse does where the sink leans on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connectors.clickhouse.columns import Column, Columns, Runs, rows_of
from connectors.clickhouse.store import Result, Value, Version

Row = tuple[Any, ...]


@dataclass
class MemoryStore:
    """Keeps rows by table; drops what has a token it knows; `fails` may raise before an insert."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    inserts: list[tuple[str, int, str]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    answers: dict[str, list[Row]] = field(default_factory=dict)
    fails: Callable[[str, list[dict[str, Any]]], None] = lambda _table, _rows: None
    closed: bool = False

    def ping(self) -> Version:
        return 26, 9

    def execute(self, sql: str, params: Mapping[str, Value] | None = None) -> None:
        self.statements.append(sql)
        if params and "schema_migrations" in sql:
            self.answers.setdefault("schema_migrations", []).append(tuple(params.values()))

    def query(self, sql: str, params: Mapping[str, Value] | None = None) -> Result:  # noqa: ARG002 - the port's
        known = [part for part in self.answers if part in sql]
        return Result((), self.answers[max(known, key=len)] if known else [])

    def insert(self, table: str, columns: Columns, token: str) -> int:
        rows = rows_as_dicts(columns)
        self.fails(table, rows)
        if token not in {known for _, _, known in self.inserts}:
            self.rows.setdefault(table, []).extend(rows)
        self.inserts.append((table, len(rows), token))
        return len(rows)

    def close(self) -> None:
        self.closed = True


def rows_as_dicts(columns: Columns) -> list[dict[str, Any]]:
    """The rows that columns stand for."""
    assert rows_of(columns) >= 0
    lists = [values_of(column) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def values_of(column: Column) -> list[Any]:
    """A column one value a row; times as milliseconds."""
    if isinstance(column, Runs):
        return [str(text) for text in column.texts()]
    if isinstance(column, np.ndarray):
        return list((column.view(np.int64) if column.dtype == "datetime64[ms]" else column).tolist())
    return list(column)
