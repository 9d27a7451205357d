"""Who is speaking: the identities that a telegram presents, and the meter they belong to.

A template says which of them count and in which order. The endpoint that a telegram came from counts where nothing in the
telegram leads to a meter. Pure, but for looking into the directory.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.gateway.directory import Directory
from connectors.protocols.dlms import cosem
from connectors.protocols.dlms.telegram import Telegram
from connectors.protocols.dlms.template import IDENTITY_KINDS, SERIALS, PushTemplate
from schemas.ids import event_id
from schemas.records import Identity, IdentityKind, Meter, MeterState, Protocol
from schemas.values import value_class

Templates = Callable[[Meter], PushTemplate]
"""The push template of a meter."""

_SINGLE = (IdentityKind.SYSTEM_TITLE, IdentityKind.LOGICAL_DEVICE_NAME)
"""Kinds of which a meter has one, so that another than the registered one is a contradiction. Serials have several
notations."""
_LONGEST = 64
_Held = tuple[Identity, Meter | None]
"""An identity, and the registered meter that has it."""


@value_class
class Identified:
    """The meter, where one is registered; `conflict` says how identities contradict each other."""

    meter: Meter | None = None
    conflict: str = ""


def presented(telegram: Telegram, serials: tuple[str, ...] = SERIALS) -> tuple[Identity, ...]:
    """The identities that a telegram presents, strongest first."""
    found: dict[tuple[IdentityKind, str], Identity] = {}
    if title := telegram.system_title:
        found[IdentityKind.SYSTEM_TITLE, title] = Identity(IdentityKind.SYSTEM_TITLE, title)
    said: dict[str, list[str]] = {}
    for value in telegram.values:
        if (
            value.attribute == 2
            and value.raw is not None
            and (value.obis == cosem.LOGICAL_DEVICE_NAME or value.obis in serials)
        ):
            text = str(value.raw).strip()
            if 0 < len(text) <= _LONGEST:
                said.setdefault(value.obis, []).append(text)
    for kind, names in ((IdentityKind.LOGICAL_DEVICE_NAME, (cosem.LOGICAL_DEVICE_NAME,)), (IdentityKind.SERIAL, serials)):
        for name in names if said else ():
            for text in said.get(name, ()):
                if (kind, text) not in found:
                    found[kind, text] = Identity(kind, text)
    return tuple(found.values())


def identify(
    telegram: Telegram, endpoint: str, directory: Directory, template_of: Templates, serials: tuple[str, ...] = SERIALS
) -> Identified:
    """The registered meter that a telegram is from. `serials` are the objects in which any template looks for a serial."""
    shown = _holders(presented(telegram, serials), directory)
    seen: set[str] = set()
    for _, candidate in shown:
        if candidate is None or candidate.id in seen:
            continue
        seen.add(candidate.id)
        template = template_of(candidate)
        own = shown if template.serials == serials else _holders(presented(telegram, template.serials), directory)
        counting = _counting(own, template)
        meters = [(identity, meter) for identity, meter in counting if meter is not None]
        if not meters or meters[0][1].id != candidate.id:
            continue  # found by an identity that does not count for this type of meter
        return Identified(candidate, _conflict(candidate, counting, meters))
    fallback = by_endpoint(endpoint, directory)
    if fallback is None:
        return Identified()
    template = template_of(fallback)
    counting = _counting(_holders(presented(telegram, template.serials), directory), template)
    kinds = {identity.kind for identity in fallback.identities}
    # A meter that says another name than this one has is another meter at the same address.
    return Identified() if any(identity.kind in kinds for identity, _ in counting) else Identified(fallback)


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


def _holders(identities: tuple[Identity, ...], directory: Directory) -> list[_Held]:
    return [(identity, _registered(identity, directory)) for identity in identities]


def _registered(identity: Identity, directory: Directory) -> Meter | None:
    meter = directory.find(identity.kind, identity.value)
    return None if meter is None or meter.state is MeterState.DISCOVERED else meter


def _counting(shown: list[_Held], template: PushTemplate) -> list[_Held]:
    # A kind is its own value (StrEnum): compared as the text that it is, since `value` of an enum costs a call.
    return [held for kind in template.identity_order if kind in IDENTITY_KINDS for held in shown if held[0].kind == kind]


def _conflict(meter: Meter, counting: list[_Held], meters: list[tuple[Identity, Meter]]) -> str:
    for identity, other in meters:
        if other.id != meter.id:
            return f"{meters[0][0].kind} belongs to meter {meter.id}, {identity.kind} {identity.value} to meter {other.id}"
    for identity, _ in counting:
        own = [mine.value for mine in meter.identities if mine.kind is identity.kind]
        if not own or identity.value in own or identity.kind not in _SINGLE:
            continue
        if identity.value.upper() not in (value.upper() for value in own):
            return f"meter {meter.id} presents {identity.kind} {identity.value}, registered is {own[0]}"
    return ""
