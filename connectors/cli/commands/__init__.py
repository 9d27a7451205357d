"""One module a command or group; each has `register(app)`.

What a command needs is imported when it runs: `hes --help` is quick. And a command that stands alone is all that is imported
where the command line names it: `hes probe` needs no Kafka client, and may run where there is none.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

# In the order in which `hes --help` shows them: what a newcomer needs first.
_ALL = (
    "demo", "local", "run", "topology", "meters", "schedules", "read", "commands", "freeze", "firmware", "operators", "sign",
    "audit", "probe", "decode", "replay", "tail", "dead_letters", "reconcile", "query", "bench", "doctor",
)  # fmt: skip
_ALONE = ("probe",)


def register(app: typer.Typer) -> None:
    """Put every command on the tree, or the one that stands alone and is asked for."""
    asked = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    for name in (asked,) if asked in _ALONE else _ALL:
        import_module(f"{__name__}.{name}").register(app)
