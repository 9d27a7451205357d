"""Processes that a bench starts beside itself: its peers, and who plays the meters. There is no shell, and no word of what
is run comes from outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Lines = Iterator[dict[str, Any]]
"""What a process prints: a JSON object a line, until it ends."""


@contextmanager
def child(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, *, orders: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A process for as long as it is needed, then SIGTERM. Its output is a pipe, with `orders` its input, too. It has a
    session of its own: Ctrl-C in the terminal is the bench's to handle.
    """
    with subprocess.Popen(  # noqa: S603 - as the module says: no shell, and nothing from outside
        argv,
        env=os.environ | dict(environ or {}),
        stdin=subprocess.PIPE if orders else None,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def followed(process: subprocess.Popen[str], read: Callable[[Lines], None]) -> Iterator[None]:
    """Have `read` follow what a child prints, on a thread, to its end; that comes with the end of this."""
    reader = threading.Thread(target=read, args=(_lines(process),), daemon=True)
    reader.start()
    try:
        yield
    finally:
        process.terminate()
        reader.join()


def first_line(process: subprocess.Popen[str]) -> str:
    """What a child says first, which is that it is ready; empty where it ended instead."""
    return "" if process.stdout is None else process.stdout.readline()


def finish(argv: Sequence[str], timeout_s: float | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, whatever that is; what it printed. `subprocess.TimeoutExpired` where it is too slow."""
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603 - as above


def _lines(process: subprocess.Popen[str]) -> Lines:
    return (json.loads(line) for line in process.stdout or ())
