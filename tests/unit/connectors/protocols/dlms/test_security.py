"""Sessions behind a channel: the octets of the standard's examples, a meter with gurux' ciphers, and forgers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from gurux_dlms.enums import DataType
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.association import (
    PROPOSED_SHORT_NAMES,
    Associated,
    Association,
    Conformance,
    aarq,
    associate,
    read_aare,
    release,
)
from connectors.protocols.dlms.ciphering import AUTHENTICATED, BROADCAST, ENCRYPTED, Keys, cipher, decipher
from connectors.protocols.dlms.client_apdus import CLOSED, Session
from connectors.protocols.dlms.errors import CODES, CipherError, DecodeError, DlmsError, PeerError
from connectors.protocols.dlms.general_ciphering import KeyInfo
from connectors.protocols.dlms.get import Attribute, get, get_list
from connectors.protocols.dlms.invocation_counter import read_invocation_counter
from connectors.protocols.dlms.security import BOTH, Channel, MemoryCounter, Wrapping, secured
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, SecureMeter

EK, AK = bytes(range(0x10)), bytes(range(0xD0, 0xE0))
BOOK = Keys(EK, AK)
BOOK_TITLE = bytes.fromhex("4D4D4D0000BC614E")
DEDICATED = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
NAME, OTHER = Attribute(1, "0.0.96.1.0.255", 2), Attribute(1, "0.0.96.1.1.255", 2)
GET = bytes.fromhex("C001C100010000600100FF0200")
ANSWER = bytes.fromhex("C401C1001100")


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def keys(suite: int = 0) -> Keys:
    size = 32 if suite == 2 else 16
    return Keys(bytes(range(1, size + 1)), bytes(range(0x80, 0x80 + size)), suite=suite)


def channel(**given: object) -> Channel:
    arguments = {"title": CLIENT_TITLE, "keys": keys(), "counter": MemoryCounter(7), "peer": METER_TITLE} | given
    return Channel(**arguments)  # type: ignore[arg-type]  # a table of arguments of several types


def meter(suite: int = 0, policy: int = BOTH) -> SecureMeter:
    held = keys(suite)
    assert held.ak is not None
    objects = [data("0.0.96.1.0.255", b"HES42", DataType.OCTET_STRING), data("0.0.96.1.1.255", 7, DataType.UINT32)]
    inner = GuruxMeter([*objects, data("0.0.43.1.0.255", 4711, DataType.UINT32)])
    return SecureMeter(inner, ek=held.ek, ak=held.ak, suite=suite, policy=policy, secret=b"12345678")


# -- the standard's examples -------------------------------------------------------------------------------------------

CIPHERED_INITIATE = "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"


@pytest.fixture
def _dedicated_key_of_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.protocols.dlms.security.secrets.token_bytes", lambda size: DEDICATED[:size])


def book_config() -> Association:
    held = Channel(title=BOOK_TITLE, keys=BOOK, counter=MemoryCounter(0x01234567), dedicated=True)
    return Association(password=b"12345678", conformance=Conformance(0x007E1F), max_receive_pdu=0x04B0, channel=held)


@pytest.mark.usefixtures("_dedicated_key_of_the_book")
def test_aarq_as_in_the_green_book() -> None:
    assert aarq(book_config()) == octets(
        "6066 A109060760857405080103 A60A04084D4D4D0000BC614E 8A020780 8B0760857405080201 AC0A80083132333435363738 BE340432"
        + CIPHERED_INITIATE
    )


@pytest.mark.usefixtures("_dedicated_key_of_the_book")
def test_rlrq_as_in_the_green_book() -> None:
    config = book_config()
    aarq(config)
    assert config.channel is not None
    config.channel.counter = MemoryCounter(0x01234567)
    assert next(release(config)) == octets("6239 800100 BE340432" + CIPHERED_INITIATE)


def test_initiate_response_as_in_the_green_book() -> None:
    held = Channel(title=METER_TITLE, keys=BOOK, counter=MemoryCounter(), peer=BOOK_TITLE)
    answer = octets("281F3001234567891214A0845E475714383F65BC19745CA235906525E4F3E1C893")
    assert held.open_initiate(answer) == octets("0800065F1F0400007C1F04000007")
    assert held.heard == 0x01234567
    with pytest.raises(CipherError, match="came after"):
        held.open_initiate(answer)


def test_get_as_in_the_green_book() -> None:
    held = Channel(title=BOOK_TITLE, keys=BOOK, counter=MemoryCounter(0x01234567), peer=METER_TITLE)
    plain = octets("C0010000080000010000FF0200")
    assert held.protect(plain) == octets("C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B")


# -- whole sessions ----------------------------------------------------------------------------------------------------


def read_twice(config: Association, peer: SecureMeter) -> tuple[list[int], bytes]:
    held = config.channel
    assert held is not None
    link = drive(secured(associate(config), held), peer.exchange)
    first = drive(secured(get(link, NAME), held), peer.exchange)
    second = drive(secured(get_list(link, [OTHER, NAME]), held), peer.exchange)
    drive(secured(release(config), held), peer.exchange)
    assert list(second) == [b"\x06\x00\x00\x00\x07", first]
    return [request[0] for request in peer.requests], first


WAYS = [
    pytest.param(policy, wrapping, dedicated, tag, id=f"{name}-{policy:#04x}")
    for wrapping, dedicated, tag, name in (
        (Wrapping.SERVICE, False, 0xC8, "glo"),
        (Wrapping.SERVICE, True, 0xD0, "ded"),
        (Wrapping.GENERAL, False, 0xDB, "general-glo"),
        (Wrapping.GENERAL, True, 0xDC, "general-ded"),
    )
    for policy in (AUTHENTICATED, ENCRYPTED, BOTH)
    if policy & ENCRYPTED or not dedicated
]


@pytest.mark.parametrize("suite", [0, 1, 2])
@pytest.mark.parametrize(("policy", "wrapping", "dedicated", "tag"), WAYS)
def test_reads(suite: int, policy: int, wrapping: Wrapping, dedicated: bool, tag: int) -> None:
    held = channel(keys=keys(suite), policy=policy, wrapping=wrapping, dedicated=dedicated)
    peer = meter(suite, policy)
    assert read_twice(Association(password=b"12345678", channel=held), peer) == ([0x60, tag, tag, 0x62], b"\x09\x05HES42")
    assert peer.dedicated == held.dedicated_key
    assert held.heard == peer.counter
    for request in peer.requests[1:3]:
        assert (GET[4:] in request) == (policy == AUTHENTICATED)


def test_every_association_has_its_own_dedicated_key() -> None:
    held, peer = channel(dedicated=True), meter()
    config = Association(channel=held)
    found = set()
    for _ in range(2):
        read_twice(config, peer)
        found.add(peer.dedicated)
        peer.requests.clear()
    assert len(found) == 2


def test_counters_go_on_from_one_association_to_the_next() -> None:
    peer, counter = meter(), MemoryCounter(7)
    held = channel(counter=counter)
    read_twice(Association(channel=held), peer)
    used = counter.value
    assert peer.heard == used - 2  # the last went into the RLRQ, which the meter does not look at
    peer.requests.clear()
    read_twice(Association(channel=channel(counter=counter, heard=held.heard)), peer)
    assert counter.value > used


def test_a_request_leaves_room_for_ciphering() -> None:
    held, peer = channel(), meter()
    link = drive(secured(associate(Association(channel=held)), held), peer.exchange)
    assert link.max_send_pdu == 0xFFFF - held.overhead
    assert len(held.protect(GET)) - len(GET) <= held.overhead


# -- the meter refuses what is forged ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forge", "refusal"),
    [
        pytest.param(lambda a: a[:-1] + bytes((a[-1] ^ 1,)), "D8 01 05", id="altered-tag"),
        pytest.param(lambda a: a[:9] + bytes((a[9] ^ 1,)) + a[10:], "D8 01 05", id="altered-text"),
        pytest.param(lambda _: GET, "D8 01 05", id="in-clear"),
        pytest.param(lambda _: cipher(GET, keys(), CLIENT_TITLE, 3, tag=0xC8), "D8 01 06", id="replayed-counter"),
        pytest.param(lambda _: cipher(GET, BOOK, CLIENT_TITLE, 99, tag=0xC8), "D8 01 05", id="wrong-key"),
        pytest.param(lambda _: cipher(GET, keys(), METER_TITLE, 99, tag=0xC8), "D8 01 05", id="wrong-title"),
        pytest.param(lambda _: cipher(GET, keys(), CLIENT_TITLE, 99, ENCRYPTED, tag=0xC8), "D8 01 05", id="weaker"),
    ],
)
def test_the_meter_refuses(forge: Callable[[bytes], bytes], refusal: str) -> None:
    held, peer = channel(), meter()
    link = drive(secured(associate(Association(channel=held)), held), peer.exchange)
    with pytest.raises(PeerError) as raised:
        drive(secured(get(link, NAME), held), lambda apdu: peer.exchange(forge(apdu) if apdu[0] == 0xC8 else apdu))
    assert raised.value.code == "peer-exception"
    assert peer.answers[-1] == octets(refusal)


def test_the_meter_refuses_an_association_under_another_key() -> None:
    for held in (channel(keys=BOOK), channel(keys=replace(keys(), ak=AK)), channel(counter=MemoryCounter())):
        peer = meter()
        peer.heard = 5
        with pytest.raises(PeerError) as raised:
            drive(secured(associate(Association(channel=held)), held), peer.exchange)
        assert raised.value.code == "peer-association-refused"


# -- and so do we ------------------------------------------------------------------------------------------------------


def sealed(plain: bytes = ANSWER, *, title: bytes = METER_TITLE, counter: int = 5, tag: int = 0xCC, security: int = BOTH,
           held: Keys | None = None) -> bytes:  # fmt: skip
    return cipher(plain, held or keys(), title, counter, security, tag=tag)


GLO = sealed()
BROADCASTING = replace(keys(), broadcast=bytes(range(0x20, 0x30)))


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        pytest.param(ANSWER, "cipher-policy", "in clear", id="in-clear"),
        pytest.param(b"\x0f\0\0\0\1\0", "cipher-policy", "in clear", id="a-notification-in-clear"),
        pytest.param(b"\x00", "cipher-policy", "in clear", id="garbage"),
        pytest.param(sealed(security=ENCRYPTED), "cipher-policy", "0x20 is weaker", id="encrypted-only"),
        pytest.param(sealed(security=AUTHENTICATED), "cipher-policy", "0x10 is weaker", id="authenticated-only"),
        pytest.param(sealed(security=BOTH | BROADCAST, held=BROADCASTING), "cipher-policy", "broadcast", id="broadcast-key"),
        pytest.param(GLO[:-1] + bytes((GLO[-1] ^ 1,)), "cipher-authentication", "tag", id="altered-tag"),
        pytest.param(GLO[:8] + bytes((GLO[8] ^ 1,)) + GLO[9:], "cipher-authentication", "tag", id="altered-text"),
        pytest.param(GLO[:6] + b"\x06" + GLO[7:], "cipher-authentication", "tag", id="altered-counter"),
        pytest.param(sealed(held=BOOK), "cipher-authentication", "tag", id="wrong-key"),
        pytest.param(sealed(title=b"MTR\0\0\0\0\3"), "cipher-authentication", "tag", id="another-meter"),
        pytest.param(sealed(title=b"MTR\0\0\0\0\3", tag=0xDB), "peer-title", "4D54520000000003", id="another-meter-says-so"),
        pytest.param(sealed(title=CLIENT_TITLE), "cipher-authentication", "tag", id="our-own"),
        pytest.param(sealed(GET, title=CLIENT_TITLE, tag=0xC8), "cipher-authentication", "tag", id="our-own-request"),
        pytest.param(sealed(title=CLIENT_TITLE, tag=0xDB), "peer-title", "4845530000000001", id="our-own-says-so"),
        pytest.param(sealed(counter=4), "cipher-counter", "4 came after 4", id="replayed"),
        pytest.param(sealed(counter=0), "cipher-counter", "0 came after 4", id="older"),
        pytest.param(sealed(tag=0xCD), "cipher-malformed", "another service", id="another-service"),
        pytest.param(sealed(b""), "cipher-malformed", "another service", id="nothing-within"),
        pytest.param(sealed(tag=0xD4, held=replace(keys(), dedicated=EK)), "key-missing", "no key", id="a-dedicated-key"),
        pytest.param(sealed(held=keys(2)), "cipher-suite-unsupported", "suite 2", id="another-suite"),
        pytest.param(b"\xcc\x05\xb0" + bytes(4), "cipher-suite-unsupported", "V.44", id="compressed"),
        pytest.param(b"\xcc\x05\x00" + bytes(4), "cipher-malformed", "neither", id="unprotected"),
        pytest.param(b"\xdd", "cipher-malformed", "cut short", id="general-ciphering-cut-short"),
        pytest.param(b"\xdf\0\0\0", "cipher-policy", "in clear", id="signed-only"),
    ],
)
def test_refused(answer: bytes, code: str, says: str) -> None:
    held = channel(heard=4, keys=BROADCASTING)
    with pytest.raises(DlmsError, match=says) as raised:
        drive(secured(get(Associated(Conformance.GET, 0), NAME), held), lambda _: answer)
    assert raised.value.code == code
    assert code in CODES
    assert held.heard == 4 or code == "cipher-malformed"
    assert_masked(raised.value)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("D8 01 05", "peer-exception", id="exception-response"),
        pytest.param("0E 01 06 01", "peer-exception", id="confirmed-service-error"),
        pytest.param("", "peer-closed", id="closed"),
    ],
)
def test_in_clear_a_meter_may_only_say_no(answer: str, code: str) -> None:
    with pytest.raises(PeerError) as raised:
        drive(secured(get(Associated(Conformance.GET, 0), NAME), channel()), lambda _: octets(answer))
    assert raised.value.code == code


@pytest.mark.parametrize("tag", [0xCC, 0xDB])
def test_accepted_with_more_than_asked_for(tag: int) -> None:
    held = channel(policy=AUTHENTICATED)
    assert held.open(sealed(tag=tag)) == ANSWER
    assert held.heard == 5


def test_refusal_in_a_ciphered_apdu() -> None:
    assert channel().open(sealed(b"\x0e\x01\x06\x01", tag=0x2E)) == b"\x0e\x01\x06\x01"
    assert channel().open(sealed(b"\xd8\x01\x02", tag=0xDB)) == b"\xd8\x01\x02"


@pytest.mark.parametrize(
    ("plain", "glo", "ded"),
    [("05", 0x25, 0x45), ("06", 0x26, 0x46), ("16", 0x36, 0x56), ("C0", 0xC8, 0xD0), ("C3", 0xCB, 0xD3), ("D9", 0xDB, 0xDC)],
)
def test_tags(plain: str, glo: int, ded: int) -> None:
    held = channel(dedicated=True)
    assert held.protect(octets(plain))[0] == glo
    held.begin()
    assert held.protect(octets(plain))[0] == glo  # until both have proved themselves
    held.established()
    assert held.protect(octets(plain))[0] == ded


@pytest.mark.parametrize(("answer", "tag"), [("0C", 0x2C), ("0D", 0x2D), ("18", 0x38)])
def test_answers_with_short_names(answer: str, tag: int) -> None:
    assert channel().open(sealed(octets(answer), tag=tag)) == octets(answer)


def test_context_with_short_names() -> None:
    config = Association(conformance=PROPOSED_SHORT_NAMES, short_names=True, channel=channel())
    assert aarq(config)[2:13] == octets("A109060760857405080104")
    assert aarq(Association(password=b"x", short_names=True))[2:13] == octets("A109060760857405080102")
    assert b"\xa9\x03\x02\x01\x05" in aarq(Association(user=5))


def ciphered_aare(context: int = 3, initiate: bytes | None = None, title: bytes = METER_TITLE) -> bytes:
    plain = octets("08 00 06 5F 1F 04 00 00 1E 1D 01 F4 00 07")
    inner = cipher(plain, keys(), METER_TITLE, 5, tag=0x28) if initiate is None else initiate
    body = (
        octets("A1 09 06 07 60 85 74 05 08 01")
        + bytes((context,))
        + octets("A2 03 02 01 00 A3 05 A1 03 02 01 00 A4 0A 04 08")
    )
    body += title + bytes((0xBE, len(inner) + 2, 4, len(inner))) + inner
    return bytes((0x61, len(body))) + body


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        pytest.param(ciphered_aare(), None, "", id="accepted"),
        pytest.param(ciphered_aare(1), "cipher-policy", "another application context", id="context-in-clear"),
        pytest.param(
            ciphered_aare(initiate=octets("08 00 06 5F 1F 04 00 00 1E 1D 01 F4 00 07")),
            "cipher-policy",
            "initiateResponse came in clear",
            id="initiate-in-clear",
        ),
        pytest.param(ciphered_aare(initiate=b""), "cipher-policy", "initiateResponse came in clear", id="no-initiate"),
        pytest.param(
            ciphered_aare(initiate=cipher(ANSWER, keys(), METER_TITLE, 5, tag=0x28)),
            "cipher-malformed",
            "holds no initiateResponse",
            id="something-else",
        ),
        pytest.param(
            ciphered_aare(initiate=cipher(b"\x08", BOOK, METER_TITLE, 5, tag=0x28)), "cipher-authentication", "tag", id="key"
        ),
        pytest.param(ciphered_aare(title=b"MTR\0\0\0\0\3"), "peer-title", "4D54520000000003", id="another-meter"),
        pytest.param(ciphered_aare(initiate=octets("0E 01 06 01")), "peer-exception", "dlms-version-too-low", id="refusal"),
    ],
)
def test_aare(answer: bytes, code: str | None, says: str) -> None:
    config = Association(channel=channel())
    if code is None:
        assert read_aare(answer, config).system_title == METER_TITLE
        return
    with pytest.raises(DlmsError, match=says) as raised:
        read_aare(answer, config)
    assert raised.value.code == code


# -- what else can go wrong --------------------------------------------------------------------------------------------


def test_counters_end() -> None:
    held = channel(counter=MemoryCounter((1 << 32) - 1))
    held.protect(GET)
    with pytest.raises(CipherError, match="used up") as raised:
        held.protect(GET)
    assert raised.value.code == "cipher-counter"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"title": b"HES"}, "title, a system title, has 3 octets", id="title"),
        pytest.param({"peer": b""}, "peer, a system title, has 0 octets", id="peer"),
        pytest.param({"policy": 0x31}, "policy 0x31", id="policy"),
        pytest.param({"counter": None}, "keys without a counter", id="counter"),
        pytest.param({"dedicated": True, "policy": AUTHENTICATED}, "must be encrypted", id="dedicated"),
        pytest.param({"peer": CLIENT_TITLE}, "same system title", id="same"),
    ],
)
def test_channels_that_make_no_sense(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        channel(**arguments)


def test_keys_and_names_that_are_missing() -> None:
    for call, code in (
        (lambda: channel(peer=None).open(GLO), "peer-title"),
        (lambda: channel(peer=None, wrapping=Wrapping.CIPHERING).protect(GET), "peer-title"),
        (lambda: channel(signed=True).protect(GET), "key-missing"),
        (lambda: channel(keys=None).prove(b"challenge"), "key-missing"),
        (lambda: channel(keys=Keys(EK)).protect(GET), "key-missing"),
        (lambda: channel(wrapping=Wrapping.CIPHERING, key_info=KeyInfo.WRAPPED).protect(GET), "key-missing"),
        (lambda: channel(wrapping=Wrapping.CIPHERING, key_info=KeyInfo.ONE_PASS).protect(GET), "key-missing"),
    ):
        assert code_of(call) == code


def test_without_keys_all_is_in_clear() -> None:
    held = Channel(title=CLIENT_TITLE)
    assert (held.ciphered, held.overhead, held.protect(GET), held.open(ANSWER)) == (False, 0, GET, ANSWER)
    assert held.protect(b"") == held.open(CLOSED) == b""


def test_a_session_is_closed_with_its_channel() -> None:
    ends: list[str] = []

    def session() -> Session[None]:
        try:
            yield GET
        except GeneratorExit:
            ends.append("closed")
            raise

    running = secured(session(), channel())
    next(running)
    running.close()
    running = secured(session(), channel())
    next(running)
    with pytest.raises(CipherError):
        running.send(ANSWER)
    assert ends == ["closed", "closed"]


def test_reads_the_counter_of_a_meter() -> None:
    peer = GuruxMeter([data("0.0.43.1.0.255", 4711, DataType.UINT32), data("0.0.43.1.1.255", b"x", DataType.OCTET_STRING)])
    link = drive(associate(Association()), peer.exchange)
    assert drive(read_invocation_counter(link), peer.exchange) == 4711
    with pytest.raises(DecodeError, match=r"1/0\.0\.43\.1\.1\.255/2: bytes is no invocation counter"):
        drive(read_invocation_counter(link, "0.0.43.1.1.255"), peer.exchange)


# -- secrets -----------------------------------------------------------------------------------------------------------


def assert_masked(error: BaseException) -> None:
    held = keys()
    for text in (str(error), repr(error), repr(vars(error))):
        for key in (held.ek, held.ak or b"", EK, AK):
            assert key.hex() not in text.lower()
            assert repr(key)[2:-1] not in text


def test_a_channel_shows_no_key() -> None:
    held = channel(dedicated=True, keys=replace(keys(), kek=EK))
    held.begin()
    for key in (held.dedicated_key, keys().ek, EK):
        assert repr(key)[2:-1] not in repr(held)
        assert key.hex() not in repr(held).lower()


# -- anything at all ---------------------------------------------------------------------------------------------------


@given(st.data())
def test_no_octet_of_an_answer_can_be_changed(source: st.DataObject) -> None:
    tag = source.draw(st.sampled_from([0xCC, 0xDB]))
    answer = sealed(tag=tag)
    at = source.draw(st.integers(0, len(answer) - 1))
    altered = answer[:at] + bytes((answer[at] ^ source.draw(st.integers(1, 255)),)) + answer[at + 1 :]
    assert altered[0] in (0x60, 0x61, 0x62, 0x63, 0xD8, 0x0E) or code_of(lambda: channel().open(altered)) in CODES


def test_what_goes_through_is_not_changed() -> None:
    def session() -> Session[int]:
        for _ in range(3):
            answer = yield GET
            assert answer == ANSWER
        return 3

    counters = iter((5, 6, 7))

    def exchange(request: bytes) -> bytes:
        assert decipher(request, lambda _: keys(), CLIENT_TITLE).plain == GET
        return sealed(counter=next(counters))

    assert drive(secured(session(), channel()), exchange) == 3
