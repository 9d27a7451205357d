"""`hes reconcile`: what was expected of a day, what arrived, what is stored, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, unreachable, usage
from connectors.cli.output import FormatOption, emit, progress, say
from schemas.registry import RegistryError
from streams.runtime.clock import SystemClock, iso
from streams.runtime.errors import TemporaryError

if TYPE_CHECKING:
    from connectors.cli.reconcile_sources import Facts
    from connectors.cli.reconciling import Difference, Line

_LONGEST_DAYS = 400


def reconcile(
    day: Annotated[str, typer.Argument(help="a day (YYYY-MM-DD); without it, yesterday")] = "",
    to: Annotated[str, typer.Option(help="the last day of a range, included")] = "",
    zone: Annotated[str, typer.Option(help="whose days they are, where no schedule says: an IANA name")] = "UTC",
    schedule: Annotated[str, typer.Option(help="of this schedule only")] = "",
    segment: Annotated[str, typer.Option(help="of this segment only")] = "",
    each: Annotated[bool, typer.Option("--each", help="profiles of meters that differ, instead of sums by segment")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Compare what schedules expected, what is on hes.readings.intervals, and what ClickHouse has, by segment and schedule.

    Missing intervals are no disagreement, they are in the table. The exit code is 1 where topic, gap finder and ClickHouse
    do not say the same; a day that is not over, or whose readings are on their way, may differ for minutes.
    """
    from connectors.cli.reconcile_sources import span_of

    try:
        span_of(zone, 0, 900)
    except (ValueError, LookupError) as error:
        raise usage(f"--zone {zone} is no time zone", "an IANA name, such as Europe/Madrid") from error
    first = _day(day) if day else datetime.now(ZoneInfo(zone)).date() - timedelta(days=1)
    last = _day(to) if to else first
    if not 0 <= (last - first).days < _LONGEST_DAYS:
        raise usage(f"from {first} to {last} is no range of at most {_LONGEST_DAYS} days", "give the first day first")
    days = [first + timedelta(days=more) for more in range((last - first).days + 1)]
    run = _Run(zone, schedule, segment, each)
    try:
        emit(run.rows(days), format, empty="no meter differs" if each else "nothing was expected and nothing arrived")
    except (TemporaryError, RegistryError) as error:
        raise unreachable(str(error)) from error
    for line in run.notes:
        say(line)
    if run.differ:
        say(
            f"[red]{run.differ} lines do not agree[/]: `hes reconcile --each` names the meters; `hes replay --from-topic"
            " hes.readings.intervals` stores again what is on the topic"
        )
        raise typer.Exit(DONE_WITH_FAILURES)


class _Run:
    """One run of the command: rows as they come, and what is to be said afterwards."""

    def __init__(self, zone: str, schedule: str, segment: str, each: bool) -> None:
        self._zone, self._schedule, self._segment, self._each = zone, schedule, segment, each
        self.differ = 0
        self.notes: list[str] = []

    def rows(self, days: list[date]) -> Iterator[dict[str, Any]]:
        """Of every day."""
        from connectors.cli import reconcile_sources as sources
        from connectors.cli.reconciling import Place, compare
        from connectors.clickhouse.store import open_store

        given = context.settings()
        store = open_store(given.clickhouse)
        try:
            expectations, places = sources.Expectations(given), sources.places(given)
            with progress(None, "reading") as bar:
                for day in days:
                    number = sources.day_of(day.isoformat())
                    expected = expectations.on(number, self._zone)
                    other = sources.span_of(self._zone, number, 900)
                    found = sources.facts(
                        given, store, expected, other, lambda what: bar.update(bar.task_ids[0], description=what)
                    )
                    lines, differences = compare(
                        found.expected, other, found.received, found.stored, lambda meter: places.get(meter, Place())
                    )
                    self._note(day, found, other.end)
                    yield from self._of(day, lines, differences)
        finally:
            store.close()

    def _of(self, day: date, lines: list[Line], differences: list[Difference]) -> Iterator[dict[str, Any]]:
        self.differ += sum(not line.agrees for line in lines)
        if self._each:
            for found in differences:
                if self._segment in ("", found.segment):
                    counts = {"points": found.received.points, "stored": found.stored.points}
                    yield {"day": str(day), "meter": found.meter, "source": found.source, "segment": found.segment} | counts
            return
        for line in lines:
            if self._schedule in ("", line.schedule) and self._segment in ("", line.segment):
                row = {"day": str(day), "schedule": line.schedule, "network": line.network, "segment": line.segment}
                names = ("meters", "complete", "expected", "arrived", "missing", "given_up", "received", "points", "stored")
                yield row | {name: getattr(line, name) for name in names} | {"agrees": line.agrees}

    def _note(self, day: date, found: Facts, end: int) -> None:
        if found.unreadable:
            self.notes.append(
                f"{day}: {found.unreadable} records of hes.readings.intervals cannot be read; "
                "`hes dead-letters list` says why"
            )
        if found.since is not None:
            self.notes.append(f"{day}: the topic is whole only since {iso(found.since)}: what is older was deleted there")
        if SystemClock().now_ms() < end:
            self.notes.append(f"{day} is not over: what is on its way is missing, and may differ")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise usage(f"{text} is no day", "write it like 2026-03-01") from error


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(reconcile)
