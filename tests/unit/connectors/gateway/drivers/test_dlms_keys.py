"""ROTATE_KEY, and visits while a change of keys is in doubt: each point at which a process can die, and each thing that a
meter can do. After every one of them the meter is read, by keys that the store has, under counters that were never used.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.errors import JobError
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.reservations import LAST, Key
from connectors.protocols.dlms.meter_keys import mark
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState
from connectors.protocols.dlms.template import PullTemplate
from tests.unit.connectors.gateway.builders import AK, EK
from tests.unit.connectors.gateway.drivers import keyed_world
from tests.unit.connectors.gateway.drivers.keyed_meter import KEK, KeyedMeter
from tests.unit.connectors.gateway.drivers.keyed_world import HELD, METER, Deed, DiedError, World, agree, die

world, used = keyed_world.world, keyed_world.used  # the fixtures
OTHER = bytes(range(0x70, 0x80))


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        pytest.param({}, (0, 2), id="what-the-template-uses"),
        pytest.param({"keys": "both", "bits": "128"}, (0, 2), id="both"),
        pytest.param({"keys": "ak"}, (2,), id="ak"),
        pytest.param({"keys": "ek"}, (0,), id="ek"),
    ],
)
def test_new_keys_are_proven_and_hold(world: World, given: dict[str, str], kinds: tuple[int, ...]) -> None:
    world.meter.resets = given != {}  # there are meters that go on counting under a new key
    world.read()
    deed = Deed()
    found = world.rotate(deed, **given)
    assert world.meter.transfers == [kinds]
    assert agree(world)
    assert world.meter.keys != (EK, AK)
    assert (world.state, world.held.kek, world.held.meter) == (None, KEK, "m1")
    assert deed.sure
    assert found.before == deed.before != found.after
    if "keys" not in given or "ek" in found.before.split():
        assert found.before.startswith(f"ek {mark(EK)}")
        assert found.after.startswith(f"ek {mark(world.meter.secure.ek)}")
    world.read()
    assert not world.alarms


def test_one_change_after_another(world: World) -> None:
    before = {world.meter.keys}
    for _ in range(3):
        world.rotate()
        world.read()
        assert agree(world)
        before.add(world.meter.keys)
    assert len(before) == 4
    refs = {record.key_ref for record in world.ledger.written}
    assert refs == {"ref", *(f"ref#{mark(ek)}" for ek, _ in before if ek != EK)}


POINTS: dict[str, tuple[str, KeyState | None, bool]] = {
    # where: the change's state in the store, and whether the meter has the new keys
    "proposed": ("store", KeyState.PENDING, False),
    "intended": ("deed", KeyState.PENDING, False),
    "before send": ("store", KeyState.PENDING, False),
    "after send": ("store", KeyState.SENT, False),
    "about to send": ("deed", KeyState.SENT, False),
    "sent": ("meter", KeyState.SENT, False),
    "taken": ("meter", KeyState.SENT, True),
    "before accepted": ("store", KeyState.SENT, True),
    "after accepted": ("store", KeyState.WRITTEN, True),
    "before new-works": ("store", KeyState.WRITTEN, True),
    "after new-works": ("store", None, True),
}


@pytest.mark.parametrize("first", ["read", "rotate"])
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies(world: World, point: str, first: str) -> None:
    where, state, taken = POINTS[point]
    deed = Deed(dies=point if where == "deed" else "")
    if where == "meter":
        world.meter.told = lambda: die(world, taken)
    with pytest.raises(DiedError):
        world.rotate(deed, dies=point if where == "store" else "")
    assert (world.state, world.meter.keys != (EK, AK)) == (state, taken)
    deed.dies, world.meter.told = "", lambda: None
    sent = len(world.meter.transfers)

    if first == "read":
        world.read()
    again = world.code(deed)
    assert deed.sure
    if not deed.before or point == "proposed":
        assert again == ""
        assert world.meter.keys != (EK, AK)
    else:
        assert again == ("" if taken else "keys-not-taken")
        assert len(world.meter.transfers) == sent, "it was sent a second time"
        assert world.meter.keys != (EK, AK) or not taken
    assert agree(world)
    assert world.state is (KeyState.RECOVERED if state is KeyState.SENT and not taken else None)
    world.read()

    world.rotate()
    assert agree(world)
    assert (world.state, world.alarms) == (None, [])
    world.read()


# -- what a meter may do ---------------------------------------------------------------------------------------------------


def refusing(world: World) -> None:
    world.meter.refuses = True


def lying(world: World) -> None:
    world.meter.lies = True


def lying_and_silent(world: World) -> None:
    world.meter.lies = world.meter.says_nothing = True


def another_master(world: World) -> None:
    world.meter.kek = OTHER


@pytest.mark.parametrize(
    ("does", "code"),
    [
        pytest.param(refusing, "peer-action", id="refuses"),
        pytest.param(another_master, "peer-action", id="has-another-master-key"),
        pytest.param(lying, "keys-not-taken", id="says-yes-and-does-not"),
        pytest.param(lying_and_silent, "keys-not-taken", id="says-nothing-to-what-it-cannot-decipher"),
    ],
)
def test_a_meter_that_does_not_take_them_is_read_by_the_old_ones(world: World, does: Any, code: str) -> None:
    does(world)
    deed = Deed()
    assert world.code(deed) == code
    assert deed.sure
    assert world.found.after == world.found.before
    assert (world.held, world.state) == (HELD, KeyState.RECOVERED)
    world.read()
    first = world.store().pending("ref")
    world.meter.refuses = world.meter.lies = False
    world.meter.kek = KEK
    world.rotate()
    assert agree(world)
    assert first is not None
    assert world.held.ek == first.keys.ek, "those that the meter may have kept are sent again, and no others"
    world.read()


def test_a_meter_that_has_neither(world: World) -> None:
    world.store().propose("ref", MeterKeys(ek=OTHER))
    world.store().note("ref", KeyEvent.SEND)
    world.meter.secure.ek = bytes(16)
    for _ in range(2):
        with pytest.raises(JobError) as caught:
            world.read()
        assert (caught.value.code, caught.value.alarm, caught.value.retry) == ("keys-lost", True, False)
        assert world.state is KeyState.LOST
    world.meter.secure.ek = EK
    world.read()
    assert world.state is KeyState.RECOVERED


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        pytest.param(JobError("connect-refused", "no", retry=True), "connect-refused", id="refused"),
        pytest.param(OSError("no route"), "", id="a-bug"),
    ],
)
def test_a_network_that_fails_says_nothing_of_keys(world: World, fails: Exception, code: str) -> None:
    world.store().propose("ref", MeterKeys(ek=OTHER))
    world.store().note("ref", KeyEvent.SEND)
    world.network.meters[4059] = fails
    with pytest.raises(type(fails)) as caught:
        world.read()
    assert getattr(caught.value, "code", "") == code
    assert (world.state, len(world.network.connects)) == (KeyState.SENT, 1)


def test_silence_proves_nothing(world: World) -> None:
    world.store().propose("ref", MeterKeys(ek=OTHER))
    world.store().note("ref", KeyEvent.SEND)
    world.meter.says_nothing, world.meter.secure.ek = True, bytes(16)
    with pytest.raises(JobError, match="closed the connection") as caught:
        world.read()
    assert caught.value.code == "connection-lost"
    assert (world.state, len(world.network.connects)) == (KeyState.SENT, 2)


def test_the_new_key_is_tried_on_a_connection_of_its_own_and_costs_the_old_one_nothing(world: World) -> None:
    world.read()
    before = world.ledger.reserved[0]["m1", "ref"]
    world.store().propose("ref", MeterKeys(ek=OTHER))
    world.store().note("ref", KeyEvent.SEND)
    connects = len(world.network.connects)
    world.read()
    assert len(world.network.connects) - connects == 2
    assert world.state is KeyState.RECOVERED
    mine: Key = ("m1", f"ref#{mark(OTHER)}")
    assert world.ledger.reserved[0][mine] > before
    assert world.ledger.reserved[0]["m1", "ref"] == before + 100
    connects = len(world.network.connects)
    world.read()
    assert len(world.network.connects) - connects == 1, "the old one is the likelier by now"


def test_a_meter_that_dialled_in_keeps_its_connection(tmp_path: Path) -> None:

    world = World(tmp_path / "keys", known=replace(METER, endpoint="dial-in"))
    world.rotate()
    assert agree(world)
    assert len(world.network.connects) == 1


def test_a_push_may_tell_the_store_first(world: World) -> None:
    def pushed() -> None:
        world.store().note("ref", KeyEvent.NEW_WORKS)

    world.meter.told = pushed
    found = world.rotate()
    assert agree(world)
    assert found.after.startswith(f"ek {mark(world.meter.secure.ek)}")
    world.meter.told = lambda: None
    world.read()


def test_keys_that_changed_during_the_visit_are_a_reason_to_try_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another gateway proved them, or a person said so."""
    connect = world.network.connect

    async def late(factory: Any, address: Any) -> None:
        world.clock.advance(2.0)
        other = world.store()
        other.propose("ref", MeterKeys(ek=OTHER))
        other.promote("ref")
        world.meter.secure.ek = OTHER
        await connect(factory, address)

    with monkeypatch.context() as changed:
        changed.setattr(world.network, "connect", late)
        with pytest.raises(JobError, match="has changed meanwhile") as caught:
            world.read()
    assert (caught.value.code, caught.value.retry) == ("peer-association-refused", True)
    world.read()


