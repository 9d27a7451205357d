"""Firmware from the command line: what is not right is refused and on the audit chain; what is right reaches the meters.

The meters are gurux' own server (`firmware_rig`), the services and the gateway processes of their own, Kafka is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.cli import context
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.topics import read_topic
from schemas.ids import event_id
from schemas.records import AuditEntry, CampaignState, FirmwarePart, Job, Operation, Priority
from schemas.signatures import digest
from streams.runtime.settings import Settings
from tests.integration.commands_rig import Rig
from tests.integration.firmware_rig import MODEL, NEW, OLD, TEMPLATE, TEMPLATES, VENDOR, GuruxImages, gurux_images, image_of
from tests.integration.test_commands_cli import Shell

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]
PEOPLE = {"alice": "meter-operator", "bob": "meter-operator", "carol": "supervisor", "dora": "requester"}
SERVICES = ("commands", "firmware", "gateway")
IMAGE = image_of(6_000)
TERMS = {"windows": "00:00-24:00", "canary": "2", "waves": "100%", "wave-done": "100%", "soak": "0m", "retry-after": "1m"}


@dataclass
class Site:
    """A stack with its services, people and meters."""

    shell: Shell
    rig: Rig
    folder: Path
    meters: tuple[GuruxImages, GuruxImages]

    def add(self, data: bytes, *words: str, version: str = NEW, by: str = "alice", code: int = 0) -> dict[str, Any]:
        file = self.folder / f"{len(data)}.bin"
        file.write_bytes(data)
        what = ("--vendor", VENDOR, "--model", MODEL, "--version", version, "--identifier", f"FW-{version}")
        (row,) = self.shell.run("firmware", "add", str(file), *what, *words, "--as", by, code=code)
        return row

    def ask(self, image: str, *meters: str, by: str = "alice", **terms: str) -> str:
        """A request past the command line's own checks; its id."""
        file = self.folder / "request.json"
        wish = {
            "record": "CommandRequest",
            "operation": "FIRMWARE_TRANSFER",
            "target": {"meters": meters},
            "parameters": {"image": image, "version": NEW} | TERMS | terms,
            "reason": "a test",
        }
        file.write_text(json.dumps(wish))
        (row,) = self.shell.run("sign", str(file), "--as", by, "--send")
        return str(row["id"])

    def audited(self, subject: str, code: str) -> AuditEntry:
        """The entry of the chain that says so."""

        def found() -> AuditEntry | None:
            entries = self.rig.records("hes.audit", AuditEntry)
            return next((entry for entry in entries if entry.subject == subject and entry.code == code), None)

        return cast("AuditEntry", self.rig.until(f"{code} of {subject} on the audit chain", found))

    def value(self, image: str) -> bytes:
        """The manifest's latest bytes."""
        values = [m.value() for m in read_topic(self.rig.settings, "hes.images") if m.key() == image.encode()]
        return cast("bytes", values[-1])


@pytest.fixture(scope="module")
def stack(jvm: None) -> Iterator[tuple[Settings, Any]]:
    with bench_stack(lambda _: None) as made:
        yield made


