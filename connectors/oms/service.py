"""The service of outages: whoever has partition 0 of hes.alarms leads, and reads all of them (`streams.runtime.leading`).

A transformer's meters lie in all partitions, so the partitions cannot be shared out.
"""

from __future__ import annotations

from connectors.oms.grid import Grid, GridFollower
from connectors.oms.office import SOURCE, Office
from streams.runtime import metrics, service
from streams.runtime.leading import Leader
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings


def serve(runtime: Runtime) -> None:
    """Until asked to stop."""
    grid = Grid()
    Leader(runtime, SOURCE, lambda: Office(runtime, grid), metrics.OUTAGES_LEADS).run(GridFollower(runtime, grid))


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("oms", settings, serve)
