"""What a desk takes and refuses: requests, images, decisions, each with its reason on the chain."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import (
    CampaignState,
    Network,
    Target,
    Verdict,
)
from schemas.signatures import digest
from streams.runtime.authority.refusals import Refusal
from streams.runtime.settings import Band, Bands, Firmware
from tests.unit.streams.firmware.world import DAY, IMAGE, SMALL, START, Images, Room, manifest, meter, room
from tests.unit.streams.runtime.authority.builders import CODEC, again, asks, decides

S = CampaignState


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a term that nobody knows": ({"windoes": "00:00-04:00"}, "argument-invalid"),
    "an image that is not there": ({"image": "cd" * 32}, "image-missing"),
    "another version than the image brings": ({"version": "3.0"}, "image-version"),
    "another manifest than was looked at": ({"manifest": "cd" * 32}, "image-invalid"),
    "signed by nobody who may": ({"by": "desk"}, "role-missing"),
    "a meter that nobody knows": ({"meters": ("m0", "m9")}, "target-unknown"),
    "nobody": ({"target": Target(groups=("none",))}, "target-empty"),
    "no hours": ({"windows": "04:00-04:00"}, "argument-invalid"),
}


@pytest.mark.parametrize(("asked", "code"), WRONG.values(), ids=WRONG)
def test_a_request_is_refused_for_its_reason_and_on_the_chain(asked: dict[str, Any], code: str) -> None:
    world = room()
    fields = dict(asked)
    value = world.asks(*fields.pop("meters", ()), **fields)
    world.desk.request(value)
    assert world.state() is S.UNKNOWN
    (entry,) = world.audit()
    assert (entry.action, entry.code, entry.digest, entry.chain) == ("request-refused", code, digest(value), "firmware")
    assert world.night() == []


MANIFESTS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "forged": (Refusal("signature-invalid", "not the signature of this key"), {}, "signature-invalid"),
    "revoked": (Refusal("operator-revoked", "revoked"), {}, "operator-revoked"),
    "of another model": (manifest(model="M9"), {}, "meter-model"),
    "of another vendor": (manifest(vendor="Other"), {}, "meter-model"),
    "of other templates": (manifest(templates=("idis",)), {}, "meter-template"),
    "of other hardware": (manifest(hardware=("B", "C")), {}, "meter-hardware"),
    "from other versions": (manifest(from_versions=("0.9",)), {}, "meter-version"),
    "a lower version": (manifest(to_version="0.9"), {"version": "0.9"}, "meter-downgrade"),
    "the version that is there": (manifest(to_version="1.0"), {"version": "1.0"}, "meter-current"),
}


@pytest.mark.parametrize(("found", "terms", "code"), MANIFESTS.values(), ids=MANIFESTS)
def test_an_image_that_is_not_for_these_meters_is_refused(found: Any, terms: dict[str, Any], code: str) -> None:
    world = room(hardware="A")
    world.images.found[IMAGE] = found
    world.desk.request(world.asks(**terms))
    assert [(entry.action, entry.code) for entry in world.audit()] == [("request-refused", code)]


def test_octets_that_are_not_those_of_the_image_are_refused() -> None:
    world = room()
    world.images.forged.add(IMAGE)
    world.desk.request(world.asks())
    assert [entry.code for entry in world.audit()] == ["image-invalid"]


def test_the_way_back_needs_permission_and_is_a_campaign_like_any() -> None:
    world = room(2, firmware="3.0")
    world.desk.request(world.asks(name="no"))
    assert world.codes() == ["meter-downgrade"]
    world.begin(downgrade="yes")
    assert world.state() is S.APPROVED
    assert len(world.night()) == 1


def test_meters_that_the_image_is_not_for_are_left_out_and_told() -> None:
    meters = [
        meter("fits"),
        meter("model", model="M9"),
        meter("there", firmware="2.0"),
        meter("later", firmware="2.1"),
        meter("skipped", groups=("all", "hospital")),
        meter("unread", firmware=""),
    ]
    world = Room(*meters)
    world.begin(skip_groups="hospital", **SMALL)
    assert world.counts() == {"waiting": 2, "refused": 2, "skipped": 2}
    detail = world.audit()[0].detail
    assert "2 of 6 meters take part" in detail
    assert "1 meter-downgrade" in detail
    sent = {job.meter_id for job in world.night()}
    assert sent < {"fits", "unread"}


def test_one_that_would_not_end_in_time_is_refused_beforehand() -> None:
    slow = Band(bits_s=300, meter_bits_s=100, share=0.1, concurrent=1, reading=0)
    world = Room(*(meter(f"m{n}", network=Network.LORAWAN) for n in range(50)), settings=Firmware(bands=Bands(lorawan=slow)))
    world.desk.request(world.asks())
    (entry,) = world.audit()
    assert entry.code == "campaign-too-long"
    assert "LORAWAN cell1 alone needs" in entry.detail


DECISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "by who asked": ({"by": "alice"}, "role-missing"),
    "by who may not": ({"by": "bob"}, "role-missing"),
    "over other meters": ({"meters": ("m0",)}, "decision-other-target"),
    "over other bytes": ({"request_digest": bytes(32)}, "decision-other-request"),
    "made too late": ({"decided_at": START + 2 * DAY}, "decision-late"),
}


@pytest.mark.parametrize(("fields", "code"), DECISIONS.values(), ids=DECISIONS)
def test_a_decision_that_does_not_count_approves_nothing(fields: dict[str, Any], code: str) -> None:
    world = room()
    value = world.asks()
    world.desk.request(value)
    approval = world.decides(value)
    sent = world.decides(value, **fields) if "by" in fields else again(approval, "carol", **fields)
    world.desk.decision(sent)
    assert world.state() is S.DRAFT
    assert world.codes() == [code]
    assert world.night() == []


def test_nobody_decides_and_it_lapses() -> None:
    world = room()
    world.desk.request(world.asks())
    world.tick(25 * 3_600)
    assert world.state() is S.REJECTED
    assert world.codes() == ["decision-missing"]


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CANCEL])
def test_a_draft_is_turned_down(verdict: Verdict) -> None:
    world = room()
    value = world.asks()
    world.desk.request(value)
    world.desk.decision(world.decides(value, verdict=verdict))
    assert world.state() is S.REJECTED
    world.desk.decision(world.decides(value))
    assert world.codes()[-1] == "decision-too-late"
    assert world.night() == []


def test_what_was_proposed_before_changes_nothing() -> None:
    world = room()
    value = world.begin(**SMALL)
    world.desk.request(value)
    world.clock.advance(1)
    world.desk.request(world.asks(target=None, **SMALL))
    assert world.codes() == ["command-replayed", "command-id-taken"]
    assert world.state() is S.APPROVED


def test_what_is_not_about_firmware_passes_by() -> None:
    world = room()
    value = asks("m1")
    for octets in (value, b"junk", None):
        world.desk.request(octets)
        world.desk.decision(octets)
    world.desk.decision(decides(value, "m1"))
    assert len(world.desk.paper) == 0


def test_images_are_asked_for_by_name_only() -> None:
    assert isinstance(Images().judge("x" * 64), Refusal)
    assert CODEC.decode(CODEC.encode(manifest())) == manifest()
