-- What an analyst asks for. Every view shows each row once, as its newest statement says, also before ClickHouse has merged
-- older ones away. Name a meter (or a few) in WHERE wherever possible: the tables are sorted by it.

-- Every numeric interval, scaled: value is in unit, raw is the meter's integer (NULL where the channel gives floats).
CREATE VIEW IF NOT EXISTS {database}.interval_values AS
SELECT
    i.meter_id AS meter_id, i.channel AS channel, i.ts AS ts,
    if(i.scaler < 0, i.value / exp10(-i.scaler), i.value * exp10(i.scaler)) AS value,
    i.unit AS unit, toNullable(i.value) AS raw, i.scaler AS scaler, i.source AS source, i.period_s AS period_s,
    i.status AS status, i.clock_status AS clock_status, i.deviation AS deviation, i.cause AS cause, i.version AS version
FROM {database}.intervals AS i FINAL
UNION ALL
SELECT
    f.meter_id, f.channel, f.ts,
    if(f.scaler < 0, f.value / exp10(-f.scaler), f.value * exp10(f.scaler)) AS value,
    f.unit, CAST(NULL AS Nullable(Int64)) AS raw, f.scaler, f.source, f.period_s,
    f.status, f.clock_status, f.deviation, f.cause, f.version
FROM {database}.intervals_float AS f FINAL;

-- Every register, scaled: value is in unit (NULL for texts), text is what text registers say.
CREATE VIEW IF NOT EXISTS {database}.register_values AS
SELECT
    r.meter_id AS meter_id, r.channel AS channel, r.ts AS ts,
    multiIf(
        r.value_int IS NOT NULL AND ifNull(r.scaler, 0) < 0, r.value_int / exp10(-r.scaler),
        r.value_int IS NOT NULL, r.value_int * exp10(ifNull(r.scaler, 0)),
        r.value_float IS NOT NULL, r.value_float * exp10(ifNull(r.scaler, 0)),
        NULL) AS value,
    r.unit AS unit, r.value_text AS text, r.value_int AS raw, ifNull(r.scaler, 0) AS scaler, r.source AS source,
    r.meter_time_given AS meter_time_given, r.cause AS cause, r.job_id AS job_id, r.id AS id, r.version AS version
FROM {database}.registers AS r FINAL;

-- The latest value of each meter and channel, from intervals and registers alike.
CREATE VIEW IF NOT EXISTS {database}.latest_values AS
SELECT
    meter_id, channel, max(at) AS ts, argMax(scaled, (at, stated)) AS value,
    argMax(symbol, (at, stated)) AS unit, argMax(words, (at, stated)) AS text
FROM
(
    SELECT
        meter_id, channel, toDateTime64(ts, 3, 'UTC') AS at, version AS stated, toNullable(value) AS scaled,
        unit AS symbol, '' AS words
    FROM {database}.interval_values
    UNION ALL
    SELECT
        meter_id, channel, ts AS at, version AS stated, value AS scaled,
        unit AS symbol, text AS words
    FROM {database}.register_values
)
GROUP BY meter_id, channel;

-- Consumption by day and channel, in a time zone: SELECT * FROM daily_consumption_in(zone = 'Europe/Oslo') WHERE …
-- The time zone of a meter is not in these tables; view daily_consumption takes UTC days.
--
-- Cumulative registers (electricity: OBIS value group D is 8; other media: energy or volume) give the last value of a day
-- less the last value before that day. `days` is how many days that covers: more than 1 where days before have no reading.
-- A value at midnight ends the day before. A register that was exchanged or rolled over shows as a negative number.
-- Energy of each interval (value group D is 29) is summed up.
CREATE VIEW IF NOT EXISTS {database}.daily_consumption_in AS
SELECT
    meter_id, channel, day, if(scaler < 0, (last - previous) / exp10(-scaler), (last - previous) * exp10(scaler)) AS value,
    unit, dateDiff('day', previous_day, day) AS days
