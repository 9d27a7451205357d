"""Images, their manifests and their records, for tests of whoever asks for one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from schemas.records import FirmwareManifest, Protocol
from streams.runtime.authority.policy import Kind
from streams.runtime.authority.verify import Around
from streams.runtime.image_book import parts_of
from tests.unit.streams.runtime.authority.builders import CODEC, DAY, HERE, HOUR, NOW, POLICY, sign, world

IMAGE = bytes(index * 31 % 251 for index in range(100_000))
IMAGE_ID = hashlib.sha256(IMAGE).hexdigest()
PART_SIZE = 16_384
_RULES = Kind(
    signed=True,
    requested_by=("meter-operator",),
    decided_by=("supervisor",),
    decisions=1,
    expires_ms=84 * DAY,
    meters=1_000_000,
    hours=None,
)


def around(environment: str = HERE, **more: bytes) -> Around:
    """A world in which meter operators ask for firmware, and supervisors decide."""
    rules = replace(POLICY, kinds={**POLICY.kinds, "firmware": _RULES})
    return world(rules, environment=environment, **more)


def manifest(data: bytes = IMAGE, **fields: Any) -> FirmwareManifest:
    """What is stated of an image; `fields` state something else."""
    whole: dict[str, Any] = {
        "id": hashlib.sha256(data).hexdigest(),
        "name": "acme-e350-2.1.bin",
        "size": len(data),
        "vendor": "Acme",
        "model": "E350",
        "protocol": Protocol.DLMS,
        "to_version": "2.1",
        "identifier": b"ACME21",
        "parts": -(-len(data) // PART_SIZE),
        "part_size": PART_SIZE,
        "added_by": "alice",
        "added_at": NOW - HOUR,
        "environment": HERE,
    }
    return FirmwareManifest(**(whole | fields))


def added(data: bytes = IMAGE, by: str = "alice", **fields: Any) -> dict[str, bytes]:
    """The records of an image by their keys: its signed manifest, its parts."""
    stated = manifest(data, **({"added_by": by} | fields))
    parts = (
        {}
        if stated.url
        else {f"{stated.id}/{part.number}": CODEC.encode(part) for part in parts_of(data, stated.id, PART_SIZE)}
    )
    return parts | {stated.id: sign(stated, by)}
