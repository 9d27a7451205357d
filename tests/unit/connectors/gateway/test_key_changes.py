"""Changes of a meter's keys, kept beside those that hold, and the whole store under another master key."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway import key_file_format
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import FileKeyStore, KeyChanges, MeterKeys
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.test_keystore import EVERYTHING, KEYS, MASTER, NEW, SECRET


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


# -- changes of keys -----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(path: Path) -> FileKeyStore:
    made = FileKeyStore.open(path, MASTER, ManualClock())
    made.put_many({"m1": EVERYTHING})
    return made


def test_new_keys_lie_beside_those_that_hold_until_they_work(store: FileKeyStore, path: Path) -> None:
    assert isinstance(store, KeyChanges)
    assert store.pending("m1") is None
    proposed = store.propose("m1", NEW)
    assert (proposed.state, proposed.keys.ek, proposed.keys.ak) == (KeyState.PENDING, NEW.ek, EVERYTHING.ak)
    assert store.note("m1", KeyEvent.SEND) is KeyState.SENT
    again = FileKeyStore.open(path, MASTER)  # the process died meanwhile
    assert again.get("m1") == EVERYTHING
    pending = again.pending("m1")
    assert pending is not None
    assert (pending.state, pending.keys.ek) == (KeyState.SENT, NEW.ek)
    assert again.changes() == {"m1": KeyState.SENT}
    assert again.note("m1", KeyEvent.ACCEPTED) is KeyState.WRITTEN
    assert again.note("m1", KeyEvent.NEW_WORKS) is KeyState.ACTIVATED
    held = again.get("m1")
    assert held is not None
    assert (held.ek, held.ak, held.meter) == (NEW.ek, EVERYTHING.ak, "m1")
    assert again.pending("m1") is None


@pytest.mark.parametrize(
    ("events", "state"),
    [
        pytest.param((KeyEvent.SEND, KeyEvent.REFUSED), KeyState.PENDING, id="refused"),
        pytest.param((KeyEvent.SEND, KeyEvent.OLD_WORKS), KeyState.RECOVERED, id="the-old-works"),
        pytest.param((KeyEvent.SEND, KeyEvent.NEITHER_WORKS), KeyState.LOST, id="lost"),
        pytest.param((KeyEvent.SEND, KeyEvent.NEITHER_WORKS, KeyEvent.OLD_WORKS), KeyState.RECOVERED, id="found-again"),
    ],
)
def test_the_old_keys_are_kept(store: FileKeyStore, events: tuple[KeyEvent, ...], state: KeyState) -> None:
    store.propose("m1", NEW)
    for event in events:
        store.note("m1", event)
    pending = store.pending("m1")
    assert pending is not None
    assert pending.state is state
    assert store.get("m1") == EVERYTHING


def test_a_second_change_waits_for_the_first(store: FileKeyStore) -> None:
    store.propose("m1", NEW)
    store.propose("m1", MeterKeys(ek=b"\x09" * 16))
    store.note("m1", KeyEvent.SEND)
    with pytest.raises(KeyStoreError, match="is sent: find out which keys hold"):
        store.propose("m1", NEW)
    with pytest.raises(ValueError, match="cannot have send"):
        store.note("m1", KeyEvent.SEND)


@pytest.mark.parametrize("act", ["promote", "drop"])
def test_a_person_decides(store: FileKeyStore, act: str) -> None:
    store.propose("m1", NEW)
    getattr(store, act)("m1")
    held = store.get("m1")
    assert held is not None
    assert (held.ek, store.pending("m1")) == (NEW.ek if act == "promote" else SECRET, None)


@pytest.mark.parametrize("act", ["note", "promote", "propose"])
def test_there_must_be_something_to_change(store: FileKeyStore, act: str) -> None:
    given: dict[str, tuple[Any, ...]] = {"note": (KeyEvent.SEND,), "propose": (NEW,)}
    with pytest.raises(KeyStoreError, match=r"no change|no keys under"):
        getattr(store, act)("m9", *given.get(act, ()))


# -- another master key --------------------------------------------------------------------------------------------------


def test_a_store_is_sealed_under_another_master_key(store: FileKeyStore, path: Path) -> None:
    store.propose("m1", NEW)
    store.put_many({f"n{number}": KEYS for number in range(20)})
    other = bytes(range(1, 33))
    before = path.read_bytes()
    assert store.rekey(other) == 22
    assert store.get("m1") == EVERYTHING
    again = FileKeyStore.open(path, other)
    assert (len(again), again.get("n7"), again.changes()) == (21, KEYS, {"m1": KeyState.PENDING})
    with pytest.raises(KeyStoreError, match="master key is not the one"):
        FileKeyStore.open(path, MASTER)
    entries = _sealed(before) & _sealed(path.read_bytes())
    assert entries == set()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _sealed(octets: bytes) -> set[bytes]:
    """Sealed entries of a file's octets, as SQLite itself reads them."""
    with closing(sqlite3.connect(":memory:")) as file:
        file.deserialize(octets)
        return {row[0] for row in file.execute("SELECT sealed FROM entries")}


