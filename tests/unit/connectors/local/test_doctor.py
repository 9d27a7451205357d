"""Each check, well and unwell."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.local import doctor
from connectors.local.doctor import Check
from connectors.local.home import Home, Running, State, save_state
from connectors.local.process import born


@pytest.mark.parametrize(
    ("check", "ok", "says"),
    [
        pytest.param(lambda: doctor.python((3, 11, 0)), True, "3.11.0", id="python"),
        pytest.param(lambda: doctor.python((3, 10, 9)), False, "3.11", id="python-old"),
        pytest.param(lambda: doctor.packages(lambda _: object()), True, "installed", id="packages"),
        pytest.param(
            lambda: doctor.packages(lambda name: None if name == "chdb" else 1), False, "missing: chdb", id="package-missing"
        ),
        pytest.param(lambda: doctor.java({"PATH": "/nowhere"}), False, "no Java", id="java-missing"),
        pytest.param(lambda: doctor.maven({"PATH": "/nowhere"}), False, "no mvn", id="maven-missing"),
        pytest.param(lambda: doctor.parents("/usr/bin/setpriv", "linux"), True, "even when that is killed", id="setpriv"),
        pytest.param(lambda: doctor.parents(None, "linux"), False, "util-linux", id="setpriv-missing"),
        pytest.param(lambda: doctor.parents(None, "darwin"), True, "hes local down", id="setpriv-on-macos"),
        pytest.param(lambda: doctor.disk(Path("/no/such/folder"), 0, "data"), True, "MB free", id="disk"),
        pytest.param(lambda: doctor.disk(Path("/no/such/folder"), 10**12, "cache"), False, "HES_CACHE", id="disk-full"),
        pytest.param(lambda: doctor.memory(8_000), True, "8,000 MB", id="memory"),
        pytest.param(lambda: doctor.memory(200), False, "free 1,500 MB", id="memory-short"),
        pytest.param(lambda: doctor.memory(None), True, "not told", id="memory-unknown"),
        pytest.param(lambda: doctor.open_files((20_000, 20_000)), True, "20,000", id="open-files"),
        pytest.param(
            lambda: doctor.open_files((resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
            True,
            "no limit",
            id="open-files-unlimited",
        ),
        pytest.param(
            lambda: doctor.open_files((256, resource.RLIM_INFINITY)), False, "ulimit -n 4096", id="open-files-soft"
        ),
        pytest.param(lambda: doctor.open_files((1_024, 2_048)), False, "limits.conf", id="open-files-hard"),
        pytest.param(lambda: doctor.writable(Path("/dev/null/x"), "HES_HOME"), False, "set HES_HOME", id="not-writable"),
        pytest.param(doctor.loopback, True, "free ports", id="ports"),
    ],
)
def test_check(check: Callable[[], Check], ok: bool, says: str) -> None:
    found = check()
    assert found.ok is ok
    assert says in f"{found.detail} {found.mend}"
    assert bool(found.mend) is not ok


def test_wrong_settings_are_named_without_their_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_GATEWAY__TCP_PORT", "s3cret")
    found = doctor.settings()
    assert not found.ok
    assert "gateway.tcp_port" in found.detail
    assert "s3cret" not in found.detail


def test_a_settings_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hes.toml").write_text("not toml")
    monkeypatch.setenv("HES_SETTINGS", str(tmp_path / "hes.toml"))
    assert not doctor.settings().ok


def test_half_a_stack_is_a_fault(tmp_path: Path) -> None:
    home = Home.of(tmp_path)
    assert doctor.stack(home).ok
    ports = {"kafka": 20_001, "kafka-controller": 20_002, "registry": 20_003, "clickhouse": 20_004}
    save_state(
        home,
        State(ports, {"registry": Running(2**22 - 1, "x"), "clickhouse": Running(os.getpid(), born(os.getpid()) or "")}),
    )
    found = doctor.stack(home)
    assert not found.ok
    assert "ClickHouse not answering" in found.detail
    assert "hes local up" in found.mend


def test_all_checks_have_names_of_their_own(tmp_path: Path) -> None:
    names = [check.name for check in doctor.check_all(Home.of(tmp_path))]
    assert len(names) == len(set(names))
    assert list(tmp_path.iterdir()) == []
