"""`hes decode`, end to end: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from connectors.cli.commands import decode as command
from tests.unit.connectors.cli.packets import Packet, capture
from tests.unit.connectors.cli.typed import Hes, typing

CAPTURES = {
    "hdlc_iskra550": "HDLC",
    "hdlc_kaifa_ma304h3e": "HDLC",
    "hdlc_kamstrup_omnipower": "HDLC",
    "hdlc_landis_gyr_e450": "HDLC",
    "hdlc_norway_han_3phase": "HDLC",
    "raw_egd_example": "RAW",
    "raw_salzburg_netz": "RAW",
}
CIPHERED = ("hdlc_kamstrup_omnipower", "hdlc_landis_gyr_e450")


@pytest.fixture
def hes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hes:
    """Run `hes decode`."""
    for name in ("HES_EK", "HES_AK", "HES_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return partial(typing(command.register, monkeypatch, capsys), "decode")


def folder(captures: Path) -> Path:
    return captures / "dlms-push"


def keys_of(captures: Path, name: str) -> list[str]:
    if name not in CIPHERED:
        return []
    read = {suffix: (folder(captures) / f"{name}.{suffix}").read_text().strip() for suffix in ("guek", "gak")}
    return ["--ek", read["guek"], "--ak", read["gak"]]


def expected(captures: Path, name: str) -> dict[str, Any]:
    wanted: dict[str, Any] = json.loads((folder(captures) / f"{name}.expected.json").read_text())
    return wanted


def check(row: dict[str, Any], captures: Path, name: str) -> None:
    wanted = expected(captures, name)
    assert (row["transport"], row["apdu"]) == (CAPTURES[name], "data-notification")
    assert row["meter_time"] == wanted["meter_time"]
    assert row["system_title"] == wanted.get("system_title")
    stated = [(v["obis"], v["raw"], v.get("scaler"), v.get("unit")) for v in wanted["values"]]
    assert [(v["obis"], v["raw"], v["scaler"], v["unit"]) for v in row["values"]] == stated
    for value in row["values"]:
        if isinstance(value["raw"], int):
            assert value["value"] == pytest.approx(value["raw"] * 10.0 ** (value["scaler"] or 0), rel=1e-12)
        else:
            assert value["value"] == value["raw"]


@pytest.mark.parametrize("name", CAPTURES)
def test_capture(hes: Hes, captures_dir: Path, name: str) -> None:
    ran = hes(*keys_of(captures_dir, name), folder(captures_dir) / f"{name}.hex")
    assert (ran.exit_code, ran.err) == (0, "")
    (row,) = ran.rows
    check(row, captures_dir, name)


@pytest.mark.parametrize("name", CAPTURES)
def test_packet_capture_says_the_same(hes: Hes, captures_dir: Path, tmp_path: Path, name: str) -> None:
    octets = bytes.fromhex((folder(captures_dir) / f"{name}.hex").read_text())
    pieces = [octets[at : at + 100] for at in range(0, len(octets), 100)]
    packets = [Packet(piece, 1 + at * 100) for at, piece in enumerate(pieces)]
    (tmp_path / "tcp.pcap").write_bytes(capture([packets[0], *reversed(packets[1:]), packets[0]]))
    (tmp_path / "udp.pcap").write_bytes(capture([Packet(octets)]))
    for file in ("tcp.pcap", "udp.pcap"):
        ran = hes(*keys_of(captures_dir, name), tmp_path / file)
        assert ran.exit_code == 0
        (row,) = ran.rows
        assert row["file"] == f"{tmp_path / file} 10.0.0.9:51000 > 10.0.0.1:4059"
        check(row, captures_dir, name)


def test_binary_and_standard_input(hes: Hes, captures_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(captures_dir) / "hdlc_iskra550.hex"
    (tmp_path / "binary").write_bytes(bytes.fromhex(path.read_text()))
    for source in (tmp_path / "binary", path):
        with source.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            ran = hes("-")
        assert ran.exit_code == 0
        check(ran.rows[0], captures_dir, "hdlc_iskra550")


def test_many_files_are_named(hes: Hes, captures_dir: Path) -> None:
    files = [folder(captures_dir) / f"{name}.hex" for name in CAPTURES if name not in CIPHERED]
    ran = hes(*files)
    assert ran.exit_code == 0
    assert [row["file"] for row in ran.rows] == [str(file) for file in files]


def test_one_wrong_file_does_not_stop_the_others(hes: Hes, captures_dir: Path, tmp_path: Path) -> None:
    good = folder(captures_dir) / "hdlc_iskra550.hex"
    (tmp_path / "words").write_text("hello")
    ran = hes(tmp_path / "none", good, tmp_path / "words", good)
    assert ran.exit_code == 1
    assert [row["file"] for row in ran.rows] == [str(good)] * 2
    assert "No such file" in ran.err
    assert "not hex" in ran.err


@pytest.mark.parametrize("name", CIPHERED)
@pytest.mark.parametrize("lines", [False, True], ids=["object", "lines"])
def test_file_of_keys(hes: Hes, captures_dir: Path, tmp_path: Path, name: str, lines: bool) -> None:
    _, ek, _, ak = keys_of(captures_dir, name)
    title = "4C475A677370B177" if "landis" in name else "4B414D4501349083"
    entry = {"ek": ek, "ak": ak}
    text = json.dumps({"system_title": title, **entry}) if lines else json.dumps({title: entry, "00" * 8: {"ek": "00" * 16}})
    (tmp_path / "keys.json").write_text(text)
    ran = hes("--keys", tmp_path / "keys.json", folder(captures_dir) / f"{name}.hex")
    assert ran.exit_code == 0
    check(ran.rows[0], captures_dir, name)


def test_without_its_key(hes: Hes, captures_dir: Path) -> None:
    ran = hes(folder(captures_dir) / "mbus_kmswest.hex")
    assert ran.exit_code == 1
    (row,) = ran.rows
    assert row["error"]["code"] == "key-missing"
    assert "454C536570000001" in row["error"]["detail"]
    assert (row["transport"], row["system_title"]) == ("MBUS", "454C536570000001")
    assert "--keys FILE" in ran.err


def test_with_a_wrong_key(hes: Hes, captures_dir: Path) -> None:
    ran = hes("--ek", "AB" * 16, "--ak", "CD" * 16, folder(captures_dir) / "hdlc_landis_gyr_e450.hex")
    assert ran.exit_code == 1
    assert [row["error"]["code"] for row in ran.rows] == ["cipher-authentication"]
    assert "ABAB" not in ran.out + ran.err


def test_error_does_not_stop_what_follows(hes: Hes, captures_dir: Path, tmp_path: Path) -> None:
    good = (folder(captures_dir) / "hdlc_iskra550.hex").read_text().strip()
    broken = good[:200] + f"{int(good[200:202], 16) ^ 0x20:02X}" + good[202:]
    (tmp_path / "three").write_text(good + broken + good)
    ran = hes(tmp_path / "three")
    assert ran.exit_code == 1
    assert ["error" in row for row in ran.rows].count(False) == 2
    assert next(row["error"]["code"] for row in ran.rows if "error" in row) == "frame-checksum"


GARBAGE = {
    "zeros": (bytes(64), 1),
    "one flag": (b"\x7e", 2),
    "a scan": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 1),
    "random": (bytes(range(128, 256)) * 4, 1),
    "words": (b"hello", 2),
    "nothing": (b"", 2),
}


@pytest.mark.parametrize(("data", "exit_code"), GARBAGE.values(), ids=GARBAGE)
def test_garbage(hes: Hes, tmp_path: Path, data: bytes, exit_code: int) -> None:
    (tmp_path / "garbage").write_bytes(data)
    ran = hes(tmp_path / "garbage")
    assert ran.exit_code == exit_code
    assert all(set(row["error"]) == {"code", "detail"} for row in ran.rows)
    assert ran.rows or ran.err.startswith("error: ")


def test_capture_without_a_telegram(hes: Hes, tmp_path: Path) -> None:
    (tmp_path / "empty.pcap").write_bytes(capture([]))
    ran = hes(tmp_path / "empty.pcap")
    assert ran.exit_code == 1
    assert ran.err == "error: no telegram in what was given try: check that it is a whole telegram, from its first octet"


USAGE = {
    "no file": ([], "FILE"),
    "absent file": (["/nonexistent/x"], "cannot read /nonexistent/x: No such file or directory"),
    "absent keys": (["--keys", "/nonexistent/keys", "x"], "No such file"),
    "template": (["--template", "nope", "x"], "there is no template 'nope' try: there are "),
    "key": (["--ek", "zz", "x"], "a key is 32 hex digits"),
    "format": (["--format", "yaml", "x"], "yaml"),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_usage(hes: Hes, arguments: list[str], words: str) -> None:
    ran = hes(*arguments)
    assert ran.exit_code == 2
    assert ran.out == ""
    assert words in ran.err


def test_template_gives_what_the_telegram_does_not_say(hes: Hes, captures_dir: Path) -> None:
    name = "hdlc_landis_gyr_e450"
    ran = hes(*keys_of(captures_dir, name), "--template", "landis-gyr", folder(captures_dir) / f"{name}.hex")
    assert {(v["obis"], v["scaler"], v["unit"]) for v in ran.rows[0]["values"]} >= {("1.0.1.8.0.255", 0, "Wh")}


STRANGE = ("hdlc_kaifa_ma304h3e", "raw_egd_example")
"""Telegrams that the peer does not read: a date-time with a tag where the standard has none, and a type it does not know."""


@pytest.mark.parametrize("name", [name for name in CAPTURES if name not in STRANGE])
def test_xml(hes: Hes, captures_dir: Path, name: str) -> None:
    ran = hes(*keys_of(captures_dir, name), "--format", "xml", folder(captures_dir) / f"{name}.hex")
    assert ran.exit_code == 0
    assert ET.fromstring(ran.out).tag == "DataNotification"  # noqa: S314 - written by gurux-dlms, a moment ago


def test_xml_of_what_the_peer_does_not_read(hes: Hes, captures_dir: Path) -> None:
    ran = hes("--format", "xml", *(folder(captures_dir) / f"{name}.hex" for name in ("hdlc_iskra550", *STRANGE)))
    assert ran.exit_code == 1
    assert ran.out.startswith("<DataNotification>")
    assert ran.out.count('"xml-unsupported"') == 2


@pytest.mark.parametrize("format", ["table", "text"])
def test_for_a_person(hes: Hes, captures_dir: Path, format: str) -> None:  # noqa: A002 - the option's name
    ran = hes("--format", format, folder(captures_dir) / "hdlc_iskra550.hex")
    assert ran.exit_code == 0
    first, *lines = ran.out.splitlines()
    assert first.startswith("transport HDLC  apdu data-notification  meter_time 2023-04-01T21:32:35+02:00")
    assert ["1.0.32.7.0.255", "236.4", "V", "2364", "-1"] in [line.split() for line in lines]
