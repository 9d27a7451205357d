"""Schedules to jobs: what is to be read when becomes ticks, and each tick becomes jobs spread over its window.

    hes.schedules ─┐
    the clock ─────┼─▶ due ─▶ hes.ticks            that a schedule was due is a record
    hes.meters ────┘     └──▶ plan ─▶ hes.plans    who is read when, frozen in slices of a minute
                                         └──▶ send ─▶ hes.jobs.bulk, and a tombstone on hes.plans

Both steps are Kafka transactions of the one process that has the partition of hes.ticks, under one transactional id: a
process that was paused and replaced is fenced by Kafka, and what was half done is as if it had never been begun. Since a
job's id follows from schedule, tick and meter, even two jobs for the same read would be one in effect. `core` decides and is
pure: time, meters and records are handed in; `ledger` and `service` are Kafka.
"""
