"""The long run: `python -m tests.fuzz.drive --inputs 10000000 [--seconds S] [--coverage] [--corpus DIR] [TARGET ...]`.

Without `--coverage` inputs are mutated seeds, and nothing but Python is needed. With it atheris follows the coverage of each
input, keeps what reaches something new in the corpus, and `--keep` writes the smallest set with the same coverage to
`seeds/TARGET/found.hex`. Inputs are shared among targets by their weight. Findings end up in the folder `--findings` as
files to be replayed with `--replay FILE TARGET`.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.fuzz import seeds
from tests.fuzz.harness import MAX_INPUT, Finding, Target
from tests.fuzz.mutate import chance, mutated
from tests.fuzz.targets import TARGETS

HANG_S = 10
"""An input that takes longer is a finding: the slowest ones take milliseconds."""
MEMORY = 3 << 30
"""Octets of address space: an allocation beyond it is a MemoryError, and so a finding."""
MOST_KEPT, LONGEST_KEPT = 60, 512
"""Inputs in a `found.hex`, and octets of one."""


@dataclass(slots=True)
class Tally:
    """What a run of one target came to."""

    inputs: int = 0
    seconds: float = 0.0
    coverage: str = ""
    findings: dict[str, Path | bytes] = field(default_factory=dict)


class _HangError(Exception):
    pass


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise _HangError(f"more than {HANG_S} s")


@contextmanager
def guarded(memory: int = MEMORY) -> Iterator[None]:
    """Hangs and allocations beyond the limit become exceptions."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, _alarm)
    resource.setrlimit(resource.RLIMIT_AS, (memory, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


def attempt(target: Target, data: bytes) -> str | None:
    """One input; where it is a finding, what and where, alike for alike ones."""
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        target.run(data)
    except (Exception, MemoryError) as error:  # noqa: BLE001 - whatever escapes is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = str(error) if isinstance(error, Finding) else f"{Path(last.filename).name}:{last.lineno} {error}"
        return f"{type(error).__name__} {what[:160]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def mutate(target: Target, inputs: int, seconds: float, seed: int) -> Tally:
    """Seeds, then mutated ones, until either is used up."""
    tally, known = Tally(), seeds.load(target.name)
    random = chance(seed)
    began = time.monotonic()
    while tally.inputs < inputs and (seconds <= 0 or time.monotonic() - began < seconds):
        data = known[tally.inputs] if tally.inputs < len(known) else mutated(random, known)
        tally.inputs += 1
        found = attempt(target, data)
        if found is not None:
            tally.findings.setdefault(found, data)
    tally.seconds = time.monotonic() - began
    return tally


def follow(target: Target, inputs: int, seconds: float, seed: int, corpus: Path, findings: Path) -> Tally:
    """The same led by coverage, in a process of its own; again after a finding, as long as there are inputs left."""
    folder = corpus / target.name
    _fill(folder, seeds.load(target.name))
    tally, began = Tally(), time.monotonic()
    while tally.inputs < inputs and (left := seconds - (time.monotonic() - began)) > 1 and len(tally.findings) < 20:
        options = [f"-runs={inputs - tally.inputs}", f"-max_total_time={int(left)}", f"-seed={seed + len(tally.findings)}"]
        done = _libfuzzer(target, [*options, f"-artifact_prefix={findings}/{target.name}-", str(folder)])
        counts = re.findall(r"#(\d+)\t?.*?cov: (\d+) ft: (\d+) corp: (\d+)", done)
        if not counts:
            raise RuntimeError(f"libFuzzer said nothing of {target.name}: {done[-2000:]}")
        last = re.findall(r"^#(\d+)", done, re.MULTILINE)
        tally.inputs += max(int(counts[-1][0]), int(last[-1]))
        tally.coverage = "cov {1} ft {2} corpus {3}".format(*counts[-1])
        artifact = re.search(r"Test unit written to (\S+)", done)
        if artifact is None:
            break
        raised = re.search(r"=== Uncaught Python exception: ===\n(.*)", done)
        what = raised[1] if raised else "no exception: a hang, or too much memory"
        tally.findings.setdefault(f"{what[:160]} ({len(tally.findings) + 1})", Path(artifact[1]))
    tally.seconds = time.monotonic() - began
    return tally


def keep(target: Target, corpus: Path) -> int:
    """The smallest inputs of the corpus that reach what all of it reaches, as seeds beside the others; how many."""
    kept = seeds.FOLDER / target.name / "found.hex"
    kept.unlink(missing_ok=True)
    known = set(seeds.load(target.name))
    with tempfile.TemporaryDirectory() as folder:
        _libfuzzer(target, ["-merge=1", folder, str(corpus / target.name)])
        inputs = {path.read_bytes() for path in Path(folder).iterdir()} - known
    found = sorted((octets for octets in inputs if len(octets) <= LONGEST_KEPT), key=len)[:MOST_KEPT]
    if found:
        seeds.write(kept, sorted(found), "found by following coverage, minimised")
    return len(found)


def _libfuzzer(target: Target, options: Sequence[str]) -> str:
    command = [sys.executable, "-m", "tests.fuzz.follow", target.name, f"-max_len={MAX_INPUT}", f"-timeout={HANG_S}"]
    limits = ["-rss_limit_mb=2048", "-malloc_limit_mb=256", "-len_control=50", "-print_final_stats=1"]
    done = subprocess.run([*command, *limits, *options], capture_output=True, check=False, timeout=7200)
    return (done.stderr + done.stdout).decode(errors="replace")


def _fill(folder: Path, inputs: Sequence[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for octets in inputs:
        (folder / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)


def main() -> int:
    """Exit code 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="over all targets")
    parser.add_argument("--seconds", type=float, default=0, help="over all targets; 0: until the inputs are used up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", action="store_true", help="follow coverage (needs atheris)")
    parser.add_argument("--corpus", type=Path, default=Path(tempfile.gettempdir()) / "hes-fuzz")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "hes-fuzz-findings")
    parser.add_argument("--keep", action="store_true", help="write what coverage found as seeds")
    parser.add_argument("--replay", type=Path, help="one input, the finding's traceback")
    given = parser.parse_args()
    chosen = [TARGETS[name] for name in given.targets] or list(TARGETS.values())
    if given.replay:
        chosen[0].run(given.replay.read_bytes())
        return 0
    given.findings.mkdir(parents=True, exist_ok=True)
    total, whole, found = 0, sum(target.weight for target in chosen), 0
    for target in chosen:
        inputs, seconds = given.inputs * target.weight // whole + 1, given.seconds * target.weight / whole
        if given.coverage:
            tally = follow(target, inputs, seconds or 86_400, given.seed, given.corpus, given.findings)
        else:
            with guarded():
                tally = mutate(target, inputs, seconds, given.seed)
        kept = f", {keep(target, given.corpus)} kept" if given.keep and given.coverage else ""
        rate = tally.inputs / tally.seconds if tally.seconds else 0
        print(f"{target.name:18} {tally.inputs:10,} inputs {rate:8,.0f}/s {tally.coverage}{kept}", flush=True)  # noqa: T201 - a command prints
        for what, where in tally.findings.items():
            shown = where if isinstance(where, Path) else where.hex()
            print(f"  FOUND {what}: {shown}", flush=True)  # noqa: T201 - a command line prints
        total, found = total + tally.inputs, found + len(tally.findings)
    print(f"{total:,} inputs, {found} findings", flush=True)  # noqa: T201 - a command line prints
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
