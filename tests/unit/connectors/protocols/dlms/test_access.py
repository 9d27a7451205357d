"""What a template asks for, what is held, and the association that comes of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.protocols.dlms.access import WORDS, AccessError, access, needs
from connectors.protocols.dlms.association import Association, Conformance
from connectors.protocols.dlms.general_ciphering import KeyInfo
from connectors.protocols.dlms.hls import Mechanism
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.security import BOTH, MemoryCounter, Wrapping
from connectors.protocols.dlms.template import AUTHS, CIPHERINGS, KEY_INFOS, SECURITIES, PullTemplate, contradiction
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair

CURVES = {suite: [CurvePair(suite) for _ in range(4)] for suite in (1, 2)}
CIPHERED: dict[str, Any] = {"auth": "hls-gmac", "security": "both"}
AGREED: dict[str, Any] = CIPHERED | {"suite": 1, "ciphering": "general-ciphering"}


def held(suite: int = 0) -> MeterKeys:
    """Everything, for one suite."""
    size = 32 if suite == 2 else 16
    ek, ak, kek = (bytes(range(first, first + size)) for first in (0, 0x40, 0x80))
    if not suite:
        return MeterKeys(ek, ak, b"secret", kek)
    ours, agreement, theirs, their_agreement = CURVES[suite]
    return MeterKeys(
        ek, ak, b"secret", kek, signing=ours.octets, agreement=agreement.octets, certificate=b"our certificate",
        meter_signing=theirs.point, meter_agreement=their_agreement.point,
    )  # fmt: skip


def _named(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def made(**asked: Any) -> Association:
    pull = PullTemplate(**asked)
    found = access(pull, held(pull.suite), CLIENT_TITLE, METER_TITLE)
    return found.association(MemoryCounter(5, heard=3) if found.counted else None)


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("suite", [0, 1, 2])
def test_every_authentication_in_every_suite(auth: str, suite: int) -> None:
    if auth == "hls-ecdsa" and not suite:
        return
    config = made(auth=auth, suite=suite, security="both")
    assert config.channel is not None
    assert config.channel.keys is not None
    assert (config.channel.keys.suite, config.channel.policy, config.channel.heard) == (suite, BOTH, 3)
    assert (None if config.hls is None else config.hls.mechanism) == {
        "hls-md5": Mechanism.MD5, "hls-sha1": Mechanism.SHA1, "hls-gmac": Mechanism.GMAC,
        "hls-sha256": Mechanism.SHA256, "hls-ecdsa": Mechanism.ECDSA,
    }.get(auth)  # fmt: skip
    assert config.password == (b"secret" if auth == "low" else None)
    assert (config.channel.identity.signing is not None) == (auth == "hls-ecdsa")
    if config.hls is not None:
        assert config.hls.certificate == (b"our certificate" if auth == "hls-ecdsa" else None)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(CIPHERED, (Wrapping.SERVICE, KeyInfo.IDENTIFIED, False, False), id="service"),
        pytest.param(CIPHERED | {"dedicated": True}, (Wrapping.SERVICE, KeyInfo.IDENTIFIED, True, False), id="dedicated"),
        pytest.param(CIPHERED | {"ciphering": "general"}, (Wrapping.GENERAL, KeyInfo.IDENTIFIED, False, False), id="glo"),
        pytest.param(
            CIPHERED | {"ciphering": "general", "dedicated": True},
            (Wrapping.GENERAL, KeyInfo.IDENTIFIED, True, False),
            id="ded",
        ),
        pytest.param(AGREED | {"key_info": "wrapped"}, (Wrapping.CIPHERING, KeyInfo.WRAPPED, False, False), id="wrapped"),
        pytest.param(AGREED | {"key_info": "one-pass"}, (Wrapping.CIPHERING, KeyInfo.ONE_PASS, False, False), id="one-pass"),
        pytest.param(AGREED | {"key_info": "static"}, (Wrapping.CIPHERING, KeyInfo.STATIC, False, False), id="static"),
        pytest.param(AGREED | {"signed": True}, (Wrapping.CIPHERING, KeyInfo.IDENTIFIED, False, True), id="signed"),
    ],
)
def test_how_apdus_are_wrapped(asked: dict[str, Any], expected: tuple[Any, ...]) -> None:
    channel = made(**asked).channel
    assert channel is not None
    assert (channel.wrapping, channel.key_info, channel.dedicated, channel.signed) == expected
    keys = channel.keys
    assert keys is not None
    assert (keys.kek is not None) == (channel.key_info is KeyInfo.WRAPPED)


@pytest.mark.parametrize("suite", [1, 2])
def test_key_pairs_are_the_ones_that_are_held(suite: int) -> None:
    channel = made(**AGREED | {"suite": suite, "key_info": "one-pass"}).channel
    assert channel is not None
    ours, agreement, theirs, their_agreement = CURVES[suite]
    identity = channel.identity
    assert identity.signing is not None
    assert identity.agreement is not None
    assert identity.peer_signing is not None
    assert identity.peer_agreement is not None
    numbers = [key.public_numbers() for key in (identity.signing.public_key(), identity.agreement.public_key(),
                                                identity.peer_signing, identity.peer_agreement)]  # fmt: skip
    points = [(int(pair.public.x), int(pair.public.y)) for pair in (ours, agreement, theirs, their_agreement)]
    assert [(key.x, key.y) for key in numbers] == points


def test_names_blocks_and_challenges() -> None:
    config = made(referencing="sn", gbt_window=7, auth="hls-gmac", challenge_octets=16)
    assert (config.short_names, config.gbt_window) == (True, 7)
    assert Conformance.READ in config.conformance
    assert Conformance.GET not in config.conformance
    assert config.hls is not None
    assert len(config.hls.challenge()) == 16
    public = access(PullTemplate(referencing="sn"), MeterKeys(), CLIENT_TITLE).public
    assert public.short_names
    assert not access(PullTemplate(), MeterKeys(), CLIENT_TITLE).public.short_names


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param({"auth": "hls-ecdsa"}, "set suite", id="ecdsa-in-suite-0"),
        pytest.param(CIPHERED | {"signed": True}, "set suite", id="signed-in-suite-0"),
        pytest.param({"dedicated": True}, "must travel encrypted", id="dedicated-in-clear"),
        pytest.param(AGREED | {"dedicated": True}, "names its own key", id="dedicated-and-general-ciphering"),
        pytest.param({"ciphering": "general"}, "protects nothing", id="general-without-security"),
        pytest.param({"auth": "hls-ecdsa", "suite": 1, "signed": True}, "ciphered association", id="signed-in-clear"),
        pytest.param(CIPHERED | {"key_info": "wrapped"}, "is of general-ciphering", id="wrapped-without-it"),
        pytest.param({"auth": "hls-ecdsa", "suite": 1, "challenge_octets": 16}, "32 octets", id="short-challenge"),
    ],
)
def test_templates_that_contradict_themselves(asked: dict[str, Any], says: str) -> None:
    pull = PullTemplate(**asked)
    assert says in contradiction(pull)
    with pytest.raises(AccessError, match=says) as caught:
        access(pull, held(pull.suite), CLIENT_TITLE)
    assert (caught.value.code, caught.value.lacking) == ("template-contradictory", ())


WANTED = [
    pytest.param({}, (), id="nothing"),
    pytest.param({"auth": "low"}, ("password",), id="low"),
    pytest.param({"auth": "hls-gmac"}, ("ek", "ak"), id="gmac"),
    pytest.param({"security": "encrypted"}, ("ek",), id="encrypted-only"),
    pytest.param({"auth": "hls-sha256", "security": "both"}, ("password", "ek", "ak"), id="sha256-ciphered"),
    pytest.param({"auth": "hls-ecdsa", "suite": 1}, ("signing", "meter_signing"), id="ecdsa"),
    pytest.param(AGREED | {"key_info": "wrapped"}, ("ek", "ak", "kek"), id="wrapped"),
    pytest.param(AGREED | {"key_info": "static"}, ("ek", "ak", "agreement", "meter_agreement"), id="static"),
    pytest.param(
        AGREED | {"key_info": "one-pass"},
        ("ek", "ak", "signing", "agreement", "meter_signing", "meter_agreement"),
        id="one-pass",
    ),
]


@pytest.mark.parametrize(("asked", "wanted"), WANTED)
def test_what_is_missing_is_told_all_at_once(asked: dict[str, Any], wanted: tuple[str, ...]) -> None:
    pull = PullTemplate(**asked)
    assert needs(pull) == wanted
    if not wanted:
        return
    with pytest.raises(AccessError) as caught:
        access(pull, MeterKeys(), CLIENT_TITLE)
    assert (caught.value.code, caught.value.lacking) == ("key-missing", wanted)
    assert all(WORDS[name] in str(caught.value) for name in wanted)
    for name in wanted:
        with pytest.raises(AccessError) as one:
            access(pull, replace(held(pull.suite), **_named(name, None)), CLIENT_TITLE)
        assert one.value.lacking == (name,)


@pytest.mark.parametrize(("asked", "wanted"), WANTED)
def test_what_is_not_asked_for_is_not_looked_at(asked: dict[str, Any], wanted: tuple[str, ...]) -> None:
    """A key of another suite that nothing needs is no reason not to read the meter."""
    pull = PullTemplate(**asked)
    known = held(pull.suite)
    junk: dict[str, Any] = {name: b"x" for name in WORDS if name not in wanted}
    access(pull, replace(known, **junk), CLIENT_TITLE).association(MemoryCounter())


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        pytest.param(CIPHERED, {"ek": bytes(32)}, id="encryption-key-of-suite-2"),
        pytest.param(CIPHERED | {"suite": 2}, {"ak": bytes(16)}, id="authentication-key-of-suite-0"),
        pytest.param({"auth": "hls-ecdsa", "suite": 1}, {"signing": bytes(48)}, id="private-key-of-suite-2"),
        pytest.param({"auth": "hls-ecdsa", "suite": 1}, {"signing": bytes(32)}, id="no-private-key"),
        pytest.param({"auth": "hls-ecdsa", "suite": 1}, {"meter_signing": bytes(64)}, id="no-point"),
        pytest.param({"auth": "hls-ecdsa", "suite": 2}, {"meter_signing": CURVES[1][0].point}, id="point-of-suite-1"),
    ],
)
def test_keys_of_another_suite(asked: dict[str, Any], wrong: dict[str, Any]) -> None:
    pull = PullTemplate(**asked)
    with pytest.raises(AccessError) as caught:
        access(pull, replace(held(pull.suite), **wrong), CLIENT_TITLE)
    assert caught.value.code == "key-unfit"


def test_every_choice_of_a_template_is_one_that_can_be_made() -> None:
    """No name that a template may give is without a meaning here."""
    for auth in AUTHS:
        for security in SECURITIES:
            for ciphering in CIPHERINGS:
                for key_info in KEY_INFOS:
                    pull = PullTemplate(auth=auth, security=security, suite=1, ciphering=ciphering, key_info=key_info)
                    if not contradiction(pull):
                        access(pull, held(1), CLIENT_TITLE, METER_TITLE).association(MemoryCounter())


def test_the_words_for_a_person_hold_no_key() -> None:
    pull = PullTemplate(**AGREED | {"key_info": "one-pass", "signed": True, "referencing": "sn"})
    found = access(pull, held(1), CLIENT_TITLE, METER_TITLE)
    assert found.words == (
        "authentication hls-gmac, security both suite 1, general-ciphering (one-pass key), signed, short names"
    )
    shown = repr(found) + repr(found.association(MemoryCounter()))
    for pair in CURVES[1][:2]:
        assert str(pair.number) not in shown
        assert pair.octets.hex() not in shown
