"""Keys as vendors and operators write them, to plain octets; key pairs are gurux' arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from connectors.protocols.dlms.meter_keys import READERS, MeterKeys, mark
from connectors.protocols.dlms.signing import private_key, public_key
from tests.unit.connectors.protocols.dlms.secure_meter import CurvePair

PAIRS = {suite: CurvePair(suite) for suite in (1, 2)}
SUITES = pytest.mark.parametrize("suite", [1, 2])
SECRET_WORD = "5ec4e7-0f-s0me-meter"


def certificate(suite: int) -> x509.Certificate:
    key = private_key(PAIRS[suite].octets, suite)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a meter")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA384())
    )  # fmt: skip


@SUITES
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["pkcs-8", "sec-1"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
def test_private_keys(suite: int, form: PrivateFormat, encoding: Encoding) -> None:
    octets = private_key(PAIRS[suite].octets, suite).private_bytes(encoding, form, NoEncryption())
    text = octets.decode() if encoding is Encoding.PEM else octets.hex()
    assert READERS["signing"](text) == PAIRS[suite].octets
    assert READERS["agreement"](PAIRS[suite].octets.hex(" ")) == PAIRS[suite].octets


@SUITES
def test_public_keys(suite: int) -> None:
    pair, made = PAIRS[suite], certificate(suite)
    key = public_key(pair.point, suite)
    forms = [
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex(),
        made.public_bytes(Encoding.PEM).decode(),
        made.public_bytes(Encoding.DER).hex().upper(),
        pair.point.hex(),
        "04" + pair.point.hex(),
    ]
    assert {READERS["meter_signing"](form) for form in forms} == {pair.point}
    der = made.public_bytes(Encoding.DER)
    assert {READERS["certificate"](text) for text in (made.public_bytes(Encoding.PEM).decode(), der.hex())} == {der}


RSA = rsa.generate_private_key(65537, 2048)
P521 = ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        pytest.param("ek", "0011", "has 2 octets", id="short"),
        pytest.param("kek", SECRET_WORD, "is not hex", id="no-hex"),
        pytest.param("signing", "00" * 32, "no private key", id="zero"),
        pytest.param("signing", "ff" * 48, "no private key", id="above-the-order"),
        pytest.param("signing", SECRET_WORD, "is not hex", id="private-no-hex"),
        pytest.param("signing", f"-----BEGIN PRIVATE KEY-----\n{SECRET_WORD}\n-----END PRIVATE KEY-----", "no private key",
                     id="broken-pem"),
        pytest.param("signing", RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                     "no elliptic curve", id="rsa"),
        pytest.param("signing", P521.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                     "P-256 and P-384", id="p-521"),
        pytest.param("signing", P521.private_bytes(Encoding.PEM, PrivateFormat.PKCS8,
                     serialization.BestAvailableEncryption(b"word")).decode(), "without a passphrase", id="passphrase"),
        pytest.param("meter_signing", "11" * 64, "no point", id="no-point"),
        pytest.param("meter_signing", "00", "no certificate", id="nothing-known"),
        pytest.param("meter_agreement", RSA.public_key().public_bytes(Encoding.PEM,
                     PublicFormat.SubjectPublicKeyInfo).decode(), "no elliptic curve", id="public-rsa"),
        pytest.param("certificate", SECRET_WORD, "is no", id="certificate"),
    ],
)  # fmt: skip
def test_what_is_none_is_told_without_repeating_it(field: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        READERS[field](text)
    assert SECRET_WORD not in str(caught.value)
    assert text not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_one_entry_over_another() -> None:
    under = MeterKeys(b"\1" * 16, b"\2" * 16, b"word", meter="m1")
    over = MeterKeys(b"\3" * 16, signing=b"\4" * 32).over(under)
    assert over == MeterKeys(b"\3" * 16, b"\2" * 16, b"word", signing=b"\4" * 32, meter="m1")
    assert MeterKeys(password=b"").over(under).password == b""
    assert repr(over) == "MeterKeys()"


def test_a_mark_tells_keys_apart_and_shows_none() -> None:
    marks = {mark(bytes((n,)) * 16) for n in range(200)}
    assert len(marks) == 200
    assert mark(bytes(16)) == mark(bytes(16))
    assert {len(one) for one in marks} == {8}
