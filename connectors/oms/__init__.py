"""Outages and restorations to the outage management system, on `oms.outages`.

`marks`, `grouping`, `likelihood`, `standing`, `bucket`, `feeder` and `core` are pure: alarms and a time in, revisions of
outages out. `office` and `books` write them to Kafka together with what is remembered, `service` decides who does.
"""
