from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from connectors.protocols.dlms.template import AlarmSpec, Position
from connectors.templates.loader import load_templates
from connectors.templates.schema import TemplateError


def test_own_templates() -> None:
    templates = load_templates()
    assert templates.keys() >= {
        "generic",
        "idis",
        "dsmr",
        "han-norway",
        "kamstrup",
        "landis-gyr",
        "iskra",
        "sagemcom",
        "egd",
        "salzburg",
    }
    for name, template in templates.items():
        assert (template.name, template.push.name, template.protocol) == (name, name, "DLMS")
        chain, link = [name], template
        while link.extends is not None:
            link = templates[link.extends]
            chain.append(link.name)
        assert chain[-1] == "generic"


def test_own_templates_say_what_is_to_be_done_about_power_and_tampers() -> None:
    codes = load_templates()["landis-gyr"].push.events["0.0.96.11.0.255"].entries
    assert [codes[code].kind for code in (1, 2, 40, 42, 44)] == [
        "OUTAGE", "RESTORATION", "TAMPER_TERMINAL", "TAMPER_MAGNET", "TAMPER_COVER",
    ]  # fmt: skip


BASE = """
vendor: ACME
push:
  serials: [0.0.96.1.0.255]
  units:
    1.0.1.8.0.255: [0, Wh]
  alarms:
    0.0.97.98.0.255: {table: one, bits: {0: {kind: CLOCK}, 1: {kind: DEVICE, severity: INFO}}}
pull: {client: 16, load_period_s: 900}
quirks: [no-deviation]
"""
CHILD = """
extends: base
push:
  layout: positional
  objects:
    "*": [0.0.96.1.0.255, null, {object: 3/1.0.1.8.0.255/2, scaler: -1, unit: V}]
  serials: [0.0.96.1.1.255]
  units:
    1.0.2.8.0.255: [1, Wh]
  alarms:
    0.0.97.98.0.255: {table: two, bits: {1: {kind: OUTAGE}}}
  lists:
    - {id: XYZ, positions: [1-0:1.8.0*255, 1.0.2.8.0.255]}
  time_zone: Europe/Oslo
pull: {client: 1}
"""


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_template_lies_over_what_it_extends(tmp_path: Path) -> None:
    child = load_templates(folder(tmp_path, base=BASE, child=CHILD))["child"]
    assert (child.vendor, child.extends, child.quirks) == ("ACME", "base", frozenset(("no-deviation",)))
    assert (child.pull.client, child.pull.load_period_s) == (1, 900)
    push = child.push
    assert push.units == {"1.0.1.8.0.255": (0, "Wh"), "1.0.2.8.0.255": (1, "Wh")}
    assert push.serials == ("0.0.96.1.1.255",)
    assert push.alarms["0.0.97.98.0.255"].name == "two"
    assert push.alarms["0.0.97.98.0.255"].entries == {0: AlarmSpec("CLOCK"), 1: AlarmSpec("OUTAGE", "INFO")}
    assert push.objects["*"] == (Position("0.0.96.1.0.255"), Position(""), Position("1.0.1.8.0.255", 3, 2, -1, "V"))
    assert push.lists == {("XYZ", 2): (Position("1.0.1.8.0.255"), Position("1.0.2.8.0.255"))}


def test_a_folder_of_ones_own_extends_ours_and_replaces_it(tmp_path: Path) -> None:
    templates = load_templates(folder(tmp_path, mine="extends: idis\nvendor: Mine", generic="vendor: Other"))
    assert (templates["mine"].vendor, templates["generic"].vendor) == ("Mine", "Other")
    assert load_templates()["generic"].vendor == ""


