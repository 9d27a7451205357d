"""Jobs that visits are done with: what drivers put aside becomes readings, of many jobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.gateway.drivers.port import Driver
from connectors.gateway.outcomes import Conclusion
from connectors.gateway.retries import fault_in


@dataclass(slots=True, eq=False)
class Ended(Conclusion):
    """A job that a visit is done with."""

    driver: Driver = field(kw_only=True)


def finish_all(driver: Driver, items: Sequence[Ended]) -> None:
    """Have a driver make readings. Where that fails it is one job's, which is found by trying each by itself."""
    try:
        faults = driver.finish([item.found for item in items])
    except Exception as error:  # noqa: BLE001 - a bug in one job must not take the others along
        if len(items) > 1:
            for item in items:
                finish_all(driver, (item,))
            return
        faults = [fault_in(driver, error, items[0].task.job.meter_id)]
    for item, fault in zip(items, faults, strict=True):
        item.error = item.error or fault
