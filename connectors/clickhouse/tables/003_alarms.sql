-- Alarms: one row an id, and an id is what the alarm states. A replay is the same row.
--
-- ts  when it happened by the meter's clock; when it was received where the meter gave no time (meter_time_given is 0 then)

CREATE TABLE IF NOT EXISTS {database}.alarms
(
    id String CODEC(ZSTD(1)),
    meter_id String CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    meter_time_given UInt8,
    received_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    kind LowCardinality(String),
    severity LowCardinality(String),
    code String CODEC(ZSTD(1)),
    code_table LowCardinality(String),
    event_type LowCardinality(String),
    feeder LowCardinality(String),
    transformer String CODEC(ZSTD(1)),
    segment LowCardinality(String),
    life_support UInt8,
    source LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (meter_id, id)
SETTINGS non_replicated_deduplication_window = 1000;
