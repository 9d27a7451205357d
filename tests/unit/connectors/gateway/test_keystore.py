from __future__ import annotations

import asyncio
import base64
import json
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import (
    FileKeyStore,
    FolderKeyStore,
    MeterKeys,
    NoKeys,
    create_master_key,
    master_key,
    open_key_store,
)
from streams.runtime.clock import ManualClock
from streams.runtime.settings import Gateway

MASTER = bytes(range(32))
SECRET = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
KEYS = MeterKeys(ek=SECRET, ak=b"\x01" * 16, password=b"12345678")
NEW = MeterKeys(ek=b"\x07" * 16)
EVERYTHING = MeterKeys(
    SECRET, b"\1" * 16, b"word", b"\2" * 16, b"\3" * 16, b"\4" * 32, b"\5" * 48, b"\6" * 900, b"\7" * 64, b"\x08" * 96, "m1"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(EVERYTHING, id="all"),
        pytest.param(KEYS, id="symmetric"),
        pytest.param(MeterKeys(meter_agreement=b"\x08" * 64, meter="Zähler 7"), id="the-last-alone"),
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
    broken = path.with_name("broken")
    broken.write_text("{")
    broken.replace(path)
    clock.advance(1.0)
    assert not reader.refresh()
    assert reader.get("m1") == KEYS


EXCHANGED = "UPDATE entries SET sealed = (SELECT sealed FROM entries AS e WHERE e.ref != entries.ref)"
SHORTENED = "UPDATE entries SET sealed = x'0000'"


@pytest.mark.parametrize("statement", [EXCHANGED, SHORTENED], ids=["exchanged", "shortened"])
def test_an_altered_entry_is_refused(path: Path, statement: str) -> None:
    FileKeyStore.open(path, MASTER).put_many({"m1": KEYS, "m2": MeterKeys(ek=b"\2" * 16)})
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(statement)
    store = FileKeyStore.open(path, MASTER)
    with pytest.raises(KeyStoreError, match="'m1' was altered"):
        store.get("m1")


def test_a_key_that_is_proposed_is_no_key_yet(path: Path) -> None:
    """Nor can the file be altered so that it is."""
    store = FileKeyStore.open(path, MASTER)
    store.put_many({"m1": KEYS})
    store.propose("m1", NEW)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE entries SET sealed = (SELECT sealed FROM changes)")
    with pytest.raises(KeyStoreError, match="'m1' was altered"):
        FileKeyStore.open(path, MASTER).get("m1")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("SQLite format 3\0", "cannot be used", id="no-database"),
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
    given = Gateway(key_file=str(tmp_path))
    assert isinstance(open_key_store(given), FolderKeyStore)


# -- imports -------------------------------------------------------------------------------------------------------------


def test_what_an_import_leaves_out_stays(path: Path) -> None:
    store = FileKeyStore.open(path, MASTER)
    store.put_many({"m1": MeterKeys(SECRET, b"\1" * 16, meter="m1")})
    store.put_many({"m1": MeterKeys(meter_signing=b"\2" * 64)})
    assert store.get("m1") == MeterKeys(SECRET, b"\1" * 16, meter_signing=b"\2" * 64, meter="m1")
    assert store.owner("m1") == "m1"
    assert store.owner("m2") == ""


def test_keys_of_one_meter_are_not_given_to_another(path: Path) -> None:
    store = FileKeyStore.open(path, MASTER)
    store.put_many({"ref": MeterKeys(SECRET, meter="m1")})
    with pytest.raises(KeyStoreError, match="those of meter m1, not of m2") as caught:
        store.put_many({"other": KEYS, "ref": MeterKeys(b"\1" * 16, meter="m2")})
    assert SECRET.hex() not in str(caught.value)
    assert "other" not in FileKeyStore.open(path, MASTER)
    assert store.owner("ref") == "m1"


@pytest.mark.parametrize("count", [3, 1_500], ids=["in-place", "by-a-copy"])
def test_a_reader_goes_on_while_another_writes(path: Path, count: int) -> None:
    clock = ManualClock()
    writer = FileKeyStore.open(path, MASTER)
    writer.put_many({"m1": KEYS})
    reader = FileKeyStore.open(path, MASTER, clock)
    before = path.stat().st_ino
    writer.put_many({f"n{number}": NEW for number in range(count)})
    assert (path.stat().st_ino == before) == (count < 1_000)
    assert reader.get("m1") == KEYS
    clock.advance(1.0)
    assert reader.get(f"n{count - 1}") == NEW
    assert len(reader) == count + 1
    assert [item.name for item in path.parent.iterdir() if item.suffix != ".lock"] == ["keys.json"]


def test_threads_share_a_store(path: Path) -> None:
    store = FileKeyStore.open(path, MASTER)
    store.put_many({f"m{number}": KEYS for number in range(50)})
    wrong: list[object] = []

    def read() -> None:
        for number in range(50):
            found = store.get(f"m{number}")
            if found != KEYS:
                wrong.append(found)

    def write() -> None:
        for number in range(10):
            store.put_many({f"n{number}": NEW})

    threads = [threading.Thread(target=work) for work in (read, write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


async def test_opening_reads_no_entry(path: Path) -> None:
    """However many there are: nothing is read but the check, so that no event loop waits for a fleet's keys."""
    FileKeyStore.open(path, MASTER).put_many({f"m{number}": KEYS for number in range(2_000)})
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE entries SET sealed = x'00' WHERE ref != 'm7'")
    store = await asyncio.to_thread(FileKeyStore.open, path, MASTER)
    assert store.get("m7") == KEYS
    assert len(store) == 2_000


# -- the format before ---------------------------------------------------------------------------------------------------


def _sealed_before(ref: str, plain: bytes) -> str:
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(MASTER).encrypt(nonce, plain, ref.encode())).decode()


@pytest.fixture
def before(path: Path) -> Path:
    """As release hes-keys-1 wrote it: three fields by their length, each entry sealed under its name."""
    plain = b"".join((len(value) + 1).to_bytes(2) + value for value in (SECRET, b"\x01" * 16, b"12345678"))
    entries = {"m1": _sealed_before("m1", plain), "m2": _sealed_before("m1", plain)}
    content = {"format": "hes-keys-1", "check": _sealed_before("\0check", b"\0" * 6), "entries": entries}
    path.write_text(json.dumps(content))
    return path


def test_a_file_of_the_format_before_is_read_and_then_is_of_this(before: Path) -> None:
    store = FileKeyStore.open(before, MASTER)
    assert store.get("m1") == KEYS
    with pytest.raises(KeyStoreError, match="'m2' was altered"):
        store.get("m2")
    assert before.read_bytes()[:1] == b"{"
    store.put_many({"m3": NEW})
    assert before.read_bytes()[:6] == b"SQLite"
    again = FileKeyStore.open(before, MASTER)
    assert (again.get("m1"), again.get("m3"), len(again)) == (KEYS, NEW, 3)
    with pytest.raises(KeyStoreError, match="master key is not the one"):
        FileKeyStore.open(before, b"\1" * 32)
