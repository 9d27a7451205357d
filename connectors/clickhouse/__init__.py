"""The sink: readings, alarms and acknowledgements from Kafka into ClickHouse, and the tables they live in.

`tables/*.sql` are the tables and their views; `migrations` applies them, `cluster` has them on many servers, `retention`
has them forget. `interval_batch`, `intervals` and `events` turn records into columns, `sink` inserts them, `rollups` makes
days of them. `store` is the port to a server: `native` (TCP) and `http` are its two ends. Nothing here speaks to a meter or
knows a protocol.
"""
