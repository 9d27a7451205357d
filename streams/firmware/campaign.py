"""A campaign in memory: what was approved, where it stands, and where each of its meters does.

Meters are numbered in their order, the one that decisions and proofs go by; what is kept of each is an octet here and there,
so that a million meters are some twenty megabytes.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from schemas.ids import event_id
from schemas.records import Campaign, CampaignMeters, CampaignProgress, CampaignState, FirmwareManifest
from streams.firmware.states import LETTERS, OF_LETTER, OUT, OVER, Event, Meter, step
from streams.runtime.authority.targets import LISTED, Proofs
from streams.runtime.authority.terms import Terms
from streams.runtime.authority.verify import Asked, named

SLICE, SLICE_OCTETS = 1_000, 400_000
"""Meters of a slice, and octets of their ids, at most: it must fit one record, and is written anew with each result."""
HEARD = 255
"""In `reads`: a read was answered after the activation."""
MISSES = 2
"""Reads missed without one that was answered, from which on a meter's reads count as missing."""
_MOST_CODES = 255


@dataclass(frozen=True, slots=True)
class Image:
    """What a campaign remembers of its image's manifest."""

    size: int
    vendor: str
    model: str
    from_versions: tuple[str, ...]
    to_version: str
    signature: bytes

    @classmethod
    def of(cls, manifest: FirmwareManifest) -> Image:
        """From the manifest."""
        return cls(
            manifest.size,
            manifest.vendor,
            manifest.model,
            manifest.from_versions,
            manifest.to_version,
            manifest.signature,
        )


