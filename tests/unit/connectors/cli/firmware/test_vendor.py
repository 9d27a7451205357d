"""The manufacturer's signature: what OpenSSL signs is taken, and nothing else."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.firmware.vendor import checked

IMAGE = bytes(range(256)) * 40
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(
    OPENSSL is None, reason="openssl, which signs independently of us, is not on this machine"
)


def openssl(*words: object) -> bytes:
    return subprocess.run([str(OPENSSL), *map(str, words)], check=True, capture_output=True).stdout


def keys(folder: Path, *words: str) -> tuple[Path, bytes]:
    """A private key's file, and the public key in PEM."""
    private = folder / "key.pem"
    openssl("genpkey", "-out", private, *words)
    return private, openssl("pkey", "-in", private, "-pubout")


ED25519 = ("-algorithm", "ed25519")
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
P384 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
PSS = ("-sigopt", "rsa_padding_mode:pss")


@needs_openssl
@pytest.mark.parametrize(
    ("kind", "how", "name"),
    [
        pytest.param(P256, ("-sha256",), "ECDSA P-256 with SHA256", id="p256"),
        pytest.param(P256, ("-sha512",), "ECDSA P-256 with SHA512", id="p256-sha512"),
        pytest.param(P384, ("-sha384",), "ECDSA P-384 with SHA384", id="p384"),
        pytest.param(P384, ("-sha256",), "ECDSA P-384 with SHA256", id="p384-sha256"),
        pytest.param(RSA, ("-sha256",), "RSA with SHA256", id="rsa"),
        pytest.param(RSA, ("-sha384", *PSS), "RSA-PSS with SHA384", id="rsa-pss"),
        pytest.param(ED25519, (), "Ed25519", id="ed25519"),
    ],
)
def test_what_openssl_signs_is_taken_and_nothing_else(
    tmp_path: Path, kind: tuple[str, ...], how: tuple[str, ...], name: str
) -> None:
    private, public = keys(tmp_path, *kind)
    file, out = tmp_path / "image.bin", tmp_path / "image.sig"
    file.write_bytes(IMAGE)
    if kind is ED25519:
        openssl("pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", file, "-out", out)
    else:
        openssl("dgst", *how, "-sign", private, "-out", out, file)
    signature = out.read_bytes()
    for form in (signature, signature.hex().encode() + b"\n", base64.encodebytes(signature)):
        found = checked(IMAGE, public, form)
        assert found.startswith(f"{name} by key ")
    (tmp_path / "other").mkdir()
    _, other = keys(tmp_path / "other", *kind)
    for data, key, given in (
        (IMAGE[:-1] + b"x", public, signature),
        (IMAGE, other, signature),
        (IMAGE, public, signature[:-1]),
        (IMAGE, public, bytes(len(signature))),
    ):
        with pytest.raises(CommandError, match="not of this key over this file"):
            checked(data, key, given)


@needs_openssl
def test_two_numbers_of_a_curve_and_a_certificate(tmp_path: Path) -> None:
    """As devices and secure elements give it: r and s, 32 octets each."""
    private, _ = keys(tmp_path, *P256)
    certificate = openssl("req", "-x509", "-key", private, "-subj", "/CN=Acme", "-days", "1")
    (tmp_path / "image").write_bytes(IMAGE)
    der = openssl("dgst", "-sha256", "-sign", private, tmp_path / "image")
    lines = openssl_asn1(tmp_path, der)
    raw = b"".join(number.rjust(32, b"\0") for number in lines)
    assert checked(IMAGE, certificate, raw) == checked(IMAGE, certificate, der)


def openssl_asn1(folder: Path, der: bytes) -> list[bytes]:
    (folder / "der").write_bytes(der)
    text = openssl("asn1parse", "-inform", "DER", "-in", folder / "der").decode()
    return [bytes.fromhex(line.rpartition(":")[2]) for line in text.splitlines() if "INTEGER" in line]


OTHERS = {
    "rsa-1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "secp256k1": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
    "ed448": ("-algorithm", "ed448"),
}


@needs_openssl
@pytest.mark.parametrize("kind", OTHERS.values(), ids=OTHERS)
def test_keys_of_other_kinds_are_refused(tmp_path: Path, kind: tuple[str, ...]) -> None:
    _, public = keys(tmp_path, *kind)
    with pytest.raises(CommandError, match="of a kind that is not checked here"):
        checked(IMAGE, public, b"x")


@pytest.mark.parametrize("pem", [b"", b"not a key", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"])
def test_what_is_no_key(pem: bytes) -> None:
    with pytest.raises(CommandError, match="no public key in PEM"):
        checked(IMAGE, pem, b"x")


@needs_openssl
@pytest.mark.parametrize("signature", [b"", bytes(70_000)], ids=["empty", "huge"])
def test_what_is_no_signature(tmp_path: Path, signature: bytes) -> None:
    _, public = keys(tmp_path, *ED25519)
    with pytest.raises(CommandError, match="empty or too large"):
        checked(IMAGE, public, signature)
