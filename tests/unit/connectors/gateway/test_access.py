from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.access import access_of, trials_of
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import FileKeyStore, MeterKeys
from connectors.gateway.reservations import Counting
from connectors.protocols.dlms.hls import Mechanism
from connectors.protocols.dlms.meter_keys import mark
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState
from connectors.protocols.dlms.signing import point, private_key
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import Meter
from tests.unit.connectors.gateway.builders import AK, EK, TITLE, FakeKeys, title

OURS = b"HES\0\0\0\0\1"
SECRET = b"a very secret word"
METER = Meter(id="m1", key_ref="ref", identities=(title(),))
KEYS = FakeKeys({"ref": MeterKeys(EK, AK, SECRET)})
SIGNING, OTHER = bytes(31) + b"\1", bytes(31) + b"\2"
POINT = point(private_key(OTHER, 1).public_key())


def counting() -> Counting:
    return Counting(("m1", "ref"), 1, 8, 100, lambda _: None, heard=41, mark=mark(EK))


@pytest.mark.parametrize(
    ("pull", "mechanism", "password", "policy", "tells"),
    [
        pytest.param(PullTemplate(), None, None, None, False, id="none"),
        pytest.param(PullTemplate(auth="low"), None, SECRET, None, True, id="low"),
        pytest.param(PullTemplate(auth="low", security="both"), None, SECRET, 0x30, True, id="low-ciphered"),
        pytest.param(PullTemplate(auth="hls-md5"), Mechanism.MD5, None, None, False, id="md5"),
        pytest.param(PullTemplate(auth="hls-sha256"), Mechanism.SHA256, None, 0, False, id="sha256-titles"),
        pytest.param(PullTemplate(auth="hls-gmac"), Mechanism.GMAC, None, 0, False, id="gmac-in-clear"),
        pytest.param(PullTemplate(auth="hls-gmac", security="both"), Mechanism.GMAC, None, 0x30, False, id="gmac-ciphered"),
        pytest.param(PullTemplate(auth="hls-gmac", security="encrypted"), Mechanism.GMAC, None, 0x20, False, id="encrypted"),
    ],
)
def test_associations(
    pull: PullTemplate, mechanism: Mechanism | None, password: bytes | None, policy: int | None, tells: bool
) -> None:
    access = access_of(METER, pull, KEYS, OURS)
    made = access.association(counting() if access.counted else None)
    assert (made.password, None if made.hls is None else made.hls.mechanism) == (password, mechanism)
    assert access.tells_secret is tells
    assert access.counted is (pull.security != "none" or pull.auth == "hls-gmac")
    if policy is None:
        assert made.channel is None
    else:
        assert made.channel is not None
        assert (made.channel.policy, made.channel.title, made.channel.peer) == (policy, OURS, TITLE)
        assert made.channel.heard == (41 if access.counted else -1)


@pytest.mark.parametrize(
    ("pull", "keys"),
    [
        pytest.param(PullTemplate(auth="low"), MeterKeys(EK, AK), id="no-password"),
        pytest.param(PullTemplate(auth="hls-gmac"), MeterKeys(EK), id="no-authentication-key"),
        pytest.param(PullTemplate(security="both"), MeterKeys(None, AK), id="no-encryption-key"),
        pytest.param(PullTemplate(security="both", suite=2), MeterKeys(EK, AK), id="keys-of-another-suite"),
        pytest.param(PullTemplate(auth="hls-sha1"), MeterKeys(EK, AK), id="no-secret"),
    ],
)
def test_what_is_missing_is_told_without_a_key_in_it(pull: PullTemplate, keys: MeterKeys) -> None:
    with pytest.raises(JobError) as caught:
        access_of(METER, pull, FakeKeys({"ref": keys}), OURS)
    assert caught.value.code == "key-missing"
    assert EK.hex() not in str(caught.value)


def test_all_that_is_missing_is_told_with_the_columns_that_bring_it() -> None:
    pull = PullTemplate(auth="hls-ecdsa", security="both", suite=1)
    with pytest.raises(JobError) as caught:
        access_of(METER, pull, FakeKeys({"ref": MeterKeys(EK)}), OURS)
    assert caught.value.code == "key-missing"
    for said in ("authentication key (AK)", "signing key of ours", "(columns ak, signing_key, meter_certificate)", "m1"):
        assert said in caught.value.detail


def test_a_template_that_contradicts_itself() -> None:
    with pytest.raises(JobError, match="set suite") as caught:
        access_of(replace(METER, template="odd"), PullTemplate(auth="hls-ecdsa"), KEYS, OURS)
    assert caught.value.code == "template-contradictory"
    assert "'odd'" in caught.value.detail


@pytest.mark.parametrize("auth", ["hls-gmac", "hls-sha256"])
def test_a_meter_under_our_own_system_title(auth: Any) -> None:
    mirror = replace(METER, identities=(title(OURS),))
    with pytest.raises(JobError, match=OURS.hex().upper()) as caught:
        access_of(mirror, PullTemplate(auth=auth), KEYS, OURS)
    assert caught.value.code == "title-shared"
    assert "gateway.system_title" in caught.value.detail
    access_of(mirror, PullTemplate(auth="low"), KEYS, OURS)  # no titles in it


