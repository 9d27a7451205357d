"""The meters as hes.meters has them, in memory: which meter an identity belongs to, and what is known of a meter.

A million meters must fit, and each of them may push every quarter of an hour, so that no cache of fewer knows the next: a
meter is kept as few octets and made of them when it is asked for, at a fifth of what decoding Avro takes. An identity
that several meters claim (an exchange, a meter that was discovered and then registered) belongs to the one that
lives: registered before retired before discovered, then the one that was changed last.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from schemas.records import Identity, IdentityKind, Meter, MeterState

_RECENT = 20_000
"""Meters that were asked for last are kept as they are: so many at least, twice as many at most, about 800 octets each."""
_KIND_OF = tuple(IdentityKind)
_KINDS = {kind: index for index, kind in enumerate(_KIND_OF)}
_GONE = (MeterState.RETIRED, MeterState.EXCHANGED)
_ALIKE = (
    "vendor", "model", "utility", "protocol", "network", "segment", "template", "feeder", "time_zone", "life_support",
    "groups", "state", "exchanged_for", "firmware", "hardware",
)  # fmt: skip
"""What many meters state alike: kept once for all of them."""
_OWN = ("endpoint", "key_ref", "transformer", "updated_at", "firmware_at")
_alike, _own = attrgetter(*_ALIKE), attrgetter(*_OWN)


@dataclass(frozen=True, slots=True)
class Change:
    """One record of hes.meters: a meter as it is now, or its end (None)."""

    meter_id: str
    meter: Meter | None


class Directory:
    """Identity to meter, meter id to `Meter`. Not for several threads at once."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._alike: list[tuple[Any, ...]] = []
        self._alike_numbers: dict[tuple[Any, ...], int] = {}
        self._holders: dict[bytes, str] = {}
        self._contested: dict[bytes, set[str]] = {}
        self._recent: dict[str, Meter] = {}
        self._before: dict[str, Meter] = {}
        """Those that were recent when `_recent` was full."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes, in order."""
        for change in changes:
            self._apply(change)

    def get(self, meter_id: str) -> Meter | None:
        """The meter with an id; None where there is none."""
        if (meter := self._recent.get(meter_id)) is not None:
            return meter
        meter = self._before.get(meter_id)
        if meter is None:
            kept = self._kept.get(meter_id)
            if kept is None:
                return None
            meter = self._unpacked(meter_id, kept)
        if len(self._recent) >= _RECENT:
            self._before, self._recent = self._recent, {}
        self._recent[meter_id] = meter
        return meter

    def find(self, kind: IdentityKind, value: str) -> Meter | None:
        """The meter that an identity belongs to; None where nobody has it."""
        holder = self._holders.get(_key(kind, value))
        return None if holder is None else self.get(holder)

    def __len__(self) -> int:
        return len(self._kept)

    def _apply(self, change: Change) -> None:
        before = self._kept.pop(change.meter_id, None)
        if before is not None:
            for identity in self._unpacked(change.meter_id, before).identities:
                self._release(_key_of(identity), change.meter_id)
        self._recent.pop(change.meter_id, None)
        self._before.pop(change.meter_id, None)
        if change.meter is not None:
            self._kept[change.meter_id] = self._packed(change.meter)
            for identity in change.meter.identities:
                self._claim(_key_of(identity), change.meter_id)

    def _packed(self, meter: Meter) -> bytes:
        alike = _alike(meter)
        number = self._alike_numbers.setdefault(alike, len(self._alike))
        if number == len(self._alike):
            self._alike.append(alike)
        identities = [part for identity in meter.identities for part in (_KINDS[identity.kind], identity.value)]
        return marshal.dumps((number, *_own(meter), *identities))

    def _unpacked(self, meter_id: str, kept: bytes) -> Meter:
        number, endpoint, key_ref, transformer, updated_at, firmware_at, *identities = marshal.loads(kept)  # noqa: S302 - written by _packed
        alike = self._alike[number]
        vendor, model, utility, protocol, network, segment, template, feeder, time_zone, life_support, *rest = alike
        groups, state, exchanged_for, firmware, hardware = rest
        parts = iter(identities)
        named = tuple([Identity(_KIND_OF[kind], value) for kind, value in zip(parts, parts, strict=True)])
        # By place, since a million of them are made in a quarter of an hour: names take longer.
        return Meter(
            meter_id, named, vendor, model, utility, protocol, network, segment, endpoint, template, key_ref, feeder,
            transformer, time_zone, life_support, groups, state, exchanged_for, firmware, updated_at, hardware, firmware_at,
        )  # fmt: skip

    def _claim(self, key: bytes, meter_id: str) -> None:
        holder = self._holders.get(key)
        if holder is None or holder == meter_id:
            self._holders[key] = meter_id
            return
        claimants = self._contested.setdefault(key, {holder})
        claimants.add(meter_id)
        self._holders[key] = max(claimants, key=self._rank)

    def _release(self, key: bytes, meter_id: str) -> None:
        claimants = self._contested.get(key)
        if claimants is None:
            if self._holders.get(key) == meter_id:
                del self._holders[key]
            return
        claimants.discard(meter_id)
        self._holders[key] = max(claimants, key=self._rank)
        if len(claimants) == 1:
            del self._contested[key]

    def _rank(self, meter_id: str) -> tuple[int, int, str]:
        meter = self.get(meter_id) or Meter()
        living = 0 if meter.state is MeterState.DISCOVERED else 1 if meter.state in _GONE else 2
        return living, meter.updated_at, meter_id


def _key_of(identity: Identity) -> bytes:
    return _key(identity.kind, identity.value)


def _key(kind: IdentityKind, value: str) -> bytes:
    """An identity as few octets: a system title is kept as its eight."""
    if kind is IdentityKind.SYSTEM_TITLE:
        try:
            return bytes((_KINDS[kind],)) + bytes.fromhex(value)
        except ValueError:
            pass
    return bytes((_KINDS[kind],)) + value.encode("utf-8", "surrogatepass")
