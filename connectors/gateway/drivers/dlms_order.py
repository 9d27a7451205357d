"""A job for a DLMS meter, with all that is needed to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from connectors.gateway.drivers.dlms_shapes import Shapes
from connectors.gateway.group_sending import Groups
from connectors.gateway.images import Images
from connectors.gateway.keystore import KeyStore
from connectors.gateway.readings import Origin
from connectors.protocols.dlms.template import Template
from schemas.records import Job, Meter


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """By what image blocks go to a group."""

    groups: Groups
    keys: KeyStore
    title: bytes
    """Our system title."""


@dataclass(frozen=True, slots=True)
class DlmsOrder:
    """See `port.Order`."""

    job: Job
    meter: Meter
    template: Template
    zone: tzinfo | None
    now_ms: Callable[[], int]
    shapes: Shapes
    images: Images | None = None
    groups: GroupMeans | None = None


def origin_of(order: DlmsOrder, source: str) -> Origin:
    """Where readings of a job come from."""
    return Origin(order.meter.id, source, order.now_ms(), order.job.cause, order.job.id)