@pytest.mark.parametrize(
    ("own", "of_meter", "expected"),
    [
        pytest.param(SIGNING, None, SIGNING, id="one-for-all-meters"),
        pytest.param(SIGNING, OTHER, OTHER, id="the-meters-entry-first"),
        pytest.param(None, OTHER, OTHER, id="one-for-this-meter"),
    ],
)
def test_our_own_keys(own: bytes | None, of_meter: bytes | None, expected: bytes) -> None:
    store = FakeKeys({
        "ref": MeterKeys(EK, AK, signing=of_meter, meter_signing=POINT),
        OURS.hex().upper(): MeterKeys(bytes(16), bytes(16), signing=own, certificate=b"ours"),
    })  # fmt: skip
    found = access_of(METER, PullTemplate(auth="hls-ecdsa", security="both", suite=1), store, OURS)
    assert found.identity.signing is not None
    assert found.identity.signing.private_numbers().private_value.to_bytes(32, "big") == expected
    assert found.keys is not None
    assert found.keys.ek == EK  # no other key of ours is a meter's
    assert found.certificate == b"ours"


def test_keys_of_another_meter_are_not_used() -> None:
    store = FakeKeys({"ref": MeterKeys(EK, AK, SECRET, meter="m0")})
    for pull in (PullTemplate(auth="hls-gmac"), PullTemplate(auth="low")):
        with pytest.raises(JobError, match="those of meter m0, and meter m1") as caught:
            access_of(METER, pull, store, OURS)
        assert caught.value.code == "key-shared"
    access_of(METER, PullTemplate(), store, OURS)
    access_of(replace(METER, id="m0"), PullTemplate(auth="hls-gmac"), store, OURS)


NEW = MeterKeys(bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40)))
GMAC = PullTemplate(auth="hls-gmac", security="both")


@pytest.mark.parametrize(
    ("events", "tried"),
    [
        pytest.param((), ("old",), id="pending"),
        pytest.param((KeyEvent.SEND,), ("new", "old"), id="sent"),
        pytest.param((KeyEvent.SEND, KeyEvent.ACCEPTED), ("new", "old"), id="written"),
        pytest.param((KeyEvent.SEND, KeyEvent.OLD_WORKS), ("old", "new"), id="recovered"),
        pytest.param((KeyEvent.SEND, KeyEvent.NEITHER_WORKS), ("new", "old"), id="lost"),
    ],
)
def test_both_keys_are_tried_while_a_change_is_in_doubt(
    events: tuple[KeyEvent, ...], tried: tuple[str, ...], tmp_path: Path
) -> None:
    store = FileKeyStore.open(tmp_path / "keys", bytes(32))
    store.put_many({"ref": MeterKeys(EK, AK, SECRET)})
    store.propose("ref", NEW)
    for event in events:
        store.note("ref", event)
    trials = trials_of(METER, GMAC, store, OURS)
    assert tuple(trial.which for trial in trials) == tried
    keys: dict[str, Any] = {trial.which: trial.access.keys for trial in trials}
    assert all(keys[which].ek == {"old": EK, "new": NEW.ek}[which] for which in tried)
    assert access_of(METER, GMAC, store, OURS).keys == keys.get("old")
    assert store.note("ref", KeyEvent.NEW_WORKS) is KeyState.ACTIVATED if events else True


def test_without_a_change_there_is_one_way(tmp_path: Path) -> None:
    store = FileKeyStore.open(tmp_path / "keys", bytes(32))
    store.put_many({"ref": MeterKeys(EK, AK, SECRET)})
    assert [trial.which for trial in trials_of(METER, GMAC, store, OURS)] == ["old"]
    assert [trial.which for trial in trials_of(METER, GMAC, KEYS, OURS)] == ["old"]


def test_what_the_key_store_says_is_the_jobs_code() -> None:
    class Broken(FakeKeys):
        def get(self, ref: str) -> MeterKeys | None:
            raise KeyStoreError(f"entry {ref} was altered")

    with pytest.raises(JobError, match="altered") as caught:
        access_of(METER, GMAC, Broken(), OURS)
    assert caught.value.code == "key-missing"


def test_a_meter_that_took_a_new_key_counts_from_zero() -> None:
    """And ours go on: nothing is used twice under either key."""
    under = counting()
    assert under.heard_under(mark(EK)) == 41
    new = access_of(METER, GMAC, FakeKeys({"ref": NEW}), OURS).association(under)
    assert new.channel is not None
    assert (new.channel.heard, under.heard, under.value) == (-1, -1, 8)


def test_no_key_is_in_a_repr() -> None:
    access = access_of(METER, PullTemplate(auth="low", security="both"), KEYS, OURS)
    shown = repr(access) + repr(access.association(counting()))
    assert SECRET.decode() not in shown
    assert str(EK) not in shown


def test_a_meter_without_a_system_title_says_it_itself() -> None:
    access = access_of(replace(METER, identities=()), PullTemplate(auth="hls-gmac"), KEYS, OURS)
    assert access.peer is None
