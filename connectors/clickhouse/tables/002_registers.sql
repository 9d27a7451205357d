-- Registers: one row a meter, register, capture time and source. The newest statement (highest version) of a row wins.
-- A push and a read may meet in one second and say two things, since meters tell time in seconds: both are kept.
--
-- value_int, value_float, value_text  one of them, by the register's type; none where the meter gave no value.
--               Octets are text in upper-case hex. View register_values has the scaled value.
-- ts            when the meter captured it; when it was read where the meter gave no time (meter_time_given is 0 then)
-- version       when the head-end had the bytes, milliseconds since 1970

CREATE TABLE IF NOT EXISTS {database}.registers
(
    meter_id String CODEC(ZSTD(1)),
    channel LowCardinality(String),
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    meter_time_given UInt8,
    value_int Nullable(Int64) CODEC(T64, ZSTD(1)),
    value_float Nullable(Float64) CODEC(Gorilla, ZSTD(1)),
    value_text String CODEC(ZSTD(1)),
    scaler Nullable(Int8),
    unit LowCardinality(String),
    source LowCardinality(String),
    clock_status Nullable(UInt8),
    deviation Nullable(Int16),
    cause LowCardinality(String),
    job_id String CODEC(ZSTD(1)),
    id String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (meter_id, channel, ts, source)
SETTINGS non_replicated_deduplication_window = 1000;
