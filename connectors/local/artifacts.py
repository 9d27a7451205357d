"""Kafka and the Schema Registry as files: fetched once by Maven after `pom.xml`, kept in the cache under its fingerprint."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.local.errors import LocalError
from connectors.local.java import find_java, find_maven

POM = Path(__file__).with_name("pom.xml")
NEEDED_MB = 700
"""Free disk that the download, Maven's own copy and the class data archives take together."""

Progress = Callable[[str], None]

_TRANSFER = re.compile(r"\b(Downloading|Downloaded) from \S+: \S*/([^/\s]+\.(?:jar|tar\.gz))(?: \((.+?) at .+\))?")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """An installed set; the fingerprint of `pom.xml` is in its path, so a new pin is a new folder."""

    root: Path

    @property
    def kafka_classpath(self) -> str:
        """For `java -cp`: every jar by name, in one order, as a class data archive wants it."""
        return os.pathsep.join(str(jar) for jar in sorted((self.root / "kafka").glob("*.jar")))

    @property
    def registry_jar(self) -> Path:
        """For `java -jar`."""
        return next((self.root / "registry").glob("*-runner.jar"))

    def archive(self, part: str, java_version: str) -> Path:
        """Where the class data archive of a part is, for one Java; it may be absent."""
        return self.root / "archives" / f"{part}-{java_version}.jsa"


def find(cache: Path) -> Artifacts | None:
    """What is installed for this release; None where nothing is."""
    root = cache / f"stack-{_fingerprint()}"
    return Artifacts(root) if (root / "registry").is_dir() and (root / "kafka").is_dir() else None


def ensure(cache: Path, progress: Progress, environ: Mapping[str, str] = os.environ) -> Artifacts:
    """What is installed, fetched first where nothing is.

    Tells its progress in short lines. `LocalError` where Java or Maven is missing (before anything is fetched), where Maven
    fails (with its own last error), and where the registry's archive has not the pinned checksum.
    """
    if installed := find(cache):
        return installed
    find_java(environ)
    maven = find_maven(environ)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("a")
    except OSError as error:
        raise LocalError(f"cannot write to {cache}: {error.strerror}", "set HES_CACHE to a folder that is yours") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed := find(cache):
            return installed
        return _fetch(cache, maven, progress)


def transfer(line: str) -> str | None:
    """What a line of Maven's output says of a file worth telling, without where it came from."""
    if not (found := _TRANSFER.search(line)):
        return None
    verb, name, size = found.groups()
    return f"{verb.lower()} {name}" + (f" ({size})" if size else "")


def _fetch(cache: Path, maven: Path, progress: Progress) -> Artifacts:
    final = cache / f"stack-{_fingerprint()}"
    draft = cache / f"draft-{os.getpid()}"
    for left in cache.glob("draft-*"):
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir()
    progress("fetching Kafka and the Schema Registry with Maven (about 200 MB, once)")
    begun = time.monotonic()
    shutil.copy(POM, draft / "pom.xml")
    try:
        _run_maven(maven, draft, progress)
        (draft / "pom.xml").unlink()
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    progress(f"fetched in {time.monotonic() - begun:.0f} s")
    return Artifacts(final)


def _run_maven(maven: Path, folder: Path, progress: Progress) -> None:
    argv = [str(maven), "-B", "-f", str(folder / "pom.xml"), f"-Dinto={folder}", "prepare-package"]
    said: deque[str] = deque(maxlen=400)
    with subprocess.Popen(  # noqa: S603 - the arguments are ours
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        try:
            for line in running.stdout or ():
                said.append(line.rstrip())
                if told := transfer(line):
                    progress(told)
        except BaseException:
            running.terminate()
            raise
    if running.returncode:
        raise LocalError(f"Maven failed (exit code {running.returncode}): {cause(said)}", _mend(said))


def cause(said: Iterable[str]) -> str:
    """The first error in Maven's output, without its prefix; its last line where it names none."""
    lines = [line for line in said if line.strip()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return (next(filter(None, errors), "") or (lines[-1] if lines else "it said nothing"))[:600]


def _mend(said: Iterable[str]) -> str:
    text = "\n".join(said)
    if "checksum" in text.lower() and "RequireFileChecksum failed" in text:
        return (
            "it is not the file we pinned: delete io/apicurio/apicurio-registry-app in Maven's local repository, try again"
        )
    if "No space left" in text:
        return f"free {NEEDED_MB} MB of disk"
    return "check that this machine reaches the network (a proxy goes into ~/.m2/settings.xml) and try again"


def _fingerprint() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
