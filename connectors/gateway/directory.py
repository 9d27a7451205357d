"""The meters as hes.meters has them, in memory: which meter an identity belongs to, and what is known of a meter.

A million meters must fit, so a meter is kept as the bytes it came in and decoded when it is asked for. An identity
that several meters claim (an exchange, a meter that was discovered and then registered) belongs to the one that
lives: registered before retired before discovered, then the one that was changed last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.codec import Codec
from schemas.records import Identity, IdentityKind, Meter, MeterState

_DECODED = 10_000
_KINDS = {kind: index for index, kind in enumerate(IdentityKind)}
_GONE = (MeterState.RETIRED, MeterState.EXCHANGED)


@dataclass(frozen=True, slots=True)
class Change:
    """One record of hes.meters: a meter as it is now, or its end (both None)."""

    meter_id: str
    value: bytes | None
    meter: Meter | None


class Directory:
    """Identity to meter, meter id to `Meter`. Not for several threads at once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._values: dict[str, bytes] = {}
        self._holders: dict[bytes, str] = {}
        self._contested: dict[bytes, set[str]] = {}
        self._decoded: dict[str, Meter] = {}

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes, in order."""
        for change in changes:
            self._apply(change)

    def get(self, meter_id: str) -> Meter | None:
        """The meter with an id; None where there is none."""
        if (meter := self._decoded.get(meter_id)) is not None:
            return meter
        value = self._values.get(meter_id)
        if value is None:
            return None
        record = self._codec.decode(value)
        if not isinstance(record, Meter):
            raise TypeError(f"{type(record).__name__} among the meters")
        if len(self._decoded) >= _DECODED:
            self._decoded.clear()
        self._decoded[meter_id] = record
        return record

    def find(self, kind: IdentityKind, value: str) -> Meter | None:
        """The meter that an identity belongs to; None where nobody has it."""
        holder = self._holders.get(_key(kind, value))
        return None if holder is None else self.get(holder)

    def __len__(self) -> int:
        return len(self._values)

    def _apply(self, change: Change) -> None:
        before = self.get(change.meter_id)
        if before is not None:
            for identity in before.identities:
                self._release(_key_of(identity), change.meter_id)
        self._decoded.pop(change.meter_id, None)
        if change.value is None or change.meter is None:
            self._values.pop(change.meter_id, None)
            return
        self._values[change.meter_id] = change.value
        for identity in change.meter.identities:
            self._claim(_key_of(identity), change.meter_id)

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
