"""What a target means, and the hash tree by which a decision names a long one.

A decision lists up to `LISTED` meters. Beyond that it names the root of a hash tree over the sorted ids (the tree of
RFC 6962, section 2.1), and each job carries the way from its meter to the root: some hundred octets, not the whole list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from schemas.records import Target

LISTED = 100
_LONGEST_PROOF = 64
_LEFT, _RIGHT = b"\0", b"\1"


class Place(Protocol):
    """What must be known of a meter: a `Meter` has it, and whatever is kept of one in memory."""

    @property
    def id(self) -> str:
        """The meter's id."""

    @property
    def segment(self) -> str:
        """Its concentrator, cell or mesh collector."""

    @property
    def feeder(self) -> str:
        """Its feeder."""

    @property
    def transformer(self) -> str:
        """Its transformer."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Its groups."""

    @property
    def life_support(self) -> bool:
        """Whether somebody's life hangs on its supply."""


def is_empty(target: Target) -> bool:
    """Whether nothing is filled in: nobody for a command, everybody for a freeze or a hold."""
    return not (target.meters or target.groups or target.segments or target.transformers or target.feeders)


def selects(target: Target, place: Place) -> bool:
    """Whether a target means this meter; what is filled in is combined with AND. An empty one means everybody."""
    return (
        (not target.meters or place.id in target.meters)
        and (not target.groups or not set(target.groups).isdisjoint(place.groups))
        and (not target.segments or place.segment in target.segments)
        and (not target.transformers or place.transformer in target.transformers)
        and (not target.feeders or place.feeder in target.feeders)
    )


def proves(meter: str, way: Sequence[bytes], wanted: bytes) -> bool:
    """Whether the way leads from the meter to the root."""
    found = _leaf(meter)
    if len(way) > _LONGEST_PROOF:
        return False
    for step in way:
        side, other = step[:1], step[1:]
        if len(other) != hashlib.sha256().digest_size or side not in (_LEFT, _RIGHT):
            return False
        found = _node(other, found) if side == _LEFT else _node(found, other)
    return found == wanted


class Proofs:
    """The hash tree over a target: meter ids in their order, at least one."""

    def __init__(self, meters: Sequence[str]) -> None:
        self._levels = [[_leaf(meter) for meter in meters]]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(pairs + level[len(level) - len(level) % 2 :])

    @property
    def root(self) -> bytes:
        """What a decision names, 32 octets."""
        return self._levels[-1][0]

    def of(self, index: int) -> tuple[bytes, ...]:
        """The way from the meter at `index` to the root, from below: each step a side and a hash, 33 octets."""
        way = []
        for level in self._levels[:-1]:
            other = index ^ 1
            if other < len(level):
                way.append((_LEFT if other < index else _RIGHT) + level[other])
            index //= 2
        return tuple(way)


def _leaf(meter: str) -> bytes:
    return hashlib.sha256(b"\0" + meter.encode()).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
