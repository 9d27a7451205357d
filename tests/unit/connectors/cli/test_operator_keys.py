"""Operators' keys: files that only their owner reads, the keyring, passphrases; and records from JSON."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.json_records import read_record
from connectors.cli.operator_keys import KeyFiles, SystemKeys, key_place, new_key, private_key, public_key_of, read_key_file
from connectors.cli.signing import Person
from schemas.records import Control, ControlKind, Operation, Target
from schemas.signatures import public_key


def test_a_key_file_is_its_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.umask(0); from pathlib import Path; from connectors.cli.operator_keys import *; "
        "KeyFiles(Path(sys.argv[1]) / 'keys').write('alice', new_key()[0])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    file = tmp_path / "keys" / "alice.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    private_key(KeyFiles(tmp_path / "keys").read("alice"), "alice")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644, 0o620])
def test_one_that_others_can_reach_is_refused_by_name(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "alice.key"
    file.write_bytes(new_key()[0])
    file.chmod(mode)
    with pytest.raises(CommandError, match=f"alice.key can be read by others .its mode is {mode:04o}") as error:
        read_key_file(file)
    assert error.value.mend.startswith(f"chmod 600 {file}")


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    place = KeyFiles(tmp_path)
    pem, _ = new_key()
    place.write("alice", pem)
    with pytest.raises(CommandError, match="has a key already"):
        place.write("alice", new_key()[0])
    assert place.read("alice") == pem


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "a\nb", "x" * 101])
def test_what_is_no_name_reaches_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="no name"):
        KeyFiles(tmp_path).read(name)


def test_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    pem, public = new_key("correct horse")
    assert b"ENCRYPTED" in pem
    assert public_key(private_key(pem, "alice", lambda _: "correct horse")) == public
    monkeypatch.setenv("HES_KEY_PASSPHRASE", "wrong battery")
    with pytest.raises(CommandError) as error:
        private_key(pem, "alice")
    assert "wrong battery" not in f"{error.value} {error.value.mend}"
    for junk in (b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(CommandError, match="cannot be read"):
            private_key(junk, "alice")


def test_nobody_s_key_is_in_a_repr() -> None:
    pem, _ = new_key()
    assert repr(Person("alice", private_key(pem, "alice"))) == "Person('alice')"


class Ring:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, text: str) -> None:
        self.kept[service, name] = text


def test_the_system_s_keyring() -> None:
    ring = Ring()
    place = SystemKeys(ring)
    pem, _ = new_key()
    assert "hes-operator-keys/alice" in place.write("alice", pem)
    assert place.read("alice") == pem
    with pytest.raises(CommandError, match="already"):
        place.write("alice", pem)
    with pytest.raises(CommandError, match="no key of bob"):
        place.read("bob")


def test_where_keys_are_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(key_place(tmp_path), KeyFiles)
    monkeypatch.setenv("HES_OPERATOR_KEYS", "pockets")
    with pytest.raises(CommandError, match="pockets"):
        key_place(tmp_path)
    monkeypatch.setenv("HES_OPERATOR_KEYS", "keyring")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CommandError, match="keyring"):
        key_place(tmp_path)


def test_public_keys_as_hex_or_file(tmp_path: Path) -> None:
    pem, public = new_key()
    (tmp_path / "hex").write_text(public.hex() + "\n")
    made = subprocess.run(["openssl", "pkey", "-pubout"], input=pem, capture_output=True, check=True).stdout
    (tmp_path / "pem").write_bytes(made)
    for text in (public.hex(), str(tmp_path / "hex"), str(tmp_path / "pem")):
        assert public_key_of(text) == public
    for text in ("", "abcd", "x" * 5_000, str(tmp_path)):
        with pytest.raises(CommandError, match="no Ed25519 public key"):
            public_key_of(text)


GOOD = """{"record": "Control", "id": "heat", "kind": "HOLD", "target": {"feeders": ["F1"]}, "operations": ["DISCONNECT"],
          "expires": "2026-03-01T12:00:00+01:00", "reason": "heat wave"}"""


def test_a_record_from_json(tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text(GOOD)
    assert read_record(tmp_path / "control.json", ("Control",)) == Control(
        id="heat",
        kind=ControlKind.HOLD,
        target=Target(feeders=("F1",)),
        operations=(Operation.DISCONNECT,),
        expires=1_772_362_800_000,
        reason="heat wave",
    )


BAD: dict[str, tuple[str, str, Any]] = {
    "a misspelt field": ('"reason"', '"raeson"', "Control.raeson is not known"),
    "a misspelt enum": ('"HOLD"', '"HOLT"', "Control.kind is 'HOLT'"),
    "a time without offset": ("+01:00", "", "has no offset"),
    "a signature": ('"reason"', '"signature"', "signature is not known"),
    "a text for a list": ('["F1"]', '"F1"', "is no list"),
    "another record": ('"Control"', '"Meter"', "says that it is a 'Meter'"),
    "no JSON": ("{", "", "is no JSON"),
    "a number for a text": ('"heat wave"', "7", "Control.reason is 7"),
}


@pytest.mark.parametrize(("old", "new", "says"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_json_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "control.json").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CommandError, match=r"Control|control") as error:
        read_record(tmp_path / "control.json", ("Control",))
    assert says in str(error.value)
