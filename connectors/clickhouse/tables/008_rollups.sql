-- Days of load profiles: one row a meter, channel, profile and day, made anew from the newest statements whenever rows of the
-- day came, so that neither a replay nor a correction counts twice. The service makes them (rollups.py); integers only.
--
-- day      in the time zone of clickhouse.rollup_zone; a row that ends at midnight is of the day before
-- rows     intervals that are there
-- first, last, least, most, sum   of the meter's integers, by time and by size; times 10^scaler they are in unit
-- version  when it was made, milliseconds since 1970

CREATE TABLE IF NOT EXISTS {database}.daily_rollup
(
    meter_id String CODEC(ZSTD(3)),
    channel LowCardinality(String),
    day Date CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    zone LowCardinality(String),
    scaler Int8 CODEC(ZSTD(1)),
    unit LowCardinality(String),
    rows UInt32 CODEC(ZSTD(1)),
    first_ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    last_ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    first Int64 CODEC(Delta, ZSTD(1)),
    last Int64 CODEC(Delta, ZSTD(1)),
    least Int64 CODEC(Delta, ZSTD(1)),
    most Int64 CODEC(Delta, ZSTD(1)),
    sum Int128 CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (meter_id, channel, day, source, zone)
SETTINGS non_replicated_deduplication_window = 1000;

-- Which days (UTC) got rows, and when last; and up to when each was rolled up.

CREATE TABLE IF NOT EXISTS {database}.touched_days
(
    day Date,
    at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY day;

CREATE TABLE IF NOT EXISTS {database}.rolled_days
(
    day Date,
    zone LowCardinality(String),
    at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (day, zone);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.touch_days TO {database}.touched_days AS
SELECT toDate(ts - 1) AS day, toDateTime(now(), 'UTC') AS at
FROM {database}.intervals
GROUP BY day;

-- The same by month, from the days.
CREATE VIEW IF NOT EXISTS {database}.monthly_rollup AS
SELECT
    d.meter_id AS meter_id, d.channel AS channel, toStartOfMonth(d.day) AS month, d.source AS source, d.zone AS zone,
    d.scaler AS scaler, any(d.unit) AS unit, sum(d.rows) AS rows, count() AS days, min(d.first_ts) AS first_ts,
    max(d.last_ts) AS last_ts, argMin(d.first, d.first_ts) AS first, argMax(d.last, d.last_ts) AS last,
    min(d.least) AS least, max(d.most) AS most, sum(d.sum) AS sum
FROM {database}.daily_rollup AS d FINAL
GROUP BY d.meter_id, d.channel, month, d.source, d.zone, d.scaler;
