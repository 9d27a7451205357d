"""How far a campaign is, from its records."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.firmware.progress import Tally, counted, each_meter, ended, expected, span, states_of, times_of, told
from connectors.cli.firmware.standing import Standing, Standings
from schemas.codec import Codec
from schemas.records import Campaign, CampaignMeters, CampaignProgress, CampaignState
from schemas.registry import MemoryRegistry
from streams.firmware.states import LETTERS
from streams.firmware.states import Meter as State

DAY, HOUR = 86_400_000, 3_600_000
BEGIN = 1_795_651_200_000
CURVE = [(BEGIN, 0.0), (BEGIN + 4 * HOUR, 10.0), (BEGIN + DAY, 10.0), (BEGIN + DAY + 4 * HOUR, 20.0)]
"""Ten meters a night, in two nights."""
CODEC = Codec(MemoryRegistry())


def campaign(**fields: Any) -> Campaign:
    whole: dict[str, Any] = {
        "id": "c1",
        "state": CampaignState.WAVES,
        "meters": 20,
        "began_at": BEGIN,
        "ends": (BEGIN + DAY, BEGIN + DAY + 4 * HOUR, BEGIN + 3 * DAY),
    }
    return Campaign(**(whole | fields))


def at(done: int = 10, **fields: Any) -> Standing:
    """A campaign of 20 meters of which so many are done."""
    states = bytes([LETTERS[State.DONE]]) * done + bytes([LETTERS[State.WAITING]]) * (20 - done)
    return Standing(campaign(**fields), progress_of={0: CampaignProgress(id="c1", states=states)})


@pytest.mark.parametrize(
    ("now", "done", "behind"),
    [
        pytest.param(BEGIN + 4 * HOUR, 10, 0, id="on-time"),
        pytest.param(BEGIN + 20 * HOUR, 10, 0, id="by-day-nothing-ends"),
        pytest.param(BEGIN + 20 * HOUR, 4, 16 * HOUR, id="behind-since-the-night"),
        pytest.param(BEGIN + 2 * DAY, 10, DAY - 4 * HOUR, id="a-night-behind"),
        pytest.param(BEGIN + 20 * HOUR, 12, -8 * HOUR, id="ahead"),
        pytest.param(BEGIN, 0, 0, id="just-begun"),
        pytest.param(BEGIN + 3 * DAY, 20, 0, id="all-have-ended"),
    ],
)
def test_how_far_it_is_behind_its_plan(now: int, done: int, behind: int) -> None:
    found = expected(at(done), CURVE, now)
    assert found.behind_ms == behind
    assert found.at_ms == max(BEGIN + DAY + 4 * HOUR + behind, now)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"state": CampaignState.PAUSED}, None),
        ({"state": CampaignState.DRAFT, "began_at": None}, BEGIN + DAY + 4 * HOUR),
        ({"state": CampaignState.DONE, "ended_at": 7}, 7),
        ({"state": CampaignState.HALTED, "ended_at": 7}, 7),
        ({"ends": ()}, None),
    ],
    ids=["paused", "draft", "done", "halted", "without-a-plan"],
)
def test_when_it_ends_in_other_states(fields: dict[str, Any], end: int | None) -> None:
    assert expected(at(0, **fields), CURVE, BEGIN).at_ms == end


def standing() -> Standing:
    found = Standings(CODEC)
    letters = bytes(LETTERS[state] for state in (State.DONE, State.DONE, State.FAILED, State.WAITING))
    times = b"".join(seconds.to_bytes(4, "little") for seconds in (200, 100, 300, 0))
    for record in (
        campaign(codes=("firmware-refused",)),
        CampaignMeters(id="c1", number=1, meters=("m5",), waves=b"\2"),
        CampaignMeters(id="c1", number=0, meters=("m1", "m2", "m3", "m4"), waves=b"\0\1\1\1"),
        CampaignProgress(
            id="c1", number=0, states=letters, times=times, codes=b"\0\0\1\0", attempts=b"\1\1\3\0", shares=b"dd\x0c\0"
        ),
    ):
        found.apply("", CODEC.encode(record))
    return found.one("c")


def test_meters_by_network_and_state() -> None:
    tally = Tally({"m1": "NB_IOT", "m2": "RF_MESH", "m3": "RF_MESH"})
    found = tally.of(standing())
    assert found == {
        "NB_IOT": {State.DONE: 1},
        "RF_MESH": {State.DONE: 1, State.FAILED: 1},
        "UNKNOWN": {State.WAITING: 1},
    }
    later = standing()
    tally.of(later)
    later.progress_of[0] = CampaignProgress(id="c1", number=0, states=bytes([LETTERS[State.DONE]]) * 4)
    assert sum(counts[State.DONE] for counts in tally.of(later).values()) == 4


def test_when_meters_were_done() -> None:
    assert times_of(standing(), (State.DONE,)) == [100_000, 200_000]
    assert times_of(standing(), (State.SILENT,)) == []
    assert counted([100, 200]) == [(100, 1), (200, 2), (200, 2)]
    many = counted(list(range(10_000)))
    assert (len(many) <= 302, many[-1]) == (True, (9_999, 10_000))


def test_each_meter_in_a_row() -> None:
    rows = list(each_meter(standing()))
    assert [row["meter"] for row in rows] == ["m1", "m2", "m3", "m4", "m5"]
    assert list(each_meter(standing(), "failed")) == [
        {
            "meter": "m3",
            "state": "failed",
            "wave": 1,
            "code": "firmware-refused",
            "attempts": 3,
            "image_percent": 12,
            "since": "1970-01-01T00:05:00.000Z",
        }
    ]


def test_everything_in_one_object() -> None:
    found = told(at(), {"NB_IOT": {State.DONE: 10}}, expected(at(), CURVE, BEGIN + 4 * HOUR))
    assert found["networks"] == {"NB_IOT": {"done": 10}}
    assert (found["ended"], found["done"], found["bad"], found["behind_s"]) == (10, 10, 0, 0)
    assert found["planned_end"]["p50"] == "2026-11-27T04:00:00.000Z"
    assert states_of(at()) == {State.DONE: 10, State.WAITING: 10}


def test_an_image_that_is_only_brought_is_done_once_it_is_verified() -> None:
    states = {State.VERIFIED: 3, State.DONE: 1, State.WAITING: 2, State.REFUSED: 7, State.SKIPPED: 1}
    assert ended(campaign(), states) == 1
    assert ended(campaign(parameters={"activate": "verified"}), states) == 4


def test_a_campaign_that_is_forgotten_is_gone() -> None:
    found = Standings(CODEC)
    found.apply("campaign/c1", CODEC.encode(campaign()))
    found.apply("campaign/c1", b"no record")
    assert [each.campaign.id for each in found.all()] == ["c1"]
    found.apply("campaign/c1", None)
    assert list(found.all()) == []
    with pytest.raises(CommandError, match="there is no campaign c1"):
        found.one("c1")


@pytest.mark.parametrize(
    ("milliseconds", "words"), [(60_000, "1 min"), (5 * HOUR, "5 h"), (-5 * HOUR, "5 h"), (3.4 * DAY, "3.4 days")]
)
def test_spans_in_words(milliseconds: float, words: str) -> None:
    assert span(milliseconds) == words
