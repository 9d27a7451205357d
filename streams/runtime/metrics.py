"""Every metric of every service, by name; `/metrics` shows them and docs/metrics.md lists them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS_IN = Counter("hes_records_in_total", "Kafka records consumed", ["topic"])
RECORDS_OUT = Counter("hes_records_out_total", "Kafka records acknowledged by the broker", ["topic"])
DELIVERY_FAILURES = Counter("hes_delivery_failures_total", "Kafka records that the broker did not acknowledge", ["topic"])
DEAD_LETTERS = Counter("hes_dead_letters_total", "Dead letters by code", ["code"])
BATCH_RECORDS = Histogram("hes_batch_records", "Records in a batch", buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000))
BATCH_SECONDS = Histogram("hes_batch_seconds", "Seconds from a batch being taken to its commit")
RETRIES = Counter("hes_retries_total", "Batches taken again because something outside was down", ["cause"])
ROWS_STORED = Counter("hes_rows_stored_total", "Rows acknowledged by ClickHouse", ["table"])
CONNECTIONS = Gauge("hes_gateway_connections", "Push connections open")
PUSHES = Counter("hes_gateway_pushes_total", "Pushes by what became of them", ["outcome"])
SESSIONS = Gauge("hes_gateway_sessions", "Pull sessions open")
JOBS = Counter("hes_gateway_jobs_total", "Jobs ended, by outcome and code", ["outcome", "code"])
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
METERS = Gauge("hes_gateway_meters", "Meters in the directory")
