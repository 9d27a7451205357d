"""A local stack of the bench's own, on fresh data in a temporary folder, and services on it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from connectors.cli import context
from connectors.cli.commands.topology import apply_to
from connectors.cli.demo.stage import Child
from connectors.local import process
from connectors.local.home import Home
from connectors.local.ports import free_port
from connectors.local.stack import LocalStack
from streams.runtime.settings import Settings


@contextmanager
def bench_stack(say: Callable[[str], None]) -> Iterator[tuple[Settings, Home]]:
    """Settings that name the stack, and its home; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hes-bench-") as folder, LocalStack(Path(folder)) as stack:
        settings = context.with_local(Settings(), stack.up(say), stack.home, always=True)
        apply_to(settings, replication=1)
        yield settings, stack.home


@contextmanager
def service(
    name: str,
    settings: Settings,
    home: Home,
    more: Mapping[str, str] = MappingProxyType({}),
    module: Sequence[str] = ("connectors.cli.main",),
) -> Iterator[Child]:
    """A service as a process of its own. `more` goes into its environment; `module` is what runs the command of `hes`.

    Whatever error leaves it ends with the service's last words: its log goes with the stack.
    """
    environ = context.addresses(settings) | {"HES_HEALTH__PORT": str(free_port())} | dict(more)
    argv = [sys.executable, "-m", *module, "run", name]
    child = Child(name, process.Command(argv, environ), home.log(f"bench-{name}"), int(environ["HES_HEALTH__PORT"]))
    child.start()
    try:
        yield child
    except Exception as error:
        state = "runs" if child.alive() else "has ended"
        error.add_note(f"The log of {name}, which {state}:\n{process.tail(child.log, 40)}")
        raise
    finally:
        if child.running is not None:
            process.stop([child.running])
