"""`hes probe` as it is typed, with all that it may be asked for: suites, signatures, agreed keys, short names, blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from connectors.protocols.dlms.signing import private_key, public_key
from tests.integration import gurux_peer, probe_cli
from tests.integration.gurux_peer import PASSWORD, Peer
from tests.integration.probe_cli import Probe
from tests.integration.probe_meters import LAST_HEARD, listening, objects, of, wrapper
from tests.unit.connectors.protocols.dlms.general_meter import GeneralMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter
from tests.unit.connectors.protocols.dlms.secure_meter import CurvePair

pytestmark = pytest.mark.integration

probe = probe_cli.probe  # the fixture
SERIAL = ("--get", "1/0.0.96.1.0.255/2")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with gurux_peer.running("ln0", "ln1", "ln2", "ln1s", "sn0") as peer:
        yield peer


def pem(folder: Path, name: str, pair: CurvePair, suite: int, *, private: bool) -> str:
    key = private_key(pair.octets, suite)
    octets = (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        if private
        else key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / name).write_bytes(octets)
    return str(folder / name)


def hexed(peer: Peer, suite: int) -> tuple[str, ...]:
    keys = peer.keys(suite)
    assert keys.ek is not None
    assert keys.ak is not None
    return "--ek", keys.ek.hex(), "--ak", keys.ak.hex(), "--suite", str(suite), "--counter", "9"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("ln2", (), id="suite-2"),
        pytest.param("ln1", ("--ciphering", "general"), id="general-glo"),
        pytest.param("ln1", ("--ciphering", "general", "--dedicated"), id="general-ded"),
        pytest.param("ln0", ("--auth", "hls-gmac", "--security", "none", "--challenge", "16"), id="short-challenge"),
    ],
)
def test_ciphered(peer: Peer, probe: Probe, kind: str, options: tuple[str, ...]) -> None:
    ran = probe(peer.ports[kind], "--client", "1", *hexed(peer, int(kind[2])), *options)
    assert ran.exit_code == 0, ran.err
    assert ran.values()["serial"] == "GRX00000042"
    keys = peer.keys(int(kind[2]))
    assert keys.ek is not None
    assert ran.keeps(keys.ek.hex())


def test_signatures(peer: Peer, probe: Probe, tmp_path: Path) -> None:
    ours = pem(tmp_path, "ours.pem", peer.signing, 1, private=True)
    theirs = tmp_path / "meter.pem"
    theirs.write_bytes(
        public_key(peer.points[0], 1).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    files = ("--signing-key", ours, "--meter-certificate", str(theirs))
    for more in ((), hexed(peer, 1)):
        ran = probe(peer.ports["ln1s"], "--client", "1", "--auth", "hls-ecdsa", "--suite", "1", *files, *more)
        assert ran.exit_code == 0, ran.err
        assert ran.values()["serial"] == "GRX00000042"
        assert ran.keeps(peer.signing.octets.hex())
    unknown = pem(tmp_path, "other.pem", CurvePair(1), 1, private=True)
    ran = probe(
        peer.ports["ln1s"],
        "--auth",
        "hls-ecdsa",
        "--suite",
        "1",
        "--signing-key",
        unknown,
        "--meter-certificate",
        str(theirs),
    )
    assert ran.exit_code == 1


def test_short_names(peer: Peer, probe: Probe) -> None:
    for options, password in (((), ""), (("--auth", "low"), PASSWORD.decode())):
        ran = probe(
            peer.ports["sn0"], "--short-names", *options, "--objects", "--get", "3/1.0.1.8.0.255/2", password=password
        )
        assert ran.exit_code == 0, ran.err
        (value,) = ran.of("value")
        assert (value["value"], value["unit"]) == (12345678.9, "Wh")
        assert {"1.0.1.8.0.255", "0.0.96.1.0.255"} <= {row["obis"] for row in ran.of("object")}
        (association,) = ran.of("association")
        assert "read" in association["services"]
        assert "get" not in association["services"]
    refused = probe(peer.ports["sn0"])
    assert refused.exit_code == 1
    assert "--short-names" in refused.err


def test_general_block_transfer(peer: Peer, probe: Probe) -> None:
    ran = probe(peer.ports["ln0"], "--gbt", "1", "--get", "1/0.0.96.1.9.255/2", "--trace")
    assert ran.exit_code == 0, ran.err
    assert len(ran.of("value")[0]["value"]) == 6000
    assert "E0 01 00 01" in ran.err
    assert "general-block-transfer" in ran.of("association")[0]["services"]


KEYS = [
    pytest.param(suite, key, id=f"suite-{suite}-{key}")
    for suite, key in ((0, "identified"), (0, "wrapped"), (1, "one-pass"), (1, "static"), (2, "one-pass"), (2, "wrapped"))
]


@pytest.mark.parametrize(("suite", "key"), KEYS)
def test_general_ciphering(probe: Probe, tmp_path: Path, suite: int, key: str) -> None:
    meter = GeneralMeter(GuruxMeter(objects()), suite=suite)
    meter.heard = LAST_HEARD
    options: list[str] = ["--ek", meter.ek.hex(), "--ak", meter.ak.hex(), "--kek", meter.kek.hex(), "--suite", str(suite)]
    if key in ("one-pass", "static"):
        given: dict[str, Any] = {
            "--signing-key": (meter.client_signing, True),
            "--agreement-key": (meter.client_agreement, True),
            "--meter-certificate": (meter.signing, False),
            "--meter-agreement-certificate": (meter.agreement, False),
        }
        for option, (pair, private) in given.items():
            options += [option, pem(tmp_path, option.strip("-"), pair, suite, private=private)]
    with listening(wrapper(of({16: GuruxMeter(objects()), 1: meter}))) as port:
        ran = probe(
            port, "--client", "1", "--ciphering", "general-ciphering", "--message-key", key, *options, "--relay", *SERIAL
        )
    assert ran.exit_code == 0, ran.err
    assert ran.of("value")[0]["value"] == "GRX00000042"
    assert ran.values()["relay"] == "connected"
    assert {info[:1] for info in meter.infos} == {{"identified": b"\0", "wrapped": b"\1"}.get(key, b"\2")}
    assert ran.keeps(meter.ek.hex(), meter.ak.hex(), meter.kek.hex())


def test_an_answer_in_clear_is_not_taken(probe: Probe) -> None:
    meter = GeneralMeter(GuruxMeter(objects()), suite=0)
    meter.alter = lambda answer: bytes.fromhex("C401C100090100") if answer[0] == 0xDD else answer
    options = ("--ek", meter.ek.hex(), "--ak", meter.ak.hex(), "--ciphering", "general-ciphering", "--counter", "9")
    with listening(wrapper(of({1: meter}))) as port:
        ran = probe(port, "--client", "1", "--auth", "none", *options, *SERIAL)
    assert ran.exit_code == 1
    assert ran.rows[-1]["error"]["code"] == "cipher-policy"
