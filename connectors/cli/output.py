"""Data to stdout in the format asked for; words and progress to stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from schemas.records import Millis, Record
from streams.runtime.clock import iso


class Format(StrEnum):
    """How data is printed."""

    JSON = "json"
    TABLE = "table"
    TEXT = "text"


FormatOption = Annotated[
    Format | None, typer.Option("--format", "-f", help="json: one object a line; default: table on a terminal")
]

stderr = Console(stderr=True, highlight=False)
_WIDE = 10_000
_MANY = 500
_LEGIBLE = 12
_STYLED = re.compile(r"\[([a-z ]+)\](.*?)\[/\]", re.DOTALL)


def say(words: str) -> None:
    """A line for the person, not for the pipe. It may begin with a style, as in "[red]error[/]: …"; the rest is as it is."""
    styled = _STYLED.match(words)
    line = Text()
    if styled:
        line.append(_shown(styled[2], lines=True), styled[1])
    line.append(_shown(words[styled.end() :] if styled else words, lines=True))
    stderr.print(line, soft_wrap=True)


def chosen(format: Format | None, on_terminal: Format = Format.TABLE) -> Format:  # noqa: A002 - the option's name
    """The format asked for; without one, a table for a person and JSON for a pipe."""
    return format or (on_terminal if sys.stdout.isatty() else Format.JSON)


def emit(rows: Iterable[Mapping[str, Any]], format: Format | None, *, empty: str = "nothing to show") -> int:  # noqa: A002 - the option's name
    """Print rows; how many there were. JSON and text are printed as they come, a table when all are there."""
    if chosen(format) is Format.TABLE:
        return _table(list(rows), empty)
    count = 0
    for row in rows:
        count += 1
        line = dumps(row) if chosen(format) is Format.JSON else "  ".join(cell(value) for value in row.values())
        print(line, flush=True)
    return count


def dumps(row: Mapping[str, Any]) -> str:
    """One object on one line; octets as hex, times in ISO 8601, what is no number as null."""
    return _line(row)


def row_of(record: Record) -> dict[str, Any]:
    """A record as a row: times in ISO 8601, octets as hex."""
    from schemas.codec import plain  # noqa: PLC0415 - it brings a Kafka client along, which `hes probe` does without

    return _readable(type(record), plain(record))


def progress(total: int | None = None, words: str = "") -> Progress:
    """A bar on stderr, on a terminal only."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    bar.add_task(words, total=total)
    return bar


def _table(rows: list[Mapping[str, Any]], empty: str) -> int:
    if not rows:
        say(empty)
        return 0
    # Where no terminal sets a width, no cell is folded.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    shown = [[cell(row.get(name), lines=True) for name in names] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *shown, strict=True)]
    if sum(min(width, _LEGIBLE) for width in widths) + 2 * (len(widths) - 1) > console.width:
        for cells in shown:
            console.print(_block(names, cells))
        return len(rows)
    if len(rows) >= _MANY and _printed_plainly(console, names, numeric, widths, shown):
        return len(rows)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, right in zip(names, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for cells in shown:
        table.add_row(*map(Text, cells))
    console.print(table)
    return len(rows)


def _block(names: list[str], cells: list[str]) -> Table:
    """A row as a line a cell: for a terminal so narrow that a table's cells would be a few letters wide."""
    block = Table.grid(padding=(0, 2, 0, 0))
    block.add_column(style="bold", no_wrap=True)
    block.add_column(overflow="fold")
    for name, text in zip(names, cells, strict=True):
        if text:
            block.add_row(name, Text(text))
    block.add_row("", "")
    return block


def _printed_plainly(
    console: Console, names: list[str], numeric: list[bool], widths: list[int], shown: list[list[str]]
) -> bool:
    """Print what rich would, which takes half a millisecond a row. False where a cell has to be folded, or has lines."""
    if sum(widths) + 2 * (len(widths) - 1) > console.width or any("\n" in text for cells in shown for text in cells):
        return False

    def line(cells: list[str]) -> str:
        pads = [" " * (width - cell_len(text)) for width, text in zip(widths, cells, strict=True)]
        return "  ".join(p + text if right else text + p for p, text, right in zip(pads, cells, numeric, strict=True))

    console.print(Text(line(names), "bold"), soft_wrap=True)
    for cells in shown:
        print(line(cells), file=console.file)
    return True


def cell(value: Any, *, lines: bool = False) -> str:
    """A value as a person reads it, without what would steer the terminal; on one line unless `lines`."""
    if value is None:
        return ""
    return _shown(value if isinstance(value, str) else _shown_json(value), lines=lines)


def _shown_json(value: Any) -> str:
    plainly = _json(value) if not isinstance(value, Mapping | list | tuple | int | float | None) else value
    return plainly if isinstance(plainly, str) else _line(plainly)


def _shown(text: str, *, lines: bool) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else json.dumps(c)[1:-1] for c in text)


def _line(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_json, allow_nan=False, separators=(", ", ": "))
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_json, separators=(", ", ": "))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _json(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex().upper()
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        from schemas.codec import plain  # noqa: PLC0415 - as above

        return plain(value)
    return str(value)


def _times(cls: type) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        # Annotations are text here; a time is declared by the alias, alone or with null.
        if str(field.type) in ("Millis", "Millis | None", str(Millis)):
            yield field.name


def _readable(cls: type, row: dict[str, Any]) -> dict[str, Any]:
    for name in _times(cls):
        if row.get(name):
            with contextlib.suppress(ValueError, OverflowError):  # no calendar has it: the number says so
                row[name] = iso(row[name])
    return row
