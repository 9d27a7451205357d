from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from connectors.cli import output
from connectors.cli.output import Format, cell, chosen, dumps, emit, row_of, say
from schemas.records import Alarm, AlarmKind, Identity, IdentityKind, Job, Meter

ROWS: list[dict[str, Any]] = [{"id": "a", "count": 1}, {"id": "b", "count": None, "more": [1, "x"]}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    monkeypatch.setattr(output, "stderr", Console(file=out, highlight=False, width=80))
    return out


JSON = {
    "order of names stays": ({"b": 1, "a": 2}, '{"b": 1, "a": 2}'),
    "octets": ({"x": b"\x7e\xa0"}, '{"x": "7EA0"}'),
    "other octets": ({"x": bytearray(b"\x01"), "y": memoryview(b"\xff")}, '{"x": "01", "y": "FF"}'),
    "letters of every language": ({"x": "Zähler"}, '{"x": "Zähler"}'),
    "line ends stay inside": ({"x": "a\nb"}, '{"x": "a\\nb"}'),
    "time in a zone": ({"x": datetime(2026, 1, 2, 3, tzinfo=UTC)}, '{"x": "2026-01-02T03:00:00+00:00"}'),
    "time without one is UTC": ({"x": datetime(2026, 1, 2, 3)}, '{"x": "2026-01-02T03:00:00+00:00"}'),  # noqa: DTZ001, RUF100 - the case
    "no number": (
        {"x": float("nan"), "y": [float("inf")], "z": {"q": -float("inf")}},
        '{"x": null, "y": [null], "z": {"q": null}}',
    ),
    "number": (
        {"x": 0.1, "y": 10**20, "z": None, "t": True},
        '{"x": 0.1, "y": 100000000000000000000, "z": null, "t": true}',
    ),
    "record": ({"x": Identity(IdentityKind.SERIAL, "7")}, '{"x": {"kind": "SERIAL", "value": "7"}}'),
    "decimal": ({"x": Decimal("1.50")}, '{"x": "1.50"}'),
}


@pytest.mark.parametrize(("row", "line"), JSON.values(), ids=JSON)
def test_json(row: dict[str, Any], line: str) -> None:
    assert dumps(row) == line
    json.loads(line)


CELLS = {
    "text": ("a b", "a b"),
    "nothing": (None, ""),
    "number": (1.5, "1.5"),
    "truth": (True, "true"),
    "octets": (b"\x7e", "7E"),
    "time": (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    "list": (["a", b"\x01"], '["a", "01"]'),
    "object": ({"a": 1}, '{"a": 1}'),
    "escape sequence": ("\x1b[2Jgone", "\\u001b[2Jgone"),
    "C1 control": ("\x9b2J", "\\u009b2J"),
    "right to left override": ("a\u202eb", "a\\u202eb"),
    "line end": ("a\nb", "a\\nb"),
}


@pytest.mark.parametrize(("value", "shown"), CELLS.values(), ids=CELLS)
def test_cell(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_cell_of_a_table_may_have_lines() -> None:
    assert cell("a\n\tb\r\x1b", lines=True) == "a\n\tb\\r\\u001b"


def test_one_object_a_line_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[str] = []

    def rows() -> Any:
        yield ROWS[0]
        printed.append(capsys.readouterr().out)
        yield ROWS[1]

    assert emit(rows(), Format.JSON) == 2
    assert printed == ['{"id": "a", "count": 1}\n']
    assert capsys.readouterr().out == '{"id": "b", "count": null, "more": [1, "x"]}\n'


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert emit(ROWS, Format.TEXT) == 2
    assert capsys.readouterr().out == 'a  1\nb    [1, "x"]\n'


def test_table_has_every_name_and_is_not_folded_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert emit([*ROWS, {"id": "c" * 300, "count": 30}], Format.TABLE) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [["id", "count", "more"], ["a", "1"], ["b", "[1,", '"x"]']]
    assert lines[3].split() == ["c" * 300, "30"]
    assert len(lines) == 4


def test_table_takes_no_markup_and_no_control_from_data(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"detail": "[/red] [bold]x[/] \x1b[2J"}], Format.TABLE)
    assert capsys.readouterr().out.splitlines()[1].rstrip() == "[/red] [bold]x[/] \\u001b[2J"


@pytest.mark.parametrize("format", [Format.JSON, Format.TEXT])
def test_nothing_is_nothing_on_a_pipe(format: Format, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: A002 - the option's name
    assert emit([], format) == 0
    assert capsys.readouterr() == ("", "")


def test_empty_table_says_so_beside_the_data(capsys: pytest.CaptureFixture[str], errors: io.StringIO) -> None:
    assert emit([], Format.TABLE, empty="no meters yet") == 0
    assert (capsys.readouterr().out, errors.getvalue()) == ("", "no meters yet\n")


@pytest.mark.parametrize(
    ("terminal", "asked", "taken"),
    [
        (True, None, Format.TABLE),
        (False, None, Format.JSON),
        (True, Format.JSON, Format.JSON),
        (False, Format.TABLE, Format.TABLE),
        (False, Format.TEXT, Format.TEXT),
    ],
)
def test_format(terminal: bool, asked: Format | None, taken: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal() if terminal else io.StringIO())
    assert chosen(asked) is taken


WORDS = {
    "plain": ("all is well", "all is well\n"),
    "a style first": ("[red]error[/]: broken", "error: broken\n"),
    "brackets of a message": ("[red]error[/]: no [/x] in [data]", "error: no [/x] in [data]\n"),
    "brackets only": ("file [a].hex", "file [a].hex\n"),
    "lines": ("its log ends with:\na\nb", "its log ends with:\na\nb\n"),
    "escape sequence": ("[yellow]x\x1b[2J[/]: y\x1b[2J", "x\\u001b[2J: y\\u001b[2J\n"),
}


@pytest.mark.parametrize(("words", "shown"), WORDS.values(), ids=WORDS)
def test_say(words: str, shown: str, errors: io.StringIO) -> None:
    say(words)
    assert errors.getvalue() == shown


def test_say_styles_only_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(output, "stderr", Console(file=out, highlight=False, force_terminal=True, color_system="standard"))
    say("[red]error[/]: [bold]x[/]")
    assert out.getvalue() == "\x1b[31merror\x1b[0m: [bold]x[/]\n"


def test_times_of_a_record() -> None:
    row = row_of(Alarm(id="a", kind=AlarmKind.OUTAGE, occurred_at=1_767_226_500_000, received_at=10**18))
    assert row["occurred_at"] == "2026-01-01T00:15:00.000Z"
    assert row["received_at"] == 10**18  # beyond the calendar
    assert row_of(Job(from_time=None, to_time=1_000))["to_time"] == "1970-01-01T00:00:01.000Z"
    assert row_of(Job())["from_time"] is None
    assert row_of(Meter(identities=(Identity(IdentityKind.SERIAL, "7"),)))["identities"] == [
        {"kind": "SERIAL", "value": "7"}
    ]


def test_a_reader_that_left_is_no_traceback() -> None:
    program = (
        "from connectors.cli.main import app\n"
        "from connectors.cli.output import emit, Format\n"
        "@app.command()\n"
        "def flood(): emit(({'n': n} for n in range(1_000_000)), Format.JSON)\n"
        "app(['flood'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b'{"n": 0}\n'
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() in (0, 1)


def test_a_terminal_too_narrow_for_a_table_gets_a_line_a_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "_WIDE", 60)
    names = ("command", "state", "operation", "requested_by", "received", "reason")
    emit([{name: f"{name} of a command" for name in names} | {"code": ""}] * 2, Format.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines[:6]] == [f"{name} {name} of a command" for name in names]
    assert lines[:7] == lines[7:]


@pytest.mark.parametrize("width", [200, 50])
def test_a_long_table_looks_like_a_short_one(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long one is printed without rich, which is what it is held against; where cells are folded, by rich all the same."""
    rows = [
        {"id": f"meter {n}", "count": n * 7, "place": "Zählpunkt 東京" if n % 3 else None, "x": "a" * (n % 17)}
        for n in range(50)
    ]
    monkeypatch.setattr(output, "_WIDE", width)
    emit(rows, Format.TABLE)
    by_rich = capsys.readouterr().out
    monkeypatch.setattr(output, "_MANY", 10)
    emit(rows, Format.TABLE)
    assert capsys.readouterr().out == by_rich