def test_a_gateway_that_has_the_old_master_key_goes_on_with_what_it_has(store: FileKeyStore, path: Path) -> None:
    clock = ManualClock()
    reader = FileKeyStore.open(path, MASTER, clock)
    store.rekey(bytes(range(1, 33)))
    clock.advance(1.0)
    assert not reader.refresh()
    assert reader.get("m1") == EVERYTHING


@pytest.mark.parametrize("at", ["create", "connect", "replace"])
def test_a_store_that_cannot_be_written_anew_is_left_as_it_was(
    store: FileKeyStore, path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise sqlite3.OperationalError("disk I/O error") if at != "replace" else OSError(28, "No space left on device")

    before = path.read_bytes()
    target = "pathlib.Path.replace" if at == "replace" else f"connectors.gateway.key_file.{at}"
    with monkeypatch.context() as broken:
        calls = iter((False, True)) if at == "connect" else iter((True,))
        if at == "connect":
            opened = key_file_format.connect
            broken.setattr(target, lambda *given: fails() if next(calls, True) else opened(*given))
        else:
            broken.setattr(target, fails)
        with pytest.raises(KeyStoreError, match=r"disk I/O|No space left"):
            store.rekey(bytes(range(1, 33)))
    assert path.read_bytes() == before
    assert FileKeyStore.open(path, MASTER).get("m1") == EVERYTHING
    assert [item.name for item in path.parent.iterdir() if item.suffix != ".lock"] == ["keys.json"]


def test_keys_that_were_read_while_they_changed_are_not_kept(store: FileKeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.propose("m1", NEW)
    ask = store._row

    def meanwhile(question: str, ref: str) -> Any:
        row = ask(question, ref)
        monkeypatch.undo()
        store.promote(ref)
        return row

    monkeypatch.setattr(store, "_row", meanwhile)
    store.get("m1")
    held = store.get("m1")
    assert held is not None
    assert held.ek == NEW.ek


# -- an import after a change ---------------------------------------------------------------------------------------------

FACTORY = MeterKeys(EVERYTHING.ek, b"f" * 16, b"other", meter="m1")


def rotated(store: FileKeyStore, *events: KeyEvent) -> None:
    store.propose("m1", NEW)
    for event in (KeyEvent.SEND, *events):
        store.note("m1", event)


@pytest.mark.parametrize("over_made", [False, True])
def test_keys_that_were_made_here_are_replaced_only_by_who_says_so(store: FileKeyStore, path: Path, over_made: bool) -> None:
    rotated(store, KeyEvent.ACCEPTED, KeyEvent.NEW_WORKS)
    again = FileKeyStore.open(path, MASTER)
    assert again.put_many({"m1": FACTORY, "m2": FACTORY}, over_made=over_made) == ({} if over_made else {"m1": ("ek",)})
    held, new = again.get("m1"), again.get("m2")
    assert held is not None
    assert (held.ek == NEW.ek, held.ak, held.password, held.kek) == (not over_made, FACTORY.ak, b"other", EVERYTHING.kek)
    assert new == FACTORY
    assert again.put_many({"m1": FACTORY}) == ({} if over_made else {"m1": ("ek",)})
    assert again.put_many({"m1": held}) == {}
    assert FileKeyStore.open(path, MASTER).get("m1") == held


def test_every_key_that_was_ever_made_here_stays(store: FileKeyStore) -> None:
    rotated(store, KeyEvent.NEW_WORKS)
    store.propose("m1", MeterKeys(kek=b"K" * 16))
    for event in (KeyEvent.SEND, KeyEvent.NEW_WORKS):
        store.note("m1", event)
    assert store.put_many({"m1": EVERYTHING}) == {"m1": ("ek", "kek")}


@pytest.mark.parametrize("over_made", [False, True])
@pytest.mark.parametrize(
    ("events", "kept"),
    [
        pytest.param((), ("ek", "ak", "password"), id="sent"),
        pytest.param((KeyEvent.OLD_WORKS,), ("ek", "ak", "password"), id="recovered"),
        pytest.param((KeyEvent.NEITHER_WORKS,), (), id="lost-so-somebody-says-which"),
    ],
)
def test_while_keys_are_changed_none_is_replaced(
    store: FileKeyStore, events: tuple[KeyEvent, ...], kept: tuple[str, ...], over_made: bool
) -> None:
    rotated(store, *events)
    file = MeterKeys(b"F" * 16, b"f" * 16, b"other", meter="m1")
    assert store.put_many({"m1": file}, over_made=over_made) == ({"m1": kept} if kept else {})
    held = store.get("m1")
    assert held == (EVERYTHING if kept else file.over(EVERYTHING))


def test_a_key_that_was_made_here_is_known_as_such_under_another_master_key(store: FileKeyStore) -> None:
    rotated(store, KeyEvent.NEW_WORKS)
    store.rekey(bytes(32))
    assert store.put_many({"m1": FACTORY}) == {"m1": ("ek",)}
