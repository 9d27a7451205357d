"""Brings a server's tables to where this release needs them, by the numbered files in `tables/`.

A file that was applied is never edited: its checksum is kept in `schema_migrations`, and a changed one is refused. Each
statement in a file can be run twice, so a process that died half way, or two that start at once, do no harm.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.clickhouse.errors import TableError
from connectors.clickhouse.store import Store
from streams.runtime.errors import FatalError

FOLDER = Path(__file__).parent / "tables"

_JOURNAL = """
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY number
"""
_STATEMENT_END = re.compile(r";\s*$", re.MULTILINE)
_COLUMNS = re.compile(r"CREATE TABLE IF NOT EXISTS \{database\}\.(\w+)\n\((.*?)\n\)\nENGINE", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `number` is its place in the order."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file as it ships."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, database: str) -> list[str]:
        """Its statements for a database, without the semicolons. `{database}` is the only placeholder."""
        parts = _STATEMENT_END.split(self.text.replace("{database}", database))
        return [part.strip() for part in parts if part.strip()]


def shipped(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of this release in order; `FatalError` where two have one number."""
    found = [
        Migration(int(path.name.split("_")[0]), path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("*.sql"))
    ]
    numbers = [migration.number for migration in found]
    if len(set(numbers)) != len(numbers):
        raise FatalError(f"two migrations have one number: {', '.join(migration.name for migration in found)}")
    return found


def migrate(
    store: Store,
    database: str,
    migrations: Sequence[Migration] | None = None,
    dialect: Callable[[str], str] = str,
    spread: Callable[[str], Sequence[str]] = lambda sql: (sql,),
) -> list[str]:
    """Apply what is missing; the names of what was applied now.

    `dialect` may rewrite each statement for a server that speaks an older SQL, `spread` for a cluster. `FatalError` where an
    applied file was changed. A server that is ahead of this release is left alone: migrations only add, so that a release
    can be taken back.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", database):
        raise FatalError(f"clickhouse.database must be a plain name of letters, digits and underscores, not {database!r}")
    migrations = shipped() if migrations is None else migrations
    for statement in (f"CREATE DATABASE IF NOT EXISTS {database}", _JOURNAL.replace("{database}", database).strip()):
        for part in spread(statement):
            store.execute(dialect(part))
    rows = store.query(f"SELECT number, name, checksum FROM {database}.schema_migrations").rows  # noqa: S608 - a plain name, see above
    applied = {number: (name, checksum) for number, name, checksum in rows}
    done = []
    for migration in migrations:
        if migration.number in applied:
            _unchanged(migration, database, *applied[migration.number])
            continue
        for statement in migration.statements(database):
            for part in spread(statement):
                store.execute(dialect(part))
        store.execute(
            f"INSERT INTO {database}.schema_migrations (number, name, checksum) SELECT %(number)s, %(name)s, %(checksum)s",
            {"number": migration.number, "name": migration.name, "checksum": migration.checksum},
        )
        done.append(migration.name)
    return done


def _unchanged(migration: Migration, database: str, name: str, checksum: str) -> None:
    if checksum != migration.checksum:
        raise FatalError(
            f"migration {migration.name} was applied to {database} as {name} with other content (SHA-256 {checksum[:12]}…, "
            f"now {migration.checksum[:12]}…): a file that was applied is never edited. Put it back and write the change "
            "as a new file"
        )


def columns_of(migrations: Sequence[Migration]) -> dict[str, dict[str, str]]:
    """Table to column to type, as the files create them."""
    tables: dict[str, dict[str, str]] = {}
    for migration in migrations:
        for table, body in _COLUMNS.findall(migration.text):
            tables[table] = dict(re.findall(r"^    (\w+) (\w+(?:\(.*?\)+)?)(?= CODEC|,$|$)", body, re.MULTILINE))
    return tables


def check(store: Store, database: str, expected: Mapping[str, Mapping[str, str]]) -> None:
    """`TableError` where a table lacks a column or has it with another type, LowCardinality or not aside."""
    for table, columns in expected.items():
        actual = {str(row[0]): str(row[1]) for row in store.query(f"DESCRIBE TABLE {database}.{table}").rows}
        for name, kind in columns.items():
            if name not in actual:
                raise TableError(
                    f"{database}.{table} has no column {name} {kind}: somebody altered it; add the column again"
                )
            if _plain(actual[name]) != _plain(kind):
                raise TableError(
                    f"{database}.{table}: column {name} is {actual[name]} and must be {kind}: somebody altered it; "
                    "alter it back, or move the table away and start again so that it is made anew"
                )


def _plain(kind: str) -> str:
    return re.sub(r"LowCardinality\((.*)\)", r"\1", kind)
