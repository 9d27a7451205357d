from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.cli import shipment
from connectors.cli.failure import USAGE, CommandError
from connectors.cli.shipment import Row, Wrong, read_shipment, shared, twice
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.signing import point
from connectors.simulator.config import FleetConfig
from connectors.simulator.plan import plan_fleet
from connectors.simulator.shipment import meter_record, write_shipment
from schemas.records import Identity, IdentityKind, Meter, MeterState, Network, Protocol, UtilityKind

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
TITLE = "4D4D4D0000BC614E"
SECRETS = (EK, AK, "hunter22hunter22")
METER = Meter(
    id="M1",
    identities=(Identity(IdentityKind.SYSTEM_TITLE, TITLE), Identity(IdentityKind.SERIAL, "7")),
    utility=UtilityKind.ELECTRICITY,
    protocol=Protocol.DLMS,
    network=Network.RF_MESH,
    groups=("a", "b"),
    life_support=True,
    key_ref="M1",
    state=MeterState.INSTALLED,
)
COLUMNS = ["id", "system_title", "serial", "network", "groups", "life_support", "ek", "ak", "password"]
VALUES = ["M1", TITLE.lower(), "7", "rf-mesh", "a|b", "yes", EK, AK, "hunter22hunter22"]


def read(folder: Path, text: str | bytes) -> list[Row | Wrong]:
    path = folder / "shipment"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_shipment(path))


def meter(row: Row | Wrong) -> Meter:
    assert isinstance(row, Row), row
    return row.meter


def wrong(row: Row | Wrong) -> tuple[int, str]:
    assert isinstance(row, Wrong)
    return row.line, row.detail


CSVS = {
    "commas": ",".join(COLUMNS) + "\n" + ",".join(VALUES) + "\n",
    "semicolons": ";".join(COLUMNS) + "\n" + ";".join(VALUES),
    "tabs": "\t".join(COLUMNS) + "\n" + "\t".join(VALUES),
    "CRLF": ",".join(COLUMNS) + "\r\n" + ",".join(VALUES) + "\r\n",
    "BOM": "\ufeff" + ",".join(COLUMNS) + "\n" + ",".join(VALUES) + "\n",
    "quotes": ",".join(f'"{name}"' for name in COLUMNS) + "\n" + ",".join(f'"{value}"' for value in VALUES) + "\n",
    "spaces and capitals in the header": " , ".join(COLUMNS).upper() + "\n" + " , ".join(VALUES) + "\n",
    "another order": ",".join(reversed(COLUMNS)) + "\n" + ",".join(reversed(VALUES)) + "\n",
    "blank and empty lines": ",".join(COLUMNS) + "\n\n" + "," * (len(COLUMNS) - 1) + "\n" + ",".join(VALUES) + "\n\n",
}


@pytest.mark.parametrize("text", CSVS.values(), ids=CSVS)
def test_csv(tmp_path: Path, text: str) -> None:
    (row,) = read(tmp_path, text)
    assert meter(row) == METER
    assert isinstance(row, Row)
    assert row.keys is not None
    assert (row.keys.ek, row.keys.ak, row.keys.password) == (
        bytes.fromhex(EK),
        bytes.fromhex(AK),
        b"hunter22hunter22",
    )
    assert not any(secret in repr(row) for secret in SECRETS)


def test_what_a_shipment_need_not_say(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "id\nM1\n")
    assert isinstance(row, Row)
    assert row.keys is None
    assert row.meter == Meter(
        id="M1", utility=UtilityKind.ELECTRICITY, protocol=Protocol.DLMS, key_ref="M1", state=MeterState.INSTALLED
    )


REFUSED = {
    "misspelt column": ("id,serail\nM1,7\n", "'serail'", "did you mean 'serial'?"),
    "unknown column": ("id,qqqqqq\nM1,7\n", "'qqqqqq'", "there are agreement_key, ak, "),
    "no id": ("serial\n7\n", "no column 'id'", "the first line must name the columns"),
    "empty": ("", "no column 'id'", "the first line must name the columns"),
    "column twice": ("id,serial,serial\nM1,7,8\n", "'serial' twice", "rename"),
    "no header, a key first": (f"{EK},M1\n", "column 1 whose name is none", ""),
    "no header": (f"id,{EK},{AK}\n", "column 2 whose name is none", ""),
    "secrets is for JSON": ("id,secrets\nM1,x\n", "'secrets'", ""),
    "array": (json.dumps([{"id": "M1", "ek": EK}]), "one JSON array", "one object a line"),
    "not UTF-8": ("id\nZähler\n".encode("latin-1"), "no text in UTF-8", "save it"),
}


