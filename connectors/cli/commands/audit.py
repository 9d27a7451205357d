"""`hes audit`: who did what, and that nothing of it was changed since; a chain for each service that writes one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, usage
from connectors.cli.output import FormatOption, emit, row_of, say

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from schemas.records import AuditEntry

TOPIC = "hes.audit"
audit = typer.Typer(help="The audit chain: who did what, chained by hash.", no_args_is_help=True)


@audit.command()
def verify(
    expect: Annotated[
        list[str] | None,
        typer.Option(help="SEQUENCE:HASH noted earlier, CHAIN:SEQUENCE:HASH of a named chain: finds also one written anew"),
    ] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Walk every chain, and name the first record that was altered, left out, put in or replaced; exit code 1 then, and
    where there is a record that is no entry, which is passed over.

    Note the heads that it prints somewhere else: whoever can write the whole topic anew cannot change your note.
    """
    from streams.runtime.authority.chain import START, Break, Link, walk_all

    wanted = [_expected(text) for text in expect or ()]
    reader = _Reader()
    # The chain of commands is told even where nothing is on it.
    ends: dict[str, Link] = {"": START}
    found: Break | None = None
    agrees: set[tuple[str, int, bytes]] = set()
    for chain, step in walk_all(reader.entries()):
        if isinstance(step, Break):
            found = step
            break
        ends[chain] = step
        if (chain, step.sequence, step.hash) in wanted:
            agrees.add((chain, step.sequence, step.hash))
    faults = {} if found is None else {found.chain: found.what}
    for chain, sequence, digest in wanted:
        if not faults and (chain, sequence, digest) not in agrees:
            faults[chain] = f"entry {sequence} is not the one that was noted: the chain was written anew, or cut short"
    rows: list[dict[str, Any]] = []
    for chain in sorted(ends.keys() | faults.keys()):
        at, what = ends.get(chain, START), faults.get(chain, "")
        head = f"{chain}:{at.sequence}:{at.hash.hex()}" if chain else f"{at.sequence}:{at.hash.hex()}"
        row: dict[str, Any] = {"chain": chain or "commands", "sound": not what, "entries": at.sequence, "head": head}
        if what:
            row |= {"broken_at": at.sequence + 1, "offset": reader.offset, "what": what}
        rows.append(row)
    if reader.foreign:
        offset, what = next(iter(reader.foreign.items()))
        row = {"chain": "", "sound": False, "entries": len(reader.foreign), "offset": offset}
        rows.append(row | {"what": f"no audit entry: {what}"})
    emit(rows, format)
    for offset, what in reader.foreign.items():
        say(f"[red]no audit entry[/] at offset {offset} of {TOPIC}, passed over: {what}; find out who can write there")
    for chain, what in faults.items():
        say(f"[red]the chain {chain or 'of commands'} does not hold[/] at offset {reader.offset} of {TOPIC}: {what}")
    if faults or reader.foreign:
        raise typer.Exit(DONE_WITH_FAILURES)


@audit.command("list")
def list_(
    subject: Annotated[str, typer.Option(help="about this command, operator or control only")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="only what was refused or failed")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="the last so many; 0 is all")] = 50,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """List entries of the chain, without verifying it."""
    rows = []
    for entry in _Reader().entries():
        if subject in ("", entry.subject) and (entry.code or not refused):
            row = row_of(entry)
            names = ("chain", "sequence", "at", "actor", "action", "subject", "code", "detail")
            rows.append({name: row[name] for name in names})
    emit(rows[-last:] if last else rows, format, empty="the chain has no such entries")


class _Reader:
    """The entries of the topic, where it is, and what else it found there."""

    def __init__(self) -> None:
        self.offset = -1
        self.foreign: dict[int, str] = {}
        """What a record is that is no entry, by offset: in no chain, so it can neither hide nor replace an entry."""

    def entries(self) -> Iterator[AuditEntry]:
        from connectors.cli.topics import decoded, read_topic
        from schemas.records import AuditEntry

        given = context.settings()
        for message, record in decoded(given, read_topic(given, TOPIC)):
            self.offset = message.offset() or 0
            if isinstance(record, AuditEntry):
                yield record
            else:
                self.foreign[self.offset] = str(record) if isinstance(record, Exception) else type(record).__name__


def _expected(text: str) -> tuple[str, int, bytes]:
    """Chain, sequence and hash of a head as it was printed."""
    head, _, digest = text.rpartition(":")
    chain, _, sequence = head.rpartition(":")
    try:
        return chain, int(sequence), bytes.fromhex(digest)
    except ValueError:
        raise usage(
            f"--expect {text[:40]!r} is not SEQUENCE:HASH", "give the head as `hes audit verify` printed it"
        ) from None


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(audit, name="audit")
