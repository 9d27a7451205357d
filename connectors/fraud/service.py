"""The fraud router as a service."""

from __future__ import annotations

from connectors.fraud.tampers import SOURCE, tamper
from streams.runtime import service
from streams.runtime.router import Router
from streams.runtime.settings import Settings


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("fraud", settings, lambda runtime: Router(runtime, SOURCE, tamper).run())
