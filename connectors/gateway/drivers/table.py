"""Which driver speaks with which meter, and the doors at which meters of each protocol push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connectors.gateway.drivers.port import Driver
from connectors.gateway.errors import JobError
from schemas.records import Meter, Protocol

Drivers = Mapping[Protocol, Driver]


def drivers_of(drivers: Iterable[Driver]) -> Drivers:
    """A table of drivers by the protocol that each speaks."""
    return {driver.protocol: driver for driver in drivers}


def protocol_of(meter: Meter) -> Protocol:
    """What a meter speaks; DLMS where its record does not say."""
    return Protocol.DLMS if meter.protocol is Protocol.UNKNOWN else meter.protocol


def driver_of(meter: Meter, drivers: Drivers) -> Driver:
    """The driver for a meter. Raises `JobError` "protocol-unsupported"."""
    driver = drivers.get(protocol_of(meter))
    if driver is None:
        known = ", ".join(sorted(drivers))
        detail = f"meter {meter.id} speaks {meter.protocol}; this gateway speaks {known}: correct the meter's record"
        raise JobError("protocol-unsupported", detail)
    return driver
