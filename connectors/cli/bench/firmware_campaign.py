"""People, an image and the jobs that bring it, for benches: signed with keys that are made for them and forgotten after."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.cli.bench.worker_rig import JOBS, Rig
from schemas.ids import event_id
from schemas.records import (
    Cause,
    CommandDecision,
    CommandRequest,
    FirmwareManifest,
    Job,
    Operation,
    Operator,
    Priority,
    Protocol,
    Record,
    Target,
    Verdict,
)
from schemas.signatures import Signed, digest, public_key, signed
from streams.runtime.image_book import PART, parts_of
from streams.runtime.tracing import headers_of

VENDOR, MODEL, VERSION = "Bench", "Load", "2.0"
_ASKS, _DECIDES = "bench-asks", "bench-decides"
_DAY_MS = 86_400_000
_MOST = 100
"""Meters of a request: more would need a hash tree."""


@dataclass(slots=True)
class Campaign:
    """One image for meters of the load fleet. `environ` goes to the gateway before it starts."""

    rig: Rig
    size: int
    data: bytes = field(init=False, repr=False)
    image: str = field(init=False)
    _keys: dict[str, Ed25519PrivateKey] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.data = random.Random(self.size).randbytes(self.size)  # noqa: S311 - octets that a lost block would change
        self.image = hashlib.sha256(self.data).hexdigest()
        self._keys = {name: Ed25519PrivateKey.generate() for name in ("root", _ASKS, _DECIDES)}

    @property
    def environ(self) -> dict[str, str]:
        """Whom the gateway believes."""
        return {"HES_COMMANDS__ROOT_KEY": public_key(self._keys["root"]).hex()}

    def prepare(self) -> None:
        """People and image onto Kafka."""
        now = _now_ms()
        for name, role in ((_ASKS, "meter-operator"), (_DECIDES, "supervisor")):
            key = public_key(self._keys[name])
            person = Operator(
                id=name,
                name=name,
                roles=(role,),
                public_key=key,
                valid_from=now - _DAY_MS,
                valid_to=now + _DAY_MS,
                version=1,
            )
            self._put("hes.operators", name, self._signed(person, "root"))
        parts = -(-self.size // PART)
        manifest = FirmwareManifest(
            id=self.image, name="bench.bin", size=self.size, vendor=VENDOR, model=MODEL, protocol=Protocol.DLMS,
            to_version=VERSION, identifier=f"BENCH-{VERSION}".encode(), parts=parts, part_size=PART, added_by=_ASKS,
            added_at=now, environment=self.rig.settings.environment,
        )  # fmt: skip
        for part in parts_of(self.data, self.image):
            self._put("hes.images", f"{self.image}/{part.number}", part)
        self._put("hes.images", self.image, self._signed(manifest, _ASKS))
        self.rig.publisher.flush()

    def send(self, meters: Sequence[str], *, deadline_s: float) -> set[str]:
        """A job for each of these meters, to bring the image and have it verified; their ids."""
        jobs = [
            job for first in range(0, len(meters), _MOST) for job in self._jobs(meters[first : first + _MOST], deadline_s)
        ]
        for job in jobs:
            self._put(JOBS, job.meter_id, job)
        self.rig.publisher.flush()
        return {job.id for job in jobs}

    def _jobs(self, meters: Sequence[str], deadline_s: float) -> list[Job]:
        now, environment = _now_ms(), self.rig.settings.environment
        parameters = {"image": self.image, "version": VERSION, "activate": "verified"}
        request = CommandRequest(
            id=f"bench-{meters[0]}-{now}", target=Target(meters=tuple(meters)), operation=Operation.FIRMWARE_TRANSFER,
            parameters=parameters, requested_by=_ASKS, requested_at=now, reason="a bench", environment=environment,
        )  # fmt: skip
        value = self._signed(request, _ASKS)
        decision = CommandDecision(
            id=f"{request.id}-yes", command_id=request.id, request_digest=digest(value), meters=tuple(meters),
            environment=environment, verdict=Verdict.APPROVE, decided_by=_DECIDES, decided_at=now,
        )  # fmt: skip
        approved = self._signed(decision, _DECIDES)
        return [
            Job(
                id=event_id("Job", request.id, digest(value), meter, 1), meter_id=meter, operation=request.operation,
                parameters=parameters, priority=Priority.FIRMWARE, issued_at=now, deadline=now + round(deadline_s * 1000),
                cause=Cause.FIRMWARE, caused_by=request.id, request=value, decisions=(approved,),
            )
            for meter in meters
        ]  # fmt: skip

    def _signed(self, record: Signed, by: str) -> bytes:
        return signed(self.rig.codec, record, self.rig.settings.environment, self._keys[by])

    def _put(self, topic: str, key: str, what: Record | bytes) -> None:
        value = what if isinstance(what, bytes) else self.rig.codec.encode(what)
        headers = None if isinstance(what, bytes) else headers_of(what, source="bench", at_ms=_now_ms())
        self.rig.publisher.send(topic, key, value, headers)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
