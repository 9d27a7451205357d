"""Limiter (class 71): the power above which a supply is cut, and the emergency profile that lowers it for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.objects.patterns import DateTimePattern, read_datetime
from connectors.protocols.dlms.objects.reading import (
    Fields,
    integer,
    like,
    obis,
    octets,
    pack,
    pack_all,
    read_fields,
    structure,
    typed,
    written,
)
from connectors.protocols.dlms.put import put
from connectors.protocols.dlms.telegram import Scalar, scalar

LIMITER = "0.0.17.0.0.255"


@dataclass(frozen=True, slots=True)
class EmergencyProfile:
    """Which emergency, from when (local; open places never come), for how many seconds."""

    id: int
    start: DateTimePattern
    duration_s: int


@dataclass(frozen=True, slots=True)
class Script:
    """An entry of a script table (class 9): what the meter does."""

    obis: str
    selector: int


@dataclass(frozen=True, slots=True)
class Limiter:
    """As the meter has it; None what it does not tell. Thresholds are raw, in the monitored register's scaler and unit."""

    monitored: Attribute | None
    active: Scalar
    normal: Scalar
    emergency: Scalar
    over_s: int | None
    """How long the threshold is exceeded before the meter acts."""
    under_s: int | None
    profile: EmergencyProfile | None
    groups: tuple[int, ...]
    """Emergencies that this meter takes part in."""
    emergency_active: bool | None
    above: Script | None
    below: Script | None


_THRESHOLDS = {"normal": 4, "emergency": 5, "over_s": 6, "under_s": 7}


def read_limiter(link: Associated, limiter: str = LIMITER) -> Session[Limiter]:
    """All of it."""
    fields = yield from read_fields(link, 71, limiter, range(2, 12))
    active, normal, emergency = (scalar(fields.values.get(n)) for n in (3, 4, 5))
    above, below = _actions(fields)
    return Limiter(
        _monitored(fields), active, normal, emergency, fields.integer(6), fields.integer(7), _profile(fields),
        tuple(integer(n, fields.name(9)) for n in fields.items(9)), fields.boolean(10), above, below,
    )  # fmt: skip


def set_limits(
    link: Associated,
    limiter: str = LIMITER,
    *,
    normal: float | None = None,
    emergency: float | None = None,
    over_s: int | None = None,
    under_s: int | None = None,
) -> Session[None]:
    """Write those that are given, each in the type that the meter has it in. The first refusal is raised; those before it
    are written then.
    """
    given = {"normal": normal, "emergency": emergency, "over_s": over_s, "under_s": under_s}
    for name, value in given.items():
        if value is not None:
            attribute = Attribute(71, limiter, _THRESHOLDS[name])
            present = yield from get(link, attribute)
            yield from put(link, attribute, like(present, value, str(attribute)))


def set_emergency_profile(link: Associated, profile: EmergencyProfile, limiter: str = LIMITER) -> Session[None]:
    """Tell the meter of an emergency to come. It counts for meters that have its id in their groups."""
    attribute = Attribute(71, limiter, 8)
    fields = pack(
        typed(axdr.UINT16, profile.id),
        typed(axdr.OCTET_STRING, profile.start.encode()),
        typed(axdr.UINT32, profile.duration_s),
    )
    yield from put(link, attribute, written(fields, str(attribute)))


def set_emergency_groups(link: Associated, groups: Iterable[int], limiter: str = LIMITER) -> Session[None]:
    """Which emergencies the meter takes part in."""
    attribute = Attribute(71, limiter, 9)
    yield from put(link, attribute, written(pack_all([typed(axdr.UINT16, n) for n in groups]), str(attribute)))


def _monitored(fields: Fields) -> Attribute | None:
    value = fields.values.get(2)
    if value is None:
        return None
    subject = fields.name(2)
    class_id, name, attribute = structure(value, 3, subject)[:3]
    return Attribute(integer(class_id, subject), obis(name, subject), integer(attribute, subject))


def _profile(fields: Fields) -> EmergencyProfile | None:
    value = fields.values.get(8)
    if value is None:
        return None
    subject = fields.name(8)
    number, start, duration = structure(value, 3, subject)[:3]
    if not octets(start, subject):
        return None
    return EmergencyProfile(
        integer(number, subject), read_datetime(octets(start, subject), subject), integer(duration, subject)
    )


def _actions(fields: Fields) -> tuple[Script | None, Script | None]:
    value = fields.values.get(11)
    if value is None:
        return None, None
    subject = fields.name(11)
    scripts = []
    for action in structure(value, 2, subject)[:2]:
        name, selector = structure(action, 2, subject)[:2]
        scripts.append(Script(obis(name, subject), integer(selector, subject)))
    return scripts[0], scripts[1]
