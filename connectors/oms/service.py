"""The OMS router as a service."""

from __future__ import annotations

from connectors.oms.outages import SOURCE, outage
from streams.runtime import service
from streams.runtime.router import Router
from streams.runtime.settings import Settings


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("oms", settings, lambda runtime: Router(runtime, SOURCE, outage).run())
