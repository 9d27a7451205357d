"""Sessions behind a channel: the octets of the standard's examples, a meter with gurux' ciphers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.association import Association, Conformance, aarq, associate, release
from connectors.protocols.dlms.ciphering import AUTHENTICATED, ENCRYPTED, Keys, cipher
from connectors.protocols.dlms.client_apdus import CLOSED, Session
from connectors.protocols.dlms.errors import CipherError, DecodeError, PeerError
from connectors.protocols.dlms.general_ciphering import KeyInfo
from connectors.protocols.dlms.get import get, get_list
from connectors.protocols.dlms.invocation_counter import read_invocation_counter
from connectors.protocols.dlms.security import BOTH, Channel, MemoryCounter, Wrapping, secured
from tests.unit.connectors.protocols.dlms.channels import (
    AK,
    ANSWER,
    BOOK,
    EK,
    GET,
    NAME,
    OTHER,
    channel,
    keys,
    meter,
    octets,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, SecureMeter

BOOK_TITLE = bytes.fromhex("4D4D4D0000BC614E")
DEDICATED = bytes.fromhex("00112233445566778899AABBCCDDEEFF")

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
        (lambda: channel(peer=None).open(cipher(ANSWER, keys(), METER_TITLE, 5, tag=0xCC)), "peer-title"),
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


def test_a_channel_shows_no_key() -> None:
    held = channel(dedicated=True, keys=replace(keys(), kek=EK))
    held.begin()
    for key in (held.dedicated_key, keys().ek, EK):
        assert repr(key)[2:-1] not in repr(held)
        assert key.hex() not in repr(held).lower()
