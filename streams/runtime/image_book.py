"""What hes.images says: which firmware images there are, which of them may be believed, and where their octets are.

A manifest is keyed by its image's SHA-256 in lower-case hex, a part by that, a slash and its number. Only what is signed
by an operator who may ask for firmware, or decide on it, counts: whoever can write to the topic can hide an image from who
reads it later, and cannot forge one. To remove one is to sign that, too: a tombstone alone takes nothing from who has read
what was there before.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from schemas.codec import CodecError
from schemas.records import FirmwareManifest, FirmwarePart
from schemas.signatures import SignatureError, read, verify
from streams.runtime.authority.refusals import Refusal, RefusedError
from streams.runtime.authority.verify import Around
from streams.runtime.clock import iso
from streams.runtime.fetching import scheme_of

LARGEST = 64 << 20
"""Octets of an image."""
PART = 512 << 10
"""Octets of a part at most; with its key and frame it stays below what Kafka takes by default, 1 MiB."""
MOST_PARTS = 4096
MOST_IMAGES, MOST_PLACES = 1_000, 200_000
"""Images and parts that are known at once: more than a fleet ever has, and what a book of 64 MB holds."""
LARGEST_MANIFEST = 64 << 10
"""Octets of a manifest's record."""
SCHEMES = ("file", "http", "https")
KIND = "firmware"
"""What the policy calls it."""
_ID = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"([0-9a-f]{64})/([0-9]{1,4})")
_LONGEST, _MOST = 2_000, 200

CODES = {
    "image-missing": "no sound image of this digest is there yet, or some of its parts are missing: add it again",
    "image-invalid": "the image's octets are not those that its digest names: forged, or damaged; add it again",
    "images-full": "more images or parts on hes.images than are kept: remove those that nobody needs, then add this again",
    "manifest-invalid": "a firmware manifest that contradicts itself or goes beyond the limits; add the image again",
}
"""Codes of `ImageError`, and of a manifest that is refused beside those of a signature; with their meaning."""


