"""Faults of every kind from a seed while meters push and are read: each run says what it did, every id is accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.chaos.faults import Fault, drawn, kinds

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("jvm")]


def hurt(faults: int, seed: int, timeout_s: float) -> dict[str, Any]:
    argv = [sys.executable, "-m", "tests.chaos.run", "--faults", str(faults), "--seed", str(seed)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.stdout, done.stderr[-4_000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["reconciled"], f"{json.dumps(summary, indent=1)}\n{done.stderr[-4_000:]}"
    assert summary["out_of_order"] == [], summary
    assert (summary["lost"], summary["duplicated"], summary["faults"]) == (0, 0, faults)
    return summary


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_few_faults_lose_nothing_and_double_nothing() -> None:
    hurt(6, 12, 380)


@pytest.mark.long
@pytest.mark.timeout(2_400)
def test_a_hundred_faults_lose_nothing_and_double_nothing() -> None:
    summary = hurt(100, 7, 2_300)
    assert len(summary["by_kind"]) >= 5


def test_a_seed_is_a_run_and_every_kind_comes_up() -> None:
    every = kinds(disk=True, network=True)
    assert drawn(7, 100, every) == drawn(7, 100, every)
    assert set(drawn(8, 100, every)) == set(every)
    assert len(drawn(7, 5, every)) == 5
    assert Fault("slow network") in every
    assert not {fault.kind for fault in kinds(disk=False, network=False)} & {"slow network", "full disk"}
