"""Commands: requests and decisions to jobs, one state machine a command, every step acknowledged and on the audit chain.

    hes.commands ─┐                                   ┌─▶ hes.jobs.urgent, hes.jobs.bulk
    hes.command-decisions ─┤                          ├─▶ hes.command-acks
    hes.operators, hes.controls ─┼─▶ desk ─▶ ledger ──┼─▶ hes.audit (chained by hash)
    hes.events.urgent (results) ─┘    ▲               └─▶ hes.command-states (the books) ─┐
                                      └───────────────── read back at the start ◀─────────┘

`states` is the table, `machine` takes its steps, `desk` is where records come in (both pure: bytes and a clock in, records
out), `case` is a command in memory, `output` is what is to be written, `issue` makes jobs, `limits` counts by day and area,
`ledger` writes, `office` is the leader's work, `service` says who leads.

What a step causes, the step itself, its audit entry and the offsets of what caused it are one Kafka transaction. So after a
kill -9 either all of it is there or none, and the audit chain cannot fork. One worker leads: the one that has the only
partition of hes.commands. Whoever leads opens the books by a transactional id that is always the same, which fences whoever
led before, however late he wakes up; and reads them back, since what was in memory proves nothing.
"""
