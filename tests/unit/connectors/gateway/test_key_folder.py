"""The key store as a folder of files, as Kubernetes mounts a Secret and a Vault agent renders one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.access import access_of, trials_of
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import FolderKeyStore, KeyChanges, MeterKeys
from connectors.protocols.dlms.signing import private_key
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import Meter
from streams.runtime.clock import ManualClock

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
OURS = b"HES\0\0\0\0\1"


def entry(folder: Path, ref: str, **fields: Any) -> None:
    (folder / ref).write_text(json.dumps(fields))


def mounted(folder: Path, version: str, files: dict[str, dict[str, Any]]) -> None:
    """As the kubelet does it: a new folder, the link `..data` turned to it in one step, and a link for each file."""
    there = folder / f"..{version}"
    there.mkdir(parents=True)
    for ref, fields in files.items():
        entry(there, ref, **fields)
        if not (folder / ref).is_symlink():
            (folder / ref).symlink_to(Path("..data") / ref)
    turned = folder / "..data_tmp"
    turned.symlink_to(there.name)
    turned.replace(folder / "..data")


def test_fields(tmp_path: Path) -> None:
    number = bytes(31) + b"\7"
    entry(tmp_path, "m1", ek=EK, ak=AK, password="Passw0rd", signing=number.hex(), meter="m1")
    assert FolderKeyStore(tmp_path).get("m1") == MeterKeys(
        bytes.fromhex(EK), bytes.fromhex(AK), b"Passw0rd", signing=number, meter="m1"
    )
    private_key(number, 1)


@pytest.mark.parametrize("ref", ["m2", "", "..", "../m1", ".hidden", "a/b", "m1\0", "x" * 300, "..data"])
def test_references_that_no_file_can_have(tmp_path: Path, ref: str) -> None:
    (tmp_path / "keys").mkdir()
    entry(tmp_path, "m1", ek=EK)
    entry(tmp_path / "keys", ".hidden", ek=EK)
    assert FolderKeyStore(tmp_path / "keys").get(ref) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("ek=00", "no JSON object", id="no-json"),
        pytest.param('["' + EK + '"]', "no JSON object", id="a-list"),
        pytest.param("[" * 100_000, "no JSON object|more than", id="nested"),
        pytest.param(" " * 70_000, "more than 65536 octets", id="huge"),
        pytest.param('{"key": "' + EK + '"}', "a field that is none: there are password, meter, ek", id="unknown-field"),
        pytest.param('{"' + EK + '": "1"}', "a field that is none", id="a-key-as-a-field"),
        pytest.param('{"ek": 5}', "ek must be text", id="a-number"),
        pytest.param('{"ek": "' + EK + '0"}', "ek is not hex", id="odd"),
        pytest.param('{"signing": "' + EK + '"}', "signing is no private key", id="no-private-key"),
    ],
)
def test_files_that_are_not_right(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "m1").write_text(content)
    with pytest.raises(KeyStoreError, match=says) as caught:
        FolderKeyStore(tmp_path).get("m1")
    assert EK not in str(caught.value)
    with pytest.raises(JobError) as told:
        access_of(Meter(id="m1", key_ref="m1"), PullTemplate(auth="hls-gmac"), FolderKeyStore(tmp_path), OURS)
    assert told.value.code == "key-missing"


def test_a_secret_that_is_changed_in_the_cluster(tmp_path: Path) -> None:
    clock = ManualClock()
    mounted(tmp_path, "1", {"m1": {"ek": EK, "ak": AK}})
    store = FolderKeyStore(tmp_path, clock)
    assert store.get("m1") == MeterKeys(bytes.fromhex(EK), bytes.fromhex(AK))
    clock.advance(1.0)
    assert not store.refresh()
    mounted(tmp_path, "2", {"m1": {"ek": AK, "ak": EK}, "m2": {"ek": EK}})
    assert not store.refresh()  # once a second
    clock.advance(1.0)
    assert store.refresh()
    assert store.get("m1") == MeterKeys(bytes.fromhex(AK), bytes.fromhex(EK))
    assert store.get("m2") == MeterKeys(bytes.fromhex(EK))
    clock.advance(1.0)
    assert not store.refresh()


def test_a_file_that_a_vault_agent_renders_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    store = FolderKeyStore(tmp_path, clock)
    assert store.get("m1") is None
    clock.advance(1.0)
    (tmp_path / ".m1.tmp").write_text(json.dumps({"ek": EK}))
    (tmp_path / ".m1.tmp").replace(tmp_path / "m1")
    assert store.refresh()
    assert store.get("m1") == MeterKeys(bytes.fromhex(EK))


def test_nothing_is_written_there(tmp_path: Path) -> None:
    entry(tmp_path, "m1", ek=EK, ak=AK)
    store = FolderKeyStore(tmp_path)
    assert not isinstance(store, KeyChanges)
    meter = Meter(id="m1", key_ref="m1")
    assert [trial.which for trial in trials_of(meter, PullTemplate(auth="hls-gmac"), store, OURS)] == ["old"]
    assert str(tmp_path) in repr(store)
    assert EK not in repr(store)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "m1").mkdir()
    with pytest.raises(KeyStoreError, match="cannot be read"):
        FolderKeyStore(tmp_path).get("m1")
