"""What `hes replay` says and exits with; what it does on a broker is in tests/integration/test_demo.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.cli import replaying
from connectors.cli.commands import replay as command
from tests.unit.connectors.cli.typed import Hes, typing


@pytest.fixture
def hes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hes:
    return partial(typing(command.register, monkeypatch, capsys), "replay")


@pytest.mark.parametrize(
    ("summary", "code", "said"),
    [
        pytest.param({"telegrams": 3, "events": 3, "dead_letters": {}}, 0, "", id="all-read"),
        pytest.param(
            {"telegrams": 3, "events": 1, "dead_letters": {"frame-garbage": 1, "meter-unknown": 1}},
            1,
            "2 of 3 telegrams became dead letters; `hes dead-letters list` says why",
            id="some-not",
        ),
        pytest.param({"replayed": 3, "skipped": 0}, 0, "", id="events-passed-on"),
    ],
)
def test_dead_letters_make_the_exit_code_1(
    hes: Hes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: dict[str, Any], code: int, said: str
) -> None:
    monkeypatch.setattr(replaying, "Replay", lambda *_: Replayed(summary))
    monkeypatch.setenv("HES_HOME", str(tmp_path))
    file = tmp_path / "telegrams.hex"
    file.write_text("00")
    ran = hes(file)
    assert (ran.exit_code, ran.rows) == (code, [summary])
    assert said in ran.err


class Replayed:
    def __init__(self, summary: dict[str, Any]) -> None:
        self._summary = summary

    def files(self, _names: list[str]) -> dict[str, Any]:
        return self._summary
