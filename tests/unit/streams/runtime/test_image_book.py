"""Manifests: which are believed, and why others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.records import FirmwareManifest
from streams.runtime import image_book
from streams.runtime.authority.refusals import Refusal
from streams.runtime.image_book import (
    LARGEST,
    LARGEST_MANIFEST,
    PART,
    ImageBook,
    ImageError,
    assembled,
    fault_of,
    parts_of,
)
from tests.unit.streams.runtime.authority.builders import CODEC, DAY, HERE, NOW, altered, operator, sign
from tests.unit.streams.runtime.image_cases import IMAGE, IMAGE_ID, PART_SIZE, added, around, manifest


def book(records: dict[str, bytes], **more: bytes) -> ImageBook:
    found = ImageBook(around(HERE, **more))
    for offset, (key, value) in enumerate(records.items()):
        assert found.apply(key, value, offset) == IMAGE_ID
    return found


def code(found: FirmwareManifest | Refusal) -> str:
    return found.code if isinstance(found, Refusal) else ""


def test_a_signed_manifest_is_believed() -> None:
    found = book(added()).judge(IMAGE_ID, NOW)
    assert isinstance(found, FirmwareManifest)
    assert (found.to_version, found.signature != b"") == ("2.1", True)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param(CODEC.encode(manifest()), "unsigned", id="not-signed"),
        pytest.param(sign(manifest(), "bob"), "signature-invalid", id="signed-by-another-in-her-name"),
        pytest.param(altered(sign(manifest(), "alice"), model="E360"), "signature-invalid", id="altered-model"),
        pytest.param(altered(sign(manifest(hardware=("B",)), "alice"), hardware=()), "signature-invalid", id="widened"),
        pytest.param(sign(manifest(added_by="intern"), "intern"), "role-missing", id="no-role"),
        pytest.param(sign(manifest(added_by="desk"), "desk"), "role-missing", id="another-role"),
        pytest.param(sign(manifest(added_by="mallory"), "mallory"), "operator-unknown", id="nobody"),
        pytest.param(sign(manifest(environment="prod"), "alice", "prod"), "environment-other", id="other-environment"),
        pytest.param(sign(manifest(), "alice", "prod"), "signature-invalid", id="signed-for-another"),
        pytest.param(sign(manifest(size=0), "alice"), "manifest-invalid", id="empty"),
        pytest.param(sign(manifest(size=LARGEST + 1), "alice"), "manifest-invalid", id="too-large"),
        pytest.param(sign(manifest(parts=3), "alice"), "manifest-invalid", id="parts-do-not-fit"),
        pytest.param(sign(manifest(parts=1, part_size=PART + 1), "alice"), "manifest-invalid", id="part-too-large"),
        pytest.param(sign(manifest(parts=len(IMAGE), part_size=1), "alice"), "manifest-invalid", id="too-many-parts"),
        pytest.param(sign(manifest(url="ftp://a/b"), "alice"), "manifest-invalid", id="scheme"),
        pytest.param(sign(manifest(url="http://["), "alice"), "manifest-invalid", id="no-url"),
        pytest.param(CODEC.encode(manifest(url="http://[")), "manifest-invalid", id="no-url-and-not-signed"),
        pytest.param(sign(manifest(vendor=""), "alice"), "manifest-invalid", id="no-vendor"),
        pytest.param(sign(manifest(hardware=("A", "")), "alice"), "manifest-invalid", id="empty-entry"),
        pytest.param(sign(manifest(name="x" * 2001), "alice"), "manifest-invalid", id="long-name"),
        pytest.param(sign(manifest(b"another"), "alice"), "manifest-invalid", id="under-another-key"),
        pytest.param(b"\0\0\0\0\1junk", "manifest-invalid", id="no-record"),
        pytest.param(sign(manifest(), "alice") + b"\0", "manifest-invalid", id="appended"),
    ],
)  # fmt: skip
def test_others_are_refused_with_the_reason(value: bytes, wanted: str) -> None:
    assert code(book({IMAGE_ID: value}).judge(IMAGE_ID, NOW)) == wanted


@pytest.mark.parametrize(
    ("now", "more", "wanted"),
    [
        (NOW, {}, ""),
        (NOW + 31 * DAY, {}, "operator-expired"),
        (NOW, {"alice": operator("alice", ("meter-operator",), version=2, revoked=True)}, "operator-revoked"),
        (NOW, {"alice": operator("alice", ("guest",), version=2)}, "role-missing"),
        (NOW, {"alice": operator("alice", ("supervisor",), version=2)}, ""),
    ],
    ids=["good", "expired", "revoked", "other-role-since", "decides-now"],
)
def test_the_signer_must_be_good_now(now: int, more: dict[str, bytes], wanted: str) -> None:
    assert code(book(added(), **more).judge(IMAGE_ID, now)) == wanted


def test_a_signer_who_is_revoked_later_takes_the_image_along() -> None:
    world_ = around()
    found = ImageBook(world_)
    found.apply(IMAGE_ID, added()[IMAGE_ID], 0)
    assert code(found.judge(IMAGE_ID, NOW)) == ""
    world_.operators.apply(operator("alice", ("meter-operator",), version=2, revoked=True))
    assert code(found.judge(IMAGE_ID, NOW)) == "operator-revoked"


def test_a_policy_without_firmware_believes_nobody() -> None:
    around_ = around()
    kinds = {name: kind for name, kind in around_.policy.kinds.items() if name != "firmware"}
    found = ImageBook(replace(around_, policy=replace(around_.policy, kinds=kinds)))
    found.apply(IMAGE_ID, added()[IMAGE_ID], 0)
    assert code(found.judge(IMAGE_ID, NOW)) == "kind-not-allowed"


def test_the_latest_counts_and_a_tombstone_takes_nothing_away() -> None:
    found = book(added())
    found.apply(IMAGE_ID, sign(manifest(to_version="2.2"), "alice"), 9)
    latest = found.judge(IMAGE_ID, NOW)
    assert isinstance(latest, FirmwareManifest)
    assert latest.to_version == "2.2"
    places = found.places(latest)
    for key in (IMAGE_ID, f"{IMAGE_ID}/0", f"{IMAGE_ID}/1"):
        found.apply(key, None, 10)
    assert found.judge(IMAGE_ID, NOW) == latest
    assert (found.ids(), found.places(latest)) == ([IMAGE_ID], places)


def removal(by: str = "carol", **fields: Any) -> bytes:
    """That the image was removed, signed."""
    return sign(manifest(removed=True, added_by=by, **({"added_at": NOW} | fields)), by)


def test_who_may_removes_it_and_an_old_manifest_brings_nothing_back() -> None:
    found, old = book(added()), added()[IMAGE_ID]
    found.apply(IMAGE_ID, removal(), 9)
    for value in (None, old, b"junk"):
        found.apply(IMAGE_ID, value, 10)
        refusal = found.judge(IMAGE_ID, NOW)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, "was removed by carol" in refusal.detail) == ("image-missing", True)
        assert (found.ids(), found.numbers(IMAGE_ID), found.is_removed(IMAGE_ID)) == ([], [], True)
    found.apply(IMAGE_ID, sign(manifest(added_at=NOW + 1), "alice"), 11)
    assert (code(found.judge(IMAGE_ID, NOW)), found.ids()) == ("", [IMAGE_ID])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(CODEC.encode(manifest(removed=True, added_at=NOW)), id="unsigned"),
        pytest.param(sign(manifest(removed=True, added_at=NOW, added_by="alice"), "bob"), id="in-anothers-name"),
        pytest.param(altered(removal(), added_at=NOW + 1), id="altered"),
        pytest.param(removal("desk"), id="by-somebody-who-may-not"),
        pytest.param(sign(manifest(removed=True, added_at=NOW, environment="other"), "alice", "other"), id="elsewhere"),
    ],
)
def test_a_removal_that_nobody_signed_who_may_removes_nothing(value: bytes) -> None:
    found = book(added())
    found.apply(IMAGE_ID, value, 9)
    assert (code(found.judge(IMAGE_ID, NOW)), found.is_removed(IMAGE_ID)) == ("", False)


def test_a_removal_counts_after_its_signer_has_left_and_once_he_is_known() -> None:
    around_ = around()
    found = ImageBook(around_)
    for offset, (key, value) in enumerate(added().items()):
        found.apply(key, value, offset)
    found.apply(IMAGE_ID, removal("late"), 9)
    assert code(found.judge(IMAGE_ID, NOW)) == ""
    around_.operators.apply(operator("late", ("supervisor",)))
    assert code(found.judge(IMAGE_ID, NOW)) == "image-missing"
    around_.operators.apply(operator("late", ("supervisor",), version=2, revoked=True))
    assert code(found.judge(IMAGE_ID, NOW)) == "image-missing"


def test_where_parts_are() -> None:
    found = book(added())
    assert found.places(manifest()) == list(range(7))
    found.apply(f"{IMAGE_ID}/3", b"again", 40)
    assert found.places(manifest()) == [0, 1, 2, 40, 4, 5, 6]
    found.apply(f"{IMAGE_ID}/3", None, 41)
    assert found.places(manifest())[3] == 40
    found = book({key: value for key, value in added().items() if not key.endswith("/3")})
    with pytest.raises(ImageError, match="1 of its 7 parts are not on the topic, the first is 3") as error:
        found.places(manifest())
    assert error.value.code == "image-missing"


@pytest.mark.parametrize(
    "key", ["", "x", IMAGE_ID.upper(), f"{IMAGE_ID}/", f"{IMAGE_ID}/4096", f"{IMAGE_ID}/-1", f"{IMAGE_ID}/1/2"]
)
def test_keys_that_are_none_are_passed_over(key: str) -> None:
    found = ImageBook(around())
    assert found.apply(key, b"anything", 0) == ""
    assert (found.ids(), found.numbers(IMAGE_ID)) == ([], [])


@pytest.mark.parametrize(
    ("pieces", "what"),
    [
        ([IMAGE[:-1]], "99999 octets are there"),
        ([IMAGE, b"x"], "longer than its 100000"),
        ([b"y" + IMAGE[1:]], "its SHA-256 is"),
        ([], "0 octets"),
    ],
    ids=["short", "long", "altered", "nothing"],
)
def test_what_is_assembled_is_what_the_digest_names(pieces: list[bytes], what: str) -> None:
    stated = manifest()
    assert assembled(stated, (part.data for part in parts_of(IMAGE, IMAGE_ID, PART_SIZE))) == IMAGE
    with pytest.raises(ImageError, match=what) as error:
        assembled(stated, pieces)
    assert error.value.code == "image-invalid"


def test_the_largest_image_fits_its_parts() -> None:
    fields: dict[str, Any] = {"size": LARGEST, "part_size": PART, "parts": LARGEST // PART}
    found = book({IMAGE_ID: sign(manifest(**fields), "alice")})
    assert code(found.judge(IMAGE_ID, NOW)) == ""


def image(number: int) -> str:
    return f"{number:064x}"


def test_no_more_images_are_known_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_book, "MOST_IMAGES", 3)
    records = added()
    found = book(records)
    for number in range(5):
        found.apply(image(number), b"junk", number)
    assert (len(found.ids()), found.turned_away) == (3, 3)
    assert isinstance(found.judge(IMAGE_ID, NOW), FirmwareManifest)
    assert [code(found.judge(image(number), NOW)) for number in (1, 2, 4)] == [
        "manifest-invalid",
        "images-full",
        "images-full",
    ]
    # Who is known may be told anew, and leaves room when he goes.
    found.apply(IMAGE_ID, records[IMAGE_ID], 99)
    found.apply(image(0), None, 100)
    found.apply(image(4), b"junk", 101)
    assert (sorted(found.ids()), found.turned_away) == (sorted((IMAGE_ID, image(1), image(4))), 3)


def test_no_more_parts_are_known_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = book(added())
    whole = manifest()
    places = found.places(whole)
    monkeypatch.setattr(image_book, "MOST_PLACES", len(places) + 2)
    for number in range(4):
        found.apply(f"{image(7)}/{number}", b"part", 100 + number)
    assert (found.numbers(image(7)), found.turned_away) == ([0, 1], 2)
    found.apply(f"{IMAGE_ID}/0", b"part", 200)
    assert found.places(whole) == [200, *places[1:]]
    for number in range(2):
        found.apply(f"{image(7)}/{number}", None, 300 + number)
    found.apply(f"{image(8)}/0", b"part", 400)
    assert (found.numbers(image(7)), found.numbers(image(8)), found.turned_away) == ([], [0], 2)


def test_a_manifest_that_is_too_long_is_not_kept() -> None:
    value = sign(manifest(), "alice") + bytes(LARGEST_MANIFEST)
    found = book({IMAGE_ID: value})
    assert (code(found.judge(IMAGE_ID, NOW)), found.value(IMAGE_ID)) == ("manifest-invalid", b"")


def test_whoever_adds_an_image_is_told_that_its_lists_are_too_long() -> None:
    lists = tuple(f"{number:04d}" + "x" * 300 for number in range(110))
    assert "together are longer than" in fault_of(manifest(hardware=lists))
    assert fault_of(manifest(hardware=lists[:100])) == ""
