"""Outages and restorations to the outage management system, on `oms.outages`.

`marks`, `grouping`, `likelihood`, `standing`, `bucket`, `feeder` and `core` are pure: alarms and a time in, revisions of
outages out; `states` and `journal` say what of it is remembered, and how. `alarms` reads what comes; `office`, `writer` and
`books` write to Kafka what is told together with what is remembered; `service` decides who does.
"""
