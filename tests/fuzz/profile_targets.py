"""The target of profile buffers: whatever stands in them, and whatever the reader has seen before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.profile import Profile, parse_profile
from connectors.protocols.dlms.profile_shape import Column, ProfileShape, Rules
from tests.fuzz.harness import Pieces, Target, expect, own
from tests.fuzz.push_targets import ZONES

_CLOCK, _STATUS = Column(8, "0.0.1.0.0.255", 2), Column(1, "0.0.96.10.1.255", 2)
_ENERGY, _EXPORT = Column(3, "1.0.1.8.0.255", 2, 0, 0, "Wh"), Column(3, "1.0.2.8.0.255", 2, 0, -3, "kWh")
SHAPES: tuple[Callable[[], ProfileShape], ...] = (
    lambda: ProfileShape("1.0.99.1.0.255", (_CLOCK, _STATUS, _ENERGY, _EXPORT), 900),
    lambda: ProfileShape("1.0.99.1.0.255", (_CLOCK, _ENERGY), 3600, 2),
    lambda: ProfileShape("1.0.99.2.0.255", (_ENERGY, _CLOCK, _EXPORT), 86400),
    lambda: ProfileShape("0.0.99.98.0.255", (_CLOCK, Column(1, "0.0.96.11.0.255", 2)), 0),
    lambda: ProfileShape("1.0.98.1.0.255", (_ENERGY, _EXPORT), 0),
)
"""Load profile, newest first, clock in the middle, event log, no clock."""
_ROWS = (
    "0102" + 2 * "0204 090C07E70401060E1E00008000FF 1100 0600000001 0600000002",
    "0102" + 2 * "0202 090C07E70401060E1E00008000FF 0600000001",
    "0102" + 2 * "0203 0600000001 090C07E70401060E1E00008000FF 0600000002",
    "0102" + 2 * "0202 090C07E70401060E1E00008000FF 1101",
    "0100",
)
USUAL = tuple(bytes.fromhex(rows.replace(" ", "")) for rows in _ROWS)
"""A buffer of each shape, for readers that have seen one before."""


def run_profile(data: bytes) -> None:
    """A profile's buffer. A reader that has seen others of the shape reads the same as one that has not, or both refuse it:
    which of several faults is found first may differ.
    """
    pieces = Pieces(data)
    kind, how = pieces.octet(), pieces.octet()
    buffer = pieces.rest()
    shape = SHAPES[kind % len(SHAPES)]
    rules = Rules(None if how & 4 else ZONES[(how & 3) % 3], bool(how & 8), bool(how & 16))
    used = shape()
    for before in (USUAL[kind % len(SHAPES)], buffer[: len(buffer) // 2] if how & 32 else b""):
        _parsed(before, used, replace(rules, zone=ZONES[0]))
    first, second = _parsed(buffer, shape(), rules), _parsed(buffer, used, rules)
    expect(_same(first, second), "a reader that has seen other buffers reads another profile")
    expect(_same(_parsed(buffer, used, rules), first), "the same buffer is read otherwise the second time")
    if isinstance(first, Profile):
        expect(first.rows <= len(data), "more rows than octets")
        expect(all(len(one.values) == first.rows for one in first.channels), "a channel of another length")
        first.between(0, 1_700_000_000_000)


def _parsed(buffer: bytes, shape: ProfileShape, rules: Rules) -> Profile | str:
    try:
        return parse_profile(buffer, shape, rules)
    except DlmsError as error:
        own(error)
        return error.code


def _same(one: Profile | str, other: Profile | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    arrays = ((one.ends, other.ends), (one.deviations, other.deviations), (one.clock_statuses, other.clock_statuses))
    return (
        all(np.array_equal(a, b) for a, b in arrays)
        and one.regular == other.regular
        and repr(_listed(one.statuses)) == repr(_listed(other.statuses))
        and [repr(_listed(c.values)) for c in one.channels] == [repr(_listed(c.values)) for c in other.channels]
    )


def _listed(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


TARGETS = (Target("profile", run_profile, 2),)
