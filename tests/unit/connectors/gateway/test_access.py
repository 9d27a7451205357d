from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.gateway.access import access_of
from connectors.gateway.errors import JobError
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.reservations import Counting
from connectors.protocols.dlms.hls import Mechanism
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import Meter
from tests.unit.connectors.gateway.builders import AK, EK, TITLE, FakeKeys, title

OURS = b"HES\0\0\0\0\1"
SECRET = b"a very secret word"
METER = Meter(id="m1", key_ref="ref", identities=(title(),))
KEYS = FakeKeys({"ref": MeterKeys(EK, AK, SECRET)})


def counting() -> Counting:
    return Counting(("m1", "ref"), 1, 8, 100, lambda _: None, heard=41)


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


def test_no_key_is_in_a_repr() -> None:
    access = access_of(METER, PullTemplate(auth="low", security="both"), KEYS, OURS)
    shown = repr(access) + repr(access.association(counting()))
    assert SECRET.decode() not in shown
    assert str(EK) not in shown


def test_a_meter_without_a_system_title_says_it_itself() -> None:
    access = access_of(replace(METER, identities=()), PullTemplate(auth="hls-gmac"), KEYS, OURS)
    assert access.peer is None