class ImageError(Exception):
    """An image cannot be had. `code` is stable; image-missing may pass by itself, image-invalid does not."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class _Told:
    """A manifest as it stands on the topic, and what is wrong with its form."""

    value: bytes
    manifest: FirmwareManifest | None
    fault: Refusal | None


class ImageBook:
    """The latest manifest of each image, and the offset of each part. Applied on one thread, asked on any."""

    def __init__(self, around: Around) -> None:
        self.around = around
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}
        self._parts: dict[str, dict[int, int]] = {}
        self._verified: dict[str, tuple[bytes, bytes]] = {}
        self._removed: dict[str, _Told] = {}
        self._places = 0
        self.turned_away = 0
        """Records for which there was no room."""

    def apply(self, key: str, value: bytes | None, offset: int) -> str:
        """Take a record over; the id of the image that it is about, or empty where its key is none of ours. A tombstone
        takes nothing of an image away that somebody signed who might.

        `RegistryError` passes through where the registry is down.
        """
        part = _PART.fullmatch(key)
        if part is not None and int(part[2]) < MOST_PARTS:
            kept = value is None and self._signed(self._told.get(part[1])) is not None
            if not kept:
                with self._lock:
                    self._place(part[1], int(part[2]), None if value is None else offset)
            return part[1]
        if _ID.fullmatch(key) is None:
            return ""
        if value is None:
            with self._lock:
                if self._signed(self._told.get(key)) is None:
                    self._told.pop(key, None)
            return key
        told = self._read(key, value)
        removal = told.manifest is not None and told.manifest.removed
        with self._lock:
            self._verified.pop(key, None)
            book = self._removed if removal else self._told
            if key in book or len(book) < MOST_IMAGES:
                book[key] = told
            else:
                self.turned_away += 1
        if removal and self._gone(key):
            with self._lock:
                self._forget(key)
        return key

    def ids(self) -> list[str]:
        """Every image that a manifest is there of, sound or not, and that was not removed."""
        with self._lock:
            known = list(self._told)
        return [image_id for image_id in known if not self.is_removed(image_id)]

    def is_removed(self, image_id: str) -> bool:
        """Whether somebody who may has signed that it was removed, and nobody has added it since."""
        gone = self._gone(image_id)
        return gone is not None and not _is_later(self._told.get(image_id), gone)

    def value(self, image_id: str) -> bytes | None:
        """The manifest's exact bytes, sound or not."""
        told = self._told.get(image_id)
        return None if told is None else told.value

    def judge(self, image_id: str, now_ms: int) -> FirmwareManifest | Refusal:
        """The manifest of an image, where its signer's key is good now and it is signed by it; else why not.

        So what somebody signed counts no more once his key is revoked, as with commands.
        """
        told = self._told.get(image_id)
        if told is None or self.is_removed(image_id):
            return self._absent(image_id)
        if told.manifest is None:
            return told.fault or Refusal("manifest-invalid", f"the manifest of image {short(image_id)} cannot be read")
        try:
            self._prove(told.value, told.manifest, now_ms)
        except RefusedError as error:
            return Refusal(error.refusal.code, f"the manifest of image {short(image_id)}: {error.refusal.detail}")
        except SignatureError as error:
            return Refusal(error.code, f"the manifest of image {short(image_id)}: {error.detail}")
        return told.manifest

    def _absent(self, image_id: str) -> Refusal:
        """Why an image is not there."""
        if (gone := self._gone(image_id)) is not None:
            what = f"firmware image {short(image_id)} was removed by {gone.added_by} at {iso(gone.added_at)}"
            return Refusal("image-missing", f"{what}; add it again (`hes firmware add`) where it is needed")
        if self.turned_away:
            return Refusal("images-full", f"firmware image {short(image_id)} is not known: {CODES['images-full']}")
        return Refusal("image-missing", f"there is no firmware image {short(image_id)}; `hes firmware list` shows them")

    def places(self, manifest: FirmwareManifest) -> list[int]:
        """The offsets of an image's parts, by number. `ImageError` image-missing where one is not there."""
        with self._lock:
            known = dict(self._parts.get(manifest.id, {}))
        missing = [number for number in range(manifest.parts) if number not in known]
        if missing:
            raise ImageError(
                "image-missing",
                f"image {short(manifest.id)}: {len(missing)} of its {manifest.parts} parts are not on the topic, "
                f"the first is {missing[0]}; add it again (`hes firmware add`)",
            )
        return [known[number] for number in range(manifest.parts)]

    def numbers(self, image_id: str) -> list[int]:
        """The parts of an image that are on the topic, whatever its manifest says."""
        with self._lock:
            return sorted(self._parts.get(image_id, ()))

    def _place(self, image_id: str, number: int, offset: int | None) -> None:
        """Note where a part is, or that it is nowhere any more."""
        places = self._parts.get(image_id, {})
        before = len(places)
        if offset is None:
            places.pop(number, None)
        elif number in places or self._places < MOST_PLACES:
            places[number] = offset
        else:
            self.turned_away += 1
        self._places += len(places) - before
        if places:
            self._parts[image_id] = places
        else:
            self._parts.pop(image_id, None)

    def _forget(self, image_id: str) -> None:
        """Drop what was there before the image was removed."""
        removed = self._removed[image_id].manifest
        if removed is not None and not _is_later(self._told.get(image_id), removed):
            self._told.pop(image_id, None)
            self._places -= len(self._parts.pop(image_id, {}))

    def _gone(self, image_id: str) -> FirmwareManifest | None:
        """That an image was removed, where somebody signed it who might."""
        return self._signed(self._removed.get(image_id))

    def _signed(self, told: _Told | None) -> FirmwareManifest | None:
        """What somebody signed who might when he did: also where his key was revoked since."""
        rules, here = self.around.policy.kinds.get(KIND), self.around.environment
        manifest = None if told is None else told.manifest
        if told is None or manifest is None or rules is None or manifest.environment != here:
            return None
        roles = (*rules.requested_by, *rules.decided_by)
        for version in self.around.operators.keys_at(manifest.added_by, manifest.added_at, roles):
            with suppress(SignatureError):
                verify(self.around.codec, told.value, here, version.public_key)
                return manifest
        return None

    def _read(self, key: str, value: bytes) -> _Told:
        if len(value) > LARGEST_MANIFEST:
            detail = f"the manifest of image {short(key)} has {len(value)} octets, and {LARGEST_MANIFEST} is the most"
            return _Told(b"", None, Refusal("manifest-invalid", f"{detail}; add the image again"))
        try:
            manifest = read(self.around.codec, value, FirmwareManifest)
        except CodecError as error:
            return _Told(value, None, Refusal("manifest-invalid", f"the manifest of image {short(key)}: {error}"))
        except SignatureError as error:
            return _Told(value, None, Refusal(error.code, f"the manifest of image {short(key)}: {error.detail}"))
        wrong = "" if manifest.removed else fault_of(manifest)
        fault = f"it stands under the key of image {short(key)}" if manifest.id != key else wrong
        if fault:
            refusal = Refusal(
                "manifest-invalid", f"the manifest of image {short(manifest.id)}: {fault}; add the image again"
            )
            return _Told(value, None, refusal)
        return _Told(value, manifest, None)

    def _prove(self, value: bytes, manifest: FirmwareManifest, now_ms: int) -> None:
        """Return where somebody signed it who may. `RefusedError`, `SignatureError`."""
        here = self.around.environment
        if manifest.environment != here:
            raise RefusedError("environment-other", f"it is for environment {manifest.environment!r}, and this is {here!r}")
        rules = self.around.policy.kinds.get(KIND)
        if rules is None:
            raise RefusedError("kind-not-allowed", f"the policy allows no {KIND}; allow it there (`hes operators policy`)")
        roles = (*rules.requested_by, *rules.decided_by)
        signer = self.around.operators.signer(manifest.added_by, now_ms, roles)
        if self._verified.get(manifest.id) == (value, signer.public_key):
            return
        verify(self.around.codec, value, here, signer.public_key)
        self._verified[manifest.id] = (value, signer.public_key)


