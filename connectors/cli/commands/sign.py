"""`hes sign`: a request, decision, control or operator from JSON, signed; for what no command of its own asks for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import dumps, say

_TOPICS = {
    "CommandRequest": "hes.commands",
    "CommandDecision": "hes.command-decisions",
    "Control": "hes.controls",
    "Operator": "hes.operators",
}
_AUTHORS = {"CommandRequest": "requested_by", "CommandDecision": "decided_by", "Control": "issued_by"}
_STAMPS = {"CommandRequest": "requested_at", "CommandDecision": "decided_at", "Control": "issued_at"}


def sign(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, allow_dash=True, help='JSON: {"record": "Control", …}')
    ],
    operator: AsOption = "",
    key: KeyOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="write the record's exact value here", dir_okay=False)
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="write it to its topic")] = False,
) -> None:
    """Sign a record that is given as JSON with the fields of its .avsc file; who, when, where and the id are filled in.

    An Operator is signed by the root key: --as root. Nothing is sent unless --send is given.
    """
    from dataclasses import replace

    from connectors.cli.json_records import read_record
    from connectors.cli.signing import new_id, now_ms, person, seal
    from connectors.cli.watching import Watch, encoded
    from schemas.records import CommandDecision, CommandRequest, Control, Operator
    from schemas.signatures import digest

    record = read_record(file, tuple(_TOPICS))
    if not isinstance(record, CommandRequest | CommandDecision | Control | Operator):
        raise CommandError(f"a {type(record).__name__} is not signed", mend=f"give one of {', '.join(_TOPICS)}")
    given, by, kind = context.settings(), person(operator, key), type(record).__name__
    codec = encoded(given)
    filled: dict[str, object] = {}
    if kind in _AUTHORS:
        filled = {
            "environment": given.environment,
            _AUTHORS[kind]: by.name,
            _STAMPS[kind]: now_ms(),
            "id": new_id(kind, by.name),
        }
    record = replace(record, **{name: value for name, value in filled.items() if not getattr(record, name)})  # type: ignore[arg-type]  # names of its own fields
    value = seal(codec, record, given, by)
    if out is not None:
        out.write_bytes(value)
        say(f"{len(value)} octets written to {out}")
    if send:
        with Watch(given, [], codec) as watch:
            watch.send(_TOPICS[kind], record.id, record, value)
        say(f"written to {_TOPICS[kind]}; `hes audit list` tells what became of it")
    row = {"record": kind, "id": record.id, "topic": _TOPICS[kind], "digest": digest(value).hex(), "sent": send}
    print(dumps(row | {"value": base64.b64encode(value).decode()}))


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(sign)
