"""IANA time zones by name."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

from connectors.protocols.dlms.template import Template
from schemas.records import Meter


def zone_for(meter: Meter, template: Template) -> ZoneInfo | None:
    """The zone that a meter's times without deviation are in: the meter's own, else that of its type's market."""
    return zone_of(meter.time_zone) or zone_of(template.push.time_zone or "")


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """The zone; None where the name is empty or no zone is called so."""
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError, KeyError):  # which one depends on what the name looks like
        return None
