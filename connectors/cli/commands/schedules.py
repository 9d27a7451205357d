"""`hes schedules`: what is read and when, on hes.schedules."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError, unreachable
from connectors.cli.output import FormatOption, dumps, emit, row_of, say
from connectors.cli.schedule_files import read_schedules
from connectors.cli.topics import decoded, read_topic, tell_unread
from schemas.codec import CodecError
from schemas.records import Schedule, Tick
from schemas.registry import RegistryError
from streams.runtime.clock import SystemClock, iso
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of
from streams.schedules.cron import due_after
from streams.schedules.due import next_due
from streams.schedules.rules import problems, warnings

TOPIC, TICKS = "hes.schedules", "hes.ticks"
schedules = typer.Typer(help="Schedules: what is read and when, for whom.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="the schedule's id")]


@schedules.command("set")
def set_(
    file: Annotated[
        Path, typer.Option("--file", "-f", exists=True, dir_okay=False, help="YAML; `hes schedules example` shows one")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only read and check")] = False,
) -> None:
    """Set the schedules of a file; others stay as they are. A change takes effect with the next tick."""
    given, now = context.settings(), SystemClock().now_ms()
    wanted = read_schedules(file)
    for each in wanted:
        for warning in warnings(each, now):
            say(f"[yellow]note[/]: {each.id}: {warning}")
    known = {} if dry_run else _known(given)
    records = [_activated(each, known.get(each.id), now) for each in wanted]
    if not dry_run:
        _send(given, [(each.id, each) for each in records])
    emit((_row(each, None, now) for each in records), None)


@schedules.command("list")
def list_(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """List the schedules, when each is due next, and what its last tick planned."""
    given, now = context.settings(), SystemClock().now_ms()
    known, ticks = _known(given), _ticks(given)
    rows = (_row(known[name], ticks.get(name), now) for name in sorted(known))
    emit(
        rows,
        format,
        empty="no schedules yet; `hes schedules example profile-15min > FILE`, then `hes schedules set -f FILE`",
    )


@schedules.command()
def show(
    schedule_id: Id,
    coming: Annotated[int, typer.Option("--next", "-n", min=0, max=1_000, help="so many of the times it is due next")] = 0,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Show a schedule with its last tick, or when it is due next."""
    given, now = context.settings(), SystemClock().now_ms()
    schedule = _one(given, schedule_id)
    if not coming:
        tick = _ticks(given).get(schedule_id)
        print(dumps({"schedule": row_of(schedule), "last_tick": None if tick is None else row_of(tick)}))
        return
    if not schedule.enabled:
        say("[yellow]note[/]: it is disabled; these are the times at which it would be due")
    zone = ZoneInfo(schedule.time_zone or "UTC")
    times = list(islice(due_after(schedule.cron, schedule.time_zone, now), coming + 1))
    rows = (
        {
            "due": iso(at),
            "local": datetime.fromtimestamp(at / 1_000, zone).isoformat(timespec="minutes"),
            "window_ends": iso(at + schedule.window_s * 1_000),
            "hours_to_next": round((after - at) / 3_600_000, 2),
        }
        for at, after in pairwise(times)
    )
    emit(rows, format)


@schedules.command()
def remove(schedule_id: Id) -> None:
    """Remove a schedule. What is planned for it and not sent yet never is."""
    given = context.settings()
    _one(given, schedule_id)
    _send(given, [(schedule_id, None)])
    print(dumps({"removed": schedule_id}))


@schedules.command()
def enable(schedule_id: Id) -> None:
    """Enable a schedule, from its next time on: what was while it was disabled is not made up for."""
    _switch(schedule_id, enabled=True)


@schedules.command()
def disable(schedule_id: Id) -> None:
    """Disable a schedule. What is planned for it and not sent yet never is."""
    _switch(schedule_id, enabled=False)


@schedules.command()
def example(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="which; without a name those that there are")] = "",
) -> None:
    """Print an example that ships, to be changed and set."""
    shipped = {path.name.removesuffix(".yaml"): path for path in files("streams.schedules").joinpath("examples").iterdir()}
    if not name:
        emit(({"example": each} for each in sorted(shipped)), None)
        return
    if name not in shipped:
        raise CommandError(f"there is no example {name}", mend=f"take one of {', '.join(sorted(shipped))}")
    print(shipped[name].read_text(), end="")


def _switch(schedule_id: str, *, enabled: bool) -> None:
    given, now = context.settings(), SystemClock().now_ms()
    before = _one(given, schedule_id)
    after = _activated(replace(before, enabled=enabled), before, now)
    wrong = problems(after)
    if enabled and wrong:
        raise CommandError(f"{schedule_id} cannot be followed: {'; '.join(wrong)}", mend="set it anew from a file")
    _send(given, [(schedule_id, after)])
    print(dumps(_row(after, None, now)))


def _activated(schedule: Schedule, before: Schedule | None, now: int) -> Schedule:
    """As it is written: active since it was last switched on, or was given other times."""
    goes_on = (
        before is not None
        and before.enabled
        and schedule.enabled
        and (before.cron, before.time_zone) == (schedule.cron, schedule.time_zone)
    )
    active = before.active_from or before.updated_at if goes_on and before is not None else now
    return replace(schedule, active_from=active, updated_at=now)


def _row(schedule: Schedule, tick: Tick | None, now: int) -> dict[str, Any]:
    due = None if problems(schedule) else next_due(schedule, tick, now)
    return {
        "id": schedule.id,
        "enabled": schedule.enabled,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "operation": schedule.operation,
        "window_s": schedule.window_s,
        "period_s": schedule.period_s,
        "next": None if due is None else iso(due),
        "last": None if tick is None else iso(tick.at),
        "meters": None if tick is None else tick.meters,
        "unplaced": None if tick is None else tick.unplaced,
        "missed": None if tick is None else tick.missed,
        "description": schedule.description,
    }


def _one(given: Settings, schedule_id: str) -> Schedule:
    schedule = _known(given).get(schedule_id)
    if schedule is None:
        raise CommandError(f"there is no schedule {schedule_id}", mend="`hes schedules list` shows those that there are")
    return schedule


def _known(given: Settings) -> dict[str, Schedule]:
    return {name: record for name, record in _latest(given, TOPIC).items() if isinstance(record, Schedule)}


def _ticks(given: Settings) -> dict[str, Tick]:
    return {name: record for name, record in _latest(given, TICKS).items() if isinstance(record, Tick)}


def _latest(given: Settings, topic: str) -> dict[str, Any]:
    """The latest record of every key that is not removed."""
    latest = {message.key(): message for message in read_topic(given, topic)}
    found: dict[str, Any] = {}
    unread: list[CodecError] = []
    for message, record in decoded(given, iter([each for each in latest.values() if each.value() is not None])):
        if isinstance(record, CodecError):
            unread.append(record)
        else:
            found[(message.key() or b"").decode("utf-8", "replace")] = record
    tell_unread(topic, unread)
    return found


def _send(given: Settings, records: list[tuple[str, Schedule | None]]) -> None:
    codec, publisher = context.codec(given), Publisher(given.kafka, "hes-cli")
    try:
        for name, record in records:
            value = None if record is None else codec.encode(record)
            headers = None if record is None else headers_of(record, source="cli", at_ms=record.updated_at)
            publisher.send(TOPIC, name, value, headers)
        publisher.flush()
    except (TemporaryError, RegistryError) as error:
        raise unreachable(str(error)) from error
    except (CodecError, FatalError) as error:
        raise CommandError(str(error)) from error


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(schedules, name="schedules")
