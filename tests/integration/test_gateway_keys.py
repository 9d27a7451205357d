"""New keys for meters that nobody here wrote, by signed jobs on a real Kafka: the old ones are refused then, the new ones
read; and a gateway that is killed in the middle of it.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.keystore import FileKeyStore, MeterKeys
from connectors.protocols.dlms.meter_keys import mark
from connectors.protocols.dlms.objects.security_setup import KeyState
from schemas.records import (
    CounterReservation,
    Identity,
    IdentityKind,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Outcome,
)
from tests.integration import gurux_peer
from tests.integration.gateway_bench import MASTER, Cluster, GatewayProcess, Tap, open_cluster
from tests.integration.gurux_peer import TITLE, Peer
from tests.integration.java_peer import jdlms
from tests.integration.relay_meters import Desk
from tests.integration.staged_keys import INTENDED, SENT, STAGES
from tests.integration.test_dlms_suites import OURS, access, works

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

RUN = uuid.uuid4().hex[:6]
STAGED = ("-m", "tests.integration.staged_keys")
HELD = MeterKeys(bytes(range(0x10)), bytes(range(0xD0, 0xE0)), kek=bytes(range(0x40, 0x50)))
"""What jDLMS' meter has."""
TEMPLATES: dict[str, dict[str, Any]] = {
    "jdlms": {"client": 2, "server": 1, "auth": "hls-gmac", "security": "both"},
    **{
        f"gurux-{suite}": {"client": 1, "server": 1, "auth": "hls-gmac", "security": "both", "suite": suite}
        for suite in (0, 1, 2)
    },
}
SERIAL = "1/0.0.96.1.0.255/2"


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Desk:
    return Desk.staffed(cluster, f"env-{RUN}")


class Street:
    """Meters with keys, a gateway, and what it says of them."""

    def __init__(self, cluster: Cluster, desk: Desk, home: Path) -> None:
        self.cluster, self.desk, self.home = cluster, desk, home
        folder = home / "templates"
        folder.mkdir()
        for name, pull in TEMPLATES.items():
            lines = "".join(f"  {key}: {value}\n" for key, value in pull.items())
            (folder / f"{name}.yaml").write_text(f"extends: generic\npull:\n{lines}")
        settings = dict(desk.settings) | {"HES_GATEWAY__TEMPLATES_DIR": str(folder)}
        settings["HES_GATEWAY__SYSTEM_TITLE"] = OURS.hex()  # jDLMS' meter calls itself by the one that is ours else
        self.gateway = GatewayProcess(cluster, home, settings)
        self.second = GatewayProcess(cluster, home, dict(settings), suffix=self.gateway.suffix)
        self.tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk", "hes.intents", "hes.counters", "hes.frames")
        self._jobs = 0

    @property
    def store(self) -> FileKeyStore:
        return FileKeyStore.open(self.home / "keys.json", MASTER)

    def held(self, name: str) -> MeterKeys:
        found = self.store.get(f"ref-{name}")
        assert found is not None
        return found

    def meter(self, name: str, port: int, keys: MeterKeys, template: str) -> None:
        self.gateway.keys({f"ref-{name}": keys})
        known = Meter(
            id=name, key_ref=f"ref-{name}", endpoint=f"tcp://127.0.0.1:{port}", template=template, time_zone="UTC",
            segment=name, state=MeterState.NORMAL,
            identities=(Identity(IdentityKind.SYSTEM_TITLE, TITLE.hex()),) if template != "jdlms" else (),
        )  # fmt: skip
        self.cluster.put_meters([known])

    def rotation(self, name: str, **parameters: str) -> Job:
        value = self.desk.asks(name, operation=Operation.ROTATE_KEY, parameters=parameters)
        return self.desk.job(value, self.desk.decides(value, by="carol"))

    def do(self, job: Job) -> JobResult:
        self.cluster.put_jobs([job], "hes.jobs.urgent")
        return self.result(job)

    def result(self, job: Job) -> JobResult:
        def found() -> list[JobResult]:
            return [result for result in self.tap.of(JobResult) if result.job_id == job.id]

        self.tap.until(lambda: bool(found()), f"a result of {job.id}")
        assert len(found()) == 1
        return found()[0]

    def read(self, name: str, what: str) -> JobResult:
        self._jobs += 1
        return self.do(Job(
            id=f"read-{self._jobs}-{name}", meter_id=name, operation=Operation.READ_REGISTERS, objects=(what,)
        ))  # fmt: skip

    def nothing_tells(self, *keys: MeterKeys) -> None:
        """No key in what was written, and none in the log."""
        self.tap.look(1.0)
        shown = repr(self.tap.seen) + repr(self.gateway.log) + repr(self.second.log)
        for held in keys:
            for octets in (held.ek, held.ak, held.kek):
                if octets is not None:
                    assert octets.hex() not in shown.lower()
                    assert repr(octets)[2:-1] not in shown

    def close(self) -> None:
        self.gateway.kill()
        self.second.kill()
        self.tap.close()


@pytest.fixture
def street(cluster: Cluster, desk: Desk, tmp_path: Path) -> Iterator[Street]:
    street = Street(cluster, desk, tmp_path)
    yield street
    street.close()


