"""Firmware images as a service needs them: hes.images followed, octets fetched when asked for, proven, and kept a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.codec import CodecError, expect
from schemas.records import FirmwareManifest, FirmwarePart
from schemas.registry import RegistryError
from streams.runtime.authority.refusals import Refusal
from streams.runtime.authority.verify import Around
from streams.runtime.fetching import FetchError, fetched
from streams.runtime.follow import Follower
from streams.runtime.image_book import CODES, LARGEST, ImageBook, ImageError, assembled, part_of, short
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.service import Runtime

__all__ = ["CODES", "TOPIC", "ImageError", "ImageStore"]

TOPIC = "hes.images"
CACHE = 128 << 20
"""Octets of images that are kept: two of the largest."""
_FETCH_S, _READ_S, _FORGET_S = 120.0, 60.0, 30.0
_NOT_HERE = ("image-missing", "images-full")
"""Refusals of whatever id is asked for: not worth a line each."""
_OVERHEAD = 200
"""Octets of a part's record beside its data."""
ReadParts = Callable[[Sequence[int]], Iterable[bytes]]
"""The values at these offsets of the topic, in that order."""


class ImageStore:
    """The images that may be installed. Asked on any thread; `data` may take minutes, so not on an event loop's: `fetch`."""

    def __init__(self, runtime: Runtime, around: Around, *, cache: int = CACHE, read_parts: ReadParts | None = None) -> None:
        self._runtime = runtime
        self._book = ImageBook(around)
        self._follower = Follower(runtime, TOPIC, self.take)
        self._read_parts = read_parts or self._from_topic
        self._most = cache
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._failed: dict[str, tuple[float, ImageError]] = {}
        self._lock = threading.Lock()
        self._assembling = threading.Lock()
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, "image")
        self._told: dict[str, tuple[bytes | None, str]] = {}
        self._turned_away = 0
        self._log = structlog.get_logger("images")

    @property
    def caught_up(self) -> bool:
        """Whether what was on the topic at the start is known."""
        return self._follower.caught_up

    def start(self) -> None:
        """Begin to follow the topic."""
        self._follower.start()

    def check(self) -> None:
        """To be called now and then: `FatalError` where the topic is followed no more."""
        self._follower.check()

    def stop(self) -> None:
        """Stop following and fetching; what is being fetched is given up at its next octets."""
        self._stopped.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._follower.stop()

    def judge(self, image_id: str) -> FirmwareManifest | Refusal:
        """The manifest of an image that may be installed, or why not, for whoever must say so (the audit chain)."""
        found = self._book.judge(image_id, self._runtime.clock.now_ms())
        if isinstance(found, Refusal) and found.code not in _NOT_HERE:
            self._tell(image_id, found)
        return found

    def manifest(self, image_id: str) -> FirmwareManifest | None:
        """The same; None where there is none that is sound. A log line says why."""
        found = self.judge(image_id)
        return None if isinstance(found, Refusal) else found

    def value(self, image_id: str) -> bytes | None:
        """The exact bytes of an image's manifest, sound or not: what a digest of it is taken over."""
        return self._book.value(image_id)

    def manifests(self) -> list[FirmwareManifest]:
        """Every image that may be installed."""
        return [found for image_id in self._book.ids() if (found := self.manifest(image_id)) is not None]

    def data(self, image_id: str) -> bytes:
        """The image, SHA-256 and size as its manifest says. `ImageError` image-missing or image-invalid.

        Once assembled it is at hand until others need the room; a failure is remembered for half a minute, so that many
        meters that wait for an image do not fetch it in vain one after the other.
        """
        manifest = self._sound(image_id)
        if (known := self._cached(image_id)) is not None:
            return known
        with self._assembling:
            if (known := self._cached(image_id)) is not None:
                return known
            until, failure = self._failed.get(image_id, (0.0, None))
            if failure is not None and self._runtime.clock.monotonic() < until:
                raise ImageError(failure.code, failure.detail)
            try:
                data = self._assembled(manifest)
            except ImageError as error:
                self._failed[image_id] = (self._runtime.clock.monotonic() + _FORGET_S, error)
                self._log.warning("image-unusable", code=error.code, reason=error.detail)
                raise
            self._failed.pop(image_id, None)
            self._keep(image_id, data)
            return data

    def fetch(self, image_id: str) -> Future[bytes]:
        """As `data`, on the store's own thread, one image after the other: who waits holds no thread that others need."""
        found: Future[bytes] = Future()
        try:
            self._sound(image_id)
            if (known := self._cached(image_id)) is None:
                return self._thread.submit(self.data, image_id)
            found.set_result(known)
        except ImageError as error:
            found.set_exception(error)
        except RuntimeError:  # the thread takes nothing more
            found.set_exception(self._stops(image_id))
        return found

    def take(self, messages: Sequence[Message]) -> None:
        """Take records of the topic over."""
        for message in messages:
            key = (message.key() or b"").decode("utf-8", "replace")
            image_id = self._book.apply(key, message.value(), message.offset() or 0)
            if image_id:
                self._failed.pop(image_id, None)
            else:
                self._log.warning("image-key", code="manifest-invalid", offset=message.offset())
            if image_id == key and message.value() is None:
                self._told.pop(image_id, None)
                if self._book.value(image_id) is not None:
                    self._log.warning("image-kept", image=image_id, reason="a tombstone that nobody signed a removal for")
        if (now := self._book.turned_away) != self._turned_away:
            records, self._turned_away = now - self._turned_away, now
            self._log.error("images-full", code="images-full", records=records, reason=CODES["images-full"])

    def _sound(self, image_id: str) -> FirmwareManifest:
        manifest = self.judge(image_id)
        if isinstance(manifest, Refusal):
            raise ImageError("image-missing", manifest.detail)
        return manifest

    def _assembled(self, manifest: FirmwareManifest) -> bytes:
        try:
            return assembled(manifest, self._unless_stopped(manifest.id, self._pieces(manifest)))
        except FetchError as error:
            raise ImageError("image-missing", f"image {short(manifest.id)}: {error}") from error
        except (CodecError, RegistryError) as error:
            raise ImageError("image-invalid", f"image {short(manifest.id)}: {error}; add it again") from error

    def _pieces(self, manifest: FirmwareManifest) -> Iterator[bytes]:
        if manifest.url:
            yield from fetched(manifest.url, manifest.size, _FETCH_S)
            return
        for number, value in enumerate(self._read_parts(self._book.places(manifest))):
            yield part_of(expect(self._runtime.codec.decode(value), FirmwarePart), manifest, number)

    def _unless_stopped(self, image_id: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._stopped.is_set():
                raise self._stops(image_id)
            yield piece

    @staticmethod
    def _stops(image_id: str) -> ImageError:
        return ImageError("image-missing", f"image {short(image_id)} was not fetched: the service stops")

    def _from_topic(self, offsets: Sequence[int]) -> Iterable[bytes]:
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-images")
        try:
            return values_at(consumer, offsets, self._runtime.clock.monotonic, self._stopped.is_set)
        finally:
            consumer.close()

    def _cached(self, image_id: str) -> bytes | None:
        with self._lock:
            if image_id in self._cache:
                self._cache.move_to_end(image_id)
            return self._cache.get(image_id)

    def _keep(self, image_id: str, data: bytes) -> None:
        with self._lock:
            self._cache[image_id] = data
            while len(self._cache) > 1 and sum(map(len, self._cache.values())) > self._most:
                self._cache.popitem(last=False)

    def _tell(self, image_id: str, refusal: Refusal) -> None:
        """Say it once for each manifest and reason."""
        what = (self._book.value(image_id), refusal.code)
        if self._told.get(image_id) != what:
            self._told[image_id] = what
            self._log.warning("image-refused", code=refusal.code, reason=refusal.detail)


def values_at(
    consumer: Consumer, offsets: Sequence[int], monotonic: Callable[[], float], stopped: Callable[[], bool] = lambda: False
) -> list[bytes]:
    """The values at these offsets of hes.images, in the order given. `ImageError` where they are not to be had within a
    minute or until `stopped`, where one was replaced meanwhile, or where they are more than an image has room for.
    """
    wanted, found, room = set(offsets), dict[int, bytes](), LARGEST + _OVERHEAD * len(offsets)
    until = monotonic() + _READ_S
    try:
        consumer.assign([TopicPartition(TOPIC, 0, min(offsets))])
        while wanted and monotonic() < until and not stopped():
            for message in values_of(consumer.consume(100, 0.2))[0]:
                offset, value = message.offset() or 0, message.value()
                if offset in wanted and value is not None:
                    found[offset] = value
                    room -= len(value)
                if room < 0:
                    raise ImageError("image-invalid", "its parts are larger than an image; add it again")
                if offset >= max(offsets):
                    wanted.clear()
                wanted.discard(offset)
    except KafkaException as error:
        raise ImageError("image-missing", f"{TOPIC} cannot be read: {error.args[0].str()}") from error
    if len(found) < len(offsets):
        raise ImageError("image-missing", f"{len(offsets) - len(found)} parts were not to be had from {TOPIC}; try again")
    return [found[offset] for offset in offsets]
