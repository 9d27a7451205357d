"""A few faults from a seed while meters push and are read: the short form of the hundred.

One run for all tests of the module: what was sent is stored, once and in order; the ids that come out are those that the
frames on hes.frames come to when a gateway that nobody killed decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from connectors.cli.demo.play import play
from connectors.cli.demo.reconcile import Summary
from connectors.cli.demo.stage import Scale, Stage
from connectors.local.home import Home
from tests.chaos.faults import Chaos, Fault, drawn
from tests.chaos.ids import Ids, ids_of
from tests.chaos.run import ENVIRON, FLEET, out_of_order, until_over
from tests.chaos.trail import Ends

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900), pytest.mark.usefixtures("jvm")]

METERS, SEED, FAULTS, EVERY_S = 12, 55, 4, 1.0
KINDS = [Fault(kind, name) for kind in ("kill -9", "SIGTERM") for name in ("gateway", "split", "clickhouse")]


@dataclass(frozen=True)
class Ran:
    """What the run left."""

    summary: Summary
    ids: Ids
    out_of_order: list[str]
    went_back: list[str]
    done: int


@pytest.fixture(scope="module")
def ran(jvm: None, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRON.items():
            patch.setenv(name, value)
        home = Home.of(tmp_path_factory.mktemp("few"))
        with Stage(Scale(METERS, SEED, FLEET), lambda _: None, home=home) as stage:
            chaos = Chaos(stage, drawn(SEED, FAULTS, KINDS), EVERY_S, lambda _: None, beside=())
            with Ends() as ends:
                summary = play(stage, None, between=until_over(chaos, ends))
            return Ran(summary, ids_of(stage), out_of_order(stage.settings), ends.went_back, sum(chaos.done.values()))


def test_a_few_faults_lose_nothing_and_double_nothing(ran: Ran) -> None:
    assert ran.summary.reconciled, ran.summary
    assert ran.summary.intervals_asked == METERS * 96 * 2
    assert (ran.summary.lost, ran.summary.duplicated, ran.done) == (0, 0, FAULTS)


def test_each_meters_order_is_kept_and_no_topic_goes_back(ran: Ran) -> None:
    assert (ran.out_of_order, ran.went_back) == ([], [])


def test_the_ids_are_those_that_the_frames_come_to(ran: Ran) -> None:
    assert ran.ids.events == ran.ids.routed
    assert ran.ids.pushed == ran.ids.reread
    assert len(ran.ids.reads) == METERS