BAD = {
    "misspelt section": ("extends: idis\npsuh: {}", 2, "'psuh'", "'push'"),
    "misspelt key": ("push:\n  layuot: tagged", 2, "'push.layuot'", "'layout'"),
    "unknown key": ("push:\n  zzz: 1", 2, "'push.zzz'", "there are alarms"),
    "unknown layout": ("push:\n  layout: taged", 2, "push.layout", "'tagged'"),
    "unknown kind": (
        "push:\n  events:\n    0.0.96.11.0.255:\n      table: t\n      codes: {1: {kind: OUTTAGE}}",
        2,
        "push.events",
        "'OUTAGE'",
    ),
    "misspelt key deep inside": ("push:\n  lists:\n    - id: A\n      postions: []", 4, "push.lists", "'positions'"),
    "missing key": ("push:\n  lists:\n    - id: A", 2, "push.lists", "'positions' is missing"),
    "no OBIS": ("push:\n  serials: [96.1.0]", 2, "push.serials", "OBIS"),
    "no unit": ("push:\n  units:\n    1.0.1.8.0.255: [0, Whr]", 2, "push.units", "'Wh'"),
    "no scaler": ("push:\n  units:\n    1.0.1.8.0.255: [99, Wh]", 2, "push.units", "from -18 to 18"),
    "no zone": ("push:\n  time_zone: Europe/Olso", 2, "push.time_zone", "IANA"),
    "no number": ("pull:\n  client: public", 2, "pull.client", "a number"),
    "no switch": ("push:\n  deviation_reversed: 1", 2, "push.deviation_reversed", "true or false"),
    "no attribute": ("pull:\n  registers: [1.0.1.8.0.255]", 2, "pull.registers", "class/OBIS/attribute"),
    "section of no keys": ("push: [1]", 1, "push", "mapping"),
    "unknown quirk": ("quirks: [no-devation]", 1, "quirks", "'no-deviation'"),
    "unknown parent": ("extends: idsi", None, "'idsi'", "'idis'"),
    "itself": ("extends: bad", None, "circle", "bad → bad"),
    "not YAML": ("push: [1", None, "mend the YAML", ""),
    "no mapping": ("- 1", None, "mapping", ""),
    "a key twice": ("vendor: A\nvendor: B", 2, "'vendor'", "twice"),
    "empty": ("", None, "mapping", ""),
}


@pytest.mark.parametrize(("text", "line", "what", "mend"), BAD.values(), ids=BAD)
def test_bad_files_are_named_with_the_mend(tmp_path: Path, text: str, line: int | None, what: str, mend: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load_templates(folder(tmp_path, bad=text))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "bad.yaml") + (f":{line}" if line else ""))
    assert what in message
    assert mend in message


@pytest.mark.parametrize(
    ("pull", "says"),
    [
        pytest.param("{auth: hls-ecdsa, security: both}", "of suites 1 and 2: set suite", id="ecdsa-in-suite-0"),
        pytest.param("{auth: low, dedicated: true}", "must travel encrypted", id="dedicated-in-clear"),
        pytest.param("{security: both, key_info: wrapped}", "is of general-ciphering", id="key-without-its-apdu"),
        pytest.param("{ciphering: general}", "protects nothing", id="ciphering-of-nothing"),
        pytest.param("{ciphering: generl}", "did you mean 'general'", id="misspelt"),
        pytest.param("{referencing: short}", "there are ln, sn", id="referencing"),
        pytest.param("{gbt_window: 64}", "from 0 to 63", id="window"),
        pytest.param("{challenge_octets: 4}", "from 8 to 64", id="challenge"),
    ],
)
def test_associations_that_cannot_be(tmp_path: Path, pull: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says) as caught:
        load_templates(folder(tmp_path, odd=f"extends: generic\npull: {pull}\n"))
    assert "odd.yaml" in str(caught.value)


def test_what_a_template_inherits_may_contradict_what_it_says(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="set suite"):
        load_templates(folder(tmp_path, odd="extends: idis-2\npull: {auth: hls-ecdsa}\n"))
    fine = load_templates(folder(tmp_path, odd="extends: idis-3\npull: {auth: hls-ecdsa, ciphering: general}\n"))["odd"]
    assert (fine.pull.suite, fine.pull.security, fine.pull.ciphering) == (1, "both", "general")


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "keys.md").read_text()
    lines = page[page.index("    pull:\n") :].split("\n\n")[0]
    pull = load_templates(folder(tmp_path, example="extends: generic\n" + textwrap.dedent(lines)))["example"].pull
    assert (pull.auth, pull.ciphering, pull.key_info, pull.signed) == ("hls-ecdsa", "general-ciphering", "one-pass", True)


def test_a_circle_of_several(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="circle: a → b → c → a"):
        load_templates(folder(tmp_path, a="extends: b", b="extends: c", c="extends: a"))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no folder"):
        load_templates(tmp_path / "nowhere")
