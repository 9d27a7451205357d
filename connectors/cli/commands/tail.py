"""`hes tail`: what goes over a topic, as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.output import Format, FormatOption, chosen, emit, row_of, say
from connectors.cli.topics import Span, decoded, read_topic
from schemas.codec import CodecError
from schemas.records import IntervalReadings, Record, RegisterReadings


class What(StrEnum):
    """What can be followed."""

    READINGS = "readings"
    REGISTERS = "registers"
    ALARMS = "alarms"
    OUTAGES = "outages"
    TAMPERS = "tampers"
    ACKS = "acks"
    JOBS = "jobs"
    DEAD_LETTERS = "dead-letters"


TOPICS = {
    What.READINGS: "hes.readings.intervals",
    What.REGISTERS: "hes.readings.registers",
    What.ALARMS: "hes.alarms",
    What.OUTAGES: "oms.outages",
    What.TAMPERS: "fraud.tampers",
    What.ACKS: "hes.command-acks",
    What.JOBS: "hes.jobs.bulk",
    What.DEAD_LETTERS: "hes.dead-letters",
}


def tail(
    what: Annotated[What, typer.Argument(help="what to follow")],
    meter: Annotated[str, typer.Option(help="of this meter only")] = "",
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="all that the topic holds, first")] = False,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="end at the present end of the topic")] = False,
    limit: Annotated[int, typer.Option(help="end after so many; 0 is no limit", min=0)] = 0,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Follow readings, alarms, outages, acknowledgements or dead letters until Ctrl-C."""
    given = context.settings()
    span = Span(follow=not no_follow, from_end=not (from_beginning or no_follow))
    rows = _rows(decoded(given, read_topic(given, TOPICS[what], span)), meter)
    if not no_follow:
        since = "from its beginning" if from_beginning else "from now on; --from-beginning shows what is there, too"
        say(f"following {TOPICS[what]} {since}; Ctrl-C ends it")
    wanted = Format.TEXT if chosen(format) is Format.TABLE and not no_follow else format
    emit(islice(rows, limit) if limit else rows, wanted, empty=f"no {what} yet")


def _rows(found: Iterator[tuple[Any, Record | CodecError]], meter: str) -> Iterator[dict[str, Any]]:
    for message, record in found:
        if isinstance(record, CodecError):
            yield {
                "error": {"code": record.code, "detail": str(record)},
                "partition": message.partition(),
                "offset": message.offset(),
            }
        elif not meter or meter in (getattr(record, "meter_id", ""), *getattr(record, "meters", ())):
            yield brief(record)


def brief(record: Record) -> dict[str, Any]:
    """A record as a line: readings by what they cover, everything else in full."""
    row = row_of(record)
    if isinstance(record, IntervalReadings):
        row["channels"] = [f"{channel.obis} {channel.unit}" for channel in record.channels]
    elif isinstance(record, RegisterReadings):
        row["registers"] = {
            register.obis: _scaled(register.value, register.scaler, register.unit) for register in record.registers
        }
    return {name: value for name, value in row.items() if value not in ("", None, [], {}, "UNKNOWN")}


def _scaled(value: Any, scaler: int | None, unit: str) -> Any:
    if isinstance(value, int) and scaler:
        value = round(value * 10**scaler, max(0, -scaler))
    return f"{value} {unit}".rstrip() if unit else value


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(tail)
