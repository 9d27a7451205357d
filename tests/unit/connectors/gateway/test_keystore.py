from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import FileKeyStore, MeterKeys, NoKeys, create_master_key, master_key, open_key_store
from streams.runtime.clock import ManualClock
from streams.runtime.settings import Gateway

MASTER = bytes(range(32))
SECRET = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
KEYS = MeterKeys(ek=SECRET, ak=b"\x01" * 16, password=b"12345678")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(KEYS, id="all"),
        pytest.param(MeterKeys(password=b""), id="empty-password-is-not-none"),
        pytest.param(MeterKeys(ek=SECRET), id="encryption-key-only"),
        pytest.param(MeterKeys(), id="nothing"),
    ],
)
def test_what_is_put_is_there_after_opening_again(path: Path, keys: MeterKeys) -> None:
    FileKeyStore.open(path, MASTER).put_many({"m1": keys})
    assert FileKeyStore.open(path, MASTER).get("m1") == keys


def test_the_file_shows_no_secret_and_only_its_owner_may_read_it(path: Path) -> None:
    FileKeyStore.open(path, MASTER).put_many({"m1": KEYS})
    written = path.read_bytes()
    for secret in (SECRET, b"12345678"):
        assert secret not in written
        assert secret.hex().encode() not in written.lower()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir() if item.suffix != ".lock"] == ["keys.json"]


@pytest.mark.parametrize("shown", [repr(KEYS), str(KEYS), f"{[KEYS]}"])
def test_a_repr_shows_nothing(shown: str) -> None:
    assert shown.strip("[]") == "MeterKeys()"


def test_entries_are_added_to_those_of_others(path: Path) -> None:
    first, second = FileKeyStore.open(path, MASTER), FileKeyStore.open(path, MASTER)
    first.put_many({"m1": KEYS})
    second.put_many({"m2": KEYS})
    assert sorted(ref for ref in ("m1", "m2") if ref in FileKeyStore.open(path, MASTER)) == ["m1", "m2"]
    assert "SECRET" not in repr(second)
    assert len(second) == 2


def test_a_miss_finds_what_was_written_since_at_most_once_a_second(path: Path) -> None:
    clock = ManualClock()
    reader, writer = FileKeyStore.open(path, MASTER, clock), FileKeyStore.open(path, MASTER)
    assert reader.get("m1") is None
    writer.put_many({"m1": KEYS})
    assert reader.get("m1") is None
    clock.advance(1.0)
    assert reader.get("m1") == KEYS


def test_refresh_tells_of_changed_keys(path: Path) -> None:
    clock = ManualClock()
    writer = FileKeyStore.open(path, MASTER)
    writer.put_many({"m1": MeterKeys(ek=b"\0" * 16)})
    reader = FileKeyStore.open(path, MASTER, clock)
    assert not reader.refresh()
    writer.put_many({"m1": KEYS})
    clock.advance(1.0)
    assert reader.refresh()
    assert reader.get("m1") == KEYS


def test_a_broken_file_leaves_a_running_reader_what_it_has(path: Path) -> None:
    clock = ManualClock()
    FileKeyStore.open(path, MASTER).put_many({"m1": KEYS})
    reader = FileKeyStore.open(path, MASTER, clock)
    path.write_text("{")
    clock.advance(1.0)
    assert not reader.refresh()
    assert reader.get("m1") == KEYS


def _exchange(content: dict[str, dict[str, str]]) -> None:
    entries = content["entries"]
    entries["m1"], entries["m2"] = entries["m2"], entries["m1"]


def _shorten(content: dict[str, dict[str, str]]) -> None:
    content["entries"]["m1"] = "AAAA"


@pytest.mark.parametrize("alter", [_exchange, _shorten])
def test_an_altered_entry_is_refused(path: Path, alter: object) -> None:
    FileKeyStore.open(path, MASTER).put_many({"m1": KEYS, "m2": MeterKeys(ek=b"\2" * 16)})
    content = json.loads(path.read_text())
    alter(content)  # type: ignore[operator]  # the two functions above
    path.write_text(json.dumps(content))
    store = FileKeyStore.open(path, MASTER)
    with pytest.raises(KeyStoreError, match="'m1' was altered"):
        store.get("m1")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("{", "cannot be read", id="no-json"),
        pytest.param("[]", "no key store", id="no-object"),
        pytest.param('{"format": "other", "entries": {}}', "no key store", id="another-format"),
        pytest.param('{"format": "hes-keys-1", "entries": {}}', "master key is not the one", id="no-check"),
    ],
)
def test_what_is_no_key_store_is_refused(path: Path, content: str, says: str) -> None:
    path.write_text(content)
    with pytest.raises(KeyStoreError, match=says):
        FileKeyStore.open(path, MASTER)


def test_a_wrong_master_key_is_told_at_once(path: Path) -> None:
    FileKeyStore.open(path, MASTER).put_many({"m1": KEYS})
    with pytest.raises(KeyStoreError, match="master key is not the one"):
        FileKeyStore.open(path, b"\xff" * 32)


def test_a_failed_write_changes_nothing(path: Path) -> None:
    store = FileKeyStore.open(path, MASTER)
    store.put_many({"m1": KEYS})
    with pytest.raises(KeyStoreError, match="empty"):
        store.put_many({"m2": KEYS, "": KEYS})
    assert "m2" not in FileKeyStore.open(path, MASTER)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param(Gateway(), "no master key", id="none"),
        pytest.param(Gateway(master_key=SecretStr("zz")), "not hex", id="no-hex"),
        pytest.param(Gateway(master_key=SecretStr("00" * 16)), "16 octets, 32 are needed", id="short"),
        pytest.param(Gateway(master_key_file="/nowhere/key"), "cannot be read", id="no-file"),
    ],
)
def test_a_master_key_that_is_none_is_refused(settings: Gateway, says: str) -> None:
    with pytest.raises(KeyStoreError, match=says) as caught:
        master_key(settings)
    assert "zz" not in str(caught.value)


def test_a_master_key_is_created_once_and_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "master"
    key = create_master_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert master_key(Gateway(master_key_file=str(file))) == key
    with pytest.raises(KeyStoreError, match="cannot be created"):
        create_master_key(file)


def test_the_settings_decide_which_store(tmp_path: Path) -> None:
    assert isinstance(open_key_store(Gateway()), NoKeys)
    assert NoKeys().get("m1") is None
    given = Gateway(key_file=str(tmp_path / "keys.json"), master_key=SecretStr(MASTER.hex()))
    assert isinstance(open_key_store(given), FileKeyStore)
