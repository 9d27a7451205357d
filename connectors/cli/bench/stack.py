"""A local stack of the bench's own, on fresh data in a temporary folder, and services on it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.cli import context
from connectors.cli.commands.topology import apply_to
from connectors.cli.demo.stage import Child, free_port
from connectors.local import process
from connectors.local.home import Home
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
def service(name: str, settings: Settings, home: Home) -> Iterator[Child]:
    """A service as a process of its own."""
    environ = context.addresses(settings) | {"HES_HEALTH__PORT": str(free_port())}
    argv = [sys.executable, "-m", "connectors.cli.main", "run", name]
    child = Child(name, process.Command(argv, environ), home.log(f"bench-{name}"), int(environ["HES_HEALTH__PORT"]))
    child.start()
    try:
        yield child
    finally:
        if child.running is not None:
            process.stop([child.running])
