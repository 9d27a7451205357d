"""One module a command or group; each has `register(app)`.

What a command needs is imported when it runs: `hes --help` is quick.
"""

from __future__ import annotations

import typer

from connectors.cli.commands import (
    bench,
    dead_letters,
    decode,
    demo,
    doctor,
    local,
    meters,
    probe,
    query,
    replay,
    run,
    tail,
    topology,
)

# In the order in which `hes --help` shows them: what a newcomer needs first.
_ALL = (demo, local, run, topology, meters, probe, decode, replay, tail, dead_letters, query, bench, doctor)


def register(app: typer.Typer) -> None:
    """Put every command on the tree."""
    for module in _ALL:
        module.register(app)
