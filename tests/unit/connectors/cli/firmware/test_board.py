"""The board: it fits a terminal of 80 columns, and says how a campaign stands."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from connectors.cli.firmware.board import board
from connectors.cli.firmware.progress import Expected, Tally
from connectors.cli.firmware.standing import Standing
from schemas.records import Campaign, CampaignMeters, CampaignProgress, CampaignState
from streams.firmware.states import LETTERS
from streams.firmware.states import Meter as State

BEGIN, DAY = 1_795_651_200_000, 86_400_000


def drawn(expects: Expected, **fields: Any) -> list[str]:
    whole: dict[str, Any] = {
        "id": "c1", "vendor": "Acme", "model": "E350", "to_version": "2.1", "state": CampaignState.WAVES,
        "wave": 2, "waves": 3, "meters": 4, "began_at": BEGIN,
        "ends": (BEGIN + 20 * DAY, BEGIN + 21 * DAY, BEGIN + 23 * DAY),
    }  # fmt: skip
    states = bytes(LETTERS[state] for state in (State.DONE, State.FAILED, State.WAITING, State.SKIPPED))
    standing = Standing(
        Campaign(**(whole | fields)),
        {0: CampaignMeters(id="c1", meters=("m1", "m2", "m3", "m4"), waves=bytes(4))},
        {0: CampaignProgress(id="c1", states=states)},
    )
    networks = Tally({"m1": "NB_IOT", "m2": "NB_IOT", "m3": "RF_MESH", "m4": "RF_MESH"}).of(standing)
    out = Console(file=io.StringIO(), width=80, highlight=False)
    out.print(board(standing, networks, expects))
    return [line.rstrip() for line in out.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # of the StringIO above


def test_how_it_stands() -> None:
    lines = drawn(Expected(BEGIN + 24 * DAY, 3 * DAY))
    assert lines[0] == "firmware 2.1 for Acme E350   campaign c1   WAVES   wave 2 of 3"
    assert lines[1].endswith("66.7 %  2 of 3 meters ended")
    assert lines[2] == "planned to end 2026-12-17 00:00 UTC (8 of 10 courses: 2026-12-16 to 2026-12-19)"
    assert lines[3] == "now expected 2026-12-20 00:00 UTC, 3.0 days behind the plan"
    assert [line.split() for line in lines[5:]] == [
        ["network", "meters", "waiting", "done", "failed", "skipped"],
        ["NB_IOT", "2", "0", "1", "1", "0"],
        ["RF_MESH", "2", "1", "0", "0", "1"],
        ["all", "4", "1", "1", "1", "1"],
    ]


@pytest.mark.parametrize(
    ("expects", "fields", "words"),
    [
        (Expected(BEGIN + 21 * DAY, 0), {}, "as planned"),
        (Expected(BEGIN + 20 * DAY, -DAY), {}, "24 h ahead of the plan"),
        (Expected(None, 0), {"state": CampaignState.PAUSED}, "paused: nothing is sent"),
        (Expected(BEGIN, 0), {"state": CampaignState.HALTED, "ended_at": BEGIN, "code": "share-silent"}, "share-silent:"),
        (Expected(BEGIN, 0), {"state": CampaignState.DONE, "ended_at": BEGIN}, "ended 2026-11-26 00:00 UTC"),
    ],
    ids=["on-time", "ahead", "paused", "halted", "done"],
)
def test_what_is_said_of_its_end(expects: Expected, fields: dict[str, Any], words: str) -> None:
    assert any(words in line for line in drawn(expects, **fields))
