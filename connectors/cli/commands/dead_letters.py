"""`hes dead-letters`: what could not be used, why, and trying it again after a fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, unreachable, usage
from connectors.cli.originals import LeftOut, finder, whole
from connectors.cli.output import FormatOption, dumps, emit, row_of, say
from connectors.cli.topics import decoded, read_topic
from schemas.records import DeadLetter
from schemas.registry import RegistryError
from streams.runtime.clock import iso
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.settings import Settings

TOPIC = "hes.dead-letters"
_SHOWN = 10
dead_letters = typer.Typer(help="What could not be used, why, and trying it again after a fix.", no_args_is_help=True)
Code = Annotated[str, typer.Option(help="with this code only")]
Service = Annotated[str, typer.Option(help="of this service only")]


@dead_letters.command("list")
def list_(
    code: Code = "",
    service: Service = "",
    each: Annotated[bool, typer.Option("--each", help="one a line, instead of counts by code")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Count dead letters by service and code, or list each."""
    found = unique(context.settings(), code, service)
    empty = "no dead letters" + (" of that code or service" if code or service else "")
    if each:
        emit(
            (
                {
                    "id": letter.id,
                    "at": iso(letter.at),
                    "service": letter.service,
                    "code": letter.code,
                    "meter": letter.meter_id,
                }
                | {"from": letter.endpoint or f"{letter.topic}/{letter.partition}/{letter.offset}", "detail": letter.detail}
                for letter in found
            ),
            format,
            empty=empty,
        )
        return
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], DeadLetter] = {}
    for letter in found:
        counts[letter.service, letter.code] += 1
        last[letter.service, letter.code] = letter
    rows = [
        {"service": key[0], "code": key[1], "count": count, "last": iso(last[key].at), "such as": last[key].detail}
        for key, count in counts.most_common()
    ]
    emit(rows, format, empty=empty)


@dead_letters.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID", help="the dead letter's id, or its beginning")]) -> None:
    """Show one dead letter whole, its bytes as hex."""
    found = [letter for letter in unique(context.settings(), "", "") if letter.id.startswith(letter_id)]
    if len(found) != 1:
        what = f"{len(found)} dead letters begin with {letter_id}" if found else f"there is no dead letter {letter_id}"
        raise CommandError(what, mend="`hes dead-letters list --each` shows ids")
    print(dumps(row_of(found[0])))


@dead_letters.command()
def redrive(
    code: Code = "",
    service: Service = "",
    letter_id: Annotated[str, typer.Option("--id", help="this one only")] = "",
    all_: Annotated[bool, typer.Option("--all", help="whatever the code")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Try dead letters again, after a fix: records go back to their topic, meters' bytes through the gateway's decoder.

    What fails again is a dead letter again, with the same id. Nothing happens twice: events are the same by id. Of a letter
    that holds only a record's first octets, the record itself is taken from where it stands; where it is gone the letter is
    left out.
    """
    if not (code or service or letter_id or all_):
        raise usage("nothing says which dead letters", "give --code, --service or --id, or --all")
    given = context.settings()
    chosen = [letter for letter in unique(given, code, service) if letter.id.startswith(letter_id)]
    complete, mended, left = whole(chosen, finder(given))
    counts = {
        "chosen": len(chosen),
        "to_topics": 0,
        "decoded": 0,
        "failed": 0,
        "fetched": len(mended),
        "left_out": len(left),
    }
    if not dry_run:
        from connectors.cli.redrive import redrive as drive

        try:
            done = drive(given, [*complete, *mended])
        except (TemporaryError, RegistryError) as error:
            raise unreachable(str(error)) from error
        except FatalError as error:
            raise CommandError(str(error)) from error
        counts |= {"to_topics": done.to_topics, "decoded": done.decoded, "failed": done.failed}
        _tell(done.refused)
    _tell(left)
    emit([counts], format)
    if counts["failed"]:
        say("some failed again; `hes dead-letters list` says why, of those that are not named above")
    if counts["failed"] or left:
        raise typer.Exit(DONE_WITH_FAILURES)


def _tell(left: Sequence[LeftOut]) -> None:
    for item in left[:_SHOWN]:
        say(f"[yellow]{item.letter.id}[/]: not redriven: {item.why}")
    if len(left) > _SHOWN:
        say(f"[yellow]note[/]: and so {len(left) - _SHOWN} more")


def unique(given: Settings, code: str, service: str) -> list[DeadLetter]:
    """Dead letters, each id once, in the order of their times."""
    letters: dict[str, DeadLetter] = {}
    for letter in _letters(given):
        if code in ("", letter.code) and service in ("", letter.service):
            letters[letter.id] = letter
    return sorted(letters.values(), key=lambda letter: letter.at)


def _letters(given: Settings) -> Iterator[DeadLetter]:
    for _, record in decoded(given, read_topic(given, TOPIC)):
        if isinstance(record, DeadLetter):
            yield record


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(dead_letters, name="dead-letters")
