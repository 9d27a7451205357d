"""The Java and the Maven that run the JVM parts: found, checked, and named with their install command where missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.local.errors import LocalError

LEAST = 17

INSTALL = {
    "apt-get": "sudo apt-get install -y openjdk-17-jdk-headless maven",
    "dnf": "sudo dnf install -y java-17-openjdk-devel maven",
    "pacman": "sudo pacman -S jdk17-openjdk maven",
    "apk": "sudo apk add openjdk17 maven",
    "brew": "brew install openjdk@17 maven && export JAVA_HOME=$(brew --prefix openjdk@17)",
}


@dataclass(frozen=True, slots=True)
class Java:
    """One Java: the program and its exact version, e.g. "17.0.15"."""

    program: Path
    version: str

    @property
    def major(self) -> int:
        """17 for 17.0.15, 8 for 1.8.0_402; 0 where the version is not known."""
        found = re.match(r"(?:1\.)?(\d+)", self.version)
        return int(found[1]) if found else 0


def install_command(platform: str = sys.platform) -> str:
    """The command that installs Java and Maven here."""
    managers = ["brew"] if platform == "darwin" else ["apt-get", "dnf", "pacman", "apk", "brew"]
    return next((INSTALL[name] for name in managers if shutil.which(name)), "install a JDK 17 or later, and Maven")


def find_java(environ: Mapping[str, str] = os.environ) -> Java:
    """The Java of JAVA_HOME, else of PATH; `LocalError` where there is none or it is too old."""
    at_home = Path(environ["JAVA_HOME"], "bin", "java") if environ.get("JAVA_HOME") else None
    found = str(at_home) if at_home and at_home.exists() else shutil.which("java", path=environ.get("PATH"))
    if not found:
        raise LocalError("no Java found, which Kafka and the Schema Registry run on", f"run: {install_command()}")
    java = Java(Path(found), _version(Path(found)))
    if java.major < LEAST:
        raise LocalError(
            f"{found} is Java {java.version or 'of a version unknown'}, and Kafka needs {LEAST} or later",
            f"set JAVA_HOME to a newer one, or run: {install_command()}",
        )
    return java


def find_maven(environ: Mapping[str, str] = os.environ) -> Path:
    """`mvn` on PATH; `LocalError` where there is none."""
    if found := shutil.which("mvn", path=environ.get("PATH")):
        return Path(found)
    raise LocalError("no mvn found, which downloads Kafka and the Schema Registry", f"run: {install_command()}")


def _version(program: Path) -> str:
    """From the file that every JDK carries, which costs nothing; else by asking it."""
    try:
        release = (program.resolve().parent.parent / "release").read_text(errors="replace")
    except OSError:
        release = ""
    if found := re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE):
        return found[1]
    try:
        told = subprocess.run(  # noqa: S603 - the program is the user's own Java
            [program, "-version"], capture_output=True, text=True, check=False, timeout=30
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'version "([^"]+)"', told)
    return found[1] if found else ""
