"""Images as hes.images has them: looked up, added, removed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.cli.failure import CommandError, unreachable, usage
from connectors.cli.output import progress, say
from connectors.cli.signing import Person, now_ms, seal
from connectors.cli.topics import read_topic
from schemas.codec import Codec, CodecError
from schemas.records import FirmwareManifest, FirmwarePart, Record
from streams.runtime.authority.refusals import Refusal
from streams.runtime.authority.verify import Around
from streams.runtime.clock import iso
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.fetching import FetchError, fetched, shown
from streams.runtime.image_book import LARGEST, PART, ImageBook, ImageError, assembled, fault_of, part_of, parts_of
from streams.runtime.images import TOPIC
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

_FETCH_S = 120.0
_SAME = ("size", "vendor", "model", "hardware", "protocol", "templates", "from_versions", "to_version", "identifier",
         "vendor_signature", "checked", "parts", "part_size", "url", "environment")  # fmt: skip
"""What two manifests of one image must agree in to be the same."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The images on the topic now."""

    book: ImageBook
    values: dict[str, bytes]
    """Parts, by key."""
    codec: Codec

    def data(self, manifest: FirmwareManifest) -> bytes:
        """An image's octets from its parts; `ImageError`."""
        self.book.places(manifest)
        try:
            return assembled(manifest, (self._part(manifest, number) for number in range(manifest.parts)))
        except CodecError as error:
            raise ImageError("image-invalid", f"one of its parts cannot be read: {error}") from error

    def fault(self, manifest: FirmwareManifest) -> str:
        """The code of what is wrong with an image's octets; empty where they are sound, or are elsewhere."""
        if manifest.url:
            return ""
        try:
            self.data(manifest)
        except ImageError as error:
            return error.code
        return ""

    def _part(self, manifest: FirmwareManifest, number: int) -> bytes:
        record = self.codec.decode(self.values[f"{manifest.id}/{number}"])
        if not isinstance(record, FirmwarePart):
            raise ImageError("image-invalid", f"part {number} is none")
        return part_of(record, manifest, number)


def shelf(given: Settings, codec: Codec, world: Around) -> Shelf:
    """What is on hes.images; parts too, since nothing else tells whether an image is whole."""
    found = Shelf(ImageBook(world), {}, codec)
    for message in read_topic(given, TOPIC):
        key, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
        if found.book.apply(key, value, message.offset() or 0) and value is not None and "/" in key:
            found.values[key] = value
    return found


def one(found: Shelf, name: str) -> str:
    """The id of an image: by its digest or as much of it as no other has, by its version or file where one image has it."""
    ids = found.book.ids()
    named = [name.lower()] if name.lower() in ids else [each for each in ids if name and each.startswith(name.lower())]
    if not named:
        now = now_ms()
        judged = ((each, found.book.judge(each, now)) for each in ids)
        named = [
            each for each, image in judged if isinstance(image, FirmwareManifest) and name in (image.to_version, image.name)
        ]
    if len(named) != 1:
        what = f"{len(named)} images are meant by {name}" if named else f"there is no image {name}"
        raise CommandError(what, mend="`hes firmware list` shows them; name one by its id, or the beginning of it")
    return named[0]


def sound(found: Shelf, image_id: str) -> FirmwareManifest:
    """The manifest of an image that may be installed; `CommandError` with the reason where it may not."""
    judged = found.book.judge(image_id, now_ms())
    if isinstance(judged, Refusal):
        raise CommandError(
            f"{judged.detail} ({judged.code})", mend="add the file again (`hes firmware add`), by somebody who may"
        )
    return judged


def read_file(file: Path) -> bytes:
    """An image's file, within the limits."""
    size = file.stat().st_size
    if not 0 < size <= LARGEST:
        raise usage(f"{file} has {size} octets, and an image has 1 to {LARGEST}", "name the image's own file")
    return file.read_bytes()


def identifier_of(text: str) -> bytes:
    """An image identifier as it is typed: text, or hex behind 0x."""
    if not text.startswith("0x"):
        return text.encode()
    try:
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise usage(f"{text!r} is no hex", "write 0x and an even number of digits, or plain text") from error


def same_digest(data: bytes, wanted: str) -> str:
    """How the file is proven by a digest that the manufacturer gave; `CommandError` where it is another file."""
    found = hashlib.sha256(data).hexdigest()
    if wanted.strip().lower().removeprefix("sha256:") != found:
        raise CommandError(
            f"its SHA-256 is {found}, not the one given: the file was altered, or is another",
            mend="do not install it; get file and digest from the manufacturer again",
        )
    return "SHA-256 as given"


def check_url(url: str, data: bytes) -> None:
    """`CommandError` where the URL gives another file; a note where it cannot be asked from here."""
    found = hashlib.sha256()
    try:
        for piece in fetched(url, len(data), _FETCH_S):
            found.update(piece)
    except FetchError as error:
        say(f"[yellow]note[/]: {error}; each gateway must be able to fetch it")
        return
    if found.digest() != hashlib.sha256(data).digest():
        raise CommandError(f"{shown(url)} gives another file than this", mend="put this file there, or name another URL")