def stands(port: int, keys: MeterKeys, template: str, *, title: bytes | None = None) -> bool:
    """Whether an association stands, as the probe's socket opens one."""
    return works(port, access(keys, title=title, **TEMPLATES[template]))


def gurux_keys(gurux: Peer, suite: int) -> MeterKeys:
    """What gurux' meter has, the master key too."""
    return gurux.keys(suite).over(MeterKeys(kek=bytes(range(0x40, 0x60 if suite == 2 else 0x50))))


def changed(street: Street, name: str, port: int, template: str, title: bytes | None) -> None:
    """New keys by a job; the meter refuses the old ones then, and stands by the new."""
    old = street.held(name)
    result = street.do(street.rotation(name))
    assert (result.outcome, result.code) == (Outcome.DONE, ""), result
    new = street.held(name)
    assert result.before == f"ek {mark(old.ek or b'')}, ak {mark(old.ak or b'')}"
    assert result.after == f"ek {mark(new.ek or b'')}, ak {mark(new.ak or b'')}" != result.before
    assert (len(new.ek or b""), new.kek) == (len(old.ek or b""), old.kek)
    assert not stands(port, old, template, title=title)
    assert stands(port, new, template, title=title)
    street.nothing_tells(old, new)


def test_new_keys(street: Street) -> None:
    """gurux' meters in three suites are read before and after; that of jDLMS begins each association with the same counter,
    which is refused, so it has one before and one after.
    """
    with jdlms("peer.Objects") as port, gurux_peer.running("ln0k", "ln1k", "ln2k") as gurux:
        names = {template: f"{template}-{RUN}" for template in TEMPLATES}
        street.meter(names["jdlms"], port, HELD, "jdlms")
        for suite in (0, 1, 2):
            kind = f"gurux-{suite}"
            street.meter(names[kind], gurux.ports[f"ln{suite}k"], gurux_keys(gurux, suite), kind)
        street.gateway.skip_old_jobs()
        street.gateway.start()
        changed(street, names["jdlms"], port, "jdlms", None)
        for suite in (0, 1, 2):
            kind = f"gurux-{suite}"
            assert street.read(names[kind], SERIAL).outcome is Outcome.DONE
            changed(street, names[kind], gurux.ports[f"ln{suite}k"], kind, TITLE)
            assert street.read(names[kind], SERIAL).outcome is Outcome.DONE
        _master_keys(street, names["gurux-2"])
    assert street.store.changes() == {}
    name = names["gurux-0"]
    refs = {record.key_ref for record in street.tap.of(CounterReservation) if record.meter_id == name}
    assert refs == {f"ref-{name}", f"ref-{name}#{mark(street.held(name).ek or b'')}"}


def _master_keys(street: Street, name: str) -> None:
    """A new master key, and other keys under it then."""
    before = street.held(name)
    result = street.do(street.rotation(name, keys="kek"))
    assert (result.outcome, result.code) == (Outcome.DONE, ""), result
    assert street.held(name).kek != before.kek
    assert street.do(street.rotation(name, keys="ek")).outcome is Outcome.DONE
    assert street.read(name, SERIAL).outcome is Outcome.DONE
    street.nothing_tells(before, street.held(name))


@pytest.mark.parametrize(
    "stage", [stage if stage in ("sent", "written") else pytest.param(stage, marks=pytest.mark.long) for stage in STAGES]
)
def test_a_gateway_that_is_killed(street: Street, stage: str) -> None:
    name = f"k-{uuid.uuid4().hex[:8]}"
    with gurux_peer.running("ln0k") as gurux:
        port, before = gurux.ports["ln0k"], gurux_keys(gurux, 0)
        street.meter(name, port, before, "gurux-0")
        job = street.rotation(name)
        _kill_at(street, job, stage)
        street.second.start()
        result = street.result(job)
        held, taken = street.held(name), stage in SENT
        done = taken or stage not in INTENDED
        assert (result.outcome, result.code) == ((Outcome.DONE, "") if done else (Outcome.FAILED, "keys-not-taken")), result
        assert (held.ek != before.ek) is done
        assert stands(port, held, "gurux-0", title=TITLE)
        assert done != stands(port, before, "gurux-0", title=TITLE)
        assert street.read(name, SERIAL).outcome is Outcome.DONE
        expected = {f"ref-{name}": KeyState.RECOVERED} if stage in ("send-noted", "about-to-send") else {}
        assert street.store.changes() == expected
        again = street.do(street.rotation(name))
        assert (again.outcome, street.store.changes()) == (Outcome.DONE, {}), again
        assert stands(port, street.held(name), "gurux-0", title=TITLE)
        street.nothing_tells(before, held, street.held(name))


def _kill_at(street: Street, job: Job, stage: str) -> None:
    first = street.gateway
    first.run = STAGED
    first.settings |= {"HES_TEST_STAGE": stage, "HES_TEST_SIGNAL": "SIGKILL"}
    for gateway in (first, street.second):  # whoever comes after is the same member, and need not wait
        gateway.settings["HES_KAFKA__INSTANCE_ID"] = "same"
    first.skip_old_jobs()
    first.start()
    first.wait_for("partitions-assigned")
    street.cluster.put_jobs([job], "hes.jobs.urgent")
    assert first.process is not None
    _, status = os.waitpid(first.process.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    first.process.returncode = -signal.SIGKILL