FROM
(
    SELECT
        meter_id, channel, scaler, day, unit, last,
        lagInFrame(toNullable(last)) OVER days_of_a_channel AS previous,
        lagInFrame(toNullable(day)) OVER days_of_a_channel AS previous_day
    FROM
    (
        SELECT
            meter_id, channel, scaler, toDate(at - INTERVAL 1 MILLISECOND, {zone:String}) AS day,
            argMax(symbol, (at, stated)) AS unit, argMax(number, (at, stated)) AS last
        FROM
        (
            SELECT
                meter_id, channel, scaler, toDateTime64(ts, 3, 'UTC') AS at, version AS stated, unit AS symbol,
                assumeNotNull(raw) AS number
            FROM {database}.interval_values
            WHERE raw IS NOT NULL
            UNION ALL
            SELECT
                meter_id, channel, scaler, ts AS at, version AS stated, unit AS symbol, assumeNotNull(raw) AS number
            FROM {database}.register_values
            WHERE raw IS NOT NULL
        )
        WHERE match(channel, '^1\\.\\d+\\.\\d+\\.8\\.\\d+\\.255$')
            OR (match(channel, '^([5-9]\\.\\d+\\.\\d+\\.[0-2]\\.\\d+|0\\.\\d+\\.24\\.2\\.\\d+)\\.255$')
                AND symbol IN ('Wh', 'varh', 'VAh', 'J', 'm³', 'l'))
        GROUP BY meter_id, channel, scaler, day
    )
    WINDOW days_of_a_channel AS
        (PARTITION BY meter_id, channel, scaler ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE previous IS NOT NULL
UNION ALL
SELECT
    meter_id, channel, toDate(ts - INTERVAL 1 SECOND, {zone:String}) AS day,
    if(scaler < 0, sum(assumeNotNull(raw)) / exp10(-scaler), sum(assumeNotNull(raw)) * exp10(scaler)) AS value,
    any(unit) AS unit, 1 AS days
FROM {database}.interval_values
WHERE raw IS NOT NULL AND match(channel, '^1\\.\\d+\\.\\d+\\.29\\.\\d+\\.255$')
GROUP BY meter_id, channel, scaler, source, day;

CREATE VIEW IF NOT EXISTS {database}.daily_consumption AS
SELECT * FROM {database}.daily_consumption_in(zone = 'UTC');

-- Each job as its last acknowledgement states it.
CREATE VIEW IF NOT EXISTS {database}.jobs AS
SELECT
    job_id, argMax(command_id, (at, stage)) AS command_id, argMax(meter_id, (at, stage)) AS meter_id,
    argMax(segment, (at, stage)) AS segment, argMax(network, (at, stage)) AS network,
    argMax(operation, (at, stage)) AS operation, argMax(cause, (at, stage)) AS cause,
    argMax(attempt, (at, stage)) AS attempt, argMax(state, (at, stage)) AS state, argMax(code, (at, stage)) AS code,
    max(at) AS ts, argMax(rows, (at, stage)) AS rows
FROM
(
    SELECT *, ts AS at, state IN ('DONE', 'FAILED', 'EXPIRED', 'CANCELLED', 'OUTCOME_UNKNOWN', 'REJECTED') AS stage
    FROM {database}.command_acks
    WHERE job_id != ''
)
GROUP BY job_id;

-- How many of the reads that ended on a day (UTC) succeeded, by segment; success is a share from 0 to 1.
CREATE VIEW IF NOT EXISTS {database}.read_success AS
SELECT
    toDate(ts) AS day, segment, network, cause,
    count() AS reads, countIf(state = 'DONE') AS done, countIf(state = 'FAILED') AS failed,
    countIf(state = 'EXPIRED') AS expired, done / reads AS success
FROM {database}.jobs
WHERE operation IN ('READ_REGISTERS', 'READ_PROFILE', 'READ_EVENT_LOG', 'READ_CLOCK')
    AND state IN ('DONE', 'FAILED', 'EXPIRED', 'OUTCOME_UNKNOWN')
GROUP BY day, segment, network, cause;
