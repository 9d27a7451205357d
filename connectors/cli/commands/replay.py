"""`hes replay`: meter data through the pipeline again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, unreachable, usage
from connectors.cli.output import FormatOption, emit, say
from schemas.registry import RegistryError
from streams.runtime.errors import FatalError, TemporaryError

REACHES = ("oms", "fraud")


def replay(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="telegrams: hex, binary or pcap; - is standard input")
    ] = None,
    from_topic: Annotated[
        str, typer.Option(help="a topic instead: hes.frames is decoded again, events are passed on again")
    ] = "",
    meter: Annotated[str, typer.Option(help="of this meter only")] = "",
    start: Annotated[str, typer.Option("--from", help="records written at or after this time (ISO 8601)")] = "",
    end: Annotated[str, typer.Option("--to", help="records written before this time (ISO 8601)")] = "",
    rate: Annotated[float, typer.Option(min=0, help="records a second at most; 0 is no limit")] = 0,
    limit: Annotated[int, typer.Option(min=0, help="end after so many records; 0 is no limit")] = 0,
    reach: Annotated[list[str] | None, typer.Option(help="let it reach oms or fraud too, which replays do not")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="from the beginning, also where an earlier run stopped half way")
    ] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Send meter data through the pipeline again: same times, same ids, so that nothing is counted twice.

    Telegrams that cannot be read become dead letters, and make the exit code 1. Records are marked with a replay id. A run
    that was interrupted goes on where it stopped, by the same command.
    """
    from connectors.cli.replaying import Replay, Wanted

    if bool(files) == bool(from_topic):
        raise usage("give files, or --from-topic", "`hes replay capture.pcap`, or `hes replay --from-topic hes.frames`")
    if unknown := [name for name in reach or () if name not in REACHES]:
        raise usage(f"--reach {unknown[0]} is no service that a replay can reach", "there are " + ", ".join(REACHES))
    if missing := next((name for name in files or () if name != "-" and not Path(name).exists()), None):
        raise usage(f"there is no file {missing}", "give hex, binary or pcap files; - is standard input")
    if files and (start or end or meter):
        raise usage("--meter, --from and --to are for --from-topic", "files are replayed whole")
    wanted = Wanted(meter, _time("--from", start), _time("--to", end), rate, limit, tuple(reach or ()))
    try:
        replaying = Replay(context.settings(), context.home().data("replays"), wanted)
        summary = replaying.topic(from_topic, restart=restart) if from_topic else replaying.files(files or [])
    except (TemporaryError, RegistryError) as error:
        raise unreachable(str(error)) from error
    except FatalError as error:
        raise CommandError(str(error)) from error
    emit([summary], format)
    if failed := sum(summary.get("dead_letters", {}).values()):
        say(f"{failed:,} of {summary['telegrams']:,} telegrams became dead letters; `hes dead-letters list` says why")
        raise typer.Exit(DONE_WITH_FAILURES)


def _time(option: str, text: str) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise usage(f"{option} {text} is no time", "write it like 2026-03-01T00:00:00Z") from error
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(replay)
