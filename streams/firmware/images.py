"""What campaigns ask of the image store."""

from __future__ import annotations

from typing import Protocol

from schemas.records import FirmwareManifest
from schemas.signatures import digest
from streams.runtime.authority.refusals import Refusal, RefusedError
from streams.runtime.authority.terms import Terms


class Images(Protocol):
    """See `streams.runtime.images.ImageStore`."""

    def judge(self, image_id: str) -> FirmwareManifest | Refusal:
        """The manifest of an image that may be installed, or why not."""

    def value(self, image_id: str) -> bytes | None:
        """The exact bytes of an image's manifest."""

    def data(self, image_id: str) -> bytes:
        """The image. `ImageError` where it is not to be had, or is not what its id names."""


def sound_manifest(images: Images, terms: Terms) -> FirmwareManifest:
    """The manifest of a campaign's image; `RefusedError` where it does not stand, or is another than was looked at."""
    found = images.judge(terms.image)
    if isinstance(found, Refusal):
        raise RefusedError(found.code, found.detail)
    if terms.manifest and terms.manifest != digest(images.value(terms.image) or b"").hex():
        raise RefusedError("image-invalid", "the image's manifest is another than the one that was looked at; ask anew")
    if found.to_version != terms.version:
        raise RefusedError(
            "image-version", f"the image brings version {found.to_version}, the request says {terms.version}; ask anew"
        )
    return found
