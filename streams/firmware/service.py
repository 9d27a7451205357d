"""The service of firmware campaigns: whoever has the only partition of hes.campaigns leads (`streams.runtime.leading`)."""

from __future__ import annotations

from streams.firmware.fleet import Fleet
from streams.firmware.office import Office
from streams.firmware.output import CAMPAIGNS
from streams.runtime import metrics, service
from streams.runtime.authority.pinned import pinned
from streams.runtime.leading import Leader
from streams.runtime.meters import MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.signing_key import load_release_key


def serve(runtime: Runtime) -> None:
    """Until asked to stop. `FatalError` where the settings cannot be used."""
    own = runtime.settings.commands
    rules, signer = pinned(own, "firmware", "no campaign is approved"), load_release_key(own)
    fleet = Fleet()
    leader = Leader(runtime, CAMPAIGNS, lambda: Office(runtime, fleet, rules, signer), metrics.CAMPAIGNS_LEADS)
    leader.run(MetersFollower(runtime, fleet))


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("firmware", settings, serve)
