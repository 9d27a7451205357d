"""A channel whose APDUs name both parties, their keys, and are signed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms import general_ciphering as general
from connectors.protocols.dlms.association import Association, read_aare
from connectors.protocols.dlms.ciphering import decipher
from connectors.protocols.dlms.errors import CODES, CipherError
from connectors.protocols.dlms.general_ciphering import KeyInfo, Parties
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.security import BOTH, Channel, Wrapping
from connectors.protocols.dlms.signing import Identity, private_key, public_key
from tests.unit.connectors.protocols.dlms.channels import ANSWER, GET, channel, keys
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair

CURVES = {suite: [CurvePair(suite) for _ in range(4)] for suite in (1, 2)}


def identities(suite: int) -> tuple[Identity, Identity]:
    """Ours and the meter's."""
    private = [private_key(pair.octets, suite) for pair in CURVES[suite]]
    public = [public_key(pair.point, suite) for pair in CURVES[suite]]
    return Identity(private[0], private[1], public[2], public[3]), Identity(private[2], private[3], public[0], public[1])


def general_channel(suite: int, **given: object) -> Channel:
    held = replace(keys(suite), kek=keys(suite).ek[::-1])
    return channel(keys=held, identity=identities(suite)[0], **given)


def meters_answer(held: Channel, request: bytes, how: KeyInfo, *, signed: bool, transaction: bytes | None = None) -> bytes:
    assert held.keys is not None
    _, identity = identities(held.keys.suite)
    opened = general.decipher(request, held.keys, identity)
    plain = opened.plain
    if signed:
        assert identity.peer_signing is not None
        plain = general.unsigned(plain, identity.peer_signing).plain
    assert plain == GET
    parties = Parties(METER_TITLE, CLIENT_TITLE, opened.parties.transaction if transaction is None else transaction)
    answer = ANSWER
    if signed:
        assert identity.signing is not None
        answer = general.signed(answer, identity.signing, parties)
    return general.encipher(answer, held.keys, parties, 5, how, security=BOTH, identity=identity)


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize("how", KeyInfo, ids=lambda how: how.name)
@pytest.mark.parametrize("signed", [False, True], ids=["", "signed"])
def test_general_ciphering(suite: int, how: KeyInfo, signed: bool) -> None:
    held = general_channel(suite, wrapping=Wrapping.CIPHERING, key_info=how, signed=signed)
    answer = meters_answer(held, held.protect(GET), how, signed=signed)
    assert held.open(answer) == ANSWER
    if how is KeyInfo.IDENTIFIED or signed:
        held.protect(GET)
        with pytest.raises(CipherError) as raised:
            held.open(answer)
        assert raised.value.code == "cipher-counter"


def test_an_answer_with_its_own_key_belongs_to_one_request() -> None:
    held = general_channel(1, wrapping=Wrapping.CIPHERING, key_info=KeyInfo.ONE_PASS)
    recorded = meters_answer(held, held.protect(GET), KeyInfo.ONE_PASS, signed=False)
    held.protect(GET)
    with pytest.raises(CipherError, match="another transaction-id") as raised:
        held.open(recorded)
    assert raised.value.code == "cipher-counter"
    held.echo = False
    assert held.open(recorded) == ANSWER


def test_answers_for_others_and_unsigned_ones() -> None:
    held = general_channel(1, wrapping=Wrapping.CIPHERING, signed=True)
    unsigned = meters_answer(held, held.protect(GET), KeyInfo.IDENTIFIED, signed=True)
    held.signed = False
    held.protect(GET)
    assert held.open(unsigned)[0] == 0xDF
    held.signed = True
    assert held.keys is not None
    for parties, code in (
        (Parties(METER_TITLE, b"HES\0\0\0\0\2", b"1"), "peer-title"),
        (Parties(b"MTR\0\0\0\0\3", CLIENT_TITLE, b"1"), "peer-title"),
        (Parties(METER_TITLE, CLIENT_TITLE, b"1"), "cipher-policy"),
    ):
        answer = general.encipher(ANSWER, held.keys, parties, 99, KeyInfo.IDENTIFIED, security=BOTH)
        assert code_of(lambda answer=answer: held.open(answer)) == code  # type: ignore[misc]  # the default binds it


def test_signed_without_ciphering_of_its_own() -> None:
    held = general_channel(1, signed=True)
    request = held.protect(GET)
    assert request[0] == 0xDB
    assert held.keys is not None
    plain = decipher(request, lambda _: held.keys).plain
    assert general.unsigned(plain, public_key(CURVES[1][0].point, 1)).plain == GET


@pytest.mark.parametrize("how", KeyInfo, ids=lambda how: how.name)
@pytest.mark.parametrize("signed", [False, True], ids=["", "signed"])
@pytest.mark.parametrize("suite", [1, 2])
def test_overhead_of_general_ciphering(how: KeyInfo, signed: bool, suite: int) -> None:
    held = general_channel(suite, wrapping=Wrapping.CIPHERING, key_info=how, signed=signed)
    for plain in (GET, GET + bytes(300)):
        assert len(held.protect(plain)) - len(plain) <= held.overhead


@given(st.sampled_from([*range(0x60, 0x64), 0xCC, 0xD4, 0xDB, 0xDC, 0xDD, 0xDF, 0x28, 0x2C, 0xD8]), st.binary(max_size=120))
def test_nothing_else_is_raised(tag: int, rest: bytes) -> None:
    held = general_channel(1, dedicated=True)
    held.begin()
    answer = bytes((tag,)) + rest
    for call in (lambda: held.open(answer), lambda: held.open(rest), lambda: held.open_initiate(answer)):
        assert code_of(call) in {None, *CODES}
    assert code_of(lambda: read_aare(b"\x61" + rest, Association(channel=held))) in CODES
    assert len(masked(bytes((0x60,)) + rest)) == len(rest) + 1
    assert len(masked(answer)) == len(answer)
