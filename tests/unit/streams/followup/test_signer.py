"""The key of follow-up, and what becomes of a wrong clock with it and without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from schemas.records import Alarm, CommandRequest, Operation, Register, RegisterReadings
from schemas.signatures import SignatureError, public_key, verify
from streams.followup.clock import drift_of
from streams.followup.policy_file import load_policy
from streams.followup.service import Clerk
from streams.followup.signer import signing_key
from streams.runtime.errors import FatalError
from streams.runtime.settings import Followup, Settings
from tests.unit.streams.fakes import CODEC, fake_runtime
from tests.unit.streams.followup.world import NOW, STANDARD, street

KEY = Ed25519PrivateKey.generate()
PLAIN = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
OTHER = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_no_key_file_is_no_key() -> None:
    assert signing_key(Followup()) is None


@pytest.mark.parametrize(("pem", "secret"), [(PLAIN, ""), (LOCKED, "open sesame")], ids=["plain", "passphrase"])
def test_a_key_is_read(pem: bytes, secret: str, tmp_path: Path) -> None:
    found = signing_key(_settings(tmp_path, pem, 0o600, secret))
    assert found is not None
    assert public_key(found) == public_key(KEY)


@pytest.mark.parametrize(
    ("pem", "mode", "secret", "says"),
    [
        pytest.param(PLAIN, 0o644, "", "chmod 600", id="everybody may read it"),
        pytest.param(b"nonsense", 0o600, "", "is no PEM", id="no pem"),
        pytest.param(LOCKED, 0o600, "close sesame", "key_passphrase is another", id="wrong passphrase"),
        pytest.param(LOCKED, 0o600, "", "key_passphrase is another", id="no passphrase"),
        pytest.param(OTHER, 0o600, "", "no Ed25519 key", id="another kind of key"),
    ],
)
def test_a_key_that_is_refused(pem: bytes, mode: int, secret: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=says) as refused:
        signing_key(_settings(tmp_path, pem, mode, secret))
    assert "sesame" not in str(refused.value)


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"followup\.key_file"):
        signing_key(Followup(key_file=str(tmp_path / "none.pem")))


def _settings(folder: Path, pem: bytes, mode: int, secret: str) -> Followup:
    file = folder / "key.pem"
    file.write_bytes(pem)
    file.chmod(mode)
    return Followup(key_file=str(file), key_passphrase=SecretStr(secret))


def _wrong_clock(drift_ms: int, key: Ed25519PrivateKey | None) -> tuple[Clerk, str, object]:
    runtime, _, _ = fake_runtime("followup")
    clerk = Clerk(replace(runtime, settings=Settings(environment="test")), key, load_policy().clocks)
    reading = RegisterReadings(
        meter_id="m00",
        captured_at=NOW + drift_ms,
        meter_time_given=True,
        registers=(Register(obis="0.0.1.0.0.255", value=""),),
        read_at=NOW,
    )
    drift, place = drift_of(reading, STANDARD.clocks, STANDARD.fresh_ms, NOW), street().get("m00")
    assert drift is not None
    assert place is not None
    ((topic, _, record),) = clerk.outputs(reading, place, drift)
    return clerk, topic, record


def test_with_a_key_a_signed_request_sets_the_clock_the_same_each_time() -> None:
    clerk, topic, record = _wrong_clock(120_000, KEY)
    assert topic == "hes.commands"
    assert isinstance(record, CommandRequest)
    assert (record.operation, record.requested_by, record.requested_at) == (Operation.SET_CLOCK, "hes-followup", NOW)
    assert clerk.value(record) == clerk.value(record)
    verify(CODEC, clerk.value(record), "test", public_key(KEY))
    with pytest.raises(SignatureError):
        verify(CODEC, clerk.value(record), "elsewhere", public_key(KEY))


@pytest.mark.parametrize(
    ("drift_ms", "key", "code", "says"),
    [
        pytest.param(120_000, None, "clock-drift", "followup.key_file", id="no key"),
        pytest.param(3_600_000, KEY, "clock-far", "find out why", id="too far"),
    ],
)
def test_an_alarm_where_a_person_has_to_look(drift_ms: int, key: Ed25519PrivateKey | None, code: str, says: str) -> None:
    _, topic, record = _wrong_clock(drift_ms, key)
    assert topic == "hes.events.urgent"
    assert isinstance(record, Alarm)
    assert (record.code, record.meter_id, record.transformer) == (code, "m00", "T0")
    assert says in record.detail
