"""Which jobs of a campaign a stop makes void, and whose stops count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.records import CampaignStop, Job
from schemas.signatures import signed
from streams.runtime.authority.refusals import Refusal
from streams.runtime.authority.stops import Stops
from tests.unit.streams.runtime.authority.builders import CODEC, DAY, HERE, NOW, altered, key, operator, operators, sign

PAUSE = CampaignStop("f1", NOW, code="campaign-paused", environment=HERE)
HALT = replace(PAUSE, final=True, code="share-failed")


def stops(*given: CampaignStop) -> Stops:
    book = Stops(CODEC, HERE, operators())
    for stop in given:
        assert book.apply(CODEC.encode(stop)) == stop
    return book


def job(issued_at: int, campaign: str = "f1") -> Job:
    return Job(id="j", caused_by=campaign, issued_at=issued_at)


@pytest.mark.parametrize(
    ("given", "issued_at", "void"),
    [
        pytest.param((), NOW, False, id="none"),
        pytest.param((PAUSE,), NOW - DAY, True, id="issued-before"),
        pytest.param((PAUSE,), NOW, True, id="issued-with-it"),
        pytest.param((PAUSE,), NOW + 1, False, id="issued-after-it-was-resumed"),
        pytest.param((HALT,), NOW + DAY, True, id="halted-for-good"),
        pytest.param((HALT, replace(PAUSE, at=NOW + 1)), NOW + DAY, True, id="a-pause-lifts-no-halt"),
        pytest.param((PAUSE, replace(PAUSE, at=NOW - DAY)), NOW, True, id="an-older-one-changes-nothing"),
        pytest.param((PAUSE, replace(PAUSE, at=NOW + 9)), NOW + 9, True, id="a-later-one-counts"),
    ],
)
def test_a_stop_makes_void_what_was_issued_until_then(given: tuple[CampaignStop, ...], issued_at: int, void: bool) -> None:
    assert (stops(*given).voiding(job(issued_at)) is not None) is void


def test_a_stop_is_of_one_campaign_and_a_tombstone_lifts_none() -> None:
    book = stops(HALT)
    assert book.voiding(job(NOW, "f2")) is None
    assert book.apply(None) is None
    assert book.voiding(job(NOW)) == HALT


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(b"junk", "avro-framing", id="no-record"),
        pytest.param(CODEC.encode(job(NOW)), "record-unexpected", id="another-record"),
        pytest.param(CODEC.encode(replace(HALT, environment="elsewhere")), "environment-other", id="elsewhere"),
    ],
)
def test_what_is_none_changes_nothing(value: bytes, code: str) -> None:
    book = stops()
    found = book.apply(value)
    assert isinstance(found, Refusal)
    assert found.code == code
    assert book.voiding(job(NOW)) is None


def test_where_there_are_releasers_one_of_them_must_have_signed_it() -> None:
    service = operator("service", ("release",))
    book = Stops(CODEC, HERE, operators(service=service), ("service",))
    by_hand = sign(HALT, "alice")
    good = sign(HALT, "service")
    for value in (
        CODEC.encode(HALT),
        by_hand,
        altered(good, code="other"),
        signed(CODEC, HALT, "elsewhere", key("service")),
    ):
        assert isinstance(book.apply(value), Refusal)
    assert book.voiding(job(NOW)) is None
    assert book.apply(good) == CODEC.decode(good)
    assert book.voiding(job(NOW)) is not None


def test_a_stop_of_a_service_whose_key_was_revoked_since_still_holds() -> None:
    book = operators(service=operator("service", ("release",)))
    revoked = operator("service", ("release",), version=2, revoked=True)
    book.apply(revoked)
    found = Stops(CODEC, HERE, book, ("service",))
    assert isinstance(found.apply(sign(HALT, "service")), CampaignStop)
    assert found.voiding(job(NOW)) is not None
