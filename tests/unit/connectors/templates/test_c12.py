"""Templates of C12 meters: those that ship, and what is wrong in others, with its line and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.protocols.c12.c1222_security import Short
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.tables.profile_channels import Rules
from connectors.protocols.c12.titles import title
from connectors.templates.c12_loader import load_c12_templates
from connectors.templates.c12_template import RelayTemplate
from connectors.templates.schema import TemplateError


def load(folder: Path, **files: str) -> dict[str, object]:
    (folder / "c12").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "c12" / f"{name}.yaml").write_text(text)
    return dict(load_c12_templates(folder))


def test_those_that_ship() -> None:
    found = load_c12_templates()
    assert {"generic", "itron-openway", "landis-gyr-focus", "aclara"} <= set(found)
    assert found["itron-openway"].messages.mode is Mode.CIPHERED
    assert all(template.read.profiles["load"] == (64,) for template in found.values())
    assert all(not template.messages.trust_clear for template in found.values())


FULL = """
extends: generic
vendor: Somebody
time_zone: America/Chicago
logon: {user_id: 7, user: HES, proof: DES, c1222: MESSAGE, idle_s: 30}
line: {c1221: true, negotiate: false, packet_size: 64, packets: 1, rates: [9600, 19200]}
messages: {mode: AUTHENTICATED, key_id: 3, short: ACT, base: 1.3.6.1.4.1.33507, ed_class: '54455354', answer: 512}
read: {registers: [25], profiles: {load: [64], daily: [65]}, event_logs: [76], access: INDEX}
rules: {scalars_apply: true}
relay: {point: 1, opens: 100, closes: 0}
assumed: {0: "0102"}
tables:
  2049: {name: MFG_TBL, title: Own, fields: [{COUNT: UINT8}]}
events:
  2050: {name: cover opened, kind: TAMPER_COVER, severity: CRITICAL}
"""


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    found = load_of(tmp_path, FULL)
    assert found.logon.proof == "DES"
    assert found.line.rates == (9600, 19200)
    assert (found.messages.short, found.messages.base) == (Short.ACT, title("1.3.6.1.4.1.33507"))
    assert (found.messages.ed_class, found.messages.services) == (b"TEST", 8)
    assert found.read.profiles == {"load": (64,), "daily": (65,)}
    assert found.relay == RelayTemplate(1, 100, 0)
    assert found.rules == Rules(scalars_apply=True)
    assert found.assumed == {0: b"\1\2"}
    assert found.catalog.tables[2049].name == "MFG_TBL"
    assert found.catalog.tables[0].name == "GEN_CONFIG_TBL"
    assert found.catalog.events[2050].kind == "TAMPER_COVER"


def load_of(folder: Path, text: str):  # type: ignore[no-untyped-def]  # a C12Template
    load(folder, own=text)
    return load_c12_templates(folder)["own"]


def test_a_folder_without_c12_templates(tmp_path: Path) -> None:
    assert load_c12_templates(tmp_path) == load_c12_templates()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: generik", "did you mean 'generic'"),
        ("messages: {mode: CIPHER}", "did you mean 'CIPHERED'"),
        ("message: {}", "did you mean 'messages'"),
        ("read:\n  register: [23]", "own.yaml:2: the key 'read.register' is not known; did you mean 'registers'"),
        ("read: {registers: [42]}", "none of the tables"),
        ("read: {profiles: {load: [23]}}", "a number from 64 to 67"),
        ("messages: {base: .1.2}", "is relative"),
        ("messages: {base: one}", "is no application title"),
        ("messages: {ed_class: '00'}", "4 octets"),
        ("line: {rates: [1234]}", "is no rate"),
        ("assumed: {0: zz}", "octets in hex"),
        ("time_zone: Mars/Base", "is no time zone"),
        ("tables: {2049: {name: T, fields: [{A: UINT7}]}}", "is no type"),
        ("events: {1: {name: x, kind: ODD}}", "is no kind"),
        ("push: {}", "is not known"),
        ("relay: {point: 0, opens: 0, closes: 0}", "a switch has two levels"),
        ("relay: {point: 0, opens: 100}", "'closes' is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load(tmp_path, own=text)
    assert said in str(caught.value)
    assert "own.yaml" in str(caught.value)
