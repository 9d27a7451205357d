"""All seeds, then a few seconds of mutated ones under a fixed seed: our own errors only, bounded work, bounded memory."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.fuzz import seeds
from tests.fuzz.drive import attempt, guarded
from tests.fuzz.harness import Pieces, Target, piece
from tests.fuzz.mutate import chance, mutated
from tests.fuzz.targets import TARGETS

INPUTS = 60_000
"""Mutated inputs over all targets, shared by weight."""
CALLS, CALLS_AN_OCTET = 60_000, 300
"""Calls that one input may cost: a new layout of rows is a regular expression to compile. Then by its length."""
MEMORY, MEMORY_AN_OCTET = 1 << 20, 2_048
"""Octets that one input may have allocated at once, likewise."""

WHOLE = sum(target.weight for target in TARGETS.values())


@pytest.fixture(params=list(TARGETS.values()), ids=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Each target, under the guards against hangs and huge allocations."""
    found: Target = request.param
    with guarded():
        yield found


def calls(target: Target, data: bytes) -> int:
    """How many functions, ours and built in, one input calls: the same on every machine."""
    count = 0

    def called(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        found = attempt(target, data)
    finally:
        sys.setprofile(None)
    assert found is None
    return count


def test_every_target_has_seeds(target: Target) -> None:
    assert seeds.load(target.name)


def test_seeds(target: Target) -> None:
    found = {attempt(target, data): data.hex() for data in seeds.load(target.name)}
    assert found.keys() == {None}, found


def test_mutated_seeds(target: Target) -> None:
    random, known = chance(f"{target.name} 1"), seeds.load(target.name)
    found = {}
    for _ in range(INPUTS * target.weight // WHOLE):
        data = mutated(random, known)
        found[attempt(target, data)] = data.hex()
    assert found.keys() == {None}, found


def test_work_and_memory_are_bounded_by_what_came(target: Target) -> None:
    random, known = chance(f"{target.name} 2"), seeds.load(target.name)
    sample = [random.choice(known) for _ in range(6)] + [mutated(random, known) for _ in range(6)]
    target.run(sample[0])  # what is made once and kept (templates, schemas) is no input's doing
    for data in sample:
        assert calls(target, data) <= CALLS + CALLS_AN_OCTET * len(data), data.hex()
        tracemalloc.start()
        try:
            attempt(target, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= MEMORY + MEMORY_AN_OCTET * len(data), data.hex()


@pytest.mark.parametrize("name", ["push_stream", "decode_stream", "framed", "telegram", "gateway"])
def test_real_telegrams_mutated(captures_dir: Path, name: str) -> None:
    """Telegrams of real meters are read where they are: they are no part of the repository."""
    real = [bytes.fromhex(path.read_text()) for path in sorted((captures_dir / "dlms-push").glob("*.hex"))]
    head = {"framed": b"\0\x03" + b"\xff\xff", "gateway": b"\0\0"}.get(name, b"\0" if name == "decode_stream" else b"\0\0")
    known = [head + octets for octets in real]
    random = chance(name)
    with guarded():
        found = {attempt(TARGETS[name], data): data.hex() for data in known}
        for _ in range(100):
            data = mutated(random, known)
            found[attempt(TARGETS[name], data)] = data.hex()
    assert found.keys() == {None}, found


@pytest.mark.parametrize("size", [0, 1, 0xEF, 0xF0, 0xFFF])
def test_pieces_are_read_as_they_are_written(size: int) -> None:
    pieces = Pieces(piece(bytes(size)) + b"\x07")
    assert (pieces.piece(), pieces.octet(), pieces.left, pieces.octet()) == (bytes(size), 7, False, 0)


def test_mutation_is_the_same_under_the_same_seed() -> None:
    known = [b"abc", bytes(40)]
    assert [mutated(chance(1), known) for _ in range(3)] == [mutated(chance(1), known)] * 3
