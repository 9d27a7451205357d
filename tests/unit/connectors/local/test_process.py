"""Real processes, small ones."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from connectors.local.errors import LocalError
from connectors.local.home import Running
from connectors.local.process import Command, alive, born, spawn, stop, tail

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"


def wait_for(log: Path, text: str) -> None:
    while text not in tail(log):
        pass


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "detached"])
def test_starts_and_stops(tmp_path: Path, tied: bool) -> None:
    running = spawn(Command(["sleep", "600"]), tmp_path / "logs" / "x.log", tied=tied)
    assert alive(running)
    assert os.getsid(running.pid) == running.pid
    stop([running])
    assert not alive(running)


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    running = spawn(Command([sys.executable, "-c", STUBBORN]), log, tied=True)
    wait_for(log, "here")
    stop([running], grace_s=0.05)
    assert not alive(running)


def test_a_pid_given_to_another_process_is_never_touched() -> None:
    other = Running(os.getpid(), "another boot/1")
    assert not alive(other)
    stop([other])


def test_one_that_ended_by_itself_is_dead_and_reaped(tmp_path: Path) -> None:
    running = spawn(Command(["true"]), tmp_path / "x.log", tied=True)
    while alive(running):
        pass
    assert born(running.pid) is None
    assert not Path(f"/proc/{running.pid}").exists()


def test_a_program_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(Command(["no-such-program-anywhere"]), tmp_path / "x.log", tied=False)


def test_only_the_chosen_environment_reaches_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_GATEWAY__MASTER_KEY", "00" * 32)
    log = tmp_path / "x.log"
    running = spawn(Command(["env"], {"QUARKUS_HTTP_PORT": "1"}), log, tied=True)
    while alive(running):
        pass
    said = log.read_text()
    assert "QUARKUS_HTTP_PORT=1\n" in said
    assert "HES_" not in said


def test_each_start_has_a_fresh_log_and_keeps_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    for word in ("first", "second"):
        running = spawn(Command(["sh", "-c", f"echo {word}; echo error >&2"]), log, tied=True)
        while alive(running):
            pass
    assert (log.read_text(), (tmp_path / "x.log.1").read_text()) == ("second\nerror\n", "first\nerror\n")
    assert log.stat().st_mode & 0o077 == 0


def test_a_tied_start_from_a_thread_is_refused(tmp_path: Path) -> None:
    errors: list[LocalError] = []

    def start() -> None:
        try:
            spawn(Command(["true"]), tmp_path / "x.log", tied=True)
        except LocalError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


@pytest.mark.parametrize(
    ("text", "last"),
    [("", ""), ("a\n\nb\n", "a\nb"), ("x" * 40_000 + "\nend\n", "end")],
    ids=["empty", "blank-lines", "long"],
)
def test_tail(tmp_path: Path, text: str, last: str) -> None:
    (tmp_path / "x.log").write_text(text)
    assert tail(tmp_path / "x.log").endswith(last)


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "absent.log") == ""
