"""The `hes` command: its tree, and how whatever goes wrong is said."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import structlog
import typer

from connectors.cli.failure import DONE_WITH_FAILURES, CommandError
from connectors.cli.output import say

app = typer.Typer(
    name="hes",
    help="A head-end system: reads smart meters, takes what they push, and speaks Kafka to everything behind it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_DEBUG = "HES_DEBUG"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - every other command starts faster without it

        print(f"hes {version('hes')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", envvar=_DEBUG, help="show tracebacks")] = False,
    _version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """Take what holds for every command."""
    if debug:
        os.environ[_DEBUG] = "1"
    _quieten(debug=debug)


def _quieten(*, debug: bool) -> None:
    """Keep libraries and services off stdout, and off stderr unless they are asked: a command speaks for itself.

    `hes run` sets up a service's own log after this.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.ERROR),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    if not debug:
        # librdkafka writes to stderr itself where no handler takes its records, hundreds of them in an outage.
        logging.getLogger("librdkafka").addHandler(logging.NullHandler())


def main() -> None:
    """Run the command that the command line names."""
    from connectors.cli import commands  # noqa: PLC0415 - registers the commands on `app`, which must exist first

    commands.register(app)
    try:
        app()
    except CommandError as error:
        if os.environ.get(_DEBUG):
            raise
        say(f"[red]error[/]: {error}")
        if error.mend:
            say(f"  try: {error.mend}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        say(f"[red]error[/]: {type(error).__name__}: {error}")
        say("  try: the same with --debug, and report what it shows")
        sys.exit(DONE_WITH_FAILURES)


if __name__ == "__main__":
    main()
