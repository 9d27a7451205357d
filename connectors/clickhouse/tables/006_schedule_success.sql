-- What each schedule got of a segment's meters on a day, as the service that fills gaps counts it: one row a day, schedule,
-- segment and partition of the meters; the newest counts. View schedule_success adds the partitions up.
--
-- day        of the schedule's time zone, as days since 1970-01-01
-- period_s   what is counted: intervals of this length, or reads where it is 0
-- expected, arrived, given_up   how many of them

CREATE TABLE IF NOT EXISTS {database}.schedule_figures
(
    id String CODEC(ZSTD(1)),
    schedule_id LowCardinality(String),
    day UInt16,
    segment LowCardinality(String),
    network LowCardinality(String),
    partition Int32,
    period_s Int64,
    meters Int64,
    complete Int64,
    expected Int64,
    arrived Int64,
    given_up Int64,
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(toDate(day))
ORDER BY (schedule_id, day, segment, network, partition)
SETTINGS non_replicated_deduplication_window = 1000;

-- How much of what a schedule expected of a day is there, by segment; success is a share from 0 to 1. Complete are the meters
-- of which everything is there.
CREATE VIEW IF NOT EXISTS {database}.schedule_success AS
SELECT
    toDate(f.day) AS day, f.schedule_id AS schedule_id, f.segment AS segment, f.network AS network,
    sum(f.meters) AS meters, sum(f.complete) AS complete, sum(f.expected) AS expected, sum(f.arrived) AS arrived,
    sum(f.given_up) AS given_up, max(f.ts) AS ts, arrived / expected AS success
FROM {database}.schedule_figures AS f FINAL
GROUP BY f.day, f.schedule_id, f.segment, f.network;
