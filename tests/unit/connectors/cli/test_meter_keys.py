"""`hes meters keys` and what `hes meters import` refuses, as they are typed; no broker."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.cli.commands import meters as command
from connectors.gateway.keystore import FileKeyStore, MeterKeys, read_master_key
from connectors.protocols.dlms.objects.security_setup import KeyEvent
from tests.unit.connectors.cli.typed import Hes, typing

EK = "000102030405060708090A0B0C0D0E0F"
OURS = "4845530000000001"


@pytest.fixture
def hes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hes:
    """Run a command of `hes meters` with a key store in `tmp_path`."""
    for name, value in {
        "HES_HOME": str(tmp_path / "home"),
        "HES_GATEWAY__KEY_FILE": str(tmp_path / "keys"),
        "HES_GATEWAY__MASTER_KEY_FILE": str(tmp_path / "master"),
    }.items():
        monkeypatch.setenv(name, value)
    command.register(typer.Typer())  # puts `keys` on the group
    return partial(typing(lambda app: app.add_typer(command.meters, name="meters"), monkeypatch, capsys), "meters")


def store(tmp_path: Path, master: str = "master") -> FileKeyStore:
    return FileKeyStore.open(tmp_path / "keys", read_master_key(tmp_path / master))


def test_another_master_key(hes: Hes, tmp_path: Path) -> None:
    assert hes("keys", "changes").exit_code == 0  # makes the first
    store(tmp_path).put_many({"m1": MeterKeys(bytes.fromhex(EK))})
    ran = hes("keys", "rekey", "--to", str(tmp_path / "new"))
    assert ran.exit_code == 0, ran.err
    assert ran.rows[0]["entries"] == 1
    assert str(tmp_path / "new") in ran.rows[0]["next"]
    held = store(tmp_path, "new").get("m1")
    assert held is not None
    assert held.ek == bytes.fromhex(EK)
    again = hes("keys", "changes")
    assert again.exit_code == 1
    assert "the master key is not the one it was written with" in again.err


def test_our_own_keys(hes: Hes, tmp_path: Path) -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    file = tmp_path / "ours.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ran = hes("keys", "own", "--signing-key", str(file))
    assert ran.exit_code == 0, ran.err
    assert store(tmp_path).get(OURS) == MeterKeys(signing=bytes(31) + b"\7")
    for arguments, says in (
        ((), "nothing is given"),
        (("--certificate", str(file)), "--certificate"),
        (("--agreement-key", str(tmp_path / "keys")), "cannot read"),
    ):
        wrong = hes("keys", "own", *arguments)
        assert (wrong.exit_code, says in wrong.err) == (2, True)
        assert "BEGIN" not in wrong.err


def test_changes_of_keys(hes: Hes, tmp_path: Path) -> None:
    hes("keys", "changes")
    held, new = MeterKeys(bytes.fromhex(EK), meter="m1"), MeterKeys(bytes(16))
    store(tmp_path).put_many({"m1": held, "m2": held.over(MeterKeys())})
    for ref in ("m1", "m2"):
        store(tmp_path).propose(ref, new)
        store(tmp_path).note(ref, KeyEvent.SEND)
    assert hes("keys", "changes").rows == [{"key_ref": "m1", "state": "sent"}, {"key_ref": "m2", "state": "sent"}]
    assert hes("keys", "promote", "m1").exit_code == 0
    assert hes("keys", "drop", "m2").exit_code == 0
    assert hes("keys", "changes").rows == []
    found = [store(tmp_path).get(ref) for ref in ("m1", "m2")]
    assert [keys.ek if keys else None for keys in found] == [bytes(16), bytes.fromhex(EK)]
    missing = hes("keys", "promote", "m1")
    assert (missing.exit_code, "no change of the keys" in missing.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("m1", "--keys", "gak"), "no key of that name", id="no-such-key"),
        pytest.param(("m1", "--keys", "ek,kek"), "by a command of its own", id="the-master-key-with-another"),
        pytest.param((), "no meter is named", id="no-meter"),
    ],
)
def test_new_keys_that_cannot_be_asked_for(hes: Hes, words: tuple[str, ...], says: str) -> None:
    ran = hes("keys", "rotate", *words, "--reason", "yearly", "--as", "alice")
    assert (ran.exit_code, says in ran.err) == (2, True), ran.err


def test_two_meters_with_one_key_reference_are_refused_at_import(hes: Hes, tmp_path: Path) -> None:
    hes("keys", "changes")
    store(tmp_path).put_many({"old": MeterKeys(bytes.fromhex(EK), meter="m9")})
    file = tmp_path / "shipment.csv"
    file.write_text(f"id,key_ref,ek\nm1,,{EK}\nm2,m1,{EK}\nm3,old,{EK}\nm9,old,{EK}\n")
    ran = hes("import", "--dry-run", str(file))
    assert ran.exit_code == 1
    assert ran.rows == [{"imported": 0, "checked": 2, "wrong": 2, "keys_kept": 0}]
    assert "line 3: key-shared: meter m2 names the key reference 'm1', which is meter m1's" in ran.err
    assert "line 4: key-shared: meter m3 names the key reference 'old', which is meter m9's" in ran.err
    assert EK not in ran.err


def test_keys_that_are_being_changed_are_refused_at_import(hes: Hes, tmp_path: Path) -> None:
    hes("keys", "changes")
    store(tmp_path).put_many({"m1": MeterKeys(bytes.fromhex(EK), meter="m1")})
    store(tmp_path).propose("m1", MeterKeys(bytes(16)))
    store(tmp_path).note("m1", KeyEvent.SEND)
    file = tmp_path / "shipment.csv"
    file.write_text(f"id,ek\nm1,{EK[::-1]}\nm2,{EK}\n")
    ran = hes("import", "--dry-run", str(file))
    assert (ran.exit_code, ran.rows) == (1, [{"imported": 0, "checked": 1, "wrong": 1, "keys_kept": 0}])
    assert "line 2: keys-changing: the keys under 'm1' are being changed (sent)" in ran.err
    assert EK[::-1] not in ran.err


def test_keys_that_the_gateway_made_stay_at_import_until_somebody_says_otherwise(
    hes: Hes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "known_of", lambda *_: ({}, {}))
    monkeypatch.setattr(command, "send_meters", lambda *_: None)
    file = tmp_path / "shipment.csv"
    file.write_text(f"id,ek,ak,password\nm1,{EK},{EK},first\nm2,{EK[::-1]},,\n")
    counts = {"imported": 2, "checked": 2, "wrong": 0, "keys_kept": 0}
    assert hes("import", str(file)).rows == [counts]
    store(tmp_path).propose("m1", MeterKeys(bytes(16)))
    for event in (KeyEvent.SEND, KeyEvent.ACCEPTED, KeyEvent.NEW_WORKS):
        store(tmp_path).note("m1", event)
    file.write_text(file.read_text().replace("first", "second"))
    ran = hes("import", "--dry-run", str(file))
    assert (ran.exit_code, ran.rows) == (0, [counts | {"imported": 0, "keys_kept": 1}])
    for _ in range(2):
        ran = hes("import", str(file))
        assert (ran.exit_code, ran.rows) == (0, [counts | {"keys_kept": 1}])
        assert "m1: ek under 'm1' stay: the gateway has given the meter keys of its own" in ran.err
        assert "--replace-keys" in ran.err
        assert EK not in ran.err
        held = store(tmp_path).get("m1")
        assert held == MeterKeys(bytes(16), bytes.fromhex(EK), b"second", meter="m1")
    assert hes("import", "--dry-run", "--replace-keys", str(file)).rows == [counts | {"imported": 0}]
    for words in (("import", "--replace-keys"), ("import",)):
        ran = hes(*words, str(file))
        assert (ran.exit_code, ran.rows, ran.err) == (0, [counts], "")
        assert store(tmp_path).get("m1") == MeterKeys(bytes.fromhex(EK), bytes.fromhex(EK), b"second", meter="m1")


def test_a_folder_is_filled_by_somebody_else(hes: Hes, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    ran = hes("keys", "changes")
    assert ran.exit_code == 2
    assert "whose files somebody else renders" in ran.err
