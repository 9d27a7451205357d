"""Every metric of every service, by name; `/metrics` shows them and docs/metrics.md lists them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS_IN = Counter("hes_records_in_total", "Kafka records consumed", ["topic"])
RECORDS_OUT = Counter("hes_records_out_total", "Kafka records acknowledged by the broker", ["topic"])
DELIVERY_FAILURES = Counter("hes_delivery_failures_total", "Kafka records that the broker did not acknowledge", ["topic"])
DEAD_LETTERS = Counter("hes_dead_letters_total", "Dead letters by code", ["code"])
LAG = Gauge("hes_lag_records", "Records of a topic that this process has yet to take", ["topic", "group"])
BATCH_RECORDS = Histogram("hes_batch_records", "Records in a batch", buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000))
BATCH_SECONDS = Histogram("hes_batch_seconds", "Seconds from a batch being taken to its commit")
RETRIES = Counter("hes_retries_total", "Batches taken again because something outside was down", ["cause"])
ROWS_STORED = Counter("hes_rows_stored_total", "Rows acknowledged by ClickHouse", ["table"])
CONNECTIONS = Gauge("hes_gateway_connections", "Push connections open")
PUSHES = Counter("hes_gateway_pushes_total", "Pushes by what became of them", ["outcome"])
SESSIONS = Gauge("hes_gateway_sessions", "Pull sessions open")
JOBS = Counter("hes_gateway_jobs_total", "Jobs ended, by outcome and code", ["outcome", "code"])
SEGMENT_JOBS = Counter(
    "hes_gateway_segment_jobs_total", "Jobs ended, by network segment and outcome", ["network", "segment", "outcome"]
)
STAGE_SECONDS = Histogram(
    "hes_gateway_stage_seconds",
    "Seconds of each stage of a job that was done: queue, network, association, meter",
    ["stage"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200),
)
JOB_SECONDS = Histogram("hes_gateway_job_seconds", "Seconds of a pull session, connect to close")
UNACKNOWLEDGED = Gauge("hes_gateway_unacknowledged", "Pushes and job results that Kafka does not have yet")
DATAGRAMS_DROPPED = Counter("hes_gateway_datagrams_dropped_total", "Datagrams not read because too much waits for Kafka")
CONNECTIONS_REFUSED = Counter("hes_gateway_connections_refused_total", "Push connections closed at once", ["reason"])
JOBS_WAITING = Gauge("hes_gateway_jobs_waiting", "Jobs in hand that are not done")
SEGMENTS_SHUT = Gauge("hes_gateway_segments_shut", "Network segments that a circuit breaker keeps from being visited")
BREAKER_CHANGES = Counter("hes_gateway_breaker_changes_total", "Circuit breakers that opened or closed", ["state"])
LINES = Gauge("hes_gateway_lines", "Meters that dialled in and can be visited")
RELAYED = Gauge("hes_gateway_relayed_connections", "Connections of meters handed over to the worker that has their jobs")
COUNTERS_RESERVED = Counter("hes_gateway_counter_blocks_total", "Blocks of invocation counters reserved")
COUNTERS_FENCED = Counter("hes_gateway_counters_fenced_total", "Reservations refused since another worker has the partition")
GROUP_BLOCKS = Counter(
    "hes_gateway_group_blocks_total", "Image blocks to meters of a group: sent to all of them once, or to one alone", ["to"]
)
GROUP_OCTETS = Counter("hes_gateway_group_octets_total", "Octets of datagrams with image blocks sent to groups")
METERS = Gauge("hes_gateway_meters", "Meters in the directory")
TICKS = Counter("hes_schedules_ticks_total", "Ticks planned, by schedule", ["schedule"])
TICKS_MISSED = Counter("hes_schedules_ticks_missed_total", "Ticks that a later one makes up for, by schedule", ["schedule"])
JOBS_SENT = Counter("hes_schedules_jobs_total", "Scheduled jobs sent, by schedule", ["schedule"])
JOBS_DROPPED = Counter("hes_schedules_jobs_dropped_total", "Planned reads that were not sent, by reason", ["reason"])
PLANNED = Gauge("hes_schedules_planned", "Planned jobs that are not sent yet")
PLAN_LAG = Gauge("hes_schedules_lag_seconds", "How long the plan that is most overdue is behind")
PLANNING = Gauge("hes_schedules_active", "1 where this process is the one that plans")
INTERVALS_ARRIVED = Counter("hes_gaps_intervals_total", "Expected intervals and reads that arrived, each once")
BACKFILLS = Counter("hes_gaps_backfills_total", "Backfill jobs sent, by schedule", ["schedule"])
GIVEN_UP = Counter(
    "hes_gaps_given_up_total", "Days of a meter that were given up with intervals missing, by schedule", ["schedule"]
)
GAPS_MISSING = Gauge("hes_gaps_missing", "Intervals and reads that are expected and not there, by schedule", ["schedule"])
COMMAND_STEPS = Counter("hes_commands_steps_total", "Steps that commands took, by the state they led to", ["state"])
COMMANDS_REFUSED = Counter("hes_commands_refused_total", "Audit entries with a code: what was refused or failed", ["code"])
COMMANDS_OPEN = Gauge("hes_commands_open", "Commands that have not ended")
COMMANDS_LEADS = Gauge("hes_commands_leads", "1 where this process is the one that writes")
FOLLOWED_UP = Counter("hes_followup_jobs_total", "Jobs that followed an alarm, by rule", ["rule"])
NOT_FOLLOWED = Counter("hes_followup_passed_total", "Alarms that nothing follows, by rule and why", ["rule", "reason"])
CLOCKS_WRONG = Counter("hes_followup_clocks_total", "Clocks found wrong, by what was done", ["done"])
CAMPAIGNS = Gauge("hes_firmware_campaigns", "Firmware campaigns that are not over, by state", ["state"])
CAMPAIGN_METERS = Gauge("hes_firmware_meters", "Meters of firmware campaigns that are not over, by state", ["state"])
CAMPAIGN_JOBS = Counter("hes_firmware_jobs_total", "Jobs of firmware campaigns sent, by operation", ["operation"])
CAMPAIGN_REFUSED = Counter("hes_firmware_refused_total", "Audit entries of campaigns with a code, by code", ["code"])
CAMPAIGNS_LEADS = Gauge("hes_firmware_leads", "1 where this process is the one that sends")
FOLLOWUP_WAITING = Gauge("hes_followup_waiting", "Jobs of follow-up whose time has not come")
OUTAGES_TOLD = Counter(
    "hes_oms_revisions_total", "Revisions of outages told to the OMS, by scope and reason", ["scope", "reason"]
)
OUTAGES_OPEN = Gauge("hes_oms_outages", "Outages that are remembered, by status", ["status"])
OUTAGE_SECONDS = Histogram(
    "hes_oms_seconds",
    "Seconds from an alarm's arrival at the head-end to its outage on oms.outages",
    buckets=(0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
OUTAGES_LEADS = Gauge("hes_oms_leads", "1 where this process is the one that writes")