@pytest.mark.parametrize(("text", "words", "mend"), REFUSED.values(), ids=REFUSED)
def test_refused_whole(tmp_path: Path, text: str | bytes, words: str, mend: str) -> None:
    with pytest.raises(CommandError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert mend in caught.value.mend
    assert caught.value.exit_code == USAGE
    assert not any(secret.lower() in (str(caught.value) + caught.value.mend).lower() for secret in SECRETS)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        list(read_shipment(tmp_path / "none"))


WRONG_CSV = {
    "too few fields": ("id,ek", f"{EK}", "has not the 2 fields"),
    "too many fields": ("id,ek", f"M1,{EK},{AK}", "has not the 2 fields"),
    "no id": ("id,ek", f",{EK}", "has no id"),
    "key is no hex": ("id,ek", f"M1,{EK[:-1]}x", "ek is not hex"),
    "key is short": ("id,ak", f"M1,{AK[:-2]}", "ak has 15 octets"),
    "key where the system title belongs": ("id,system_title", f"M1,{EK}", "system_title must be 16 hex digits"),
    "system title is no hex": ("id,system_title", "M1,4D4D4D0000BC61XX", "system_title must be 16 hex digits"),
    "key where the protocol belongs": ("id,protocol", f"M1,{EK}", "protocol must be one of"),
    "unknown network": ("id,network", "M1,pigeon", "network must be one of"),
    "password where a yes belongs": ("id,life_support", "M1,hunter22hunter22", "life_support must be true or false"),
    "field beyond measure": ("id,vendor", "M1," + "x" * 200_000, "is no CSV"),
}


@pytest.mark.parametrize(("header", "line", "words"), WRONG_CSV.values(), ids=WRONG_CSV)
def test_wrong_row_does_not_stop_the_next(tmp_path: Path, header: str, line: str, words: str) -> None:
    last = "M9" + "," * header.count(",")
    bad, good = read(tmp_path, f"{header}\n{line}\n{last}\n")
    number, detail = wrong(bad)
    assert number == 2
    assert words in detail
    assert meter(good).id == "M9"
    assert not any(secret[:8] in repr(bad) for secret in SECRETS)


WRONG_JSON = {
    "no JSON": ('{"id": ', "is no JSON"),
    "no object": (f'["{EK}"]', "is no JSON object"),
    "unknown field": ('{"id": "M1", "colour": "red"}', "'colour' is no field"),
    "a key as a name": (json.dumps({"id": "M1", EK: 1}), "one of its names is no field"),
    "no id": ('{"serial": "7"}', "has no id"),
    "blank id": ('{"id": "  "}', "has no id"),
    "null id": ('{"id": null}', "has no id"),
    "secrets is no object": (json.dumps({"id": "M1", "secrets": EK}), "secrets must be an object"),
    "key is a number": ('{"id": "M1", "ek": 7}', "ek is not hex"),
    "identities is a text": ('{"id": "M1", "identities": "x"}', "identities must be a list"),
    "identity without a value": ('{"id": "M1", "identities": [{"kind": "SERIAL"}]}', "identities must be a list"),
    "identity of no kind": ('{"id": "M1", "identities": [{"kind": "NAME", "value": "x"}]}', "NAME"),
    "identity is no system title": (
        json.dumps({"id": "M1", "identities": [{"kind": "SYSTEM_TITLE", "value": EK}]}),
        "system_title must be",
    ),
    "time is a word": ('{"id": "M1", "updated_at": "today"}', "updated_at must be a whole number"),
    "nested without end": ('{"id": ' + "[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize(("line", "words"), WRONG_JSON.values(), ids=WRONG_JSON)
def test_wrong_line_of_json(tmp_path: Path, line: str, words: str) -> None:
    first, bad, last = read(tmp_path, f'{{"id": "M0"}}\n{line}\n\n{{"id": "M9"}}\n')
    assert (meter(first).id, meter(last).id) == ("M0", "M9")
    number, detail = wrong(bad)
    assert number == 2
    assert words in detail
    assert not any(secret[:8] in repr(bad) for secret in SECRETS)


JSON = {
    "as a vendor writes": {"id": "M1", "system_title": TITLE, "serial": 7, "network": "RF_MESH", "groups": ["a", "b"]},
    "with identities": {
        "id": "M1",
        "identities": [{"kind": "SYSTEM_TITLE", "value": TITLE.lower()}, {"kind": "SERIAL", "value": 7}],
        "network": "RF_MESH",
        "groups": "a|b",
    },
}


@pytest.mark.parametrize("entry", JSON.values(), ids=JSON)
@pytest.mark.parametrize("before", ["", "\n", "\ufeff"], ids=["at once", "after a blank line", "BOM"])
def test_json_lines(tmp_path: Path, entry: dict[str, object], before: str) -> None:
    (row,) = read(tmp_path, before + json.dumps(entry | {"life_support": True, "secrets": {"ek": EK}}))
    assert meter(row) == METER
    assert isinstance(row, Row)
    assert row.keys is not None
    assert (row.keys.ek, row.keys.ak) == (bytes.fromhex(EK), None)


CURVE = ec.derive_private_key(7, ec.SECP256R1())
NUMBER = bytes(31) + b"\7"
PRIVATE = CURVE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = CURVE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ASYMMETRIC = {
    "PEM in quotes": (f'"{PRIVATE}"', f'"{PUBLIC}"'),
    "PEM in one line": (PRIVATE.replace("\n", "\\n"), PUBLIC.replace("\n", "\\n")),
    "plain octets": (NUMBER.hex(), point(CURVE.public_key()).hex()),
}


@pytest.mark.parametrize(("private", "public"), ASYMMETRIC.values(), ids=ASYMMETRIC)
def test_key_pairs_and_certificates(tmp_path: Path, private: str, public: str) -> None:
    header = "id,ek,kek,broadcast_key,signing_key,agreement_key,meter_certificate,meter_agreement_certificate"
    (row,) = read(tmp_path, f"{header}\nM1,{EK},{AK},{AK},{private},{private},{public},{public}\n")
    assert isinstance(row, Row), row
    theirs = point(CURVE.public_key())
    assert row.keys == MeterKeys(
        bytes.fromhex(EK), None, None, bytes.fromhex(AK), bytes.fromhex(AK), NUMBER, NUMBER, None, theirs, theirs, "M1"
    )


def test_key_pairs_in_json(tmp_path: Path) -> None:
    secrets = {"signing_key": PRIVATE, "meter_certificate": PUBLIC}
    (row,) = read(tmp_path, json.dumps({"id": "M1", "secrets": secrets}))
    assert isinstance(row, Row), row
    assert row.keys == MeterKeys(signing=NUMBER, meter_signing=point(CURVE.public_key()), meter="M1")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        pytest.param("signing_key", EK, "signing_key is no private key", id="a-symmetric-key-as-a-private-one"),
        pytest.param("signing_key", PUBLIC.replace("\n", "\\n"), "signing_key is no private key", id="a-public-key"),
        pytest.param("meter_certificate", PRIVATE.replace("\n", "\\n"), "meter_certificate is no", id="a-private-key"),
        pytest.param("certificate", PUBLIC.replace("\n", "\\n"), "certificate is no", id="a-key-as-a-certificate"),
        pytest.param("kek", EK[2:], "kek has 15 octets", id="short"),
    ],
)
def test_key_pairs_that_are_none(tmp_path: Path, column: str, value: str, says: str) -> None:
    number, detail = wrong(read(tmp_path, f"id,{column}\nM1,{value}\n")[0])
    assert (number, says in detail) == (2, True)
    assert value[-20:] not in detail


def test_the_documentation_names_every_column() -> None:
    page = (Path(__file__).parents[4] / "docs" / "keys.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert {name for name, _ in rows} == set(MeterKeys.__dataclass_fields__) - {"meter", "made"}
    assert {column for _, column in rows} == {*shipment._KEYS, "password"}
    assert all(shipment._KEYS.get(column, column) == name for name, column in rows)


@pytest.mark.parametrize(
    ("lines", "known", "refused"),
    [
        pytest.param("A,\nB,\n", {}, {}, id="references-of-their-own"),
        pytest.param("A,k\nB,k\nC,k\n", {}, {1: "A", 2: "A"}, id="one-for-three"),
        pytest.param("A,B\nB,\n", {}, {1: "A"}, id="anothers-id"),
        pytest.param("A,k\n", {"k": "Z"}, {0: "Z"}, id="one-that-is-known"),
        pytest.param("A,k\nA,k\n", {"k": "A"}, {}, id="its-own-again"),
    ],
)
def test_two_meters_do_not_share_a_key_reference(
    tmp_path: Path, lines: str, known: dict[str, str], refused: dict[int, str]
) -> None:
    rows = [row for row in read(tmp_path, "id,key_ref\n" + lines) if isinstance(row, Row)]
    assert shared(rows, lambda ref: known.get(ref, "")) == refused


def test_numeric_id_is_text_everywhere(tmp_path: Path) -> None:
    (row,) = read(tmp_path, '{"id": 42}')
    assert (meter(row).id, meter(row).key_ref) == ("42", "42")


def test_what_the_simulator_writes(tmp_path: Path) -> None:
    fleet = [
        (plan, f"tcp://127.0.0.1:{4000 + number}")
        for number, plan in enumerate(plan_fleet(FleetConfig(home=tmp_path, meters=6)))
    ]
    write_shipment(tmp_path / "meters.jsonl", fleet)
    rows = list(read_shipment(tmp_path / "meters.jsonl"))
    assert [meter(row) for row in rows] == [meter_record(plan, endpoint) for plan, endpoint in fleet]
    for row, (plan, _) in zip(rows, fleet, strict=True):
        assert isinstance(row, Row)
        assert row.keys is not None
        assert (row.keys.ek, row.keys.ak) == (plan.encryption_key, plan.authentication_key)
        assert row.keys.password == plan.password.encode()
        assert plan.encryption_key.hex() not in repr(row).lower()


ENDPOINTS = {
    "none: it only pushes": ("", True),
    "TCP": ("tcp://10.0.0.7:4059", True),
    "UDP, IPv6": ("udp://[2001:db8::7]:4059", True),
    "it connects to us": ("dial-in", True),
    "serial": ("serial:/dev/ttyUSB0?rate=9600", True),
    "C12.22": ("c1222://10.0.0.7", True),
    "no scheme": ("10.0.0.7:4059", False),
    "only a name": ("meter-7", False),
    "no port": ("tcp://10.0.0.7", False),
    "no such port": ("tcp://10.0.0.7:99999", False),
    "another scheme": ("http://10.0.0.7:4059", False),
}


@pytest.mark.parametrize(("endpoint", "good"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_that_no_job_could_use_is_wrong(endpoint: str, good: bool, tmp_path: Path) -> None:
    (row,) = read(tmp_path, f"id,endpoint\nM1,{endpoint}\n")
    if good:
        assert meter(row).endpoint == endpoint
    else:
        line, words = wrong(row)
        assert line == 2
        assert "tcp://host:port" in words


TWICE = {
    "once each": ("M1,a\nM2,a\n", {}),
    "the same line again": ("M1,a\nM1,a\n", {}),
    "with other values": ("M1,a\nM2,a\nM1,b\n", {2: 0}),
    "three times": ("M1,a\nM1,b\nM1,a\nM1,c\n", {1: 0, 3: 0}),
}


@pytest.mark.parametrize(("lines", "found"), TWICE.values(), ids=TWICE)
def test_a_meter_with_two_sets_of_values(lines: str, found: dict[int, int], tmp_path: Path) -> None:
    rows = [row for row in read(tmp_path, f"id,segment\n{lines}") if isinstance(row, Row)]
    assert twice(rows) == found


def test_the_example_in_the_docs_is_a_meter(tmp_path: Path) -> None:
    text = (Path(__file__).parents[4] / "docs" / "operators.md").read_text(encoding="utf-8")
    example = re.search(r"\n    (id,system_title.*)\n    (METER,.*)\n", text)
    assert example is not None
    (row,) = read(tmp_path, "\n".join(example.groups()).replace("000102…", EK).replace("D0D1D2…", AK))
    assert meter(row).groups == ("north", "shops")
    assert meter(row).endpoint == "tcp://10.0.0.7:4059"


def test_the_docs_know_every_column_that_there_is() -> None:
    """Those of keys are in keys.md; some are for what `hes` itself writes."""
    docs = Path(__file__).parents[4] / "docs"
    text = (docs / "operators.md").read_text(encoding="utf-8") + (docs / "keys.md").read_text(encoding="utf-8")
    for column in set(shipment._CSV_COLUMNS) - {"state", "exchanged_for", "firmware", "hardware"}:
        assert f"`{column}`" in text, column
