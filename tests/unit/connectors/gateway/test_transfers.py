"""How many images go to a segment at once, and how fast: places, lines and pauses, by the settings of campaigns."""

from __future__ import annotations

from collections import deque

import pytest

from connectors.gateway.intake import BULK, Ticket
from connectors.gateway.jobs import Task
from connectors.gateway.segments import Segment, Segments
from connectors.gateway.transfers import Transfers
from schemas.records import Job, Meter, Network
from streams.runtime.settings import Band, Firmware, Gateway
from tests.unit.streams.fakes import fake_message

NOW = 1_000_000
BAND = Band(bits_s=8_000, meter_bits_s=8_000, share=0.5, concurrent=3)
SETTINGS = Firmware(segments={"narrow": BAND, "wide": BAND.model_copy(update={"concurrent": 50})})


def segment(name: str, network: Network = Network.NB_IOT, share: float = 1.0) -> Segment:
    segments = Segments(Gateway())
    segments.share(share)
    found = segments.of(Meter(id="m", segment=name, network=network))
    found.share = share
    return found


def task(name: str) -> Task:
    job = Job(id=name, meter_id=name)
    return Task(Ticket(job, (BULK, 0), 0, fake_message(job)), NOW, NOW * 2)


def entered(transfers: Transfers, where: Segment, number: int) -> list[Task]:
    return [each for each in (task(f"t{n}") for n in range(number)) if transfers.enter(each, where)]


@pytest.mark.parametrize(
    ("where", "places"),
    [
        pytest.param(segment("narrow"), 3, id="as-the-band-says"),
        pytest.param(segment("wide"), 20, id="half-of-the-sessions"),
        pytest.param(segment("narrow", share=0.34), 1, id="a-worker's-share"),
        pytest.param(segment("narrow", share=0.01), 1, id="one-at-least"),
        pytest.param(segment("plc", Network.PLC_PRIME), 2, id="of-its-network"),
        pytest.param(segment(""), 60, id="nobody's"),
    ],
)
def test_places(where: Segment, places: int) -> None:
    assert len(entered(Transfers(SETTINGS, 1_000), where, 60)) == places


def test_who_waits_comes_in_as_others_leave_and_who_is_closed_does_not() -> None:
    transfers, where = Transfers(SETTINGS, 1_000), segment("narrow")
    inside = entered(transfers, where, 3)
    late, closed, last = task("late"), task("closed"), task("last")
    assert [transfers.enter(each, where) for each in (late, closed, last)] == [False] * 3
    closed.closed = True
    assert transfers.due(NOW) == []
    transfers.leave(inside[0])
    assert transfers.due(NOW + 100) == []  # once a second
    assert transfers.due(NOW + 1_000) == [late]
    assert transfers.enter(late, where)
    assert transfers.enter(late, where)  # has its place
    inside[1].closed = True  # its partition went elsewhere
    assert transfers.due(NOW + 2_000) == [last]


def test_a_segment_that_is_nobodys_is_looked_at_by_who_waits_and_not_by_its_places() -> None:
    transfers, where = Transfers(SETTINGS, 1_000), segment("")
    assert transfers.enter(task("inside"), where)
    waiting = [task(f"w{number}") for number in range(3)]
    waiting[1].closed = True
    line = Counted(waiting)
    transfers._floor(where).line = line
    assert transfers.due(NOW) == [waiting[0], waiting[2]]
    assert line.asked < 10


class Counted(deque[Task]):
    """A line that counts how often it is asked whether anybody waits."""

    asked = 0

    def __bool__(self) -> bool:
        self.asked += 1
        return len(self) > 0


def test_octets_are_paid_for_by_pauses_and_small_debts_are_saved_up() -> None:
    transfers, where = Transfers(SETTINGS, 1_000_000), segment("narrow")  # 500 octets a second
    assert transfers.spend(where, 40, NOW) == 0.0
    assert transfers.spend(where, 40, NOW) == pytest.approx(0.16)
    assert transfers.spend(where, 500, NOW + 160) == pytest.approx(1.0)
    assert transfers.spend(where, 500, NOW + 60_000) == pytest.approx(1.0)  # nothing was saved up
    assert transfers.spend(segment("", share=1.0), 500_000, NOW + 60_000) == pytest.approx(0.5, abs=0.01)


def test_a_worker_takes_its_share_of_the_band_and_puts_no_more_on_all_lines_than_it_may() -> None:
    quarter = replace_share(segment("narrow"), 0.25)
    assert Transfers(SETTINGS, 1_000_000).spend(quarter, 125, NOW) == pytest.approx(1.0)
    transfers = Transfers(SETTINGS, 1_000)
    pauses = [transfers.spend(segment("", share=1.0), 500, NOW) for _ in range(4)]
    assert pauses == pytest.approx([0.5, 1.0, 1.5, 2.0])


def replace_share(where: Segment, share: float) -> Segment:
    where.share = share
    return where
