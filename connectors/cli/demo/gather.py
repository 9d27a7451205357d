"""What topics and tables hold at the end of a run, for `reconcile`."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

from connectors.cli.demo.reconcile import Found, IntervalKey
from connectors.cli.failure import CommandError
from connectors.cli.topics import decoded, read_topic
from connectors.clickhouse.store import Store, open_store
from schemas.codec import CodecError
from schemas.records import (
    Alarm,
    Cause,
    CommandAck,
    DeadLetter,
    IntervalReadings,
    OutageEvent,
    Record,
    RegisterReadings,
    TamperEvent,
)
from streams.runtime.settings import Settings

_EVENTS = (IntervalReadings, RegisterReadings, Alarm)
_LONGEST_RUN = 4
_LANES = ("hes.events.bulk", "hes.events.urgent")
_READINGS = ("hes.readings.intervals", "hes.readings.registers", "hes.alarms")


def gather(given: Settings, window: tuple[int, int]) -> Found:
    """Everything of this run. `window` is the span of interval ends that were asked for, in milliseconds."""
    found = Found()
    for topic in _LANES:
        found.event_ids |= {record.id for record in _records(given, topic) if isinstance(record, _EVENTS)}
    for topic in _READINGS:
        for record in _records(given, topic):
            if isinstance(record, _EVENTS):
                found.routed_ids.add(record.id)
            if isinstance(record, RegisterReadings | Alarm):
                found.kept_ids.add(record.id)
            if isinstance(record, RegisterReadings) and record.cause is Cause.PUSH:
                found.registers.append(record)
            elif isinstance(record, Alarm):
                found.alarms.append(record)
    found.acknowledged = {r.job_id for r in _records(given, "hes.command-acks") if isinstance(r, CommandAck)}
    found.outages = [record for record in _records(given, "oms.outages") if isinstance(record, OutageEvent)]
    found.tampers = [record for record in _records(given, "fraud.tampers") if isinstance(record, TamperEvent)]
    found.dead_letters = [record for record in _records(given, "hes.dead-letters") if isinstance(record, DeadLetter)]
    found.dead_letter_digests = _digests(found.dead_letters)
    store = open_store(given.clickhouse)
    try:
        found.stored_ids = _stored_ids(store, given.clickhouse.database)
        jobs = store.query(f"SELECT DISTINCT job_id FROM {given.clickhouse.database}.command_acks")  # noqa: S608 - names are ours
        found.acknowledged_stored = set(jobs.column("job_id"))
        found.intervals = _intervals(store, given.clickhouse.database, window)
    finally:
        store.close()
    return found


def _records(given: Settings, topic: str) -> Iterator[Record]:
    for _, record in decoded(given, read_topic(given, topic)):
        if isinstance(record, CodecError):
            raise CommandError(f"{topic} holds what is no record: {record}")
        yield record


def _digests(letters: list[DeadLetter]) -> dict[str, set[str]]:
    """Dead letters by the SHA-256 of their bytes; those that one connection left one after another count together, too."""
    ids: dict[str, set[str]] = {}
    connections: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        connections.setdefault(letter.endpoint, []).append(letter)
    for found in connections.values():
        for first, length in itertools.product(range(len(found)), range(1, _LONGEST_RUN + 1)):
            run = found[first : first + length]
            ids.setdefault(hashlib.sha256(b"".join(letter.data for letter in run)).hexdigest(), set()).update(
                letter.id for letter in run
            )
    return ids


def _stored_ids(store: Store, database: str) -> set[str]:
    ids: set[str] = set()
    for table in ("registers", "alarms"):
        ids |= set(store.query(f"SELECT DISTINCT id FROM {database}.{table}").column("id"))  # noqa: S608 - names are ours
    return ids


def _intervals(store: Store, database: str, window: tuple[int, int]) -> dict[IntervalKey, list[int]]:
    rows = store.query(
        f"SELECT meter_id, channel, toUnixTimestamp(ts) AS at, value FROM {database}.intervals FINAL"  # noqa: S608 - names are ours
        " WHERE ts >= toDateTime(%(start)s) AND ts < toDateTime(%(end)s)",
        {"start": window[0] // 1000, "end": window[1] // 1000},
    ).rows
    intervals: dict[IntervalKey, list[int]] = {}
    for meter, channel, at, value in rows:
        intervals.setdefault((meter, channel, at * 1000), []).append(value)
    return intervals