@pytest.fixture(scope="module")
def site(stack: tuple[Settings, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings, home = stack
    folder = tmp_path_factory.mktemp("firmware")
    shell, rig = Shell(settings, home), Rig(settings)
    shell.run("operators", "keygen")
    root = context.root_key_file(home).read_text().strip()
    shell.environ |= {"HES_COMMANDS__ROOT_KEY": root}
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    environ = {
        "HES_COMMANDS__ROOT_KEY": root,
        "HES_ENVIRONMENT": "test",
        "HES_GATEWAY__TEMPLATES_DIR": str(folder),
        "HES_GATEWAY__TCP_PORT": "0",
        "HES_GATEWAY__UDP_PORT": "0",
        "HES_FIRMWARE__AHEAD_S": "1",
    }
    with ExitStack() as running:
        meters = running.enter_context(gurux_images()), running.enter_context(gurux_images())
        csv = [f"good{number},tcp://127.0.0.1:{meter.port},{VENDOR},{MODEL},{OLD}" for number, meter in enumerate(meters)]
        csv += ["other,tcp://127.0.0.1:9,Other,X1,1.0", f"later,tcp://127.0.0.1:9,{VENDOR},{MODEL},1.9"]
        fixed = f",DLMS,{TEMPLATE},ETHERNET,S1,UTC,north,NORMAL,12345678\n"
        shipment = folder / "meters.csv"
        names = "id,endpoint,vendor,model,firmware,protocol,template,network,segment,time_zone,groups,state,password\n"
        shipment.write_text(names + "".join(line + fixed for line in csv))
        assert shell.run("meters", "import", str(shipment))[0]["imported"] == 4
        started = [running.enter_context(service(name, settings, home, environ)) for name in SERVICES]
        rig.until("that all services are ready", lambda: all(child.get("/health/ready") is not None for child in started))
        for name, role in PEOPLE.items():
            assert shell.run("operators", "new", name, "--role", role)[0]["heard"]
        yield Site(shell, rig, folder, meters)
        rig.close()


def test_what_is_not_right_is_refused_and_on_the_audit_chain(site: Site) -> None:
    shell, rig = site.shell, site.rig
    assert "SHA-256 is" in site.add(IMAGE, "--sha256", "00" * 32, code=1)["error"]
    assert "role-missing" in site.add(IMAGE, by="dora", code=1)["error"]
    good = site.add(IMAGE)
    assert (good["added"], site.add(IMAGE)["added"]) == (True, False)
    image = good["image"]

    # Wrong model, and a downgrade that nobody allowed.
    site.audited(site.ask(image, "other"), "meter-model")
    site.audited(site.ask(image, "later"), "meter-downgrade")
    site.audited(site.ask(image, "good0", by="dora"), "role-missing")
    site.audited(site.ask(image, "good0", version="9.9"), "image-version")
    site.audited(site.ask(image, "good0", canry="3"), "argument-invalid")
    refused = shell.run("firmware", "propose", image, "--meter", "later", "--reason", "x", "--as", "alice", code=1)
    assert "nobody can take part" in refused[0]["error"]

    # A forged part: neither proposed here, nor taken there.
    forged = site.add(image_of(5_000))["image"]
    rig.send("hes.images", f"{forged}/0", rig.codec.encode(FirmwarePart(forged, 0, image_of(5_001)[:5_000])))
    assert "image-invalid" in shell.run("firmware", "plan", forged, "--group", "north", code=1)[0]["error"]
    site.audited(site.ask(forged, "good0"), "image-invalid")
    rows = {row["image"]: row["code"] for row in shell.run("firmware", "list")}
    assert rows == {image: "", forged: "image-invalid"}

    # An altered manifest, under the signature of the one before.
    altered = site.add(image_of(4_000))["image"]
    record: Any = rig.codec.decode(site.value(altered))
    rig.send("hes.images", altered, rig.codec.encode(replace(record, model="Another")))
    assert "signature-invalid" in shell.run("firmware", "show", altered, code=1)[0]["error"]
    site.audited(site.ask(altered, "good0"), "signature-invalid")
    assert shell.run("firmware", "remove", forged, "--as", "alice")[0]["removed"]
    assert shell.run("firmware", "remove", altered, "--as", "carol")[0]["removed"]
    assert [row["image"] for row in shell.run("firmware", "list")] == [image]


def test_what_was_not_approved_reaches_no_meter(site: Site) -> None:
    shell, rig = site.shell, site.rig
    site.add(IMAGE)
    wish = ("firmware", "propose", NEW, "--meter", "good0", "--reason", "clock drift", "--set", "soak=1h", "--as", "alice")
    (drafted,) = shell.run(*wish)
    campaign = drafted["campaign"]
    assert drafted["state"] == "DRAFT"
    assert "role-missing" in shell.run("approve", campaign, "--as", "bob", code=1)[0]["error"]
    site.audited(campaign, "role-missing")
    assert campaign in [row["command"] for row in shell.run("commands", "list", "--waiting")]
    request = next(m.value() for m in read_topic(rig.settings, "hes.commands") if m.key() == campaign.encode()) or b""
    asked: Any = rig.codec.decode(request)
    job = Job(
        id=event_id("Job", campaign, digest(request), "good0", 1),
        meter_id="good0",
        operation=Operation.FIRMWARE_TRANSFER,
        parameters=asked.parameters,
        priority=Priority.FIRMWARE,
        issued_at=asked.requested_at,
        caused_by=campaign,
        request=request,
    )
    rig.send("hes.jobs.bulk", "good0", job)
    site.audited(job.id, "decision-missing")
    assert site.meters[0].said("initiated") == []
    (ended,) = shell.run("reject", campaign, "--reason", "not now", "--as", "carol")
    assert ended["state"] == "REJECTED"
    assert "decision-too-late" in shell.run("approve", campaign, "--as", "carol", code=1)[0]["error"]


def test_planned_proposed_approved_and_brought_to_the_meters(site: Site) -> None:
    shell = site.shell
    site.add(IMAGE)
    settings = [word for name, value in TERMS.items() for word in ("--set", f"{name}={value}")]
    (plan,) = shell.run("firmware", "plan", NEW, "--group", "north", *settings, "--plot", str(site.folder / "plan.svg"))
    left = {row["code"]: row["meters"] for row in plan["left_out"]}
    assert (plan["taking_part"], left) == (2, {"meter-model": 1, "meter-downgrade": 1})
    assert (site.folder / "plan.svg").read_text().startswith("<svg")
    (drafted,) = shell.run(
        "firmware", "propose", NEW, "--group", "north", *settings, "--reason", "clock drift", "--as", "alice"
    )
    campaign = drafted["campaign"]
    assert (drafted["state"], drafted["meters"], drafted["left_out"]) == ("DRAFT", 2, 2)
    (approved,) = shell.run("approve", campaign[:8], "--as", "carol")
    assert approved["state"] in ("APPROVED", "CANARY", "WAVES")
    (paused,) = shell.run("firmware", "pause", campaign, "--reason", "a look", "--as", "bob")
    assert paused["state"] == "PAUSED"
    assert "role-missing" in shell.run("firmware", "resume", campaign, "--reason", "on", "--as", "bob", code=1)[0]["error"]
    assert "needs image" in shell.run("firmware", "remove", NEW, "--as", "alice", code=1)[0]["error"]
    shell.run("firmware", "resume", campaign, "--reason", "on", "--as", "carol")
    (done,) = shell.run("firmware", "watch", campaign, "--for", "120", "--plot", str(site.folder / "done.svg"))
    assert (done["state"], done["done"], done["bad"], done["code"]) == (CampaignState.DONE, 2, 0, "")
    assert done["networks"] == {"ETHERNET": {"done": 2, "refused": 2}}
    for meter in site.meters:
        assert len(meter.said("activated")) == 1
    rows = {row["meter"]: (row["state"], row["code"]) for row in shell.run("firmware", "status", campaign, "--meters")}
    assert rows["good0"] == rows["good1"] == ("done", "")
    assert (rows["other"], rows["later"]) == (("refused", "meter-model"), ("refused", "meter-downgrade"))
    assert "done: 2" in (site.folder / "done.svg").read_text()
    verdicts = {row["chain"]: row["sound"] for row in shell.run("audit", "verify")}
    assert verdicts == {"commands": True, "firmware": True}
    story = [row["action"] for row in shell.run("audit", "list", "--subject", campaign, "-n", "0")]
    assert story[0] == "campaign-draft"
    assert story[-1] == "campaign-done"
    assert shell.run("firmware", "remove", NEW, "--as", "alice")[0]["removed"]
