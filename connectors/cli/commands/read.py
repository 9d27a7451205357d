"""`hes read`: meters read on demand; waits, prints what they said, ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, usage
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import FormatOption, emit, say
from schemas.records import Operation, Target

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.cli.watching import Watch
    from schemas.records import CommandAck, CommandRequest, IntervalReadings, RegisterReadings

_READINGS = ("hes.readings.registers", "hes.readings.intervals")
_LATE_S = 5.0
"""How long a reading may come behind the acknowledgement: it takes another way."""


def read(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="meters, by id")],
    objects: Annotated[
        list[str] | None, typer.Option("--object", "-o", help="class/OBIS/attribute; else the template's")
    ] = None,
    profile: Annotated[str, typer.Option(help="a profile instead: load, daily or billing")] = "",
    events: Annotated[bool, typer.Option("--events", help="the event logs instead")] = False,
    clock: Annotated[bool, typer.Option("--clock", help="the clock instead")] = False,
    start: Annotated[str, typer.Option("--from", help="profiles and logs: from here on (ISO 8601 with offset)")] = "",
    end: Annotated[str, typer.Option("--to", help="… up to here")] = "",
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait at most")] = 700,
    operator: AsOption = "",
    key: KeyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Read meters now: registers, a profile, event logs or the clock. The time that each stage took goes to stderr."""
    from connectors.cli.asking import ACKS, ask, latency, request_of
    from connectors.cli.signing import person
    from connectors.cli.watching import Watch, encoded
    from schemas.signatures import digest
    from streams.commands.case import job_id

    if sum(map(bool, (profile, events, clock))) > 1:
        raise usage("only one of --profile, --events and --clock can be read at once", "read one after the other")
    operation = Operation.READ_REGISTERS
    if profile:
        operation = Operation.READ_PROFILE
    elif events:
        operation = Operation.READ_EVENT_LOG
    elif clock:
        operation = Operation.READ_CLOCK
    given = context.settings()
    by = person(operator, key) if operator or key else None
    codec = encoded(given)
    began = time.monotonic()
    with Watch(given, [ACKS, *_READINGS], codec) as watch:
        request = request_of(
            given,
            by.name if by else "cli",
            operation,
            Target(meters=tuple(sorted(set(ids)))),
            objects=tuple(objects or ()),
            from_time=_time("--from", start),
            to_time=_time("--to", end),
            parameters={"profile": profile} if profile else {},
            reason="hes read",
        )
        value = ask(watch, given, codec, request, by)
        jobs = {job_id(request.id, digest(value), meter) for meter in request.target.meters}
        ack, readings = _gather(watch, request, jobs, timeout)
    rows = [row for reading in readings for row in _rows(reading)]
    emit(rows, format, empty="no values")
    if ack is not None:
        stages = "  ".join(f"{name.removesuffix('_ms')} {value} ms" for name, value in latency(ack).items())
        say(f"{ack.state.lower()} in {time.monotonic() - began:.2f} s  {stages}")
    if ack is None or ack.state != "DONE":
        say("[red]not read[/]: it did not end in time" if ack is None else f"[red]not read[/]: {ack.code} {ack.detail}")
        raise typer.Exit(DONE_WITH_FAILURES)


def _gather(
    watch: Watch, request: CommandRequest, jobs: set[str], timeout: float
) -> tuple[CommandAck | None, list[IntervalReadings | RegisterReadings]]:
    """The acknowledgement that ended the command, and what its jobs read, by id: none twice.

    Both come on ways of their own. Behind the end, readings are waited for until as many rows are there as jobs have told.
    """
    from connectors.cli.asking import ENDED
    from connectors.cli.failure import unreachable
    from connectors.cli.signing import ANSWER_S, NOT_ANSWERED
    from schemas.records import CommandAck, IntervalReadings, RegisterReadings

    last: CommandAck | None = None
    told: dict[str, int] = {}
    readings: dict[str, IntervalReadings | RegisterReadings] = {}
    now = time.monotonic()
    until, answer_by = now + timeout, now + ANSWER_S
    keys = {request.id, *request.target.meters}
    while (now := time.monotonic()) < until and (last is not None or now < answer_by):
        for record, _ in watch.records(0.02, keys):
            if isinstance(record, IntervalReadings | RegisterReadings) and record.job_id in jobs:
                readings[record.id] = record
            elif isinstance(record, CommandAck) and record.command_id == request.id:
                if record.job_id in jobs:
                    told[record.job_id] = record.rows
                elif not record.job_id:
                    last = record
        if last is None or last.state not in ENDED:
            continue
        if last.rows:
            told.setdefault(next(iter(jobs)), last.rows)
        if last.state == "REJECTED" or (
            len(told) == len(jobs) and sum(map(_count, readings.values())) >= sum(told.values())
        ):
            return last, list(readings.values())
        if answer_by:
            until, answer_by = min(until, time.monotonic() + _LATE_S), 0.0
    if last is None:
        raise unreachable(NOT_ANSWERED, "start it, and read again")
    return last if last.state in ENDED else None, list(readings.values())


def _count(reading: IntervalReadings | RegisterReadings) -> int:
    rows = getattr(reading, "rows", None)
    return int(rows) if rows is not None else len(getattr(reading, "registers", ()))


def _rows(reading: IntervalReadings | RegisterReadings) -> list[dict[str, Any]]:
    """What a person reads: one row a register, or one an interval."""
    from schemas.records import RegisterReadings
    from streams.runtime.clock import iso

    if isinstance(reading, RegisterReadings):
        return [
            {
                "meter": reading.meter_id,
                "time": iso(reading.captured_at),
                "obis": register.obis,
                "raw": register.value,
                "scaler": register.scaler,
                "unit": register.unit,
                "value": _scaled(register.value, register.scaler),
            }
            for register in reading.registers
        ]
    ends = reading.ends or [reading.first_end + index * reading.period_s * 1000 for index in range(reading.rows)]
    columns = {
        f"{channel.obis}{' ' if channel.unit else ''}{channel.unit}": [
            _scaled(value, channel.scaler)
            for value in (channel.longs or channel.nullable_longs or channel.doubles or channel.texts)
        ]
        for channel in reading.channels
    }
    return [
        {"meter": reading.meter_id, "time": iso(at)} | {name: values[index] for name, values in columns.items()}
        for index, at in enumerate(ends)
    ]


def _scaled(value: Any, scaler: int | None) -> Any:
    """A meter's integer with its scaler applied, exactly as long as it is an integer."""
    if not isinstance(value, int) or not scaler:
        return value
    return value * 10**scaler if scaler > 0 else round(value / 10**-scaler, -scaler)


def _time(option: str, text: str) -> int | None:
    from datetime import datetime

    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise usage(f"{option} {text!r} is no time", "write it as 2026-03-01T00:00:00+01:00") from None
    if at.tzinfo is None:
        raise usage(f"{option} {text!r} has no offset from UTC", "add one, such as +01:00 or Z")
    return round(at.timestamp() * 1000)


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(read)
