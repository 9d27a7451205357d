"""ANSI C12 as the gateway has it: the drivers of C12.22 and C12.18, and the door where C12.22 meters register and notify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_settings import C1222
from connectors.gateway.drivers.c1218 import C1218Driver, C1218Tools
from connectors.gateway.drivers.c1222 import C1222Driver, C1222Tools
from connectors.gateway.drivers.c1222_hearing import C1222Conversation, message_pushes
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.drivers.c1222_pushes import Pushes, PushTools
from connectors.gateway.drivers.port import Door
from connectors.gateway.keystore import KeyStore
from connectors.gateway.pipeline import Pipeline
from connectors.protocols.c12.titles import C1222_BASE, title
from connectors.templates.c12_template import C12Template
from schemas.records import Protocol
from streams.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class C12Parts:
    """What the service puts in."""

    drivers: tuple[C1222Driver, C1218Driver]
    doors: tuple[Door, ...]


def c12_parts(
    settings: C1222,
    clock: Clock,
    keys: KeyStore,
    templates: Mapping[str, C12Template],
    pipeline: Pipeline,
    *,
    announce: int,
) -> C12Parts:
    """All of C12. Jobs and notifications share what meters told of themselves, and the windows of what was heard before."""
    known, numbers, windows = Known(), Numbers(clock), Windows()
    period = settings.registration_period_s
    pushes = Pushes(PushTools(pipeline, keys, templates, known, numbers, windows, period, announce))
    # As whoever is called sees us: a meter may have another base than C12.22's own.
    ours = title(settings.title).absolute(C1222_BASE)
    over = C1222Tools(clock, ours, keys, templates, known, numbers, windows, partial(message_pushes, pushes))
    door = Door(Protocol.C1222, partial(C1222Conversation, pushes), settings.tcp_port, settings.udp_port)
    doors = (door,) if max(settings.tcp_port, settings.udp_port) >= 0 else ()
    return C12Parts((C1222Driver(over), C1218Driver(C1218Tools(clock, keys, templates, known))), doors)
