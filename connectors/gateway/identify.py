"""Who is speaking: the identities that a telegram presents, and the meter they belong to.

A template says which of them count and in which order. The endpoint that a telegram came from counts where nothing in the
telegram leads to a meter. Pure, but for looking into the directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connectors.gateway.directory import Directory
from connectors.protocols.dlms import cosem
from connectors.protocols.dlms.telegram import Telegram
from connectors.protocols.dlms.template import IDENTITY_KINDS, SERIALS, PushTemplate
from schemas.ids import event_id
from schemas.records import Identity, IdentityKind, Meter, MeterState, Protocol

Templates = Callable[[Meter], PushTemplate]
"""The push template of a meter."""

_SINGLE = (IdentityKind.SYSTEM_TITLE, IdentityKind.LOGICAL_DEVICE_NAME)
"""Kinds of which a meter has one, so that another than the registered one is a contradiction. Serials have several
notations."""
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Identified:
    """The meter, where one is registered; `conflict` says how identities contradict each other."""

    meter: Meter | None = None
    conflict: str = ""


def presented(telegram: Telegram, serials: tuple[str, ...] = SERIALS) -> tuple[Identity, ...]:
    """The identities that a telegram presents, strongest first."""
    found: dict[Identity, None] = {}
    if telegram.system_title:
        found[Identity(IdentityKind.SYSTEM_TITLE, telegram.system_title)] = None
    for kind, names in ((IdentityKind.LOGICAL_DEVICE_NAME, (cosem.LOGICAL_DEVICE_NAME,)), (IdentityKind.SERIAL, serials)):
        for name in names:
            for value in telegram.values:
                text = "" if value.raw is None else str(value.raw).strip()
                if value.obis == name and value.attribute == 2 and 0 < len(text) <= _LONGEST:
                    found[Identity(kind, text)] = None
    return tuple(found)


def identify(
    telegram: Telegram, endpoint: str, directory: Directory, template_of: Templates, serials: tuple[str, ...] = SERIALS
) -> Identified:
    """The registered meter that a telegram is from. `serials` are the objects in which any template looks for a serial."""
    for candidate in _candidates(presented(telegram, serials), directory):
        template = template_of(candidate)
        counting = _counting(presented(telegram, template.serials), template)
        meters = [(identity, meter) for identity in counting if (meter := _registered(identity, directory)) is not None]
        if not meters or meters[0][1].id != candidate.id:
            continue  # found by an identity that does not count for this type of meter
        return Identified(candidate, _conflict(candidate, counting, meters))
    fallback = by_endpoint(endpoint, directory)
    if fallback is None:
        return Identified()
    template = template_of(fallback)
    counting = _counting(presented(telegram, template.serials), template)
    own = {identity.kind for identity in fallback.identities}
    # A meter that says another name than this one has is another meter at the same address.
    return Identified() if any(identity.kind in own for identity in counting) else Identified(fallback)


def by_endpoint(endpoint: str, directory: Directory) -> Meter | None:
    """The registered meter that speaks from an endpoint: `host:port`, else any port of the host."""
    for value in (endpoint, endpoint.rpartition(":")[0]):
        meter = _registered(Identity(IdentityKind.ENDPOINT, value), directory) if value else None
        if meter is not None:
            return meter
    return None


def discovered(identities: tuple[Identity, ...], endpoint: str, at: int) -> Meter:
    """What is announced of a meter that nobody registered. Its id follows from its strongest identity."""
    known = identities or (Identity(IdentityKind.ENDPOINT, endpoint.rpartition(":")[0]),)
    return Meter(
        id=event_id("Meter", known[0].kind.value, known[0].value),
        identities=known,
        protocol=Protocol.DLMS,
        state=MeterState.DISCOVERED,
        updated_at=at,
    )


def _candidates(identities: tuple[Identity, ...], directory: Directory) -> Iterator[Meter]:
    seen: set[str] = set()
    for identity in identities:
        meter = _registered(identity, directory)
        if meter is not None and meter.id not in seen:
            seen.add(meter.id)
            yield meter


def _registered(identity: Identity, directory: Directory) -> Meter | None:
    meter = directory.find(identity.kind, identity.value)
    return None if meter is None or meter.state is MeterState.DISCOVERED else meter


def _counting(identities: tuple[Identity, ...], template: PushTemplate) -> tuple[Identity, ...]:
    order = [kind for kind in template.identity_order if kind in IDENTITY_KINDS]
    return tuple(identity for kind in order for identity in identities if identity.kind.value == kind)


def _conflict(meter: Meter, counting: tuple[Identity, ...], meters: list[tuple[Identity, Meter]]) -> str:
    for identity, other in meters:
        if other.id != meter.id:
            return f"{meters[0][0].kind} belongs to meter {meter.id}, {identity.kind} {identity.value} to meter {other.id}"
    for identity in counting:
        own = [mine.value for mine in meter.identities if mine.kind is identity.kind]
        if identity.kind in _SINGLE and own and identity.value.upper() not in (value.upper() for value in own):
            return f"meter {meter.id} presents {identity.kind} {identity.value}, registered is {own[0]}"
    return ""
