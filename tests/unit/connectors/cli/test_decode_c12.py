"""`hes decode` on C12.18 and C12.22: found by itself, down to the fields of tables, and what happens where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.cli.c12_tables import SeenTables
from connectors.cli.c12_telegrams import title_texts, unasked
from connectors.cli.telegrams import Capture
from connectors.protocols.c12.c1222_security import Seal
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.requests import ReadFull, Security, WriteFull
from connectors.protocols.c12.responses import TableData
from connectors.protocols.c12.titles import title
from connectors.simulator.config import FleetConfig
from connectors.simulator.plan import plan_fleet
from connectors.simulator.shipment import write_shipment
from schemas.records import Identity, IdentityKind, Meter
from tests.unit.connectors.cli import test_decode
from tests.unit.connectors.cli.packets import Packet, capture, pcapng
from tests.unit.connectors.cli.typed import Hes, Ran
from tests.unit.connectors.protocols.c12.messages import (
    CIPHERED,
    KEY,
    KEY_ID,
    METER,
    PASSWORD,
    notification,
    request,
    response,
)
from tests.unit.connectors.protocols.c12.psem_octets import altered
from tests.unit.connectors.protocols.c12.tables.meters import table0
from tests.unit.connectors.protocols.c12.test_eax import VECTORS
from tests.unit.connectors.protocols.c12.test_psem_decode import TAPPED

hes = test_decode.hes  # the fixture

# As in test_c1222_captures: keys of the captures' own documents.
CAPTURE_KEYS = {
    "*": {"eax": {"2": "0102030405060708" * 2}},
    "1.3.6.1.4.1.33507.1919.12345678.0": {"eax": {"0": VECTORS["4"][0]}},
    "1.3.6.1.4.1.33507.1919.22906.0": {"eax": {"0": bytes(range(16)).hex()}},
}
TABLE_1 = b"ACMEFOCUS-AX\3\1\7\2  00000012345678"


def walk(fields: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for field in fields:
        yield field
        yield from walk(field.get("fields", []))


def named(row: dict[str, Any], name: str) -> list[str]:
    return [field["value"] for field in walk(row["fields"]) if field["name"] == name]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({METER.text: {"eax": {str(KEY_ID): KEY.hex()}}}))
    return path


@pytest.mark.parametrize(
    "name",
    ["ident_service_tcp.pcap", "logon_service_tcp.pcap", "over_ipv4.cap", "rw_service_tcp.pcap", "std_example8.pcap"],
)
def test_every_capture_decodes_completely(hes: Hes, captures_dir: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(CAPTURE_KEYS))
    ran = hes(captures_dir / "c1222" / f"c1222_{name}", "--keys", file, "--format", "json")
    assert (ran.exit_code, ran.err) == (0, "")
    assert len(ran.rows) == 2
    for row in ran.rows:
        assert (row["protocol"], row["services"] != []) == ("C1222", True)
        assert not [f for f in walk(row["fields"]) if f["name"] in ("error", "EPSEM ciphered", "octets", "not taken apart")]
        assert "unknown" not in json.dumps(row["fields"])


def test_captures_down_to_the_fields_of_a_table(hes: Hes, captures_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(CAPTURE_KEYS))
    answer = hes(captures_dir / "c1222" / "c1222_over_ipv4.cap", "--keys", file).rows[1]
    assert (answer["security"], answer["key_id"], answer["mac"]) == (
        "ciphered and authenticated", "0", "38 a2 d9 98 (verifies)",
    )  # fmt: skip
    assert named(answer, "ED_MODEL") == ["A3R"]
    assert named(answer, "MFG_SERIAL_NUMBER") == ["        12345678"]


@pytest.mark.parametrize("how", ["hex", "binary", "tcp.pcap", "udp.pcap", "tcp6.pcapng"])
def test_forms_of_input(hes: Hes, keys: Path, tmp_path: Path, how: str) -> None:
    asked = request(ReadFull(0), ReadFull(1), seal_with=CIPHERED)
    said = response(TableData(table0()), TableData(TABLE_1), seal_with=CIPHERED)
    path = tmp_path / "input"
    if how == "hex":
        path.write_text((asked + said).hex(" "))
    elif how == "binary":
        path.write_bytes(asked + said)
    elif how == "udp.pcap":
        path.write_bytes(capture([Packet(asked, sport=1153), Packet(said, back=True, sport=1153)]))
    elif how == "tcp.pcap":  # the answer's pieces in another order, one of them twice
        packets = [Packet(asked, 1), Packet(said[40:], 141, back=True), Packet(said[:40], 101, back=True)]
        path.write_bytes(capture([*packets, packets[1]]))
    else:
        packets = [Packet(asked[:9], 1, v6=True), Packet(asked[9:], 10, v6=True), Packet(said, 1, back=True, v6=True)]
        path.write_bytes(pcapng([bytes(packet.ip()) for packet in packets], link=101))
    ran = hes(path, "--keys", keys, "--format", "json")
    assert (ran.exit_code, ran.err) == (0, "")
    assert [row["services"] for row in ran.rows] == [
        ["full read, table 0", "full read, table 1"], ["ok (acknowledged)", "ok (acknowledged)"]
    ]  # fmt: skip
    assert named(ran.rows[1], "MANUFACTURER") == ["ACME"]
    assert named(ran.rows[1], "FW_VERSION_NUMBER") == ["7"]


def test_a_tree_with_places(hes: Hes, keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(response(TableData(TABLE_1)))
    ran = hes(path, "--format", "text")
    assert ran.exit_code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("0000")
    assert lines[0].endswith(f"C12.22 message: {len(path.read_bytes())} octets")
    asked = request(ReadFull(1))
    path.write_bytes(asked + response(TableData(TABLE_1)))
    whole = hes(path, "--format", "text").out
    at = (asked + response(TableData(TABLE_1))).index(b"ACME")
    assert f"{at:04x}     4            MANUFACTURER: ACME" in whole
    assert "its table 0 was not seen" in whole


def test_segments_are_put_together(hes: Hes, keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"".join(cut(request(WriteFull(64, bytes(1500)), seal_with=CIPHERED), 400)))
    ran = hes(path, "--keys", keys, "--format", "json")
    assert ran.exit_code == 0
    assert ran.rows[-1]["services"] == ["full write, table 64"]


def test_a_line_of_c1218(hes: Hes, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(TAPPED)
    ran = hes(path, "--format", "json")
    assert (ran.exit_code, {row["protocol"] for row in ran.rows}) == (0, {"C1218"})
    assert "736563726574" not in ran.out  # "secret"
    assert "736563726574" in hes(path, "--format", "json", "--secrets").out
    path.write_bytes(altered(TAPPED, 8))
    broken = hes(path, "--format", "json")
    assert broken.exit_code == 1
    assert "frame-checksum" in {row["error"]["code"] for row in broken.rows if "error" in row}


def test_both_directions_of_a_line_on_tcp(hes: Hes, tmp_path: Path) -> None:
    """Answers are known by what they answer, which went the other way."""
    asked, ack, said = TAPPED[:9], TAPPED[9:10], TAPPED[10:23]
    packets = [Packet(asked, 1, sport=1153), Packet(ack + said, 1, back=True, sport=1153)]
    path = tmp_path / "line.pcap"
    path.write_bytes(capture(packets))
    ran = hes(path, "--format", "json")
    assert ran.exit_code == 0
    assert [named(row, "response")[:1] for row in ran.rows] == [[], [], ["ok (acknowledged)"]]
    assert named(ran.rows[2], "standard") == ["C12.18"]


WRONG = {
    "no key": (request(ReadFull(23), seal_with=CIPHERED), [], "c1222-key-missing"),
    "bad MAC": (altered(request(ReadFull(23), seal_with=CIPHERED)), ["--keys"], "c1222-authentication"),
    "cut short": (request(ReadFull(23))[:-3], [], "c1222-truncated"),
    "service unknown": (request(ReadFull(23)).replace(b"\x30\x00\x17", b"\x7b\x00\x17"), [], "psem-service-unknown"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read(hes: Hes, keys: Path, tmp_path: Path, case: str) -> None:
    octets, options, code = WRONG[case]
    path = tmp_path / "input"
    path.write_bytes(octets + (b"" if case == "cut short" else request(ReadFull(5))))
    ran = hes(path, *options, *([keys] if options else []), "--format", "json")
    assert ran.exit_code == 1
    assert ran.rows[0]["error"]["code"] == code
    assert ran.rows[0]["error"]["detail"]
    if case != "cut short":
        assert ran.rows[1]["services"] == ["full read, table 5"]


def test_secrets_only_where_asked_for(hes: Hes, keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(request(Security(PASSWORD, 2), seal_with=CIPHERED))

    def shows(ran: Ran) -> bool:
        return PASSWORD.hex().upper() in ran.out or PASSWORD.decode() in ran.out

    assert not shows(hes(path, "--keys", keys, "--format", "json"))
    assert not shows(hes(path, "--keys", keys, "--format", "text"))
    assert shows(hes(path, "--keys", keys, "--format", "text", "--secrets"))


KEY_FILES = {
    "object": {METER.text: {"eax": {"2": KEY.hex()}}},
    "any node": {"*": {"eax": {"2": KEY.hex()}}},
    "one object": {"ap_title": METER.text, "eax_keys": f"2={KEY.hex()}"},
    "a shipment's line": {
        "id": "M1", "identities": [{"kind": "SERIAL", "value": "1"}, {"kind": "AP_TITLE", "value": METER.text}],
        "secrets": {"eax_keys": f"0={bytes(16).hex()} 2={KEY.hex()}"},
    },
    "beside DLMS": {"4C475A677370B177": {"ek": KEY.hex()}, METER.text: {"eax": {"2": KEY.hex()}}},
}  # fmt: skip


@pytest.mark.parametrize("form", KEY_FILES)
def test_files_of_keys(hes: Hes, tmp_path: Path, form: str) -> None:
    path, file = tmp_path / "input", tmp_path / "keys"
    path.write_bytes(response(TableData(TABLE_1), seal_with=CIPHERED))
    file.write_text(json.dumps(KEY_FILES[form]))
    assert hes(path, "--keys", file, "--format", "json").exit_code == 0


def test_a_wrong_key_is_not_repeated(hes: Hes, tmp_path: Path) -> None:
    path, file = tmp_path / "input", tmp_path / "keys"
    path.write_bytes(response(TableData(TABLE_1)))
    file.write_text(json.dumps({METER.text: {"eax": {"2": KEY.hex()[:-1]}}}))
    ran = hes(path, "--keys", file)
    assert (ran.exit_code, KEY.hex()[:8] in ran.err) == (2, False)


def test_tables_explain_those_that_come_after() -> None:
    seen = SeenTables()
    assert [node.name for node in seen(23, bytes(8), 0)] == ["not taken apart"]
    (zero,) = seen(0, table0(), 0)
    assert zero.find("STD_VERSION_NO") is not None
    assert [node.value.split(":")[0] for node in seen(23, bytes(8), 0)] == ["table-prerequisite"]
    (limits,) = seen(21, bytes((0, 0, 0, 2, 0, 0, 0, 0, 0, 0)), 0)
    assert (limits.find("NBR_SUMMATIONS") or zero).value == "2"
    (registers,) = seen(23, b"\1\0\0\0\2\0\0\0", 100)
    sums = registers.find("SUMMATIONS")
    assert sums is not None
    assert [(node.value, node.offset) for node in sums.children] == [("1", 100), ("2", 104)]
    assert [node.name for node in seen(23, bytes(9), 0)] == ["error"]
    (part,) = seen(23, b"\1\0\0\0\2\0", 100)  # of a read in part
    assert [(n.value, n.offset) for _, n in part.walk() if not n.children][:1] == [("1", 100)]


def test_procedures_show_their_parameters() -> None:
    seen = SeenTables()
    seen(0, table0(tm=4), 0)
    (asked,) = seen(7, bytes((10, 0, 5, 7)) + (1_700_000_000).to_bytes(4, "little") + b"\x10", 50)
    assert [node.value for _, node in asked.walk() if node.name == "DATE_TIME"] != []


def test_what_a_replay_hears_of_a_capture() -> None:
    """No answers, and nothing that the head-end asks: what meters say unasked, and what is no message."""
    meters = title_texts([Meter(identities=(Identity(IdentityKind.AP_TITLE, METER.text),))])
    assert meters == {METER.text}
    told = notification(WriteFull(76, bytes(30)), seal_with=CIPHERED)
    garbage = b"GET / HTTP/1.1"
    asked, said = request(ReadFull(1)), response(TableData(TABLE_1))
    heard = unasked(Capture("", "tcp://10.0.0.9:1153", told + asked + said + told + garbage), meters)
    assert heard == [told, told, garbage]


def test_demo_fleet_shipment_is_a_file_of_keys(hes: Hes, tmp_path: Path) -> None:
    (plan,) = (p for p in plan_fleet(FleetConfig(tmp_path, meters=8, c12_share=1.0)) if p.index == 2)
    write_shipment(tmp_path / "meters.jsonl", [(plan, "tcp://127.0.0.1:1153")])
    kind = plan.model.c12
    assert kind is not None
    seal_with = Seal(kind.mode, plan.encryption_key, kind.key_id, bytes(4))
    path = tmp_path / "input"
    path.write_bytes(request(ReadFull(1), seal_with=seal_with, called=title(plan.ap_title)))
    ran = hes(path, "--keys", tmp_path / "meters.jsonl", "--format", "json")
    assert (ran.exit_code, ran.rows[0]["services"]) == (0, ["full read, table 1"])
