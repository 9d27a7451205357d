"""Signatures: what is signed, that OpenSSL agrees, and that nothing signed can be said otherwise."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.codec import Codec, CodecError
from schemas.records import AuditEntry, CommandRequest, Operation, Target
from schemas.registry import MemoryRegistry
from schemas.signatures import SignatureError, digest, entry_hash, public_key, read, signed, verify

CODEC = Codec(MemoryRegistry())
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_key(KEY)
REQUEST = CommandRequest(
    id="c1",
    target=Target(meters=("m1", "m2")),
    operation=Operation.LIMIT,
    parameters={"b": "1", "a": "2"},
    requested_by="alice",
    environment="prod",
)
VALUE = signed(CODEC, REQUEST, "prod", KEY)


def check(value: bytes) -> None:
    read(CODEC, value, CommandRequest)
    verify(CODEC, value, "prod", PUBLIC)


def message(value: bytes, environment: bytes) -> bytes:
    """What is signed, put together by hand: the value with the 64 octets and the length before them replaced by one 0."""
    signature = CODEC.decode(value).signature  # type: ignore[union-attr]  # a CommandRequest
    at = value.index(b"\x80\x01" + signature)
    bare = value[:at] + b"\0" + value[at + 66 :]
    return b"hes-signature-1\0" + len(environment).to_bytes(2, "big") + environment + bare


def test_what_was_signed_verifies_and_says_the_same() -> None:
    verify(CODEC, VALUE, "prod", PUBLIC)
    found = read(CODEC, VALUE, CommandRequest)
    assert replace(found, signature=b"") == REQUEST
    assert digest(VALUE) == hashlib.sha256(VALUE).digest()


def test_openssl_verifies_it_too(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(pem)
    (tmp_path / "message").write_bytes(message(VALUE, b"prod"))
    (tmp_path / "signature").write_bytes(read(CODEC, VALUE, CommandRequest).signature)
    files = ["-inkey", "public.pem", "-in", "message", "-sigfile", "signature"]
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")


@pytest.mark.parametrize("environment", ["", "test", "prod ", "prodx"])
def test_another_environment_is_another_signature(environment: str) -> None:
    with pytest.raises(SignatureError, match="environment") as error:
        verify(CODEC, VALUE, environment, PUBLIC)
    assert error.value.code == "signature-invalid"


@pytest.mark.parametrize("at", range(len(VALUE)))
def test_no_bit_can_be_changed(at: int) -> None:
    for bit in range(8):
        changed = bytearray(VALUE)
        changed[at] ^= 1 << bit
        with pytest.raises((SignatureError, CodecError)):
            check(bytes(changed))


def test_another_form_of_the_same_statement_is_refused() -> None:
    """Avro lets an array come in several blocks, and a number with leading zeros: then there would be two digests of one."""
    at = VALUE.index(b"\x04\x04m1\x04m2\x00")
    blocks = VALUE[:at] + b"\x02\x04m1\x02\x04m2\x00" + VALUE[at + 8 :]
    padded = VALUE[:at] + b"\x84\x00\x04m1\x04m2\x00" + VALUE[at + 8 :]
    for value in (blocks, padded):
        assert CODEC.decode(value) == CODEC.decode(VALUE)
        with pytest.raises(SignatureError) as error:
            read(CODEC, value, CommandRequest)
        assert error.value.code == "signature-form"


def test_the_order_of_parameters_is_signed_as_it_came() -> None:
    other = signed(CODEC, replace(REQUEST, parameters={"a": "2", "b": "1"}), "prod", KEY)
    assert other != VALUE
    verify(CODEC, other, "prod", PUBLIC)


def test_unsigned_and_no_key() -> None:
    with pytest.raises(SignatureError) as error:
        verify(CODEC, CODEC.encode(REQUEST), "prod", PUBLIC)
    assert error.value.code == "unsigned"
    with pytest.raises(SignatureError) as error:
        verify(CODEC, VALUE, "prod", b"short")
    assert error.value.code == "signature-form"


def test_an_audit_entry_hashes_as_written_down() -> None:
    """The form that `entry_hash` documents, put together by hand."""
    entry = AuditEntry("i", 7, 1_800_000_000_000, "bob", "act", "c1", "é", bytes(32), b"x", "code", b"\x01\x02")
    fields = [b"i", b"7", b"1800000000000", b"bob", b"act", b"c1", "é".encode(), bytes(32), b"code", b"\x01\x02"]
    octets = b"hes-audit-1\0" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    assert entry_hash(entry) == hashlib.sha256(octets).digest()
    assert base64.b64encode(entry_hash(replace(entry, hash=b"other"))) == base64.b64encode(entry_hash(entry))
