"""What the stack needs to know of each of its parts, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connectors.local.artifacts import Artifacts
from connectors.local.home import Home
from connectors.local.java import Java
from connectors.local.process import Command

Ports = Mapping[str, int]

JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)
"""A small heap collected serially, and no second compiler: half the start and half the memory, no slower at our load."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a part runs and with what."""

    home: Home
    java: Java
    artifacts: Artifacts

    def jvm(self, part: str, heap: str) -> list[str]:
        """`java` and the flags for this part; the class data archive where there is one (a stale one is ignored by Java)."""
        flags = [
            str(self.java.program),
            f"-Xmx{heap}",
            *JVM_FLAGS,
            f"-XX:ErrorFile={self.home.log(part).with_suffix('.crash')}",
        ]
        archive = self.artifacts.archive(part, self.java.version)
        usable = archive.exists() and archive.stat().st_size > 0
        return [*flags, f"-XX:SharedArchiveFile={archive}", "-Xlog:disable", "-Xlog:all=error:stderr"] if usable else flags


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the stack, as a handful of functions."""

    name: str
    """In file names, in the state and in `hes local status`."""
    title: str
    ports: tuple[str, ...]
    """Names of the ports it listens on; the first is the one clients use."""
    prepare: Callable[[Site, Ports], None]
    """Writes its configuration; may run again at any time while the part is down."""
    command: Callable[[Site, Ports], Command]
    ready: Callable[[Ports], bool]
    """Whether it serves; answers within about two seconds."""
    address: Callable[[Ports], str]
    """What clients are given."""
