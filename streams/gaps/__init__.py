"""Gaps: what was expected against what arrived, and the reads that fill what is missing.

    hes.ticks ──────────────┐ what is expected, of whom, until when
    hes.readings.intervals ─┼─▶ book ─▶ hes.gaps          a bit an interval, of every meter, for some days
    hes.command-acks ───────┘    ├───▶ hes.jobs.bulk       backfill, of merged ranges, bounded in number and age
                                 ├───▶ hes.events.urgent   gap-given-up, loudly
                                 └───▶ hes.read-success    by day, segment and schedule

Everything is keyed by meter, so who has a partition of the readings keeps the book of its meters, and writes it down on the
same partition of hes.gaps before the readings count as taken. Bits only rise: the same reading twice is as once. `expect`,
`grid`, `ranges`, `book` and `success` are pure; `service` is Kafka.
"""
