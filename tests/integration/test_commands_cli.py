"""Commands from the command line: two people, a freeze, an audit that finds what was altered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.cli import commands, context
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.failure import CommandError
from connectors.cli.main import app
from connectors.local.home import Home
from schemas.records import AuditEntry, CommandState, Job, Meter, Operation, Outcome, Register, RegisterReadings
from streams.runtime.authority.chain import Link, linked
from streams.runtime.settings import Settings
from tests.integration.commands_rig import Rig

commands.register(app)
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]


class Shell:
    """`hes`, as somebody at this stack types it."""

    def __init__(self, settings: Settings, home: Home) -> None:
        ours = {"HES_HOME": str(home.root), "HES_ENVIRONMENT": "test"}
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("HES_")} | ours
        self.environ |= {"HES_KAFKA__BOOTSTRAP": settings.kafka.bootstrap, "HES_REGISTRY__URL": settings.registry.url}

    def run(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """What it printed on stdout, or what it said where it failed before that. In this process, which is quicker."""
        done = CliRunner().invoke(app, words, env=self.environ)
        if isinstance(done.exception, CommandError):
            assert done.exception.exit_code == code
            return [{"error": str(done.exception)}]
        assert done.exit_code == code, f"{done.output} {done.exception}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A process of its own, for what waits."""
        argv = [sys.executable, "-m", "connectors.cli.main", *words]
        return subprocess.Popen(argv, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        yield stack


def test_two_people_cut_a_customer_off_and_the_audit_tells(running: tuple[Settings, Home]) -> None:
    settings, home = running
    shell, rig = Shell(settings, home), Rig(settings)
    rig.meters("m1", "m2")
    shell.run("operators", "keygen")
    root = context.root_key_file(home).read_text().strip()
    environ = {"HES_COMMANDS__ROOT_KEY": root, "HES_ENVIRONMENT": "test"}
    shell.environ |= environ
    with service("commands", settings, home, environ) as desk:
        rig.until("that the service is ready", lambda: desk.get("/health/ready") is not None)
        for name, role in {"alice": "meter-operator", "bob": "meter-operator", "carol": "supervisor"}.items():
            assert shell.run("operators", "new", name, "--role", role)[0]["heard"]
        (asked,) = shell.run("disconnect", "m1", "--reason", "unpaid", "--as", "alice")
        assert asked["state"] == "AWAITING_APPROVAL"
        command = asked["command"]
        (own,) = shell.run("approve", command, "--as", "alice", code=1)
        assert own["code"] == "decision-self"
        (sent,) = shell.run("approve", command[:6], "--as", "bob")
        assert sent["state"] == "SENT"
        (job,) = rig.jobs(command)
        rig.answer(job, outcome=Outcome.DONE, before="connected", after="disconnected")
        rig.state(command, CommandState.DONE)
        new_keys = _keys_are_changed(shell, rig)
        assert shell.run("freeze", "--reason", "drill", "--as", "alice")[0]["heard"]
        (frozen,) = shell.run("reconnect", "m1", "--reason", "paid", "--as", "alice", code=1)
        assert frozen["code"] == "frozen"
        assert "role-missing" in shell.run("freeze", "--lift", "--reason", "over", "--as", "alice", code=1)[0]["error"]
        assert shell.run("freeze", "--lift", "--reason", "over", "--as", "carol")[0]["heard"]
        listed = shell.run("commands", "list", "--format", "json")
        states = {command: "DONE", new_keys: "DONE", frozen["command"]: "REJECTED"}
        assert {row["command"]: row["state"] for row in listed} == states
        _read_on_demand(shell, rig)
    (verdict,) = shell.run("audit", "verify")
    assert verdict["sound"] is True
    entries = rig.records("hes.audit", AuditEntry)
    assert verdict["entries"] == len(entries)
    head = verdict["head"]
    (agrees,) = shell.run("audit", "verify", "--expect", head)
    assert agrees["sound"] is True
    _foreign_records_hide_nothing(shell, rig, head)
    # One record altered: as Kafka takes none back, it is written behind, under the number that it would replace.
    altered = replace(entries[3], actor="nobody")
    rig.send("hes.audit", "c", altered)
    verdict, _ = shell.run("audit", "verify", code=1)
    assert (verdict["sound"], verdict["offset"] > 0, "was altered" in verdict["what"]) == (False, True, True)
    with service("commands", settings, home, environ) as desk:
        rig.until("that the service is ready", lambda: desk.get("/health/ready") is not None)
        # The service goes on from the end that its books name, not from what somebody wrote behind it.
        shell.run("freeze", "--reason", "again", "--as", "alice")
    last = rig.records("hes.audit", AuditEntry)[-1]
    assert last == linked(last, Link(entries[-1].sequence, entries[-1].hash))
    rig.close()


def _foreign_records_hide_nothing(shell: Shell, rig: Rig, head: str) -> None:
    rig.send("hes.audit", "c", Meter(id="m9"))
    sound, foreign = shell.run("audit", "verify", code=1)
    assert (sound["sound"], sound["head"]) == (True, head)
    assert (foreign["sound"], foreign["entries"], foreign["what"]) == (False, 1, "no audit entry: Meter")


def _keys_are_changed(shell: Shell, rig: Rig) -> str:
    """Asked by one, approved by a supervisor and by nobody else; the command's id."""
    (asked,) = shell.run("meters", "keys", "rotate", "m1", "--keys", "ek,ak", "--reason", "yearly", "--as", "alice")
    command = str(asked["command"])
    assert asked["state"] == "AWAITING_APPROVAL"
    assert shell.run("approve", command, "--as", "bob", code=1)[0]["code"] == "role-missing"
    assert shell.run("approve", command, "--as", "carol")[0]["state"] == "SENT"
    (job,) = rig.jobs(command)
    assert (job.operation, job.parameters, job.meter_id) == (Operation.ROTATE_KEY, {"keys": "ek,ak"}, "m1")
    rig.answer(job, outcome=Outcome.DONE, before="ek 1c9b8898", after="ek 06b1af0b")
    rig.state(command, CommandState.DONE)
    return command


def _read_on_demand(shell: Shell, rig: Rig) -> None:
    """The readings and the job's own acknowledgement come on their ways, here from the test."""
    reading = shell.start("read", "m2", "--timeout", "60", "--format", "json")

    (job,) = rig.until(
        "the read's job", lambda: [job for job in rig.records("hes.jobs.urgent", Job) if job.meter_id == "m2"]
    )
    found = RegisterReadings(
        id="x", meter_id="m2", registers=(Register("1.0.1.8.0.255", 2, "Wh", 1, 12345),), job_id=job.id, captured_at=1
    )
    rig.send("hes.readings.registers", "m2", found)
    rig.answer(job, outcome=Outcome.DONE, rows=1)
    out, err = reading.communicate(timeout=60)
    assert json.loads(out) == {
        "meter": "m2",
        "time": "1970-01-01T00:00:00.001Z",
        "obis": "1.0.1.8.0.255",
        "raw": 12345,
        "scaler": 1,
        "unit": "Wh",
        "value": 123450,
    }
    assert "done in" in err
    assert reading.returncode == 0
