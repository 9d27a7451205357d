"""The two tables, and every transition that they do not have."""

from __future__ import annotations

import pytest

from schemas.records import CampaignState
from streams.firmware.campaign import Case, Image
from streams.firmware.states import (
    CAMPAIGNS,
    ENDED,
    LETTERS,
    METERS,
    OF_LETTER,
    OUT,
    OVER,
    Event,
    Meter,
    Turn,
    step,
    turn,
)
from streams.runtime.authority.terms import terms_of
from streams.runtime.authority.verify import recall
from tests.unit.streams.firmware.world import IMAGE, Room

ROOM = Room()
ILLEGAL = [(meter, event) for meter in Meter for event in Event if event not in METERS[meter]]
ILLEGAL_TURNS = [(state, what) for state in CampaignState for what in Turn if what not in CAMPAIGNS[state]]


def case(*meters: str) -> Case:
    terms = terms_of({"image": IMAGE, "version": "2.0"})
    asked = recall(ROOM.around, ROOM.asks(*meters))
    return Case(asked, terms, Image(1, "", "", (), "2.0", b""), meters, bytes(len(meters)), 0, 0)


def test_every_state_has_its_row_and_its_letter() -> None:
    assert set(METERS) == set(Meter) == set(LETTERS)
    assert set(CAMPAIGNS) == set(CampaignState)
    assert {OF_LETTER[letter] for letter in LETTERS.values()} == set(Meter)


@pytest.mark.parametrize(("meter", "event"), ILLEGAL, ids=[f"{meter}-{event}" for meter, event in ILLEGAL])
def test_what_the_table_of_meters_does_not_have_changes_nothing(meter: Meter, event: Event) -> None:
    assert step(meter, event) is None
    known = case("m1", "m2")
    known.states[0] = LETTERS[meter]
    known.recount()
    known.touched.clear()
    before = (known.as_progress(0, 0), known.as_record(), known.counts())
    assert known.move(0, event, 77, "a-code") is None
    assert (known.as_progress(0, 0), known.as_record(), known.counts()) == before
    assert not known.touched


@pytest.mark.parametrize(("state", "what"), ILLEGAL_TURNS, ids=[f"{state}-{what}" for state, what in ILLEGAL_TURNS])
def test_what_the_table_of_campaigns_does_not_have_changes_nothing(state: CampaignState, what: Turn) -> None:
    assert turn(state, what) is None


def test_every_legal_step_is_counted() -> None:
    for meter, steps in METERS.items():
        for event, after in steps.items():
            known = case("m1", "m2", "m3")
            known.states[1] = LETTERS[meter]
            known.recount()
            assert known.move(1, event, 77) is after
            assert known.meter(1) is after
            assert known.times[1] == 77
            tallied = known.counts()
            known.recount()
            assert known.counts() == +tallied


def test_every_state_can_be_reached_and_an_end_can_be_reached_from_it() -> None:
    reached = {Meter.WAITING}
    while more := {after for meter in reached for after in METERS[meter].values()} - reached:
        reached |= more
    assert reached == set(Meter)
    ends = set(ENDED)
    while more := {meter for meter, steps in METERS.items() if ends & set(steps.values())} - ends:
        ends |= more
    assert ends == set(Meter)


def test_a_campaign_that_was_not_approved_never_sends_and_one_that_is_over_stays_over() -> None:
    before = {CampaignState.UNKNOWN, CampaignState.DRAFT}
    assert {CAMPAIGNS[state].get(what) for state in before for what in Turn if what is not Turn.APPROVED} <= {
        None,
        CampaignState.DRAFT,
        CampaignState.REJECTED,
    }
    assert frozenset({CampaignState.HALTED, CampaignState.DONE, CampaignState.REJECTED}) == OVER


def test_only_meters_whose_job_is_out_can_fail() -> None:
    for event in (Event.BARRED, Event.MISSED, Event.CUT):
        assert {meter for meter, steps in METERS.items() if event in steps} == OUT