def add(given: Settings, found: Shelf, manifest: FirmwareManifest, data: bytes, by: Person) -> dict[str, Any]:
    """Put an image on the topic, parts first; what is there already is not written again. What became of it, as a row."""
    if fault := fault_of(manifest):
        raise usage(f"the image cannot be added: {fault}", "correct that")
    judged = found.book.judge(manifest.id, now_ms())
    known = None if isinstance(judged, Refusal) else judged
    if known is not None and not manifest.checked:
        manifest = dataclasses.replace(manifest, checked=known.checked)  # what was proven of these octets stays proven
    if not manifest.checked:
        say("[yellow]note[/]: nothing proves that this file is the manufacturer's; whoever approves a campaign will read so")
        say("  try: --sha256 with the digest from the manufacturer, or --vendor-key and --vendor-signature")
    value = seal(found.codec, manifest, given, by)
    _try(found, manifest, value)
    whole = known is not None and is_whole(found, known, manifest)
    same = known is not None and all(getattr(known, name) == getattr(manifest, name) for name in _SAME)
    row = {"image": manifest.id, "version": manifest.to_version, "size": manifest.size, "checked": manifest.checked}
    if whole and same:
        say("it is there already, just so; nothing was written")
        return row | {"added": False}
    if known is not None and not same:
        say(f"[yellow]note[/]: it takes the place of what {known.added_by} stated of this image at {iso(known.added_at)}")
    parts = [] if whole or manifest.url else list(parts_of(data, manifest.id, manifest.part_size))
    records = [(f"{manifest.id}/{part.number}", part, found.codec.encode(part)) for part in parts]
    write(given, [*records, (manifest.id, manifest, value)])
    return row | {"added": True}


def _try(found: Shelf, manifest: FirmwareManifest, value: bytes) -> None:
    """`CommandError` where nobody would believe the manifest."""
    trial = ImageBook(found.book.around)
    trial.apply(manifest.id, value, 0)
    if isinstance(refusal := trial.judge(manifest.id, now_ms()), Refusal):
        raise CommandError(
            f"nobody would take it: {refusal.detail} ({refusal.code})",
            mend="`hes operators policy` shows which roles may sign for firmware",
        )


def is_whole(found: Shelf, known: FirmwareManifest, wanted: FirmwareManifest) -> bool:
    """Whether the octets are where the wanted manifest says, and are sound."""
    if wanted.url or known.url:
        return wanted.url == known.url
    return known.part_size == wanted.part_size and not found.fault(known)


def remove(given: Settings, found: Shelf, image_id: str, by: Person) -> int:
    """Sign that there is no such image any more, then take its octets off the topic; how many records.

    The signed removal stays under its key, so that nobody can bring an old manifest back.
    """
    known = found.book.judge(image_id, now_ms())
    stated = FirmwareManifest(id=image_id) if isinstance(known, Refusal) else known
    removal = dataclasses.replace(
        stated, removed=True, added_by=by.name, added_at=now_ms(), environment=given.environment, signature=b""
    )
    value = seal(found.codec, removal, given, by)
    parts = [f"{image_id}/{number}" for number in found.book.numbers(image_id)]
    found.book.apply(image_id, value, 0)
    if not found.book.is_removed(image_id):
        raise CommandError(
            f"nobody would take it from {by.name} that the image was removed",
            mend="`hes operators policy` shows which roles may sign for firmware",
        )
    write(given, [(image_id, removal, value), *((key, None, None) for key in parts)])
    return 1 + len(parts)


def write(given: Settings, records: Sequence[tuple[str, Record | None, bytes | None]]) -> None:
    """Write records, or tombstones, in their order, and wait until Kafka has them all."""
    try:
        publisher = Publisher(given.kafka, "hes-cli")
        with progress(len(records), "parts") as bar:
            for key, record, value in records:
                headers = None if record is None else headers_of(record, source="cli", at_ms=now_ms())
                publisher.send(TOPIC, key, value, headers)
                bar.advance(bar.task_ids[0])
            publisher.flush()
    except TemporaryError as error:
        raise unreachable(str(error)) from error
    except FatalError as error:
        raise CommandError(str(error)) from error


def described(manifest: FirmwareManifest) -> dict[str, Any]:
    """A manifest as it is told to whoever is to decide."""
    return {
        "image": manifest.id,
        "vendor": manifest.vendor,
        "model": manifest.model,
        "version": manifest.to_version,
        "from": listed(manifest.from_versions, "any version"),
        "hardware": listed(manifest.hardware, "any"),
        "templates": listed(manifest.templates, "any"),
        "size": f"{manifest.size:,} octets",
        "checked": manifest.checked or "nothing of the manufacturer's",
        "added": f"by {manifest.added_by} at {iso(manifest.added_at)}",
    }


def listed(items: Iterable[str], otherwise: str) -> str:
    """A list in words."""
    return ", ".join(items) or otherwise


def stated(data: bytes, **fields: Any) -> FirmwareManifest:
    """A manifest of these octets, stamped now."""
    found = FirmwareManifest(id=hashlib.sha256(data).hexdigest(), size=len(data), added_at=now_ms(), **fields)
    return found if found.url else dataclasses.replace(found, part_size=PART, parts=-(-len(data) // PART))
