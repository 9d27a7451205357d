"""Ciphered sessions as a capture has them: what gurux-dlms' parts opened and answered, read by who only looks on."""

from __future__ import annotations

import pytest
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.association import Association, associate, release
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.general_ciphering import KeyInfo, Parties, signed
from connectors.protocols.dlms.get import get
from connectors.protocols.dlms.security import BOTH, Wrapping, secured
from connectors.protocols.dlms.signing import private_key
from connectors.protocols.dlms.telegram import Telegram, TelegramError
from tests.unit.connectors.protocols.dlms.channels import ANSWER, NAME, channel, keys, meter
from tests.unit.connectors.protocols.dlms.general_meter import GeneralMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, data, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair, SecureMeter

WAYS = [
    pytest.param(Wrapping.SERVICE, False, id="glo"),
    pytest.param(Wrapping.SERVICE, True, id="ded"),
    pytest.param(Wrapping.GENERAL, False, id="general-glo"),
    pytest.param(Wrapping.GENERAL, True, id="general-ded"),
]
APDUS = ["aarq", "aare", "get-request", "get-response", "rlrq", "rlre"]


def heard(config: Association, peer: SecureMeter) -> list[bytes]:
    """The octets of a whole session, of both directions in turn, by wrapper."""
    held = config.channel
    assert held is not None
    link = drive(secured(associate(config), held), peer.exchange)
    assert drive(secured(get(link, NAME), held), peer.exchange) == b"\x09\x05HES42"
    drive(secured(release(config), held), peer.exchange)
    turns = zip(peer.requests, peer.answers, strict=True)
    return [octets for ask, answer in turns for octets in (pack(1, 1, ask), pack(1, 1, answer))]


def session(wrapping: Wrapping = Wrapping.SERVICE, suite: int = 0, *, dedicated: bool = False) -> list[bytes]:
    held = channel(keys=keys(suite), policy=BOTH, wrapping=wrapping, dedicated=dedicated)
    return heard(Association(password=b"12345678", channel=held), meter(suite))


@pytest.mark.parametrize("suite", [0, 1, 2])
@pytest.mark.parametrize(("wrapping", "dedicated"), WAYS)
@pytest.mark.parametrize("named", [CLIENT_TITLE + METER_TITLE, METER_TITLE], ids=["keys-of-both", "keys-of-the-meter"])
def test_a_ciphered_session_is_read(suite: int, wrapping: Wrapping, dedicated: bool, named: bytes) -> None:
    octets = b"".join(session(wrapping, suite, dedicated=dedicated))
    found = list(decode_stream(octets, lambda title: keys(suite) if title in named else None))
    assert [one.apdu for one in found if isinstance(one, Telegram)] == APDUS
    aarq, aare, asked, answered, *_ = (one for one in found if isinstance(one, Telegram))
    assert [(value.obis, value.raw) for value in answered.values] == [(NAME.obis, "HES42")]
    assert (asked.source, asked.system_title, asked.authenticated) == (str(NAME), CLIENT_TITLE.hex().upper(), True)
    assert (answered.system_title, answered.authenticated) == (METER_TITLE.hex().upper(), True)
    for one in (aare, *([aarq] if named[:8] == CLIENT_TITLE else [])):
        assert any(str(said).startswith("conformance: ") for said in one.unnamed)


def test_an_answer_alone_is_read_with_a_title_of_its_own() -> None:
    (one,) = decode_stream(session(Wrapping.GENERAL)[3], lambda _: keys())
    assert isinstance(one, Telegram)
    assert one.unnamed == ("HES42",)


@pytest.mark.parametrize(
    ("held", "code"),
    [
        pytest.param(None, "key-missing", id="no-keys"),
        pytest.param(Keys(bytes(16), bytes(16)), "cipher-authentication", id="others-keys"),
        pytest.param(Keys(bytes(16)), "cipher-authentication", id="anothers-key-without-ak"),
    ],
)
def test_what_cannot_be_opened_is_said(held: Keys | None, code: str) -> None:
    found = list(decode_stream(b"".join(session(Wrapping.GENERAL)), lambda _: held))
    assert [one.code for one in found if isinstance(one, TelegramError)] == [code, code]


def test_without_an_authentication_key_it_is_read_and_not_vouched_for() -> None:
    held = Keys(keys().ek)
    octets = b"".join(session())
    answered = list(decode_stream(octets, lambda _: held))[3]
    assert isinstance(answered, Telegram)
    assert ([value.raw for value in answered.values], answered.authenticated) == (["HES42"], False)
    strict = list(decode_stream(octets, lambda _: held, verify=True))
    assert isinstance(strict[3], TelegramError)


@pytest.mark.parametrize("how", [KeyInfo.IDENTIFIED, KeyInfo.WRAPPED], ids=lambda how: how.name)
def test_general_ciphering_of_a_session_is_read(how: KeyInfo) -> None:
    objects = [data(NAME.obis, b"HES42", DataType.OCTET_STRING)]
    peer = GeneralMeter(GuruxMeter(objects), suite=0, secret=b"12345678")
    book = Keys(peer.ek, peer.ak, kek=peer.kek)
    held = channel(keys=book, policy=BOTH, wrapping=Wrapping.CIPHERING, key_info=how)
    octets = b"".join(heard(Association(password=b"12345678", channel=held), peer))
    found = list(decode_stream(octets, lambda title: book if title == METER_TITLE else None))
    assert [one.apdu for one in found if isinstance(one, Telegram)] == APDUS
    assert isinstance(found[3], Telegram)
    assert [value.raw for value in found[3].values] == ["HES42"]


def test_a_signed_apdu_is_looked_into_and_not_vouched_for() -> None:
    octets = signed(ANSWER, private_key(CurvePair(1).octets, 1), Parties(METER_TITLE, CLIENT_TITLE, b"1"))
    (one,) = decode_stream(pack(1, 1, octets), lambda _: None)
    assert isinstance(one, Telegram)
    assert (one.apdu, one.system_title, one.authenticated) == ("get-response", METER_TITLE.hex().upper(), False)
    (error,) = decode_stream(pack(1, 1, octets), lambda _: None, verify=True)
    assert isinstance(error, TelegramError)
