"""An import beside what is known already: what meters told of themselves stays, and keys that are being changed do too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from connectors.cli.shipment import Row
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.objects.security_setup import KeyState
from schemas.records import Meter
from streams.runtime.clock import iso

_TOLD = ("firmware", "hardware")
"""What a meter tells of itself: see `Meter.firmware_at`."""


class Change(Protocol):
    """New keys of a meter, and where their change stands."""

    @property
    def state(self) -> KeyState:
        """Where it stands."""


class Store(Protocol):
    """The key store, as far as an import asks it."""

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference."""

    def pending(self, ref: str) -> Change | None:
        """The change of them that is under way."""

    def kept(self, ref: str, keys: MeterKeys) -> tuple[str, ...]:
        """Names of keys that stay as they are, though these are others."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an import leaves as it is."""

    meter_id: str
    detail: str


def merged(given: Meter, known: Meter | None, now_ms: int) -> tuple[Meter, Kept | None]:
    """A meter as an import writes it. What it told of itself is kept: a file that says something else was written before."""
    if known is None or not known.firmware_at:
        return replace(given, updated_at=now_ms), None
    told = {name: getattr(known, name) for name in _TOLD if getattr(known, name)}
    other = [name for name, value in told.items() if getattr(given, name) not in ("", value)]
    meter = replace(given, updated_at=now_ms, firmware_at=known.firmware_at, **told)
    if not other:
        return meter, None
    said = ", ".join(f"{name} {getattr(known, name)!r} and not {getattr(given, name)!r}" for name in other)
    return meter, Kept(given.id, f"the meter told {said} ({iso(known.firmware_at)}): that stays")


def changing(rows: Sequence[Row], store: Store | None) -> dict[int, str]:
    """Rows (by their place) whose keys may not be written now, and why: other keys are on their way to the meter. Where
    nobody knows which keys a meter has (`lost`), an import is how somebody says so.
    """
    found: dict[int, str] = {}
    for place, row in enumerate(rows):
        ref = row.meter.key_ref
        change = None if store is None or row.keys is None else store.pending(ref)
        if store is None or row.keys is None or change is None or change.state is KeyState.LOST:
            continue
        held = store.get(ref)
        if held is None or row.keys.over(held) != held:
            found[place] = (
                f"keys-changing: the keys under {ref!r} are being changed ({change.state.value}), and the file has others: "
                "import it when that has ended (`hes meters keys changes`), or without the columns of keys"
            )
    return found


def keeping(rows: Sequence[Row], store: Store | None) -> list[Kept]:
    """What an import of these will leave of the keys."""
    found = {} if store is None else {row.meter.key_ref: store.kept(row.meter.key_ref, row.keys) for row in rows if row.keys}
    return kept_keys(rows, {ref: names for ref, names in found.items() if names})


def kept_keys(rows: Sequence[Row], left: Mapping[str, Sequence[str]]) -> list[Kept]:
    """What to say of the keys that an import left, by their key references."""
    return [
        Kept(
            row.meter.id,
            f"{', '.join(names)} under {row.meter.key_ref!r} stay: the gateway has given the meter keys of its own, and the "
            "file has others; where the meter was reset to those, import it with --replace-keys",
        )
        for row in rows
        if (names := left.get(row.meter.key_ref))
    ]


def merged_all(rows: Sequence[Row], known: Mapping[str, Meter], now_ms: int, tell: Callable[[Kept], None]) -> list[Meter]:
    """All of an import as it is written; `tell` is called with each meter that keeps what it told."""
    found = []
    for row in rows:
        meter, kept = merged(row.meter, known.get(row.meter.id), now_ms)
        found.append(meter)
        if kept is not None:
            tell(kept)
    return found
