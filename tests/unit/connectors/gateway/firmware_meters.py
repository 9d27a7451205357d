"""Meters that take firmware (gurux' image transfer, and what its port leaves undone), an image, and the job for it."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from gurux_dlms.enums import DataType
from gurux_dlms.objects import GXDLMSData

from schemas.records import FirmwareManifest, Job, Operation, Priority
from schemas.records import Protocol as MeterProtocol
from streams.runtime.images import ImageError
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.protocols.dlms.gurux_meter import data
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Image, ObjectMeter

FIRMWARE = bytes(n * 7 % 251 for n in range(1000))
DIGEST = hashlib.sha256(FIRMWARE).hexdigest()
OLD, NEW = "1.4", "1.5"
BLOCKS = 16
"""Of 64 octets, the last of 40."""
VERSION_LN = "1.0.0.2.0.255"


def manifest(**fields: Any) -> FirmwareManifest:
    whole: dict[str, Any] = {
        "id": DIGEST,
        "size": len(FIRMWARE),
        "vendor": "Maker",
        "model": "M1",
        "protocol": MeterProtocol.DLMS,
        "to_version": NEW,
        "identifier": b"FW-1.5",
    }
    return FirmwareManifest(**(whole | fields))


@dataclass
class FakeImages:
    """Images at hand. `fails` is raised instead of octets."""

    known: dict[str, FirmwareManifest] = field(default_factory=lambda: {DIGEST: manifest()})
    octets: bytes = FIRMWARE
    caught_up: bool = True
    fails: ImageError | None = None

    def manifest(self, image_id: str) -> FirmwareManifest | None:
        return self.known.get(image_id)

    def value(self, image_id: str) -> bytes | None:
        return repr(self.known[image_id]).encode() if image_id in self.known else None

    def fetch(self, _image_id: str) -> Future[bytes]:
        found: Future[bytes] = Future()
        if self.fails is not None:
            found.set_exception(self.fails)
        else:
            found.set_result(self.octets)
        return found


class ImageMeter:
    """A meter with an image transfer object and a version. Activation makes it silent until `restarted`; then it has the new
    version, unless `rolls_back`.
    """

    def __init__(self, **settings: Any) -> None:
        self.image, self.rolls_back, self.restarts = Image(), False, True
        for name, value in settings.items():
            setattr(self if hasattr(self, name) else self.image, name, value)
        self.version: GXDLMSData = data(VERSION_LN, OLD.encode(), DataType.OCTET_STRING)
        self.more: tuple[Any, ...] = ()
        self.away = False
        self.image.does[4] = self._activate
        self.peer = self._peer()
        self.associations = 0
        self.asked: list[bytes] = []

    @property
    def holds(self) -> bytes:
        """The blocks that it has, put together."""
        return b"".join(self.image.parts[number] for number in sorted(self.image.parts))

    @property
    def blocks(self) -> list[int]:
        """Numbers of the blocks as they came."""
        return [int(parameter[0]) for _, method, parameter in self.peer.invoked if method == 2]

    @property
    def methods(self) -> list[int]:
        return [method for _, method, _ in self.peer.invoked]

    def restarted(self) -> None:
        """It is back, with all blocks and orders behind it."""
        self.away = False
        if not self.rolls_back:
            self.version.value = NEW.encode()
        self.image.imageTransferStatus = self.image.imageTransferStatus.__class__(0)

    def answer(self, apdu: bytes) -> bytes:
        """See `meters.ScriptedMeter`."""
        self.asked.append(apdu)
        if apdu[0] == 0x60:
            self.associations += 1
            invoked = self.peer.invoked
            self.peer = self._peer()  # an association of its own
            self.peer.invoked = invoked
        return self.peer.exchange(apdu)

    def _peer(self) -> ObjectMeter:
        return ObjectMeter([self.image, self.version, *getattr(self, "more", ())])

    def _activate(self, _: Any) -> None:
        self.away = self.restarts
        if not self.restarts:
            self.restarted()


def firmware_job(name: str = "f1", meter_id: str = "m1", **fields: Any) -> Job:
    """A job that brings the image."""
    parameters = {"image": DIGEST, "version": NEW} | fields.pop("parameters", {})
    whole: dict[str, Any] = {
        "id": name,
        "meter_id": meter_id,
        "operation": Operation.FIRMWARE_TRANSFER,
        "priority": Priority.FIRMWARE,
        "issued_at": NOW - 500,
        "deadline": NOW + 4 * 3_600_000,
        "caused_by": "campaign",
        "request": b"request",
        "parameters": parameters,
    }
    return Job(**(whole | fields))
