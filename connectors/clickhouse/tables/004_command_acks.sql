-- Acknowledgements: one row an id; each says where a command, or a job that it caused, stood at a time. View jobs has the
-- last one of each job, view read_success counts them.
--
-- *_ms  milliseconds of each stage; NULL where the job did not come so far

CREATE TABLE IF NOT EXISTS {database}.command_acks
(
    id String CODEC(ZSTD(1)),
    command_id String CODEC(ZSTD(1)),
    job_id String CODEC(ZSTD(1)),
    meter_id String CODEC(ZSTD(1)),
    segment LowCardinality(String),
    network LowCardinality(String),
    operation LowCardinality(String),
    cause LowCardinality(String),
    attempt Int64,
    state LowCardinality(String),
    code LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    queue_ms Nullable(Int64),
    connect_ms Nullable(Int64),
    associate_ms Nullable(Int64),
    read_ms Nullable(Int64),
    rows Int64,
    before String CODEC(ZSTD(1)),
    after String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (command_id, meter_id, id)
SETTINGS non_replicated_deduplication_window = 1000;
