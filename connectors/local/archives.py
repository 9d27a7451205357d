"""Class data archives: what the JVM learned of its classes in a first start, kept, so that later starts take half the time.

Made once after installing, by starting each JVM part in a folder thrown away afterwards. Only ever an advantage: where it
cannot be made, or Java finds that it does not fit, the part starts without.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import threading
import time
from pathlib import Path

from connectors.local import ports, process
from connectors.local.artifacts import Artifacts, Progress
from connectors.local.errors import LocalError
from connectors.local.home import Home, Running
from connectors.local.java import Java
from connectors.local.kafka import KAFKA
from connectors.local.part import Part, Ports, Site
from connectors.local.process import Command
from connectors.local.registry import REGISTRY

PARTS = (REGISTRY, KAFKA)
READY_WITHIN_S = 60.0
DUMP_WITHIN_S = 60.0


def train(home: Home, java: Java, installed: Artifacts, progress: Progress) -> None:
    """Make the archives that are absent; only in the main thread, since the children end with the one that started them."""
    if threading.current_thread() is not threading.main_thread():
        return
    if not _missing(java, installed):
        return
    with (home.cache / "lock").open("a") as lock, tempfile.TemporaryDirectory(prefix="hes-train-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = _missing(java, installed)  # another may just have made them
        if missing:
            progress("preparing faster starts (once, about 15 s)")
        site = Site(Home(Path(scratch), home.cache), java, installed)
        chosen = ports.choose([name for part in missing for name in part.ports], {})
        running: dict[str, Running] = {}
        try:
            for part in missing:
                running[part.name] = _start(part, site, chosen)
            for part in missing:
                _await(part, running[part.name], chosen)
        except (LocalError, OSError) as error:
            progress(f"later starts will be slower than they could be: {error}")
        finally:
            process.stop(running.values(), grace_s=DUMP_WITHIN_S)
        for part in missing:
            _keep(_draft(site, part), installed.archive(part.name, java.version))


def _missing(java: Java, installed: Artifacts) -> list[Part]:
    return [part for part in PARTS if not installed.archive(part.name, java.version).exists()]


def _start(part: Part, site: Site, chosen: Ports) -> Running:
    part.prepare(site, chosen)
    command = part.command(site, chosen)
    program, *arguments = command.argv
    recording = [program, f"-XX:ArchiveClassesAtExit={_draft(site, part)}", *arguments]
    return process.spawn(Command(recording, command.environ), site.home.log(part.name), tied=True)


def _await(part: Part, running: Running, chosen: Ports) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while not part.ready(chosen):
        if not process.alive(running) or time.monotonic() > until:
            raise LocalError(f"{part.title} did not start")
        time.sleep(0.05)


def _draft(site: Site, part: Part) -> Path:
    return site.home.root / f"{part.name}.jsa"


def _keep(draft: Path, archive: Path) -> None:
    """Move a finished archive into place, whole; an empty file stands for one that could not be made."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    copy = archive.with_suffix(".new")
    if draft.exists():
        shutil.copy(draft, copy)
    else:
        copy.write_bytes(b"")
    copy.replace(archive)
