"""`hes query`: SQL on ClickHouse, wherever it is."""

from __future__ import annotations

from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError, unreachable
from connectors.cli.output import FormatOption, emit
from streams.runtime.errors import FatalError, TemporaryError


def query(
    sql: Annotated[str, typer.Argument(help='a statement, such as "SELECT count() FROM hes.intervals"')],
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Run a statement on ClickHouse and print its rows."""
    from connectors.clickhouse.errors import RefusedError, TableError
    from connectors.clickhouse.store import open_store

    given = context.settings()
    try:
        result = open_store(given.clickhouse).query(sql)
    except TemporaryError as error:
        raise unreachable(str(error)) from error
    except (RefusedError, FatalError) as error:
        mend = f'`hes query "SHOW DATABASES"` and "SHOW TABLES FROM {given.clickhouse.database}" list what there is; '
        mend += "`hes run clickhouse` makes the tables"
        raise CommandError(error.said if isinstance(error, TableError) else str(error), mend=mend) from error
    emit((dict(zip(result.names, row, strict=True)) for row in result.rows), format, empty="no rows")


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(query)
