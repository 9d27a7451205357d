-- Load profiles: one row a meter, channel and interval end. The newest statement (highest version) of a row wins.
--
-- channel       OBIS code A.B.C.D.E.F, with /attribute behind it where that is not 2
-- ts            end of the interval
-- value         the meter's own integer; value * 10^scaler is in unit. View interval_values has it scaled.
-- scaler, unit  0 and '' where the meter gives none
-- source        class/OBIS/attribute of the profile: two profiles may hold one channel with other meanings
-- period_s      seconds of an interval; 0 where rows are irregular
-- status        the profile's own status (AMR status); -1 where there is none
-- clock_status  COSEM clock status; 255 where it is not given
-- deviation     minutes, local to UTC, as the meter sent it; -32768 where it is not given
-- version       when the head-end had the bytes, milliseconds since 1970: a replay is the same, a correction is higher
--
-- A row that lacks a value is not there. Two rows of one profile with the same end (a clock that was set back) are one.
-- To keep ten years only: ALTER TABLE {database}.intervals MODIFY TTL ts + INTERVAL 10 YEAR

CREATE TABLE IF NOT EXISTS {database}.intervals
(
    meter_id String CODEC(ZSTD(1)),
    channel LowCardinality(String),
    ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    value Int64 CODEC(DoubleDelta, ZSTD(1)),
    scaler Int8 CODEC(ZSTD(1)),
    unit LowCardinality(String),
    source LowCardinality(String),
    period_s UInt32 CODEC(ZSTD(1)),
    status Int64 CODEC(T64, ZSTD(1)),
    clock_status UInt8 CODEC(ZSTD(1)),
    deviation Int16 CODEC(ZSTD(1)),
    cause LowCardinality(String),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (meter_id, channel, ts, source)
SETTINGS non_replicated_deduplication_window = 1000;

-- The same for channels whose values are floats, and for those whose values are texts (octets as upper-case hex).

CREATE TABLE IF NOT EXISTS {database}.intervals_float
(
    meter_id String CODEC(ZSTD(1)),
    channel LowCardinality(String),
    ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Gorilla, ZSTD(1)),
    scaler Int8 CODEC(ZSTD(1)),
    unit LowCardinality(String),
    source LowCardinality(String),
    period_s UInt32 CODEC(ZSTD(1)),
    status Int64 CODEC(T64, ZSTD(1)),
    clock_status UInt8 CODEC(ZSTD(1)),
    deviation Int16 CODEC(ZSTD(1)),
    cause LowCardinality(String),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (meter_id, channel, ts, source)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS {database}.intervals_text
(
    meter_id String CODEC(ZSTD(1)),
    channel LowCardinality(String),
    ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    value String CODEC(ZSTD(1)),
    scaler Int8 CODEC(ZSTD(1)),
    unit LowCardinality(String),
    source LowCardinality(String),
    period_s UInt32 CODEC(ZSTD(1)),
    status Int64 CODEC(T64, ZSTD(1)),
    clock_status UInt8 CODEC(ZSTD(1)),
    deviation Int16 CODEC(ZSTD(1)),
    cause LowCardinality(String),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (meter_id, channel, ts, source)
SETTINGS non_replicated_deduplication_window = 1000;
