"""The sink: readings, alarms and acknowledgements from Kafka into ClickHouse, and the tables they live in.

`tables/*.sql` are the tables and an analyst's views, `migrations` applies them, `intervals` and `events` turn records into
columns, `sink` inserts them, and `store` is the port to a server: `native` (TCP) and `http` are its two ends. Nothing here
speaks to a meter or knows a protocol.
"""
