"""Days of load profiles, made anew for every day that got rows. Nothing is added up as rows come, since a materialized view
would count a replay, or what a correction replaced, again.

Which days were touched the tables note themselves (`touched_days`, as part of each insert), so a kill forgets nothing. A day
is made anew from `intervals` as it stands then; doing it twice, or by two processes at once, leaves the same.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connectors.clickhouse.store import Store, Value

SETTLED_S = 120
"""A day that got rows so shortly before it was made is made once more: an insert notes the day before its rows are there."""

_STALE = """
SELECT t.day AS day
FROM (SELECT day, max(at) AS at FROM {database}.touched_days GROUP BY day) AS t
LEFT JOIN (SELECT day, max(at) AS at FROM {database}.rolled_days WHERE zone = %(zone)s GROUP BY day) AS r ON t.day = r.day
WHERE toUnixTimestamp(t.at) + %(settled)s >= toUnixTimestamp(r.at)
ORDER BY day
"""
_MAKE = """
INSERT INTO {database}.daily_rollup
SELECT
    meter_id, channel, toDate(%(day)s) AS day, source, %(zone)s AS zone,
    argMax(scaler, ts) AS scaler, argMax(unit, ts) AS unit,
    count() AS rows, min(ts) AS first_ts, max(ts) AS last_ts, argMin(value, ts) AS first, argMax(value, ts) AS last,
    min(value) AS least, max(value) AS most, sum(toInt128(value)) AS sum, toUInt64(%(version)s) AS version
FROM {database}.intervals FINAL
PREWHERE ts > toDateTime(%(start)s, 'UTC') AND ts <= toDateTime(%(end)s, 'UTC')
GROUP BY meter_id, channel, source
SETTINGS optimize_aggregation_in_order = 1
"""
_NOTE = """
INSERT INTO {database}.rolled_days (day, zone, at) SELECT toDate(%(day)s), %(zone)s, toDateTime(%(at)s, 'UTC')
"""


class Rollups:
    """The days of one database, in one time zone."""

    def __init__(self, store: Store, database: str, zone: str) -> None:
        self._store = store
        self._database = database
        self._zone = ZoneInfo(zone)
        self._name = zone

    def stale(self) -> list[date]:
        """Days (UTC) that got rows since they were made, oldest first."""
        params: dict[str, Value] = {"zone": self._name, "settled": SETTLED_S}
        return [row[0] for row in self._store.query(self._in(_STALE), params).rows]

    def refresh(self) -> list[date]:
        """Make anew what is stale; the days of the zone that were made. `TemporaryError` as of any insert."""
        # The server's clock, which the tables note days by: whatever is noted from now on is for the next time.
        now = int(self._store.query("SELECT toUnixTimestamp(now())").rows[0][0])
        stale = self.stale()
        made = sorted({day for touched in stale for day in self._days_of(touched)})
        for day in made:
            start, end = (round(datetime.combine(one, time(), self._zone).timestamp()) for one in (day, day + timedelta(1)))
            self._store.execute(
                self._in(_MAKE),
                {"day": day.isoformat(), "zone": self._name, "version": now * 1000, "start": start, "end": end},
            )
        for day in stale:
            self._store.execute(self._in(_NOTE), {"day": day.isoformat(), "zone": self._name, "at": now})
        return made

    def _days_of(self, touched: date) -> set[date]:
        """The days of the zone that share rows with a day of UTC."""
        start = datetime.combine(touched, time(), UTC)
        ends = (start, start + timedelta(days=1, seconds=-1))
        return {moment.astimezone(self._zone).date() for moment in ends}

    def _in(self, sql: str) -> str:
        return sql.replace("{database}", self._database)