def _is_later(told: _Told | None, removed: FirmwareManifest) -> bool:
    """Whether an image was added (again) after it was removed: one that was signed before may be a copy."""
    return told is not None and told.manifest is not None and told.manifest.added_at > removed.added_at


def fault_of(manifest: FirmwareManifest) -> str:
    """What is wrong with what a manifest states; empty where nothing is."""
    return next(_faults(manifest), "")


def _faults(manifest: FirmwareManifest) -> Iterator[str]:
    texts = (manifest.name, manifest.vendor, manifest.model, manifest.to_version, manifest.url, manifest.checked)
    lists = (manifest.hardware, manifest.templates, manifest.from_versions)
    if _ID.fullmatch(manifest.id) is None:
        yield "its id is no SHA-256 in lower-case hex"
    if not 0 < manifest.size <= LARGEST:
        yield f"its size is {manifest.size}, and an image has 1 to {LARGEST} octets"
    if max(*map(len, texts), len(manifest.identifier), len(manifest.vendor_signature)) > _LONGEST:
        yield f"one of its fields is longer than {_LONGEST}"
    if sum(len(text.encode()) for text in (*texts, *(item for items in lists for item in items))) > LARGEST_MANIFEST // 2:
        yield f"its lists and texts together are longer than {LARGEST_MANIFEST // 2} octets"
    if any(len(items) > _MOST or any(not 0 < len(item) <= _LONGEST for item in items) for items in lists):
        yield f"one of its lists is longer than {_MOST}, or has an empty or too long entry"
    if not manifest.vendor or not manifest.model or not manifest.to_version:
        yield "it names no vendor, model or version"
    if manifest.url:
        if (scheme := scheme_of(manifest.url)) not in SCHEMES:
            yield f"its URL is of scheme {scheme!r}, not one of {', '.join(SCHEMES)}"
    elif not 0 < manifest.part_size <= PART or manifest.parts != -(-manifest.size // manifest.part_size):
        yield f"{manifest.parts} parts of {manifest.part_size} octets are not {manifest.size}, or too large"
    elif manifest.parts > MOST_PARTS:
        yield f"it has {manifest.parts} parts, and {MOST_PARTS} is the most"


def assembled(manifest: FirmwareManifest, pieces: Iterable[bytes]) -> bytes:
    """The image of these pieces. `ImageError` image-invalid where they are not what the manifest's id and size name."""
    data, found = bytearray(), hashlib.sha256()
    for piece in pieces:
        if len(data) + len(piece) > manifest.size:
            raise _invalid(manifest, f"it is longer than its {manifest.size} octets")
        data += piece
        found.update(piece)
    if len(data) != manifest.size:
        raise _invalid(manifest, f"{len(data)} octets are there, not {manifest.size}")
    if found.hexdigest() != manifest.id:
        raise _invalid(manifest, f"its SHA-256 is {short(found.hexdigest())}")
    return bytes(data)


def part_of(part: FirmwarePart, manifest: FirmwareManifest, number: int) -> bytes:
    """The octets of a part that is the one meant; `ImageError` image-invalid."""
    if part.image != manifest.id or part.number != number:
        raise _invalid(manifest, f"part {number} says it is part {part.number} of {short(part.image)}")
    return part.data


def parts_of(data: bytes, image_id: str, size: int = PART) -> Iterator[FirmwarePart]:
    """An image in parts, as they are put on the topic."""
    for number, at in enumerate(range(0, len(data), size)):
        yield FirmwarePart(image_id, number, data[at : at + size])


def short(image_id: str) -> str:
    """An image's id as it is told: what tells it from others."""
    return image_id[:12]


def _invalid(manifest: FirmwareManifest, what: str) -> ImageError:
    return ImageError(
        "image-invalid", f"image {short(manifest.id)}: {what}; forged or damaged: add it again (`hes firmware add`)"
    )
