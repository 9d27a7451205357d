"""The service of commands: whoever has the only partition of hes.commands leads (`streams.runtime.leading`)."""

from __future__ import annotations

from streams.commands.office import Office
from streams.runtime import metrics, service
from streams.runtime.authority.inbox import COMMANDS
from streams.runtime.authority.pinned import pinned
from streams.runtime.leading import Leader
from streams.runtime.meters import MeterDirectory, MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.signing_key import load_release_key


def serve(runtime: Runtime) -> None:
    """Until asked to stop. `FatalError` where the settings cannot be used."""
    own = runtime.settings.commands
    rules, signer = pinned(own, "commands", "nothing that changes a meter is done"), load_release_key(own)
    meters = MeterDirectory()
    leader = Leader(runtime, COMMANDS, lambda: Office(runtime, meters, rules, signer), metrics.COMMANDS_LEADS)
    leader.run(MetersFollower(runtime, meters))


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("commands", settings, serve)
