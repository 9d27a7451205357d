"""`hes decode` of telegrams that meters' owners published, as they would be pasted: what it says to do next."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from connectors.cli.commands import decode as command
from tests.unit.connectors.cli.typed import Hes, typing
from tests.unit.connectors.protocols.dlms.test_austria import IM350
from tests.unit.connectors.protocols.dlms.test_austria import KEYS as AUSTRIAN
from tests.unit.connectors.protocols.dlms.test_field_telegrams import BURGENLAND, KAIFA, P1, POLAND, THREE_PHASES

POLAND_KEY = "39436F513777354C4D466F4C5333674A"
BURGENLAND_KEYS = ("--ek", "34743677397A24432646294A404E6352", "--ak", "C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF")


@pytest.fixture
def hes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hes:
    for name in ("HES_EK", "HES_AK", "HES_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return partial(typing(command.register, monkeypatch, capsys), "decode")


def written(folder: Path, text: str) -> Path:
    path = folder / "pasted"
    path.write_text(text)
    return path


def test_log_of_two_frames(hes: Hes, tmp_path: Path) -> None:
    lines = [f"2023-03-22 03:28:{second}.123 RX: {KAIFA.hex(' ')}" for second in (42, 44)]
    ran = hes(written(tmp_path, "connected to 192.168.1.7\n" + "\n".join(lines)))
    assert (ran.exit_code, ran.err) == (0, "")
    assert [row["values"][0]["value"] for row in ran.rows] == [2277, 2277]


def test_key_typed_holds_for_security_suites_0_and_1(hes: Hes, tmp_path: Path) -> None:
    ran = hes("--ek", POLAND_KEY, written(tmp_path, POLAND.hex()))
    assert ran.exit_code == 0
    assert ran.rows[0]["system_title"] == "4B464D1020029802"
    assert {v["obis"]: v["value"] for v in ran.rows[0]["values"]}["1.0.32.7.0.255"] == 227.1


@pytest.mark.parametrize(
    ("octets", "keys", "template"),
    [(BURGENLAND, BURGENLAND_KEYS, "netz-burgenland"), (THREE_PHASES, (), "iskra-slovenia")],
    ids=["14", "18"],
)
def test_template_that_names_places_is_named(
    hes: Hes, tmp_path: Path, octets: bytes, keys: tuple[str, ...], template: str
) -> None:
    path = written(tmp_path, octets.hex())
    ran = hes(*keys, path)
    assert ran.exit_code == 1
    size = len(ran.rows[0]["unnamed"])
    assert ran.err == f"for a body of {size} values without names there is: --template {template}"
    again = hes(*keys, "--template", template, path)
    assert (again.exit_code, again.err) == (0, "")


def test_template_that_names_what_follows_a_push_setup_is_named(hes: Hes, tmp_path: Path) -> None:
    path = written(tmp_path, IM350.hex())
    ran = hes("--ek", AUSTRIAN[IM350], path)
    assert ran.exit_code == 0
    assert ran.err == "for the values that 0.6.25.9.0.255 leaves without names there is: --template austria-cii"
    again = hes("--ek", AUSTRIAN[IM350], "--template", "austria-cii", path)
    assert (again.exit_code, again.err) == (0, "")


LIST = "0F00000000000202" + "0202" + "09060100010700FF0600000001" + "0202" + "09060100020700FF0600000002"


def test_template_that_gives_units_is_named_to_a_person(hes: Hes, tmp_path: Path) -> None:
    path = written(tmp_path, LIST)
    assert hes(path).err == ""
    ran = hes("--format", "text", path)
    assert ran.exit_code == 0
    assert ran.err.startswith("the telegram gives 2 values no scaler or unit: --template ")


def test_text_of_a_p1_port(hes: Hes, tmp_path: Path) -> None:
    (tmp_path / "p1").write_bytes(P1.encode())
    ran = hes(tmp_path / "p1")
    assert ran.exit_code == 0
    assert (ran.rows[0]["apdu"], len(ran.rows[0]["values"])) == ("p1", 27)


def test_what_one_telegram_says_is_not_told_of_the_next(hes: Hes, tmp_path: Path) -> None:
    accepted = "000100010001002B6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000501F01F40007"
    asked, answered = "000100010001000DC001C100030100010800FF0200", "0001000100010009C401C10006000003E8"
    ran = hes(written(tmp_path, f"{accepted}\n{asked}\n{answered}"))
    assert [row["apdu"] for row in ran.rows] == ["aare", "get-request", "get-response"]
    assert ["unnamed" in row for row in ran.rows] == [True, False, False]
    assert [value["value"] for value in ran.rows[-1]["values"]] == [1000]
