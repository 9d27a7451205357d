"""`hes bench split` beside its peers: what they write is what we write; where they cannot be had, the bench says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.cli.bench.split import run
from connectors.cli.bench.split_peers import PEERS, environment
from connectors.local.home import Home

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.long
def test_without_a_network_the_peers_are_left_out_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    assert environment(said.append, Home(tmp_path, tmp_path)) is None
    assert "once: about 150 MB" in said[0]
    assert "quixstreams==3.28.1 and sentry-arroyo==2.38.4 are left out: pip could not fetch them" in said[1]
    assert [path.suffix for path in (tmp_path / "peers").iterdir()] == [".lock"], "the next try begins anew"


def test_without_room_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20))
    said: list[str] = []
    assert environment(said.append, Home(tmp_path, tmp_path)) is None
    assert len(said) == 1
    assert "100 MB are free" in said[0]


@pytest.mark.long
@pytest.mark.usefixtures("jvm")
def test_the_peers_write_what_we_write() -> None:
    said: list[str] = []
    if environment(said.append) is None:
        pytest.skip(said[-1])
    ours, *theirs = run(2_000, 96, 1, said.append, PEERS)
    assert ours["reader"] == "hes split"
    assert [str(row["reader"]).split()[0] for row in theirs] == ["quixstreams", "sentry-arroyo"]
    assert [row["as_ours"] for row in theirs] == [2_000, 2_000]
