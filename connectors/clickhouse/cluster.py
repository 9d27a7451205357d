"""The same tables on a cluster: each table twice, `X_local` replicated within a shard and `X` distributed over the shards by
meter, so that whoever reads or writes `X` sees one table. Servers must have the macros `shard` and `replica`.

Rows of a meter are on one shard, so FINAL and what replaces what hold there as on one server.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+)\.(\w+)\n(\(.*?\n\))\nENGINE = (\w*MergeTree)(?:\((\w+)\))?\n(.*)", re.DOTALL
)
_MATERIALIZED = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+)\.(\w+) TO (\w+)\.(\w+) AS\n(.*?)\nFROM (\w+)\.(\w+)", re.DOTALL
)
_WINDOW = re.compile(r"\nSETTINGS non_replicated_deduplication_window = (\d+)")
_EVERYWHERE = ("schema_migrations",)
"""Tables that are the same on all shards."""

INSERT_SETTINGS = {"insert_distributed_sync": "1", "insert_quorum": "auto"}
"""An insert is acknowledged when its shards have it, and of each shard most replicas: one that burns down loses nothing."""


def local(table: str) -> str:
    """The table that holds the rows of a table."""
    return table if table in _EVERYWHERE else f"{table}_local"


def on_cluster(cluster: str) -> Callable[[str], list[str]]:
    """A function from a statement of the migrations to the statements that do the same on a cluster."""

    def spread(sql: str) -> list[str]:
        comments, code = _without_comments(sql)
        if code.startswith("CREATE DATABASE"):
            return [f"{code} ON CLUSTER {cluster}"]
        if (table := _TABLE.fullmatch(code)) is not None:
            return [comments + one for one in _tables(cluster, table)]
        if (view := _MATERIALIZED.match(code)) is not None:
            database, name, _, target, select, _, source = view.groups()
            head = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name} ON CLUSTER {cluster}"
            select += f"\nFROM {database}.{local(source)}{code[view.end() :]}"
            return [f"{comments}{head} TO {database}.{local(target)} AS\n{select}"]
        if code.startswith("CREATE VIEW"):
            return [comments + re.sub(r"(EXISTS \w+\.\w+)", rf"\1 ON CLUSTER {cluster}", code, count=1)]
        if code.startswith("ALTER TABLE"):
            return [comments + re.sub(r"^ALTER TABLE (\w+)\.(\w+)", rf"ALTER TABLE \1.\2_local ON CLUSTER {cluster}", code)]
        return [sql]

    return spread


def _tables(cluster: str, table: re.Match[str]) -> list[str]:
    database, name, body, engine, version, rest = table.groups()
    rest = _WINDOW.sub(r"\nSETTINGS replicated_deduplication_window = \1", rest)
    place = "all" if name in _EVERYWHERE else "{shard}"
    replica = "{shard}-{replica}" if name in _EVERYWHERE else "{replica}"
    arguments = [f"'/clickhouse/tables/{place}/{database}/{name}'", f"'{replica}'", *([version] if version else [])]
    held = local(name)
    own = (
        f"CREATE TABLE IF NOT EXISTS {database}.{held} ON CLUSTER {cluster}\n{body}\n"
        f"ENGINE = Replicated{engine}({', '.join(arguments)})\n{rest}"
    )
    if held == name:
        return [own]
    key = "cityHash64(meter_id)" if re.search(r"^    meter_id ", body, re.MULTILINE) else "rand()"
    head = f"CREATE TABLE IF NOT EXISTS {database}.{name} ON CLUSTER {cluster} AS {database}.{held}"
    return [own, f"{head}\nENGINE = Distributed('{cluster}', '{database}', '{held}', {key})"]


def _without_comments(sql: str) -> tuple[str, str]:
    """Comment lines before a statement, and the statement."""
    lines = sql.strip().splitlines()
    code = next((at for at, line in enumerate(lines) if line and not line.startswith("--")), len(lines))
    return "".join(f"{line}\n" for line in lines[:code]), "\n".join(lines[code:])
