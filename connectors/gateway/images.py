"""Firmware images as drivers have them: see `streams.runtime.images.ImageStore`."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from schemas.records import FirmwareManifest


class Images(Protocol):
    """Images that may be installed, by their digest. Asked on any thread."""

    @property
    def caught_up(self) -> bool:
        """Whether what there was at the start is known."""

    def manifest(self, image_id: str) -> FirmwareManifest | None:
        """What an image is and for whom; None where there is none that is sound."""

    def value(self, image_id: str) -> bytes | None:
        """The exact bytes of an image's manifest, sound or not: what a digest of it is taken over."""

    def fetch(self, image_id: str) -> Future[bytes]:
        """Its octets, proven, on the store's own thread; may take minutes. `ImageError`."""
