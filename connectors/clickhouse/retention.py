"""How long rows are kept: a TTL on each table, as the settings say. Not in the migrations, since it differs by site and may
change; whole parts are dropped, a month at a time, so a row may stay up to a month longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from connectors.clickhouse.store import Store

TIMES = {
    "intervals": "ts",
    "intervals_float": "ts",
    "intervals_text": "ts",
    "registers": "toDateTime(ts)",
    "alarms": "toDateTime(ts)",
    "command_acks": "toDateTime(ts)",
    "daily_rollup": "day",
}
"""Tables that may forget, and by which time."""
_TTL = re.compile(r"toIntervalDay\((\d+)\)")


def keep(store: Store, database: str, days: Mapping[str, int], table_of: Mapping[str, str] | None = None) -> list[str]:
    """Have each table keep rows for so many days, 0 for ever; the tables that were changed. `table_of` names the table that
    holds the rows, where that is another.
    """
    changed = []
    for table, time in TIMES.items():
        wanted, own = days.get(table, 0), (table_of or {}).get(table, table)
        rows = store.query(
            "SELECT create_table_query FROM system.tables WHERE database = %(database)s AND name = %(table)s",
            {"database": database, "table": own},
        ).rows
        found = _TTL.search(str(rows[0][0])) if rows else None
        if not rows or (int(found[1]) if found else 0) == wanted:
            continue
        if wanted:
            store.execute(f"ALTER TABLE {database}.{own} MODIFY TTL {time} + toIntervalDay({wanted})")
            store.execute(f"ALTER TABLE {database}.{own} MODIFY SETTING ttl_only_drop_parts = 1")
        else:
            store.execute(f"ALTER TABLE {database}.{own} REMOVE TTL")
        changed.append(table)
    return changed
