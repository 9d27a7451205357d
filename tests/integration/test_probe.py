"""`hes probe` as it is typed, against jDLMS, gurux-dlms (wrapper, HDLC, UDP) and the simulated fleet."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from connectors.protocols.dlms.hdlc_parameters import Parameters
from connectors.protocols.dlms.signing import point
from tests.integration import probe_cli
from tests.integration import test_dlms_peers as jdlms
from tests.integration.probe_cli import Probe
from tests.integration.probe_meters import LAST_HEARD, NAMES, Exchange, datagrams, hdlc, listening, objects, of, wrapper
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, clock, data, profile
from tests.unit.connectors.protocols.dlms.hdlc_meter import HdlcMeter
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter
from tests.unit.connectors.protocols.dlms.secure_meter import CurvePair, SecureMeter

pytestmark = pytest.mark.integration

port = jdlms.port  # the fixture
probe = probe_cli.probe  # likewise
EK, AK = bytes(range(16)).hex(), bytes(range(0xD0, 0xE0)).hex()
PASSWORD = "Passw0rd"
KEYED = ("--ek", EK, "--ak", AK)


# jDLMS


@pytest.mark.parametrize(
    ("arguments", "password"),
    [
        pytest.param(("--client", "16"), "", id="none"),
        pytest.param(("--client", "1"), PASSWORD, id="low"),
        pytest.param(("--client", "2", "--counter", "9", *KEYED), "", id="gmac-ciphered"),
        pytest.param(("--client", "3", "--counter", "9", "--security", "none", *KEYED), "", id="gmac-in-clear"),
        pytest.param(("--client", "2", "--server", "2", "--counter", "9", "--ek", bytes(range(16, 32)).hex(), "--ak",
                      bytes(range(0xC0, 0xD0)).hex()), "", id="other-device"),
    ],
)  # fmt: skip
def test_jdlms_is_identified(port: int, probe: Probe, arguments: tuple[str, ...], password: str) -> None:
    ran = probe(port, *arguments, "--trace", password=password)
    assert ran.exit_code == 0, ran.err
    values = ran.values()
    assert values["clock"] == "2022-07-12T16:54:30+02:00"
    assert ran.of("clock")[0]["drift_s"] < -1e8
    device = "2" if "--server" in arguments else "1"
    assert values["logical device name"] == f"HES000000000000{device}"
    assert values["serial"] == "HES00000042"
    assert "under no usual name" in ran.of("firmware")[0]["note"]
    (association,) = ran.of("association")
    assert {"get", "selective-access", "block-transfer-with-get"} <= set(association["services"])
    assert association.get("system_title") == (f"484553000000000{device}" if "--ek" in arguments else None)
    assert "release and close" in ran.err
    assert ran.keeps(PASSWORD, EK, AK)


def test_jdlms_is_read(port: int, probe: Probe) -> None:
    asked = ("3/1.0.1.8.0.255/2", "3/1.0.3.8.0.255/2", "1/0.0.96.1.0.255/2", "3/1.0.9.8.0.255/2")
    span = ("--from", "2022-11-11T10:00", "--to", "2022-11-11T10:30", "--zone", "Europe/Oslo")
    gets = [part for text in asked for part in ("--get", text)]
    ran = probe(
        port, "--client", "2", "--counter", "9", *KEYED, *gets, "--profile", "1.0.99.1.0.255", *span, "--objects", "--relay"
    )
    assert ran.exit_code == 1
    found = {row.get("attribute", row.get("tried")): row for row in ran.of("value")}
    energy = found[asked[0]]
    assert (energy["value"], energy["unit"], energy["raw"], energy["scaler"]) == (12345678.9, "Wh", 123456789, -1)
    assert found[asked[2]]["value"] == "HES00000042"
    refused = found["GET " + asked[1]]
    assert refused["error"]["code"] == "peer-access"
    assert "read-write-denied" in refused["error"]["detail"]
    assert "--objects" in refused["try"]
    assert "object-undefined" in found["GET " + asked[3]]["error"]["detail"]
    rows = ran.of("profile")
    assert [row["end"] for row in rows] == [f"2022-11-11T10:{minute}:00+01:00" for minute in ("00", "15", "30")]
    assert [row["status"] for row in rows] == [0, 1, 0]
    assert [row["1.0.1.8.0.255 Wh"] for row in rows] == [(1_000_000 + 250 * i) / 10 for i in (39, 40, 41)]
    assert [row["1.0.2.8.0.255 Wh"] for row in rows] == [7 * i for i in (39, 40, 41)]
    listed = {row["obis"]: row for row in ran.of("object")}
    assert {"0.0.1.0.0.255", "1.0.1.8.0.255", "1.0.99.1.0.255"} <= set(listed)
    assert listed["1.0.3.8.0.255"]["attributes"]["2"] == "write"
    (relay,) = ran.of("relay")
    assert "object-undefined" in relay["error"]["detail"]


@pytest.mark.parametrize(
    ("arguments", "password", "code", "says", "mend"),
    [
        pytest.param(("--client", "1"), "Geheim99", 1, "authentication-failure", "letter by letter", id="wrong-password"),
        pytest.param(("--client", "1"), "", 1, "rejected-permanent", "--auth low", id="no-password"),
        pytest.param(("--client", "99"), "", 1, "closed the connection", "--client 16", id="unknown-client"),
        pytest.param(("--client", "2", "--counter", "9", "--ek", AK, "--ak", AK), "", 1, "closed", "--ek", id="wrong-key"),
        pytest.param(("--client", "2", *KEYED), "", 1, "object-undefined", "give --counter N", id="no-counter"),
        pytest.param(("--hdlc",), "", 1, "closed the connection", "--wrapper", id="hdlc-to-a-wrapper"),
    ],
)
def test_jdlms_refuses(
    port: int, probe: Probe, arguments: tuple[str, ...], password: str, code: int, says: str, mend: str
) -> None:
    ran = probe(port, *arguments, "--trace", password=password)
    assert ran.exit_code == code
    failed = ran.rows[-1]
    assert says in failed["error"]["detail"]
    assert failed["tried"]
    assert mend in failed["try"]
    assert says in ran.err
    assert ran.err.count("try:") == 1
    assert ran.keeps("Geheim99", EK, AK)


def test_a_table_for_a_person(port: int, probe: Probe) -> None:
    ran = probe(port, "--format", "table", "--get", "3/1.0.1.8.0.255/2")
    assert ran.exit_code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["what", "value", "more"]
    assert ["3/1.0.1.8.0.255/2", "12345678.9", "Wh", "123456789", "-1"] in lines


# the simulated fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Shipment lines of simulated meters that run."""
    home = tmp_path_factory.mktemp("fleet")
    arguments = [sys.executable, "-m", "connectors.simulator", "--home", str(home), "--meters", "12", "--drift-share", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as fleet:
        try:
            assert fleet.stdout is not None
            ready = json.loads(fleet.stdout.readline())
            yield [json.loads(line) for line in Path(ready["shipment"]).read_text().splitlines()]
        finally:
            fleet.terminate()
            fleet.wait(30)


def test_simulated_meters(fleet: list[dict[str, Any]], probe: Probe) -> None:
    for meter in fleet[:4]:
        password = meter["secrets"]["password"]
        options = ("--client", "1", "--auth", "low", "--template", meter["template"], "--zone", meter["time_zone"])
        ran = probe(meter["endpoint"], *options, "--trace", password=password)
        assert ran.exit_code == 0, ran.err
        values, known = ran.values(), {each["kind"]: each["value"] for each in meter["identities"]}
        assert values["logical device name"] == known["LOGICAL_DEVICE_NAME"]
        assert values["serial"] == known["SERIAL"]
        assert values["firmware"] == meter["firmware"]
        assert abs(ran.of("clock")[0]["drift_s"]) < 60
        assert ran.keeps(password)
        ran = probe(meter["endpoint"], *options, "--profile", "1.0.99.1.0.255", password=password)
        assert ran.exit_code == 0, ran.err
        assert len(ran.of("profile")) in (96, 97)


def test_a_simulated_meter_refuses(fleet: list[dict[str, Any]], probe: Probe) -> None:
    ran = probe(fleet[0]["endpoint"], "--client", "1")
    assert ran.exit_code == 1
    assert "authentication-required" in ran.err
    assert "must authenticate" in ran.err


# gurux-dlms


def test_hdlc(probe: Probe) -> None:
    meter = HdlcMeter(Parameters(128, 128, 1, 1), objects())
    with listening(hdlc(meter.octets)) as port:
        ran = probe(port, "--hdlc", "--client", "16", "--trace")
        assert ran.exit_code == 0, ran.err
        values = ran.values()
        told = [text.decode() for text in NAMES.values()]
        assert [values[what] for what in ("logical device name", "serial", "firmware")] == told
        assert abs(ran.of("clock")[0]["drift_s"]) < 60
        (connection,) = ran.of("connection")
        assert (connection["framing"], connection["frame_octets"], connection["window"]) == ("HDLC", [128, 128], [1, 1])
        sent = [
            bytes.fromhex(line) for line in ran.err.split("> ")[1:] for line in [line.split("·")[0].split("<")[0].strip()]
        ]
        assert (sent[0][5], sent[-1][5]) == (0x93, 0x53)  # SNRM first, DISC last
        again = probe(port, "--hdlc", "--get", "3/1.0.1.8.0.255/2", "--relay")
        assert again.of("value")[0]["value"] == pytest.approx(12345678.9)


@pytest.mark.parametrize("with_counter", [False, True], ids=["counter-read", "counter-given"])
def test_the_counter_is_read_by_the_public_client(probe: Probe, with_counter: bool) -> None:
    secure = SecureMeter(GuruxMeter(objects()), ek=bytes.fromhex(EK), ak=bytes.fromhex(AK))
    secure.heard = LAST_HEARD
    given = ("--counter", str(LAST_HEARD + 100)) if with_counter else ()
    with listening(wrapper(of({16: GuruxMeter(objects()), 1: secure}))) as port:
        ran = probe(port, "--client", "1", *KEYED, *given, "--trace")
        assert ran.exit_code == 0, ran.err
        (counter,) = ran.of("invocation counter")
        assert counter["value"] == LAST_HEARD + (100 if with_counter else 1)
        assert ("0.0.43.1.0.255 is 1204, read by client 16" in counter["source"]) != with_counter
        assert secure.heard > counter["value"]
        assert ran.values()["serial"] == "GRX00000042"
        assert ran.keeps(EK, AK)
        low = probe(port, "--client", "1", *KEYED, "--counter", "5")
        assert low.exit_code == 1
        assert "association" in low.err


@pytest.mark.parametrize("auth", ["hls-md5", "hls-sha1", "hls-sha256"])
def test_hls_with_a_secret(probe: Probe, auth: str) -> None:
    meter = SecureMeter(GuruxMeter(objects()), ek=bytes(16), ak=bytes(16), policy=0, secret=b"Geheim99Geheim99")
    with listening(wrapper(of({1: meter}))) as port:
        ran = probe(port, "--client", "1", "--auth", auth, "--trace", password="Geheim99Geheim99")
        assert ran.exit_code == 0, ran.err
        assert ran.keeps("Geheim99")
        wrong = probe(port, "--client", "1", "--auth", auth, "--trace", password="Anderes9Anderes9")
        assert wrong.exit_code == 1
        assert wrong.keeps("Anderes9")


def test_hls_ecdsa(probe: Probe, tmp_path: Path) -> None:
    meter = SecureMeter(GuruxMeter(objects()), ek=bytes(16), ak=bytes(16), policy=0, suite=1)
    meter.pair, ours = CurvePair(1), ec.generate_private_key(ec.SECP256R1())
    meter.client_point = point(ours.public_key())
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + meter.pair.point)
    signing, certificate = tmp_path / "signing.pem", tmp_path / "meter.pem"
    pem = serialization.Encoding.PEM
    signing.write_bytes(ours.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    certificate.write_bytes(theirs.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    files = ("--signing-key", str(signing), "--meter-certificate", str(certificate))
    with listening(wrapper(of({1: meter}))) as port:
        ran = probe(port, "--client", "1", "--auth", "hls-ecdsa", "--suite", "1", *files)
    assert ran.exit_code == 0, ran.err
    assert ran.values()["serial"] == "GRX00000042"


def test_udp(probe: Probe) -> None:
    with datagrams(of({16: GuruxMeter(objects())})) as port:
        ran = probe(f"udp://127.0.0.1:{port}")
        assert ran.exit_code == 0, ran.err
        assert ran.values()["connection"] == f"127.0.0.1:{port} (UDP)"
        silent = probe(f"udp://127.0.0.1:{port}", "--client", "99", "--timeout", "0.2")
    assert silent.exit_code == 3
    assert "UDP loses datagrams" in silent.err


def test_ipv6(probe: Probe) -> None:
    try:
        with listening(wrapper(of({16: GuruxMeter(objects())})), "::1") as port:
            ran = probe(f"dlms://[::1]:{port}")
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    assert ran.exit_code == 0, ran.err
    assert ran.values()["connection"] == f"[::1]:{port} (TCP)"


def test_the_relay_is_looked_at_and_left_alone(probe: Probe) -> None:
    meter = ObjectMeter(objects())
    with listening(wrapper(of({16: meter}))) as port:
        ran = probe(port, "--relay", "--objects")
    assert ran.exit_code == 0, ran.err
    (relay,) = ran.of("relay")
    assert (relay["value"], relay["contact"], relay["mode"]) == ("connected", "closed", 4)
    assert "0.0.96.3.10.255" in {row["obis"] for row in ran.of("object")}
    assert meter.invoked == []
    assert {request[0] for request in meter.requests} <= {0x60, 0xC0, 0x62}


def test_an_event_log(probe: Probe) -> None:
    time, code = clock(GXDateTime(datetime.now(UTC))), data("0.0.96.11.0.255", 0, DataType.UINT8)
    stamps = [bytes.fromhex(f"07EA030107{hour:02X}000000FFC400") for hour in (6, 7, 8)]  # 2026-03-01, UTC+1
    rows = [(at, b"\x02\x02\x09\x0c" + at + bytes((0x11, n))) for at, n in zip(stamps, (1, 2, 250), strict=True)]
    log = profile("0.0.99.98.0.255", [(time, 2), (code, 2)], rows, period=0)
    span = ("--from", "2026-03-01T06:30", "--to", "2026-03-01T07:30", "--zone", "Etc/GMT-1")
    with listening(wrapper(of({16: GuruxMeter([time, code, log])}))) as port:
        ran = probe(port, "--event-log", "0-0:99.98.0.255")
        some = probe(port, "--event-log", "0.0.99.98.0.255", *span)
    assert ran.exit_code == some.exit_code == 0, ran.err
    found = [(row["time"], row["code"], row["kind"]) for row in ran.of("event")]
    assert found == [
        ("2026-03-01T06:00:00+01:00", 1, "OUTAGE"),
        ("2026-03-01T07:00:00+01:00", 2, "RESTORATION"),
        ("2026-03-01T08:00:00+01:00", 250, None),
    ]
    assert [row["code"] for row in some.of("event")] == [2]


def test_what_the_meter_hangs_up_on_does_not_keep_the_rest_from_being_read(probe: Probe) -> None:
    meter = GuruxMeter(objects())

    def moody(_: int, apdu: bytes) -> bytes | None:
        if b"\x01\x00\x63\x01\x00\xff" in apdu:  # the profile
            return None
        return meter.exchange(apdu)

    with listening(wrapper(moody)) as port:
        ran = probe(port, "--profile", "1.0.99.1.0.255", "--relay")
    assert ran.exit_code == 1
    assert ran.of("profile 1.0.99.1.0.255")[0]["error"]["code"] == "peer-closed"
    assert ran.values()["relay"] == "connected"


def test_a_meter_that_pushes_meanwhile(probe: Probe) -> None:
    meter = GuruxMeter(objects())

    def serve(line: socket.socket) -> None:
        deframer = Deframer()
        while octets := line.recv(65536):
            for client, server, apdu in deframer.feed(octets):
                line.sendall(
                    pack(server, client, bytes.fromhex("0F00000001000203")) + pack(server, client, meter.exchange(apdu))
                )

    with listening(serve) as port:
        ran = probe(port)
    assert ran.exit_code == 0, ran.err
    assert "notifications meanwhile" in ran.err


@pytest.mark.parametrize("hangs_up", [False, True], ids=["silent", "hangs-up"])
def test_nobody_there(probe: Probe, hangs_up: bool) -> None:
    exchange: Exchange = lambda *_: None if hangs_up else b""  # noqa: E731 - one line says it
    with listening(wrapper(exchange)) as port:
        ran = probe(port, "--timeout", "0.2")
    assert ran.exit_code == (1 if hangs_up else 3)
    assert ran.rows[-1]["error"]["code"] == ("peer-closed" if hangs_up else "link-timeout")
    assert ran.rows[-1]["try"] in ran.err
    refused = probe(port)  # nobody listens there any more
    assert refused.exit_code == 3
    assert "refuses the connection" in refused.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("c1222://127.0.0.1",), "comes with the ANSI gateway", id="c12.22"),
        pytest.param(("c1218://127.0.0.1",), "comes with the ANSI gateway", id="c12.18"),
        pytest.param(("127.0.0.1", "--get", "3/1.0.1.8.0"), "--get", id="get"),
        pytest.param(("127.0.0.1", "--get", "3/1.0.1.8.0.255/200"), "beyond what can be asked", id="get-beyond"),
        pytest.param(("127.0.0.1", "--get", "15/0.0.40.0.0.255/7"), "secret of an association", id="get-the-secret"),
        pytest.param(("127.0.0.1", "--profile", "load"), "--profile", id="profile"),
        pytest.param(("127.0.0.1", "--template", "nope"), "there is no template", id="template"),
        pytest.param(("127.0.0.1", "--zone", "Europe/Nowhere"), "no time zone", id="zone"),
        pytest.param(("127.0.0.1", "--from", "yesterday"), "--from yesterday is no time", id="from"),
        pytest.param(("127.0.0.1", "--from", "2030-01-02", "--to", "2030-01-01"), "--from is after --to", id="span"),
        pytest.param(("127.0.0.1", "--address-octets", "3"), "no 3 octets", id="octets"),
        pytest.param(("127.0.0.1", "--auth", "low"), "no password", id="password"),
        pytest.param(("127.0.0.1", "--hdlc", "--physical", "300", "--address-octets", "2"), "do not fit", id="address"),
    ],
)
def test_usage(probe: Probe, arguments: tuple[str, ...], says: str) -> None:
    ran = probe(*arguments)
    assert ran.exit_code == 2
    assert says in ran.err


def test_interrupted_it_parts_in_good_manners() -> None:
    meter, heard, stalled = GuruxMeter(objects()), list[bytes](), threading.Event()

    def exchange(_: int, apdu: bytes) -> bytes:
        heard.append(apdu)
        if apdu[0] == 0xC0:
            stalled.set()
            return b""
        return meter.exchange(apdu)

    with listening(wrapper(exchange)) as port:
        hes = [sys.executable, "-m", "connectors.cli.main", "probe", f"127.0.0.1:{port}", "--timeout", "60", "-f", "json"]
        with subprocess.Popen(hes, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as probing:
            assert stalled.wait(30)
            probing.send_signal(signal.SIGINT)
            out, err = probing.communicate(timeout=30)
    assert probing.returncode == 130, err
    assert heard[-1][0] == 0x62
    assert json.loads(out.splitlines()[-1])["what"] == "association"
    assert "Traceback" not in err
