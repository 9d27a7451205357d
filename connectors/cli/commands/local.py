"""`hes local`: Kafka, a Schema Registry and ClickHouse on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from connectors.cli.failure import CANNOT_CONNECT, DONE_WITH_FAILURES, CommandError
from connectors.cli.output import Format, FormatOption, emit, say

if TYPE_CHECKING:
    from connectors.local.stack import PartStatus

local = typer.Typer(help="Kafka, Schema Registry and ClickHouse on this machine.", no_args_is_help=True)


@local.command()
def up(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """Start the stack and leave it running; a second start uses what is there, data included."""
    from connectors.cli import context
    from connectors.cli.commands.topology import apply_to
    from connectors.cli.keystore import key_store
    from connectors.local.stack import LocalStack

    with failures_named():
        stack = LocalStack()
        stack.up(say, detach=True)
    given = context.settings()
    apply_to(given, replication=1)
    if given.gateway.key_file and not Path(given.gateway.key_file).exists():
        key_store(given)  # an empty one: a gateway without keys still reads what needs none
    _show(stack.status(), format)


@local.command()
def down() -> None:
    """Stop the stack; its data stays."""
    from connectors.local.stack import LocalStack

    with failures_named():
        if not LocalStack().down(say):
            say("the local stack was not running")


@local.command()
def status(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """Show what runs and where; the exit code is 1 unless everything does."""
    from connectors.local.stack import LocalStack

    with failures_named():
        parts = LocalStack().status()
    _show(parts, format)
    if any(part.state != "running" for part in parts):
        _tell_demo()
        raise typer.Exit(DONE_WITH_FAILURES)


@contextmanager
def failures_named() -> Iterator[None]:
    """The stack's own errors as the command's."""
    from connectors.local.errors import LocalError

    try:
        yield
    except LocalError as error:
        raise CommandError(error.what, mend=error.mend, exit_code=CANNOT_CONNECT) from error


def _tell_demo() -> None:
    """The demo has a stack of its own, which other commands take where no other one runs."""
    from connectors.cli import context
    from connectors.local.home import Home
    from connectors.local.stack import running_endpoints

    if (demo := running_endpoints(Home.of(context.home().data("demo")).root)) is not None:
        say(f"the demo's own stack runs, and commands use it: Kafka {demo.kafka}, {demo.registry}, {demo.clickhouse}")


def _show(parts: list[PartStatus], format: Format | None) -> None:  # noqa: A002 - the option's name
    emit(
        [
            {"part": part.title, "state": part.state, "address": part.address, "pid": part.pid, "log": str(part.log)}
            for part in parts
        ],
        format,
    )


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(local, name="local")
