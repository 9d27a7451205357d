"""ROTATE_KEY: what is not sent, what cannot be asked, and master keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.gateway.drivers.dlms import DlmsDriver, DlmsTools
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import FolderKeyStore, KeyStore, MeterKeys
from connectors.protocols.dlms.meter_keys import mark
from connectors.protocols.dlms.objects.security_setup import KeyState
from connectors.protocols.dlms.template import PullTemplate, Template
from tests.unit.connectors.gateway.builders import AK, EK, FakeKeys, pipeline
from tests.unit.connectors.gateway.drivers import keyed_world
from tests.unit.connectors.gateway.drivers.keyed_meter import KEK
from tests.unit.connectors.gateway.drivers.keyed_world import (
    GMAC,
    HELD,
    METER,
    OURS,
    Deed,
    DiedError,
    World,
    agree,
    die,
    rotation,
)

world, used = keyed_world.world, keyed_world.used  # the fixtures


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        pytest.param(Deed(refuses="frozen"), "frozen", id="frozen-meanwhile"),
        pytest.param(Deed(late=True), "command-too-late", id="paused"),
    ],
)
def test_what_may_not_be_sent_leaves_no_change_behind(world: World, deed: Deed, code: str) -> None:
    assert world.code(deed) == code
    assert (world.meter.transfers, world.state, world.held) == ([], None, HELD)


def test_where_the_store_cannot_keep_it_nothing_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise KeyStoreError("no space left")

    monkeypatch.setattr("connectors.gateway.key_file.FileKeyStore._write", full)
    deed = Deed()
    assert world.code(deed) == "key-store-failed"
    assert (world.meter.transfers, deed.intended) == ([], False)


@pytest.mark.parametrize(
    ("parameters", "code", "says"),
    [
        pytest.param({"keys": "gak"}, "object-invalid", "not gak", id="no-key-of-that-name"),
        pytest.param({"keys": "signing"}, "operation-unsupported", "key pairs", id="key-pair"),
        pytest.param({"keys": "ek,kek"}, "object-invalid", "by itself", id="the-master-key-with-others"),
        pytest.param({"bits": "256"}, "object-invalid", "128 bits", id="bits-of-another-suite"),
        pytest.param({"key": "x"}, "object-invalid", "keys and bits", id="parameter"),
    ],
)
def test_what_cannot_be_asked(world: World, parameters: dict[str, str], code: str, says: str) -> None:
    with pytest.raises(JobError, match=says) as caught:
        world.rotate(None, "", **parameters)
    assert (caught.value.code, world.network.connects) == (code, [])


@pytest.mark.parametrize(
    ("pull", "parameters"),
    [
        pytest.param(PullTemplate(auth="low"), {}, id="no-key-at-all"),
        pytest.param(PullTemplate(auth="low", security="encrypted"), {"keys": "ak"}, id="no-authentication"),
    ],
)
def test_a_key_that_no_association_shows_is_not_changed(
    world: World, pull: PullTemplate, parameters: dict[str, str]
) -> None:
    world.pull = pull
    with pytest.raises(JobError, match="nothing would prove") as caught:
        world.rotate(None, "", **parameters)
    assert caught.value.code == "object-invalid"


@pytest.mark.parametrize(
    ("store", "code"),
    [
        pytest.param("folder", "key-store-read-only", id="a-folder"),
        pytest.param("fake", "key-store-read-only", id="one-that-keeps-no-changes"),
        pytest.param("no-kek", "key-missing", id="no-master-key"),
    ],
)
def test_a_store_that_cannot_change_keys(world: World, tmp_path: Path, store: str, code: str) -> None:
    (tmp_path / "folder").mkdir()
    stores: dict[str, KeyStore] = {
        "folder": FolderKeyStore(tmp_path / "folder"), "fake": FakeKeys({"ref": HELD}), "no-kek": world.store()
    }  # fmt: skip
    if store == "no-kek":
        world.path.unlink()
        made = world.store()
        made.put_many({"ref": MeterKeys(EK, AK)})
        stores[store] = made
    tools = DlmsTools(world.clock, OURS, stores[store], {"t": Template("t", pull=GMAC)}, pipeline(), None)  # type: ignore[arg-type]  # nobody counts
    with pytest.raises(JobError, match=r"nothing was sent|columns kek") as caught:
        DlmsDriver(tools).order(rotation(), METER)
    assert caught.value.code == code


def test_a_new_master_key_is_proven_by_itself(world: World) -> None:
    found = world.rotate(keys="kek")
    assert world.meter.transfers == [(3,), (3,)]
    assert agree(world)
    assert world.meter.kek != KEK
    assert (world.state, found.before) == (None, f"kek {mark(KEK)}")
    world.read()
    world.rotate()
    assert agree(world)


def test_a_meter_that_refuses_a_master_key(world: World) -> None:
    world.meter.refuses = True
    assert world.code(keys="kek") == "peer-action"
    assert (world.state, world.held) == (None, HELD)


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "lost-on-the-way"])
@pytest.mark.parametrize("next_is", ["the-same-command", "another"])
def test_a_master_key_in_doubt(world: World, taken: bool, next_is: str) -> None:
    deed = Deed()
    world.meter.told = lambda: die(world, taken)
    with pytest.raises(DiedError):
        world.rotate(deed, keys="kek")
    world.meter.told = lambda: None
    world.read()
    assert str(world.state) == str(KeyState.SENT), "an association says nothing of it"
    if next_is == "another":
        deed = Deed()
        assert world.code(deed, keys="ek") == "keys-changing"
        deed = Deed()
    assert world.code(deed, keys="kek") == ("" if taken or next_is == "another" else "keys-not-taken")
    assert deed.sure
    assert agree(world)
    assert world.state is (None if taken or next_is == "another" else KeyState.RECOVERED)
    world.rotate(keys="kek")
    assert agree(world)
    world.rotate()
    assert agree(world)
