"""Readers and meters that others wrote in Java (`tests/peers`): built with Maven, run beside ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from connectors.cli.bench.children import finish
from connectors.cli.failure import CommandError
from connectors.local.home import Home

PEERS = Path(__file__).resolve().parents[3] / "tests" / "peers"
_LOST = ("Could not transfer artifact", "offline")


class AbsentError(CommandError):
    """A peer cannot be built here: a tool is missing, or Maven cannot reach its repository."""


def build(peer: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder with a peer's classes and jars; built once for each version of its sources.

    `AbsentError` where it cannot be built here, `CommandError` where it does not build.
    """
    sources_of = PEERS / peer
    if not sources_of.is_dir():
        raise AbsentError(f"{peer} as a peer needs tests/peers/{peer}: run this from a checkout of the sources")
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise AbsentError(f"{tool} is not on the PATH: {peer} needs a JDK and Maven")
    sources = sorted(path for path in sources_of.rglob("*") if path.suffix in {".xml", ".java"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Home.of().cache
    folder = cache / "test-peers" / f"{peer}-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a") as lock:  # one Maven at a time, with the one that fetches Kafka
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            say(f"building {peer}, once")
            _build(peer, sources_of, folder)
    return folder


def _build(peer: str, sources: Path, folder: Path) -> None:
    command = ["mvn", "-q", "-B", f"-Dpeer.build={folder}", "compiler:compile", "dependency:copy-dependencies"]
    done = finish(command, 300, sources)
    said = done.stdout + done.stderr
    if done.returncode and any(word in said for word in _LOST):
        raise AbsentError(f"Maven cannot reach its repository, and {peer} is not in the local one")
    if done.returncode:
        raise CommandError(f"{peer} does not build: {said.strip()[-300:]}")
    (folder / "built").touch()


def command(folder: Path, main: str, *flags: str) -> list[str]:
    """How to run a class of a peer that was built, its arguments to follow."""
    classpath = os.pathsep.join((str(folder / "classes"), str(folder / "lib" / "*")))
    return ["java", *flags, "-cp", classpath, main]
