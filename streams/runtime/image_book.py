"""What hes.images says: which firmware images there are, which of them may be believed, and where their octets are.

A manifest is keyed by its image's SHA-256 in lower-case hex, a part by that, a slash and its number. Only what is signed
by an operator who may ask for firmware, or decide on it, counts: whoever can write to the topic can hide an image, and
cannot forge one.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.codec import CodecError
from schemas.records import FirmwareManifest, FirmwarePart
from schemas.signatures import SignatureError, read, verify
from streams.runtime.authority.refusals import Refusal, RefusedError
from streams.runtime.authority.verify import Around
from streams.runtime.fetching import scheme_of

LARGEST = 64 << 20
"""Octets of an image."""
PART = 512 << 10
"""Octets of a part at most; with its key and frame it stays below what Kafka takes by default, 1 MiB."""
MOST_PARTS = 4096
SCHEMES = ("file", "http", "https")
KIND = "firmware"
"""What the policy calls it."""
_ID = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"([0-9a-f]{64})/([0-9]{1,4})")
_LONGEST, _MOST = 2_000, 200

CODES = {
    "image-missing": "no sound image of this digest is there yet, or some of its parts are missing: add it again",
    "image-invalid": "the image's octets are not those that its digest names: forged, or damaged; add it again",
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

    def apply(self, key: str, value: bytes | None, offset: int) -> str:
        """Take a record over; the id of the image that it is about, or empty where its key is none of ours.

        `RegistryError` passes through where the registry is down.
        """
        part = _PART.fullmatch(key)
        if part is not None and int(part[2]) < MOST_PARTS:
            with self._lock:
                places = self._parts.setdefault(part[1], {})
                if value is None:
                    places.pop(int(part[2]), None)
                else:
                    places[int(part[2])] = offset
                if not places:
                    del self._parts[part[1]]
            return part[1]
        if _ID.fullmatch(key) is None:
            return ""
        told = None if value is None else self._read(key, value)
        with self._lock:
            self._verified.pop(key, None)
            if told is None:
                self._told.pop(key, None)
            else:
                self._told[key] = told
        return key

    def ids(self) -> list[str]:
        """Every image that a manifest is there of, sound or not."""
        with self._lock:
            return list(self._told)

    def value(self, image_id: str) -> bytes | None:
        """The manifest's exact bytes, sound or not."""
        told = self._told.get(image_id)
        return None if told is None else told.value

    def judge(self, image_id: str, now_ms: int) -> FirmwareManifest | Refusal:
        """The manifest of an image, where its signer's key is good now and it is signed by it; else why not.

        So what somebody signed counts no more once his key is revoked, as with commands.
        """
        told = self._told.get(image_id)
        if told is None:
            return Refusal("image-missing", f"there is no firmware image {short(image_id)}; `hes firmware list` shows them")
        if told.manifest is None:
            return told.fault or Refusal("manifest-invalid", f"the manifest of image {short(image_id)} cannot be read")
        try:
            self._prove(told.value, told.manifest, now_ms)
        except RefusedError as error:
            return Refusal(error.refusal.code, f"the manifest of image {short(image_id)}: {error.refusal.detail}")
        except SignatureError as error:
            return Refusal(error.code, f"the manifest of image {short(image_id)}: {error.detail}")
        return told.manifest

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

    def _read(self, key: str, value: bytes) -> _Told:
        try:
            manifest = read(self.around.codec, value, FirmwareManifest)
        except CodecError as error:
            return _Told(value, None, Refusal("manifest-invalid", f"the manifest of image {short(key)}: {error}"))
        except SignatureError as error:
            return _Told(value, None, Refusal(error.code, f"the manifest of image {short(key)}: {error.detail}"))
        fault = f"it stands under the key of image {short(key)}" if manifest.id != key else fault_of(manifest)
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
