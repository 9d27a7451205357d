"""High level security: published proofs, a meter with gurux' arithmetic for every mechanism, and meters that lie."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gurux_dlms.enums import DataType
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.association import Association, aarq, associate, release
from connectors.protocols.dlms.ciphering import Keys, gmac
from connectors.protocols.dlms.errors import CODES, PeerError
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.security import BOTH, Channel, MemoryCounter, secured
from connectors.protocols.dlms.signing import Identity, private_key, public_key
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair, SecureMeter

SECRET = b"Geheimnis42"
NAME = Attribute(1, "0.0.96.1.0.255", 2)
BOOK = Keys(bytes(range(0x10)), bytes(range(0xD0, 0xE0)))  # Green Book, HLS example with GMAC


def keys(suite: int) -> Keys:
    size = 32 if suite == 2 else 16
    return Keys(bytes(range(1, size + 1)), bytes(range(0x80, 0x80 + size)), suite=suite)


class Pair:
    """A meter, and how a client associates with it."""

    def __init__(self, mechanism: Mechanism, suite: int = 0, policy: int = BOTH, *, octets: int = 32) -> None:
        held = keys(suite)
        assert held.ak is not None
        name = data("0.0.96.1.0.255", b"HES42", DataType.OCTET_STRING)
        self.meter = SecureMeter(GuruxMeter([name]), ek=held.ek, ak=held.ak, suite=suite, policy=policy, secret=SECRET)
        identity = Identity()
        if mechanism is Mechanism.ECDSA:
            curve = suite or 1
            ours, theirs = CurvePair(curve), CurvePair(curve)
            self.meter.pair, self.meter.client_point = theirs, ours.point
            identity = Identity(signing=private_key(ours.octets, curve), peer_signing=public_key(theirs.point, curve))
        secret = None if mechanism in (Mechanism.GMAC, Mechanism.ECDSA) else SECRET
        self.hls = Hls(mechanism, secret, octets)
        self.channel = Channel(
            title=CLIENT_TITLE, keys=held, counter=MemoryCounter(7), policy=policy, identity=identity, peer=METER_TITLE
        )

    @property
    def config(self) -> Association:
        return Association(hls=self.hls, channel=self.channel)

    def read(self) -> bytes:
        link = drive(secured(associate(self.config), self.channel), self.meter.exchange)
        found = drive(secured(get(link, NAME), self.channel), self.meter.exchange)
        drive(secured(release(self.config), self.channel), self.meter.exchange)
        return found


def test_gmac_as_in_the_green_book() -> None:
    client, server = bytes.fromhex("4D4D4D0000000001"), bytes.fromhex("4D4D4D0000BC614E")
    ours, theirs = b"K56iVagY", b"P6wRJ21F"
    channel = Channel(title=client, keys=BOOK, counter=MemoryCounter(1), peer=server, policy=0)
    hls = Hls(Mechanism.GMAC)
    assert hls.prove(ours, theirs, channel) == bytes.fromhex("10000000011A52FE7DD3E72748973C1E28")
    reply = bytes.fromhex("1001234567FE1466AFB3DBCD4F9389E2B7")
    assert hls.proves(reply, ours, theirs, channel)
    assert not hls.proves(reply[:-1] + b"\0", ours, theirs, channel)
    assert not hls.proves(reply, theirs, ours, channel)


@pytest.mark.parametrize("policy", [0, BOTH], ids=["clear", "ciphered"])
@pytest.mark.parametrize("suite", [0, 1, 2])
@pytest.mark.parametrize("mechanism", Mechanism, ids=lambda m: m.name)
def test_both_prove_themselves(mechanism: Mechanism, suite: int, policy: int) -> None:
    pair = Pair(mechanism, suite, policy)
    assert pair.read() == b"\x09\x05HES42"
    assert pair.meter.mechanism == mechanism
    assert len(pair.meter.cs) == 32
    assert pair.meter.client == CLIENT_TITLE
    assert SECRET not in b"".join(pair.meter.requests)
    assert [request[0] for request in pair.meter.requests] == (
        [0x60, 0xCB, 0xC8, 0x62] if policy else [0x60, 0xC3, 0xC0, 0x62]
    )
    assert masked(pair.meter.requests[0]) == pair.meter.requests[0]


@pytest.mark.parametrize("mechanism", [Mechanism.MD5, Mechanism.SHA1], ids=lambda m: m.name)
def test_hashes_need_no_system_title(mechanism: Mechanism) -> None:
    pair = Pair(mechanism, policy=0, octets=8)
    config = Association(hls=pair.hls)
    link = drive(associate(config), pair.meter.exchange)
    assert drive(get(link, NAME), pair.meter.exchange) == b"\x09\x05HES42"
    assert (pair.meter.client, len(pair.meter.cs)) == (b"", 8)


@pytest.mark.parametrize("mechanism", Mechanism, ids=lambda m: m.name)
def test_a_meter_that_cannot_prove_itself(mechanism: Mechanism) -> None:
    pair = Pair(mechanism)
    pair.meter.alter_proof = lambda proof: proof[:-1] + bytes((proof[-1] ^ 1,))
    with pytest.raises(PeerError, match="the meter's proof is wrong") as raised:
        pair.read()
    assert raised.value.code == "peer-authentication"
    assert not raised.value.retry


@pytest.mark.parametrize("mechanism", Mechanism, ids=lambda m: m.name)
def test_a_meter_does_not_take_our_proof(mechanism: Mechanism) -> None:
    pair = Pair(mechanism, suite=1, policy=0)
    pair.meter.secret, pair.meter.ek, pair.meter.client_point = b"another", bytes(16), CurvePair(1).point
    with pytest.raises(PeerError, match="does not take our proof: check secret or keys") as raised:
        pair.read()
    assert raised.value.code == "peer-association-refused"
    assert SECRET.decode() not in str(raised.value)


def aare(
    sc: bytes | None = b"\xaa" * 16, mechanism: int = 3, title: bytes | None = METER_TITLE, diagnostic: int = 14
) -> bytes:
    parts = [bytes.fromhex("A1 09 06 07 60 85 74 05 08 01 01 A2 03 02 01 00 A3 05 A1 03 02 01"), bytes((diagnostic,))]
    if title is not None:
        parts.append(bytes((0xA4, len(title) + 2, 4, len(title))) + title)
    if sc is not None:
        parts.append(bytes.fromhex("88 02 07 80 89 07 60 85 74 05 08 02") + bytes((mechanism,)))
        parts.append(bytes((0xAA, len(sc) + 2, 0x80, len(sc))) + sc)
    body = b"".join(parts) + bytes.fromhex("BE 10 04 0E 08 00 06 5F 1F 04 00 00 1E 1D 01 F4 00 07")
    return b"\x61\x81" + bytes((len(body),)) + body


MD5 = Hls(Mechanism.MD5, SECRET)
GMAC = Hls(Mechanism.GMAC)


def plain_channel(peer: bytes | None = METER_TITLE) -> Channel:
    return Channel(title=CLIENT_TITLE, keys=BOOK, counter=MemoryCounter(), policy=0, peer=peer)


@pytest.mark.parametrize(
    ("hls", "answer", "code", "says"),
    [
        pytest.param(MD5, aare(None, diagnostic=0), "peer-authentication", "without proving itself", id="no-challenge"),
        pytest.param(MD5, aare(None), "peer-authentication", "without proving itself", id="no-challenge-but-wanted"),
        pytest.param(MD5, aare(mechanism=4), "peer-authentication", "another mechanism", id="another-mechanism"),
        pytest.param(MD5, aare(b"short"), "peer-authentication", "challenge has 5 octets", id="short-challenge"),
        pytest.param(MD5, aare(b"l" * 65), "peer-authentication", "challenge has 65 octets", id="long-challenge"),
        pytest.param(GMAC, aare(mechanism=5, title=b"MTR\0\0\0\0\3"), "peer-title", "4D54520000000003", id="another-title"),
        pytest.param(GMAC, aare(mechanism=5, title=CLIENT_TITLE), "peer-title", "4845530000000001", id="our-title"),
        pytest.param(GMAC, aare(mechanism=5, title=b"MTR"), "peer-title", "4D5452", id="short-title"),
    ],
)
def test_refused(hls: Hls, answer: bytes, code: str, says: str) -> None:
    with pytest.raises(PeerError, match=says) as raised:
        drive(associate(Association(hls=hls, channel=plain_channel())), lambda _: answer)
    assert raised.value.code == code
    assert code in CODES


@pytest.mark.parametrize(
    ("title", "says"),
    [
        pytest.param(None, "names no system title", id="none"),
        pytest.param(CLIENT_TITLE, "mirrors us", id="ours"),
        pytest.param(b"MTR", "of 8 octets", id="short"),
    ],
)
def test_an_unknown_meter_must_say_who_it_is(title: bytes | None, says: str) -> None:
    answer = aare(mechanism=5, title=title)
    with pytest.raises(PeerError, match=says) as raised:
        drive(associate(Association(hls=GMAC, channel=plain_channel(None))), lambda _: answer)
    assert raised.value.code == "peer-title"


def test_a_known_meter_need_not() -> None:
    answers = iter((aare(b"s" * 16, 5, None), b""))
    with pytest.raises(PeerError) as raised:
        drive(associate(Association(hls=GMAC, channel=plain_channel())), lambda _: next(answers))
    assert raised.value.code == "peer-closed"  # at pass 3


def test_our_own_challenge_is_not_answered() -> None:
    def mirror(apdu: bytes) -> bytes:
        assert apdu[0] == 0x60, "a proof went out"
        return aare(apdu[apdu.index(b"\xac\x22\x80\x20") + 4 :][:32])

    with pytest.raises(PeerError, match="our own challenge back") as raised:
        drive(associate(Association(hls=MD5)), mirror)
    assert raised.value.code == "peer-authentication"


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        pytest.param("00 00", "none of its own", id="nothing"),
        pytest.param("00 01 00 06 00 00 00 01", "no octet-string", id="a-number"),
        pytest.param("00 01 00 09 00", "proof is wrong", id="empty"),
        pytest.param("00 01 00 09 04 00 00 00 00", "proof is wrong", id="short"),
    ],
)
@pytest.mark.parametrize("hls", [MD5, GMAC], ids=["md5", "gmac"])
def test_proofs_that_are_none(hls: Hls, returned: str, says: str) -> None:
    answers = iter((aare(b"s" * 16, hls.mechanism), bytes.fromhex("C7 01 C1" + returned)))
    with pytest.raises(PeerError, match=says) as raised:
        drive(associate(Association(hls=hls, channel=plain_channel())), lambda _: next(answers))
    assert raised.value.code == "peer-authentication"


@given(st.sampled_from(Mechanism), st.binary(max_size=120))
def test_no_proof_is_found_by_chance(mechanism: Mechanism, reply: bytes) -> None:
    pair = PAIRS[mechanism]
    assert not pair.hls.proves(reply, b"c" * 32, b"s" * 16, pair.channel)


PAIRS = {mechanism: Pair(mechanism, suite=1) for mechanism in Mechanism}


@given(st.binary(max_size=200))
def test_any_answer_is_our_error_or_none(rest: bytes) -> None:
    for answer in (b"\x61" + rest, aare(rest[:64], 5)):
        for hls in (MD5, GMAC):
            answers = iter((answer, b"\xc7\x01\xc1" + rest))
            config = Association(hls=hls, channel=plain_channel(None))
            code = code_of(lambda config=config, answers=answers: drive(associate(config), lambda _: next(answers)))  # type: ignore[misc]  # defaults bind
            assert code in CODES


@pytest.mark.parametrize(
    ("mechanism", "arguments", "says"),
    [
        pytest.param(Mechanism.MD5, {}, "MD5 needs a secret", id="no-secret"),
        pytest.param(Mechanism.GMAC, {"secret": SECRET}, "GMAC has no secret", id="a-secret"),
        pytest.param(Mechanism.GMAC, {"challenge_octets": 7}, "8 to 64", id="short"),
        pytest.param(Mechanism.ECDSA, {"challenge_octets": 16}, "32 to 64", id="short-for-ecdsa"),
        pytest.param(Mechanism.SHA256, {"secret": SECRET, "challenge_octets": 65}, "8 to 64", id="long"),
    ],
)
def test_configuration(mechanism: Mechanism, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        Hls(mechanism, **arguments)  # type: ignore[arg-type]  # a table of arguments of several types
    assert SECRET.decode() not in str(raised.value)


def test_associations_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="a password and high level"):
        Association(hls=MD5, password=b"12345678")
    with pytest.raises(ValueError, match="GMAC needs a channel"):
        Association(hls=GMAC)
    with pytest.raises(ValueError, match="a window of 64 blocks"):
        Association(gbt_window=64)


def test_a_certificate_goes_along() -> None:
    pair = Pair(Mechanism.ECDSA, suite=1)
    pair.hls = replace(pair.hls, certificate=b"0" * 300)
    assert b"\xa7\x82\x01\x30\x04\x82\x01\x2c" + b"0" * 300 + b"\x8a\x02" in aarq(pair.config, b"c" * 32)


def test_keys_that_are_missing() -> None:
    pair = Pair(Mechanism.ECDSA, suite=1)
    for identity, title in (
        (replace(pair.channel.identity, signing=None), CLIENT_TITLE),
        (replace(pair.channel.identity, peer_signing=None), METER_TITLE),
    ):
        pair.channel.identity = identity
        with pytest.raises(Exception, match=f"signing key .*{title.hex().upper()}") as raised:
            pair.read()
        assert getattr(raised.value, "code", None) == "key-missing"


def test_challenges_differ_and_are_printable() -> None:
    challenges = {MD5.challenge() for _ in range(100)}
    assert len(challenges) == 100
    assert all(len(one) == 32 and one.isascii() and one.decode().isprintable() for one in challenges)


def test_no_secret_shows() -> None:
    assert SECRET.decode() not in repr(MD5)
    config = Association(hls=MD5, channel=plain_channel())
    for text in (repr(config), repr(config.channel)):
        assert SECRET.decode() not in text
        for key in (BOOK.ek, BOOK.ak or b""):
            assert repr(key)[2:-1] not in text
            assert key.hex() not in text.lower()


def test_proofs_by_gmac_count_with_the_key() -> None:
    pair = Pair(Mechanism.GMAC)
    pair.read()
    counters = [int.from_bytes(request[-n:][1:5], "big") for request, n in ((pair.meter.plain[0], 17),)]
    assert counters == [8]  # 7 went into the AARQ
    assert gmac(pair.meter.sc, keys(0), CLIENT_TITLE, 8) == pair.meter.plain[0][-17:]
