"""Profiles as they came off the wire, to records: many at once, whichever meters they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.drivers.dlms_order import DlmsOrder, origin_of
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.readings import Rows, channel, interval_readings
from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.client import Span
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile import Channel as Column
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_batch import parse_profiles
from connectors.protocols.dlms.profile_shape import ProfileShape, Rules
from schemas.longs import Longs
from schemas.records import Channel, IntervalReadings

_STRUCTURE = bytes((axdr.STRUCTURE,))


@dataclass(frozen=True, slots=True)
class RawProfile:
    """A buffer, and by what it is to be read."""

    order: DlmsOrder
    shape: ProfileShape
    fresh: bool
    """Whether the meter told its shape in the same visit."""
    buffer: bytes
    span: Span | None
    rules: Rules


def may_fit(buffer: bytes, shape: ProfileShape) -> bool:
    """Whether the first row has as many columns as the shape: what mostly differs where a meter was set up anew."""
    try:
        count, at = axdr.read_length(buffer, 1)
    except DlmsError:
        return True  # whoever parses it says what is wrong
    return not count or buffer[at : at + 1] != _STRUCTURE or buffer[at + 1 : at + 2] == bytes((len(shape.columns),))


def finish(founds: Sequence[Found]) -> list[JobError | None]:
    """Parse what was put aside into readings; what is wrong with each, if anything. See `port.Driver.finish`."""
    groups: dict[Rules, list[RawProfile]] = {}
    for found in founds:
        for raw in found.raw:
            groups.setdefault(raw.rules, []).append(raw)
    parsed: dict[int, Profile | DlmsError] = {}
    for rules, raws in groups.items():
        profiles = parse_profiles([(raw.buffer, raw.shape) for raw in raws], rules)
        parsed.update(zip(map(id, raws), profiles, strict=True))
    made = [_made(found.raw, parsed) for found in founds]  # nothing is changed until all of it is made
    for found, (readings, rows, _) in zip(founds, made, strict=True):
        found.raw = []
        found.readings += readings
        found.rows += rows
    return [fault for _, _, fault in made]


def _made(
    raws: Sequence[RawProfile], parsed: Mapping[int, Profile | DlmsError]
) -> tuple[list[IntervalReadings], int, JobError | None]:
    """Records, their rows, and why there are no more."""
    readings: list[IntervalReadings] = []
    rows = 0
    for raw in raws:
        profile = parsed[id(raw)]
        if isinstance(profile, DlmsError):
            return readings, rows, _fault(profile, raw)
        if raw.span is not None:
            profile = profile.between(raw.span.start_ms, raw.span.end_ms)
        readings += profile_readings(profile, raw.shape, raw.order)
        rows += profile.rows
    return readings, rows, None


def _fault(error: DlmsError, raw: RawProfile) -> JobError | None:
    if error.code != "profile-shape":
        return dlms_fault(error)
    raw.order.shapes.forget(raw.order.meter, raw.shape.obis)
    # A shape that was known may hold no more: asked again, the meter tells the one that does.
    return JobError(error.code, error.detail, retry=not raw.fresh, harmless=True)


def profile_readings(profile: Profile, shape: ProfileShape, order: DlmsOrder) -> tuple[IntervalReadings, ...]:
    """A profile as records."""
    rows = Rows(
        _longs(profile.ends),
        profile.period_s,
        tuple([_channel(column) for column in profile.channels]),
        _longs(profile.deviations),
        _longs(profile.clock_statuses),
        () if profile.statuses is None else _longs(profile.statuses),
    )
    return interval_readings(origin_of(order, shape.source), rows)


def _channel(column: Column) -> Channel:
    values = column.values
    name = (column.obis, column.attribute, column.unit, column.scaler)
    if isinstance(values, Gaps):
        return Channel(*name, nullable_longs=Longs(_octets(values.numbers), values.missing.tobytes()).column)
    if not isinstance(values, np.ndarray):
        return channel(*name, values)
    if values.dtype.kind == "f":
        return Channel(*name, doubles=tuple(values.tolist()))
    return Channel(*name, longs=_longs(values).column)


def _longs(numbers: NDArray[Any]) -> Longs:
    return Longs(_octets(numbers))


def _octets(numbers: NDArray[Any]) -> bytes:
    octets: bytes = numbers.astype("<i8", copy=False).tobytes()
    return octets
