"""A job for an ANSI C12 meter, with all that is needed to do it. Objects of a job are tables: `table/64`.

Manufacturer tables are written as their number from 2048 on: `table/2053` is the manufacturer's table 5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.errors import JobError
from connectors.gateway.readings import Origin
from connectors.gateway.zones import zone_of
from connectors.protocols.c12.tables.declarations import MANUFACTURER
from connectors.templates.c12_template import C12Template
from schemas.records import Job, Meter

_TABLE = re.compile(r"table/([0-9]{1,4})", re.ASCII)
_GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class C12Order:
    """See `port.Order`."""

    job: Job
    meter: Meter
    template: C12Template
    zone: tzinfo | None
    """Of the meter's clock, where anybody says; else the meter is asked."""
    now_ms: Callable[[], int]
    known: Known


def order_of(
    job: Job, meter: Meter, templates: Mapping[str, C12Template], now_ms: Callable[[], int], known: Known
) -> C12Order:
    """Raises `JobError` "template-missing", "time-zone-unknown"."""
    template = templates.get(meter.template or _GENERIC)
    if template is None:
        detail = f"meter {meter.id} names the C12 template {meter.template!r}, which is not loaded"
        raise JobError("template-missing", detail)
    if meter.time_zone and zone_of(meter.time_zone) is None:
        detail = f"meter {meter.id} has the time zone {meter.time_zone!r}, which is no IANA name"
        raise JobError("time-zone-unknown", detail)
    return C12Order(job, meter, template, zone_for(meter, template), now_ms, known)


def zone_for(meter: Meter, template: C12Template) -> tzinfo | None:
    """The zone of a meter's clock: its own, else that of its type."""
    return zone_of(meter.time_zone) or zone_of(template.time_zone)


def origin_of(order: C12Order, table: int) -> Origin:
    """Where readings of a job come from."""
    return Origin(order.meter.id, source_of(table), order.now_ms(), order.job.cause, order.job.id)


def source_of(table: int) -> str:
    """A table as readings and jobs name it."""
    return f"table/{table}"


def tables_named(objects: tuple[str, ...], known: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The tables that a job names, all of them among `known`. Raises `JobError` "object-invalid"."""
    found = []
    for text in objects:
        match = _TABLE.fullmatch(text)
        number = int(match[1]) if match else -1
        if number not in known or number >= 2 * MANUFACTURER:
            names = ", ".join(map(source_of, known))
            raise JobError("object-invalid", f"{text[:80]!r} holds no {what}: {names} are expected")
        found.append(number)
    return tuple(dict.fromkeys(found))
