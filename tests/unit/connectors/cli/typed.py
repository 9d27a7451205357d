"""A command of `hes` as it is typed, with everything that `main` does about errors; and what it said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from connectors.cli import main as cli


class Ran:
    """How a command ended."""

    def __init__(self, exit_code: int, out: str, err: str) -> None:
        self.exit_code, self.out, self.err = exit_code, out, " ".join(err.split())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Hes = Callable[..., Ran]


def typing(
    register: Callable[[typer.Typer], object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Hes:
    """Runs `hes` with the words given, of all commands having those that `register` adds."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(cli.options)
    register(app)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr("connectors.cli.commands.register", lambda _: None)

    def run(*words: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hes", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Ran(code, said.out, said.err)

    return run
