"""The embedded ClickHouse behind the HTTP server: a few sessions on one data folder, one request at a time in each."""

from __future__ import annotations

import queue
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chdb import ChdbError
from chdb.session import Session

from connectors.local.chdb_sql import DEFAULT_FORMAT, Insert, Plain, Request, StatementError, identifier, parse, quoted

BASE = {
    "implicit_select": "0",
    "allow_introspection_functions": "0",
    "max_memory_usage": "4000000000",
    "max_result_bytes": "256000000",
}
"""So that the engine, which starts as clickhouse-local does, behaves as a server, and one query cannot take all memory."""

PYTHON_FORMATS = frozenset({"arrowtable", "dataframe", "datastore", "debug"})
"""Formats of chdb's own that give Python objects, not bytes."""

_open_session: Callable[[str], Any] = Session  # chdb has no type hints

_CODE = re.compile(r"Code: (\d+)\. DB::")
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.IGNORECASE)


class EngineError(Exception):
    """What ClickHouse says went wrong: `code` is its error code, the text begins "Code: …. DB::Exception: …"."""

    def __init__(self, text: str) -> None:
        found = _CODE.search(text)
        super().__init__(text[found.start() :] if found else f"Code: 1002. DB::Exception: {text} (UNKNOWN_EXCEPTION)")
        self.code = int(found[1]) if found else 1002


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    body: bytes = b""
    format: str = DEFAULT_FORMAT
    read_rows: int = 0
    written_rows: int = 0


class Engine:
    """ClickHouse on one data folder, which only one process can have; safe to call from many threads."""

    def __init__(self, path: Path, sessions: int = 4) -> None:
        self._path = str(path)
        self._count = sessions
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(sessions):
            self._free.put(self._open())

    def run(self, request: Request) -> Answer:
        """Run a statement to its end: when an INSERT returns, its rows outlive a kill of this process.

        `EngineError` and `StatementError` with ClickHouse's own codes.
        """
        statement = parse(request.query, request.body)
        if request.reading_only and not (isinstance(statement, Plain) and statement.reads):
            raise StatementError(
                164, "READONLY", "Cannot execute query in readonly mode: use POST for statements that change"
            )
        with self._session(request) as session, _translated():
            if isinstance(statement, Insert):
                return _insert(session, statement)
            return _query(session, statement, request)

    def close(self, within_s: float) -> bool:
        """Wait for the requests that run, then close; false where some took longer."""
        try:
            for _ in range(self._count):
                self._free.get(timeout=within_s).close()
        except queue.Empty:
            return False
        return True

    def _open(self) -> Any:
        session = _open_session(self._path)
        session.query(_set(BASE))
        return session

    @contextmanager
    def _session(self, request: Request) -> Iterator[Any]:
        """A session with the request's database and settings, which it forgets afterwards."""
        session = self._free.get()
        try:
            with _translated():
                session.query(f"USE {identifier(request.database)}")
                if request.settings:
                    session.query(_set(request.settings))
            yield session
        finally:
            self._free.put(self._cleaned(session, request.settings))

    def _cleaned(self, session: Any, settings: Mapping[str, str]) -> Any:
        """The session as it was before these settings; a new one where a setting (readonly) forbids setting it back."""
        if not settings:
            return session
        try:
            session.query("SET " + ", ".join(f"{name} = DEFAULT" for name in settings if _NAME.fullmatch(name)))
            session.query(_set(BASE))
        except (ChdbError, RuntimeError):
            session.close()
            return self._open()
        return session


def _insert(session: Any, statement: Insert) -> Answer:
    """Data in its format to the engine's own reader, by way of a file.

    chdb's `send_insert` would spare the file, but tells nothing of what goes wrong while a block is written (a constraint,
    too many partitions): it reports rows that are not there.
    """
    if not statement.data.strip():
        return Answer()
    with tempfile.NamedTemporaryFile(prefix="hes-insert-") as file:
        file.write(statement.data)
        file.flush()
        result = session.query(f"{statement.head} FROM INFILE {quoted(file.name)} FORMAT {statement.format}")
        return Answer(written_rows=int(result.rows_read()))


def _query(session: Any, statement: Plain, request: Request) -> Answer:
    if not statement.verb:
        raise StatementError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    kind = statement.format or request.default_format
    if kind.lower() in PYTHON_FORMATS or not _NAME.fullmatch(kind):
        raise StatementError(73, "UNKNOWN_FORMAT", f"Unknown format {kind}")
    result = session.query(statement.text, kind, params=dict(request.parameters) or None)
    return Answer(result.bytes() or b"", kind, int(result.rows_read()))


def _set(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise StatementError(115, "UNKNOWN_SETTING", f"Unknown setting {name[:80]!r}")
    return "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ChdbError, RuntimeError) as error:
        raise EngineError(str(error)) from error