@dataclass(slots=True, eq=False)
class Case:
    """One campaign. `asked` is what its signed bytes say."""

    asked: Asked
    terms: Terms
    image: Image
    meters: tuple[str, ...]
    waves_of: bytes
    received_at: int
    expires: int
    state: CampaignState = CampaignState.UNKNOWN
    code: str = ""
    detail: str = ""
    decisions: list[bytes] = field(default_factory=list)
    wave: int = 0
    activating: bool = False
    wave_done_at: int | None = None
    steered_at: int = 0
    began_at: int | None = None
    ended_at: int | None = None
    updated_at: int = 0
    ends: tuple[int, ...] = ()
    code_names: list[str] = field(default_factory=list)
    states: bytearray = field(init=False)
    attempts: bytearray = field(init=False)
    failures: bytearray = field(init=False)
    codes: bytearray = field(init=False)
    shares: bytearray = field(init=False)
    reads: bytearray = field(init=False)
    times: array[int] = field(init=False)
    tallies: list[Counter[Meter]] = field(init=False)
    """Meters by state, a wave each."""
    heard: list[int] = field(init=False)
    """Meters of which a read was answered after the activation, a wave each."""
    missing: list[int] = field(init=False)
    """Meters whose reads are missing, likewise."""
    touched: set[int] = field(default_factory=set)
    """Slices to be written."""
    unjudged: bool = True
    """Something has happened since its shares were judged."""
    untold: bool = False
    """Something has happened since its own record was written."""
    firsts: list[int] = field(init=False)
    """The first meter of each slice."""
    name: tuple[tuple[str, ...], bytes] = field(init=False)
    """How a decision names its meters."""
    proofs: Proofs | None = None

    def __post_init__(self) -> None:
        count = len(self.meters)
        self.states = bytearray([LETTERS[Meter.WAITING]]) * count
        self.attempts, self.failures, self.codes = bytearray(count), bytearray(count), bytearray(count)
        self.shares, self.reads = bytearray(count), bytearray(count)
        self.times = array("I", bytes(4 * count))
        self.firsts = _slices(self.meters)
        self.name = named(self.meters)
        self.recount()

    @property
    def id(self) -> str:
        """The campaign's id: that of its request."""
        return self.asked.request.id

    @property
    def over(self) -> bool:
        """Whether nothing but a late result can change it."""
        return self.state in OVER

    @property
    def last_wave(self) -> int:
        """The number of the last wave; 0 is the canary."""
        return len(self.terms.waves)

    @property
    def ends_verified(self) -> bool:
        """Whether a meter that has the image, and does not use it, is done for now."""
        return not self.terms.installs or (self.terms.activate_at is not None and not self.activating)

    def index(self, meter_id: str) -> int | None:
        """Where a meter stands among its meters."""
        at = bisect_left(self.meters, meter_id)
        return at if at < len(self.meters) and self.meters[at] == meter_id else None

    def meter(self, index: int) -> Meter:
        """Where it stands."""
        return OF_LETTER[self.states[index]]

    def job_id(self, index: int, attempt: int) -> str:
        """The id of a job of a meter, the same however often it is issued."""
        return event_id("Job", self.id, self.asked.digest, self.meters[index], attempt)

    def proof(self, index: int) -> tuple[bytes, ...]:
        """A meter's way to the root that decisions name; the tree is kept while jobs go out."""
        if len(self.meters) <= LISTED:
            return ()
        if self.proofs is None:
            self.proofs = Proofs(self.meters)
        return self.proofs.of(index)

    def move(self, index: int, event: Event, at_s: int, code: str = "") -> Meter | None:
        """Take a meter's step; where it stands now, None where the table has no such step and nothing has changed."""
        before = self.meter(index)
        after = step(before, event)
        if after is None:
            return None
        wave = self.waves_of[index]
        if before is Meter.DONE or after is Meter.DONE or after is Meter.QUIET:
            self.reads[index] = 0
        self.states[index] = LETTERS[after]
        self.times[index] = at_s
        if code or after not in OUT:
            self.codes[index] = self._code(code)
        self.tallies[wave][before] -= 1
        self.tallies[wave][after] += 1
        self.touch(index)
        return after

    def touch(self, index: int) -> None:
        """Note that a meter's slice is to be written."""
        self.touched.add(bisect_right(self.firsts, index) - 1)
        self.unjudged = self.untold = True

    def read(self, index: int, answered: bool) -> None:
        """Note a read of a meter that is done, answered or missed."""
        wave, before = self.waves_of[index], self.reads[index]
        if before == HEARD or self.meter(index) is not Meter.DONE:
            return
        if answered:
            self.reads[index] = HEARD
            self.heard[wave] += 1
            self.missing[wave] -= before >= MISSES
        elif before < MISSES:
            self.reads[index] = before + 1
            self.missing[wave] += before + 1 == MISSES
        else:
            return
        self.touch(index)

    def tally(self, waves: Iterable[int]) -> Counter[Meter]:
        """Meters of these waves by state."""
        found: Counter[Meter] = Counter()
        for wave in waves:
            found.update(self.tallies[wave])
        return found

    def counts(self) -> Counter[Meter]:
        """All its meters by state."""
        return self.tally(range(len(self.tallies)))

    def summary(self) -> str:
        """The same as a person reads it, such as "97 done, 2 failed, 1 silent"."""
        counts = self.counts()
        return ", ".join(f"{counts[meter]} {meter}" for meter in Meter if counts[meter]) or "no meters"

    def recount(self) -> None:
        """Count by wave anew, from what each meter's octets say."""
        waves = len(self.terms.waves) + 1
        self.tallies = [Counter() for _ in range(waves)]
        for (wave, letter), count in Counter(zip(self.waves_of, self.states, strict=True)).items():
            self.tallies[wave][OF_LETTER[letter]] += count
        self.heard, self.missing = [0] * waves, [0] * waves
        done = LETTERS[Meter.DONE]
        for (wave, letter, reads), count in Counter(zip(self.waves_of, self.states, self.reads, strict=True)).items():
            if letter == done:
                self.heard[wave] += count * (reads == HEARD)
                self.missing[wave] += count * (MISSES <= reads < HEARD)

    def as_record(self) -> Campaign:
        """For the books, and for whoever watches."""
        request, image = self.asked.request, self.image
        return Campaign(
            id=self.id,
            image=self.terms.image,
            image_digest=bytes.fromhex(self.terms.image),
            vendor=image.vendor,
            model=image.model,
            from_versions=image.from_versions,
            to_version=image.to_version,
            target=request.target,
            state=self.state,
            parameters=request.parameters,
            updated_at=self.updated_at,
            manifest_signature=image.signature,
            request=self.asked.value,
            decisions=tuple(self.decisions),
            target_root=self.name[1],
            meters=len(self.meters),
            size=image.size,
            received_at=self.received_at,
            expires=self.expires,
            began_at=self.began_at,
            ended_at=self.ended_at,
            code=self.code,
            detail=self.detail,
            wave=self.wave,
            waves=self.last_wave,
            activating=self.activating,
            wave_done_at=self.wave_done_at,
            steered_at=self.steered_at,
            counts={meter.value: count for meter, count in self.counts().items() if count},
            codes=tuple(self.code_names),
            ends=self.ends,
        )

    def as_meters(self) -> list[CampaignMeters]:
        """For the books: what does not change."""
        return [
            CampaignMeters(self.id, number, self.meters[first:last], self.waves_of[first:last])
            for number, (first, last) in enumerate(pairwise([*self.firsts, len(self.meters)]))
        ]

    def as_progress(self, number: int, at: int) -> CampaignProgress:
        """For the books: a slice of what does."""
        first = self.firsts[number]
        last = self.firsts[number + 1] if number + 1 < len(self.firsts) else len(self.meters)
        part = self.times[first:last]
        return CampaignProgress(
            id=self.id,
            number=number,
            states=bytes(self.states[first:last]),
            attempts=bytes(self.attempts[first:last]),
            failures=bytes(self.failures[first:last]),
            codes=bytes(self.codes[first:last]),
            shares=bytes(self.shares[first:last]),
            reads=bytes(self.reads[first:last]),
            times=_little(part).tobytes(),
            at=at,
        )

    @classmethod
    def restored(
        cls,
        asked: Asked,
        terms: Terms,
        record: Campaign,
        meters: Sequence[CampaignMeters],
        slices: Sequence[CampaignProgress],
    ) -> Case:
        """As the books have it."""
        case = cls(
            asked=asked,
            terms=terms,
            image=Image(
                record.size,
                record.vendor,
                record.model,
                record.from_versions,
                record.to_version,
                record.manifest_signature,
            ),
            meters=tuple(meter for part in meters for meter in part.meters),
            waves_of=b"".join(part.waves for part in meters),
            received_at=record.received_at,
            expires=record.expires,
            state=record.state,
            code=record.code,
            detail=record.detail,
            decisions=list(record.decisions),
            wave=record.wave,
            activating=record.activating,
            wave_done_at=record.wave_done_at,
            steered_at=record.steered_at,
            began_at=record.began_at,
            ended_at=record.ended_at,
            updated_at=record.updated_at,
            ends=record.ends,
            code_names=list(record.codes),
        )
        case.states = bytearray(b"".join(part.states for part in slices))
        case.attempts = bytearray(b"".join(part.attempts for part in slices))
        case.failures = bytearray(b"".join(part.failures for part in slices))
        case.codes = bytearray(b"".join(part.codes for part in slices))
        case.shares = bytearray(b"".join(part.shares for part in slices))
        case.reads = bytearray(b"".join(part.reads for part in slices))
        case.times = _little(array("I", b"".join(part.times for part in slices)))
        case.recount()
        return case

    def _code(self, code: str) -> int:
        if not code:
            return 0
        if code not in self.code_names:
            if len(self.code_names) >= _MOST_CODES - 1:
                code = "other"
            if code not in self.code_names:
                self.code_names.append(code)
        return self.code_names.index(code) + 1


def _slices(meters: Sequence[str]) -> list[int]:
    firsts, octets = [0], 0
    for index, meter in enumerate(meters):
        octets += len(meter.encode()) + 4
        if index - firsts[-1] >= SLICE or octets > SLICE_OCTETS:
            firsts.append(index)
            octets = len(meter.encode()) + 4
    return firsts


def _little(times: array[int]) -> array[int]:
    """Little endian, whatever this machine is."""
    found = array("I", times)
    if sys.byteorder == "big":
        found.byteswap()
    return found
