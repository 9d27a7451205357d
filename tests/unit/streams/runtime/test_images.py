"""The image store: octets proven before they are given out, kept for a while, and failures too."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
import structlog
from confluent_kafka import Message

from schemas.records import FirmwareManifest, FirmwarePart
from streams.runtime import image_book
from streams.runtime.authority.refusals import Refusal
from streams.runtime.clock import ManualClock
from streams.runtime.images import ImageError, ImageStore
from tests.unit.streams.fakes import FakeMessage, fake_runtime
from tests.unit.streams.runtime.authority.builders import CODEC, NOW, sign
from tests.unit.streams.runtime.image_cases import IMAGE, IMAGE_ID, added, around, manifest


@dataclass
class Topic:
    """What was written, by offset, and how often it was read."""

    values: list[bytes | None] = field(default_factory=list)
    reads: int = 0

    def read(self, offsets: Sequence[int]) -> list[bytes]:
        self.reads += 1
        return [value for offset in offsets if (value := self.values[offset]) is not None]

    def write(self, store: ImageStore, records: dict[str, bytes | None]) -> None:
        for key, value in records.items():
            self.values.append(value)
            message = FakeMessage(value, len(self.values) - 1, source="hes.images", name=key.encode())
            store.take([cast("Message", message)])


def staged(cache: int = 1 << 20) -> tuple[ImageStore, Topic, ManualClock]:
    runtime, _, _ = fake_runtime()
    clock, topic = ManualClock(NOW), Topic()
    return ImageStore(replace(runtime, codec=CODEC, clock=clock), around(), cache=cache, read_parts=topic.read), topic, clock


def failure(store: ImageStore, image_id: str = IMAGE_ID) -> str:
    with pytest.raises(ImageError) as error:
        store.data(image_id)
    assert str(error.value) == error.value.detail
    return error.value.code


def test_an_image_is_assembled_once_and_then_at_hand() -> None:
    store, topic, _ = staged()
    topic.write(store, {**added()})
    assert store.manifests() == [store.manifest(IMAGE_ID)]
    assert (store.data(IMAGE_ID), store.data(IMAGE_ID), topic.reads) == (IMAGE, IMAGE, 1)


def test_what_is_not_there_is_missing() -> None:
    store, topic, _ = staged()
    assert (store.manifest(IMAGE_ID), failure(store)) == (None, "image-missing")
    records = added()
    records.pop(f"{IMAGE_ID}/5")
    topic.write(store, {**records})
    assert failure(store) == "image-missing"
    topic.write(store, {f"{IMAGE_ID}/5": added()[f"{IMAGE_ID}/5"]})
    assert store.data(IMAGE_ID) == IMAGE


@pytest.mark.parametrize(
    "part",
    [
        CODEC.encode(FirmwarePart(IMAGE_ID, 2, b"forged" + IMAGE[:16_378])),
        CODEC.encode(FirmwarePart(IMAGE_ID, 3, IMAGE[16_384 * 2 : 16_384 * 3])),
        CODEC.encode(FirmwarePart("0" * 64, 2, IMAGE[16_384 * 2 : 16_384 * 3])),
        CODEC.encode(FirmwarePart(IMAGE_ID, 2, bytes(900_000))),
        sign(manifest(), "alice"),
        b"no record",
    ],
    ids=["forged", "other-number", "other-image", "too-long", "other-record", "no-record"],
)
def test_a_forged_part_makes_the_image_invalid_until_it_is_mended(part: bytes) -> None:
    store, topic, _ = staged()
    topic.write(store, {**added(), f"{IMAGE_ID}/2": part})
    assert failure(store) == "image-invalid"
    topic.write(store, {**added()})
    assert store.data(IMAGE_ID) == IMAGE


def test_a_failure_is_remembered_for_half_a_minute() -> None:
    store, topic, clock = staged()
    topic.write(store, {**added(), f"{IMAGE_ID}/2": b"junk"})
    assert (failure(store), failure(store), topic.reads) == ("image-invalid", "image-invalid", 1)
    clock.advance(31)
    assert (failure(store), topic.reads) == ("image-invalid", 2)


def test_a_refused_manifest_gives_no_octets_and_one_log_line() -> None:
    store, topic, _ = staged()
    topic.write(store, {**added(), IMAGE_ID: sign(manifest(), "bob")})
    with structlog.testing.capture_logs() as lines:
        assert [store.manifest(IMAGE_ID) for _ in range(3)] == [None] * 3
        assert failure(store) == "image-missing"
    assert [(line["event"], line["code"]) for line in lines] == [("image-refused", "signature-invalid")]
    found = store.judge(IMAGE_ID)
    assert isinstance(found, Refusal)
    assert found.code == "signature-invalid"


def test_a_removed_image_is_gone_also_where_it_was_at_hand() -> None:
    store, topic, _ = staged()
    topic.write(store, {**added()})
    assert store.data(IMAGE_ID) == IMAGE
    topic.write(store, {IMAGE_ID: sign(manifest(removed=True, added_at=NOW), "alice")})
    assert failure(store) == "image-missing"


def test_a_tombstone_that_nobody_signed_stops_nobody_who_has_the_image() -> None:
    store, topic, clock = staged()
    topic.write(store, {**added()})
    assert store.data(IMAGE_ID) == IMAGE
    with structlog.testing.capture_logs() as lines:
        topic.write(store, {IMAGE_ID: None, **{f"{IMAGE_ID}/{number}": None for number in range(7)}})
    assert [line["event"] for line in lines] == ["image-kept"]
    clock.advance(3_600)
    assert (store.data(IMAGE_ID), store.manifest(IMAGE_ID) is not None, topic.reads) == (IMAGE, True, 1)


def test_what_is_kept_has_a_limit_and_the_last_used_stays() -> None:
    store, topic, _ = staged(cache=250_000)
    images = [bytes([number]) * 100_000 for number in range(3)]
    names = [hashlib.sha256(data).hexdigest() for data in images]
    for data in images:
        topic.write(store, {**added(data)})
    for at in (0, 1, 0, 2, 0):
        assert store.data(names[at]) == images[at]
    assert topic.reads == 3
    store.data(names[1])
    assert topic.reads == 4


def test_an_image_by_its_url(tmp_path: Path) -> None:
    file = tmp_path / "image file.bin"
    file.write_bytes(IMAGE)
    store, topic, clock = staged()
    topic.write(store, {**added(url=file.as_uri(), parts=0, part_size=0)})
    assert isinstance(store.manifest(IMAGE_ID), FirmwareManifest)
    assert (store.data(IMAGE_ID), topic.reads) == (IMAGE, 0)
    other, again, clock = staged()
    again.write(other, {**added(url=file.as_uri(), parts=0, part_size=0)})
    file.write_bytes(IMAGE[::-1])
    assert failure(other) == "image-invalid"
    clock.advance(31)
    file.unlink()
    assert failure(other) == "image-missing"


def test_more_images_than_there_is_room_for_are_one_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_book, "MOST_IMAGES", 1)
    store, topic, _ = staged()
    with structlog.testing.capture_logs() as lines:
        topic.write(store, {**added()})
        messages = [FakeMessage(b"junk", 99, source="hes.images", name=b"%064x" % number) for number in range(3)]
        store.take([cast("Message", message) for message in messages])
        store.take([])
    assert [(line["event"], line["code"], line["records"]) for line in lines] == [("images-full", "images-full", 3)]
    found = store.judge("0" * 64)
    assert (isinstance(found, Refusal) and found.code, failure(store, "0" * 64)) == ("images-full", "image-missing")
    assert store.data(IMAGE_ID) == IMAGE


def test_images_are_fetched_on_a_thread_of_the_store_one_after_the_other() -> None:
    store, topic, _ = staged()
    names: list[str] = []

    def read(offsets: Sequence[int]) -> list[bytes]:
        names.append(threading.current_thread().name)
        return topic.read(offsets)

    store._read_parts = read
    other = bytes(50_000)
    topic.write(store, {**added(), **added(other)})
    wanted = (IMAGE_ID, hashlib.sha256(other).hexdigest(), IMAGE_ID)
    found = [store.fetch(image_id) for image_id in wanted]
    assert [each.result(10) for each in found] == [IMAGE, other, IMAGE]
    assert (len(names), set(names)) == (2, {"image_0"})
    assert store.fetch(IMAGE_ID).done()
    store.stop()


@pytest.mark.parametrize("stopped", [False, True], ids=["it-runs", "it-stops"])
def test_what_is_not_to_be_had_is_told_by_the_future(stopped: bool) -> None:
    store, topic, _ = staged()
    if stopped:
        topic.write(store, {**added()})
        store.stop()
    with pytest.raises(ImageError) as error:
        store.fetch(IMAGE_ID).result(10)
    assert (error.value.code, "the service stops" in error.value.detail) == ("image-missing", stopped)


def test_what_is_being_fetched_is_given_up_when_the_service_stops() -> None:
    store, topic, _ = staged()
    begun, go_on = threading.Event(), threading.Event()
    topic.write(store, {**added()})

    def read(offsets: Sequence[int]) -> Iterator[bytes]:
        begun.set()
        assert go_on.wait(10)
        yield from topic.read(offsets)

    store._read_parts = read
    found = store.fetch(IMAGE_ID)
    assert begun.wait(10)
    store.stop()
    go_on.set()
    with pytest.raises(ImageError, match="the service stops"):
        found.result(10)
