"""kill -9 of the gateway, split and the sink while meters push and are read: the same ids as without, compared as sets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.cli.demo.play import play
from connectors.cli.demo.reconcile import Summary
from connectors.cli.demo.stage import Scale, Stage
from connectors.local.home import Home
from tests.chaos.ids import Ids, ids_of

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(300), pytest.mark.usefixtures("jvm")]

# Meters that get no confirmation cannot know that a push was lost; that is their nature, not the head-end's.
CONFIRMED_ONLY = (
    "--unconfirmed-share",
    "0",
    "--noise-share",
    "0",
    "--push-every",
    "6",
    "--outage-every",
    "3",
    "--drain",
    "300",
)
METERS = 40


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    summary: Summary
    ids: Ids
    killed: list[str]


def run(home: Path, span_s: float, kills: list[tuple[float, str]]) -> Ran:
    done: list[str] = []
    with Stage(Scale(METERS, 11, CONFIRMED_ONLY), lambda _: None, home=Home.of(home)) as stage:
        summary = play(stage, span_s, between=_killer(stage, kills, done))
        return Ran(summary, ids_of(stage), done)


def _killer(stage: Stage, kills: list[tuple[float, str]], done: list[str]) -> Callable[[float], None]:
    left = sorted(kills)

    def between(passed: float) -> None:
        while left and left[0][0] <= passed:
            _, name = left.pop(0)
            child = stage.services[name]
            assert child.running is not None
            os.kill(child.running.pid, signal.SIGKILL)
            done.append(name)
            child.start()

    return between


def test_killed_again_and_again_the_same_ids_arrive(tmp_path_factory: pytest.TempPathFactory) -> None:
    calm = run(tmp_path_factory.mktemp("calm"), 8, [])
    kills = [
        (0.0, "gateway"),
        (2, "split"),
        (4, "clickhouse"),
        (6, "gateway"),
        (8, "split"),
        (10, "clickhouse"),
        (12, "gateway"),
    ]
    wild = run(tmp_path_factory.mktemp("wild"), 16, kills)

    assert wild.killed == [name for _, name in kills]
    for ran in (calm, wild):
        assert ran.summary.reconciled, ran.summary
        assert ran.ids.events == ran.ids.routed
        assert ran.ids.pushed == ran.ids.reread
        assert ran.summary.intervals_asked == METERS * 96 * 2
    # The load profiles of a seed and day are the same in both runs, and so are their ids.
    assert calm.ids.reads == wild.ids.reads
    assert len(wild.ids.reads) == METERS
