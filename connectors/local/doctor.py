"""Is this machine fit to run the local stack? Each check looks and says; none changes anything."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from connectors.local import artifacts, ports
from connectors.local.errors import LocalError
from connectors.local.home import Home
from connectors.local.java import find_java, find_maven
from connectors.local.stack import LocalStack
from streams.runtime.settings import Settings

LEAST_PYTHON = (3, 11)
LEAST_OPEN_FILES = 4_096
"""Kafka holds three files a partition segment, the registry about 350, a fleet of simulated meters one a meter."""
LEAST_MEMORY_MB = 1_500
DATA_MB = 1_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    """What was found."""
    mend: str = ""
    """What to do about it; empty where all is well."""


def check_all(home: Home, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Every check, in the order in which a reader would mend them."""
    return [
        python(sys.version_info[:3]),
        packages(find_spec),
        java(environ),
        maven(environ),
        parents(shutil.which("setpriv"), sys.platform),
        disk(home.root, DATA_MB, "data"),
        disk(home.cache, 0 if artifacts.find(home.cache) else artifacts.NEEDED_MB, "cache"),
        memory(_available_mb()),
        open_files(resource.getrlimit(resource.RLIMIT_NOFILE)),
        writable(home.root, "HES_HOME"),
        writable(home.cache, "HES_CACHE"),
        loopback(),
        installed(home),
        settings(),
        stack(home),
    ]


def python(version: tuple[int, int, int]) -> Check:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        return Check("python", ok=False, detail=f"Python {text}", mend="install Python 3.11 or later and set up again")
    return Check("python", ok=True, detail=f"Python {text}")


def packages(spec: Callable[[str], object | None]) -> Check:
    """The packages of the extra `local`."""
    if missing := [name for name in ("chdb", "pyarrow", "confluent_kafka", "fastavro") if spec(name) is None]:
        return Check("packages", ok=False, detail=f"missing: {', '.join(missing)}", mend="run: make setup")
    return Check("packages", ok=True, detail="chdb, pyarrow, confluent-kafka and fastavro are installed")


def java(environ: Mapping[str, str]) -> Check:
    """A Java new enough."""
    try:
        found = find_java(environ)
    except LocalError as error:
        return Check("java", ok=False, detail=error.what, mend=error.mend)
    return Check("java", ok=True, detail=f"Java {found.version} at {found.program}")


def maven(environ: Mapping[str, str]) -> Check:
    """Maven."""
    try:
        found = find_maven(environ)
    except LocalError as error:
        return Check("maven", ok=False, detail=error.what, mend=error.mend)
    return Check("maven", ok=True, detail=str(found))


def parents(setpriv: str | None, platform: str) -> Check:
    """Whether the stack can be tied to the process that starts it."""
    if setpriv:
        return Check("setpriv", ok=True, detail="the stack ends with what started it, even when that is killed")
    detail = "no setpriv: when the demo is killed, the stack goes on until `hes local down`"
    mend = "install util-linux" if platform.startswith("linux") else ""
    return Check("setpriv", ok=not mend, detail=detail, mend=mend)


def disk(folder: Path, needed_mb: int, name: str) -> Check:
    """Free space where a folder is, or will be."""
    free_mb = shutil.disk_usage(_existing(folder)).free // 1_000_000
    detail = f"{free_mb:,} MB free for {folder}"
    if free_mb < needed_mb:
        variable = "HES_HOME" if name == "data" else "HES_CACHE"
        return Check(
            f"disk ({name})", ok=False, detail=detail, mend=f"free {needed_mb} MB, or set {variable} to another disk"
        )
    return Check(f"disk ({name})", ok=True, detail=detail)


def memory(available_mb: int | None) -> Check:
    """Memory for the three parts and the services."""
    if available_mb is None:
        return Check("memory", ok=True, detail="not told by this system")
    if available_mb < LEAST_MEMORY_MB:
        return Check("memory", ok=False, detail=f"{available_mb:,} MB available", mend=f"free {LEAST_MEMORY_MB:,} MB")
    return Check("memory", ok=True, detail=f"{available_mb:,} MB available")


def open_files(limits: tuple[int, int]) -> Check:
    """The limit that a fleet of meters meets first."""
    soft, hard = limits
    if soft == resource.RLIM_INFINITY:
        return Check("open files", ok=True, detail="no limit")
    if soft >= LEAST_OPEN_FILES:
        return Check("open files", ok=True, detail=f"{soft:,} a process")
    mend = f"run: ulimit -n {LEAST_OPEN_FILES}"
    if hard != resource.RLIM_INFINITY and hard < LEAST_OPEN_FILES:
        mend = f"raise nofile to {LEAST_OPEN_FILES} in /etc/security/limits.conf and log in again"
    return Check("open files", ok=False, detail=f"{soft:,} a process", mend=mend)


def writable(folder: Path, variable: str) -> Check:
    """Whether a folder is ours to write, or to create."""
    at = _existing(folder)
    if at.is_dir() and os.access(at, os.W_OK | os.X_OK):
        return Check(variable, ok=True, detail=str(folder))
    return Check(variable, ok=False, detail=f"{at} cannot be written", mend=f"set {variable} to a folder that is yours")


def loopback() -> Check:
    """Whether servers can listen on the loopback interface."""
    try:
        port = ports.choose(["probe"], {})["probe"]
    except LocalError as error:
        return Check("ports", ok=False, detail=error.what, mend=error.mend)
    return Check("ports", ok=True, detail=f"{ports.HOST} has free ports, {port} for one")


def installed(home: Home) -> Check:
    """Whether Kafka and the registry are here; not a fault, they are fetched when first needed."""
    found = artifacts.find(home.cache)
    detail = f"installed in {found.root}" if found else "not fetched yet; the first start fetches about 200 MB"
    return Check("artifacts", ok=True, detail=detail)


def settings() -> Check:
    """Whether the settings of environment and file can be read; names what is wrong, never a value."""
    try:
        Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
        return Check("settings", ok=False, detail=wrong, mend="correct HES_… in the environment, or the settings file")
    except (OSError, ValueError) as error:
        return Check("settings", ok=False, detail=str(error), mend="correct the settings file that HES_SETTINGS names")
    return Check("settings", ok=True, detail="environment and settings file can be read")


def stack(home: Home) -> Check:
    """How the stack is; stopped is no fault, half of it running is."""
    parts = LocalStack(home.root).status()
    detail = ", ".join(f"{part.title} {part.state}" + (f" at {part.address}" if part.pid else "") for part in parts)
    if {part.state for part in parts} in ({"running"}, {"stopped"}):
        return Check("local stack", ok=True, detail=detail)
    logs = ", ".join(str(part.log) for part in parts if part.state != "running")
    return Check("local stack", ok=False, detail=detail, mend=f"run: hes local up (logs: {logs})")


def _existing(folder: Path) -> Path:
    return next((at for at in (folder, *folder.parents) if at.exists()), Path("/"))


def _available_mb() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1_000 for line in lines if line.startswith("MemAvailable:")), None)