def test_keys_of_suite_2(tmp_path: Path) -> None:
    ek, ak, kek = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
    world = World(tmp_path / "keys", KeyedMeter(ek=ek, ak=ak, kek=kek, suite=2), pull=SUITE_2)
    world.store().put_many({"ref": MeterKeys(ek, ak, kek=kek)})
    world.rotate(bits="256")
    assert agree(world)
    assert len(world.meter.secure.ek) == 32
    world.read()


SUITE_2 = PullTemplate(client=1, auth="hls-gmac", security="both", suite=2)


# -- counters --------------------------------------------------------------------------------------------------------------


def test_a_new_key_begins_anew_where_the_old_ones_counters_run_out(world: World) -> None:
    world.ledger.reserved[0] = {("m1", "ref"): LAST // 2 + 50}
    world.rotate()
    mine: Key = ("m1", f"ref#{mark(world.meter.secure.ek)}")
    assert world.ledger.reserved[0][mine] == 100
    world.read()


def test_no_key_is_in_anything_that_leaves(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    found = world.rotate()
    world.meter.lies = True
    assert world.code() == "keys-not-taken"
    shown = "".join(capfd.readouterr()) + repr((found, world.found, world.ledger.written, world.store().pending("ref")))
    pending = world.store().pending("ref")
    assert pending is not None
    for keys in (world.held, pending.keys, HELD):
        for octets in (keys.ek, keys.ak, keys.kek):
            assert octets is not None
            assert octets.hex() not in shown.lower()
            assert repr(octets)[2:-1] not in shown
