"""The pull client against jDLMS, a meter that shares no line with us, over TCP with the wrapper.

Needs a JDK and Maven; `tests/peers/jdlms` says what the meter holds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Self, TypeVar
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.dlms.action import Method, invoke
from connectors.protocols.dlms.association import Associated, Association, Conformance, associate, release
from connectors.protocols.dlms.ciphering import ENCRYPTED, Keys, cipher
from connectors.protocols.dlms.client import Span, entries_in_use, read_clock, read_profile, read_registers
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import CipherError, PeerError
from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from connectors.protocols.dlms.get import Attribute, ByEntry, get
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.profile_shape import ProfileShape, Rules
from connectors.protocols.dlms.security import Channel, MemoryCounter, secured
from tests.integration.java_peer import jdlms

pytestmark = pytest.mark.integration

T = TypeVar("T")
OSLO = ZoneInfo("Europe/Oslo")
QUARTER = 900_000
DAY = 1668121200000  # 2022-11-11T00:00+01:00
LOAD = "1.0.99.1.0.255"
PUBLIC, READER = 16, 1
PASSWORD = b"Passw0rd"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with jdlms("peer.Meter") as port:
        yield port


class Line:
    """A TCP connection that runs sessions."""

    def __init__(self, port: int, client: int, device: int = 1) -> None:
        self.client, self.device = client, device
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.deframer = Deframer()
        self.answers: list[bytes] = []
        self.requests = 0

    def run(self, session: Session[T]) -> T:
        try:
            apdu = next(session)
            while True:
                if apdu:
                    self.requests += 1
                    self.socket.sendall(pack(self.client, self.device, apdu))
                apdu = session.send(self.receive())
        except StopIteration as ended:
            result: T = ended.value
            return result

    def receive(self) -> bytes:
        while not self.answers:
            octets = self.socket.recv(65536)
            if not octets:
                return b""
            self.answers += [apdu for _, _, apdu in self.deframer.feed(octets)]
        return self.answers.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


CLIENTS = pytest.mark.parametrize(
    ("client", "password"), [pytest.param(PUBLIC, None, id="none"), pytest.param(READER, PASSWORD, id="low")]
)


@CLIENTS
def test_associate_and_release(port: int, client: int, password: bytes | None) -> None:
    with Line(port, client) as line:
        link = line.run(associate(Association(password=password)))
        wanted = Conformance.GET | Conformance.SELECTIVE_ACCESS | Conformance.MULTIPLE_REFERENCES
        assert wanted | Conformance.BLOCK_TRANSFER_WITH_GET in link.conformance
        assert link.max_send_pdu == 0xFFFF
        line.run(release())


@pytest.mark.parametrize(
    ("client", "password", "code", "says"),
    [
        pytest.param(
            READER, b"wrong", "peer-association-refused", "authentication-failure: check the password", id="wrong-password"
        ),
        pytest.param(READER, None, "peer-association-refused", "association: rejected", id="no-password"),
        pytest.param(99, None, "peer-closed", "check the client address", id="unknown-client"),
    ],
)
def test_refused(port: int, client: int, password: bytes | None, code: str, says: str) -> None:
    with Line(port, client) as line, pytest.raises(PeerError) as raised:
        line.run(associate(Association(password=password)))
    assert raised.value.code == code
    assert says in raised.value.detail
    assert "wrong" not in raised.value.detail


@CLIENTS
def test_clock_and_registers(port: int, client: int, password: bytes | None) -> None:
    wanted = [
        Attribute.parse(text)
        for text in (
            "3/1.0.1.8.0.255/2",
            "3/1.0.2.8.0.255/2",
            "1/0.0.96.1.0.255/2",
            "3/1.0.3.8.0.255/2",
            "3/1.0.9.8.0.255/2",
        )
    ]
    with Line(port, client) as line:
        link = line.run(associate(Association(password=password)))
        time = line.run(read_clock(link))
        assert time is not None
        assert (time.iso, time.status) == ("2022-07-12T16:54:30+02:00", 0x80)
        before = line.requests
        found = line.run(read_registers(link, wanted))
        assert line.requests == before + 1
        line.run(release())
    assert [(r.value, r.scaler, r.unit) for r in found[:3]] == [
        (123456789, -1, "Wh"),
        (42, 0, "Wh"),
        ("HES00000042", None, ""),
    ]
    assert ["read-write-denied" in str(found[3].refusal), "object-undefined" in str(found[4].refusal)] == [True, True]


@pytest.mark.parametrize("size", [0xFFFF, 512, 100], ids=lambda n: f"pdu-{n}")
def test_load_profile(port: int, size: int) -> None:
    with Line(port, READER) as line:
        link = line.run(associate(Association(password=PASSWORD, max_receive_pdu=size)))
        whole, shape = line.run(read_profile(link, LOAD, None, Rules(OSLO)))
        asked = line.requests
        part, _ = line.run(read_profile(link, shape, Span(DAY + 40 * QUARTER, DAY + 42 * QUARTER), Rules(OSLO)))
        line.run(release())
    assert (shape.period_s, [column.scaler for column in shape.columns]) == (900, [None, None, -1, 0])
    assert (whole.rows, whole.regular) == (96, True)
    assert whole.ends.tolist() == [DAY + (i + 1) * QUARTER for i in range(96)]
    assert list(whole.channels[0].values) == [1_000_000 + 250 * i for i in range(96)]
    assert list(whole.channels[1].values) == [7 * i for i in range(96)]
    assert whole.statuses is not None
    assert whole.statuses.nonzero()[0].tolist() == [40]
    assert (asked > 4) == (size < 0xFFFF)
    assert part.ends.tolist() == [DAY + i * QUARTER for i in (40, 41, 42)]
    assert list(part.channels[1].values) == [273, 280, 287]


def test_a_known_shape_is_one_request(port: int) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        _, shape = line.run(read_profile(link, LOAD, ByEntry(1, 1), Rules(OSLO)))
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        assert isinstance(shape, ProfileShape)
        found, _ = line.run(read_profile(link, shape, ByEntry(95), Rules(OSLO)))
        line.run(release())
        assert line.requests == 3
    assert list(found.channels[0].values) == [1_023_500, 1_023_750]


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        pytest.param("3/1.0.3.8.0.255/2", "read-write-denied", id="denied"),
        pytest.param("3/1.0.9.8.0.255/2", "object-undefined", id="undefined"),
    ],
)
def test_a_refusal_leaves_the_association_open(port: int, attribute: str, says: str) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        with pytest.raises(PeerError, match=says):
            line.run(get(link, Attribute.parse(attribute)))
        assert line.run(entries_in_use(link, LOAD)) == 96


def test_range_of_the_wrong_form_is_refused_by_name(port: int) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        with pytest.raises(PeerError, match="type-unmatched"):
            line.run(read_profile(link, LOAD, Span(DAY, DAY + QUARTER, deviation=False), Rules(OSLO)))


# -- high level security and ciphering ---------------------------------------------------------------------------------

TITLE = b"CLI\0\0\0\0\1"
KEYS = {
    1: Keys(bytes(range(0x10)), bytes(range(0xD0, 0xE0))),
    2: Keys(bytes(range(0x10, 0x20)), bytes(range(0xC0, 0xD0))),
}
NAME = Attribute(1, "0.0.96.1.0.255", 2)
GET_NAME = bytes.fromhex("C001C100010000600100FF0200")
CIPHERED, PROVED = 2, 3


def gmac(device: int = 1, keys: Keys | None = None, *, policy: int = 0x30, heard: int = -1) -> Association:
    channel = Channel(title=TITLE, keys=keys or KEYS[device], counter=MemoryCounter(7), policy=policy, heard=heard)
    return Association(hls=Hls(Mechanism.GMAC), channel=channel)


class Secured(Line):
    """A line whose sessions are protected."""

    def __init__(self, port: int, client: int, config: Association, device: int = 1) -> None:
        super().__init__(port, client, device)
        self.config = config
        assert config.channel is not None
        self.channel = config.channel

    def run(self, session: Session[T]) -> T:
        return super().run(secured(session, self.channel))

    def associate(self) -> Associated:
        return self.run(associate(self.config))


@pytest.mark.parametrize("device", [1, 2])
@pytest.mark.parametrize(("client", "policy"), [(CIPHERED, 0x30), (PROVED, 0)], ids=["ciphered", "in-clear"])
def test_gmac(port: int, device: int, client: int, policy: int) -> None:
    with Secured(port, client, gmac(device, policy=policy), device) as line:
        link = line.associate()
        assert line.run(get(link, NAME)) == b"\x09\x0bHES00000042"
        assert line.channel.peer == link.system_title == b"HES\0\0\0\0" + bytes((device,))
        whole, _ = line.run(read_profile(link, LOAD, None, Rules(OSLO)))
        assert list(whole.channels[0].values) == [1_000_000 + 250 * i for i in range(96)]
        with pytest.raises(PeerError, match="read-write-denied"):
            line.run(get(link, Attribute.parse("3/1.0.3.8.0.255/2")))
        with pytest.raises(PeerError):
            line.run(invoke(link, Method(3, "1.0.1.8.0.255", 1), b"\x0f\0"))
        line.run(release())


def test_gmac_in_blocks(port: int) -> None:
    config = gmac()
    with Secured(port, CIPHERED, Association(hls=config.hls, channel=config.channel, max_receive_pdu=300)) as line:
        whole, _ = line.run(read_profile(line.associate(), LOAD, None, Rules(OSLO)))
        assert whole.rows == 96
        assert line.requests > 10


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        pytest.param(Keys(KEYS[2].ek, KEYS[1].ak), "association: the meter closed the connection", id="ek"),
        pytest.param(Keys(KEYS[1].ek, KEYS[2].ak), "association: the meter closed the connection", id="ak"),
    ],
)
def test_the_meter_refuses_wrong_keys(port: int, keys: Keys, says: str) -> None:
    with Secured(port, CIPHERED, gmac(keys=keys)) as line, pytest.raises(PeerError, match=says):
        line.associate()


def test_the_meter_refuses_a_wrong_proof(port: int) -> None:
    with Secured(port, PROVED, gmac(keys=KEYS[2], policy=0)) as line, pytest.raises(PeerError) as raised:
        line.associate()
    assert raised.value.code in ("peer-association-refused", "peer-closed", "peer-exception")


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(GET_NAME, id="in-clear"),
        pytest.param(cipher(GET_NAME, KEYS[1], TITLE, 99, tag=0xC8)[:-1] + b"\0", id="altered-tag"),
        pytest.param(cipher(GET_NAME, KEYS[2], TITLE, 99, tag=0xC8), id="another-key"),
        pytest.param(cipher(GET_NAME, KEYS[1], b"CLI\0\0\0\0\2", 99, tag=0xC8), id="another-title"),
        pytest.param(cipher(GET_NAME, KEYS[1], TITLE, 99, ENCRYPTED, tag=0xC8), id="not-authenticated"),
    ],
)
def test_the_meter_refuses_what_is_forged(port: int, forged: bytes) -> None:
    def raw() -> Session[bytes]:
        return (yield forged)

    with Secured(port, CIPHERED, gmac()) as line:
        line.associate()
        assert Line.run(line, raw()) == b""  # it closes the connection


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        pytest.param(lambda a: a[:-1] + bytes((a[-1] ^ 1,)), "cipher-authentication", id="altered-tag"),
        pytest.param(lambda a: a[:9] + bytes((a[9] ^ 1,)) + a[10:], "cipher-authentication", id="altered-text"),
        pytest.param(lambda _: bytes.fromhex("C401C100090100"), "cipher-policy", id="in-clear"),
    ],
)
def test_we_refuse_what_is_altered(port: int, alter: Callable[[bytes], bytes], code: str) -> None:
    with Secured(port, CIPHERED, gmac()) as line:
        link = line.associate()
        receive = line.receive
        line.receive = lambda: alter(receive())  # type: ignore[method-assign]  # somebody in between
        with pytest.raises(CipherError) as raised:
            line.run(get(link, NAME))
    assert raised.value.code == code


def test_we_refuse_an_answer_played_again(port: int) -> None:
    with Secured(port, CIPHERED, gmac()) as line:
        link = line.associate()
        receive, recorded = line.receive, list[bytes]()

        def replay() -> bytes:
            recorded.append(receive())
            return recorded[0]

        line.receive = replay  # type: ignore[method-assign]  # somebody in between
        assert line.run(get(link, NAME)) == b"\x09\x0bHES00000042"
        with pytest.raises(CipherError, match="played again") as raised:
            line.run(get(link, NAME))
    assert raised.value.code == "cipher-counter"


def test_a_meter_that_starts_to_count_again_is_noticed(port: int) -> None:
    """jDLMS does so with every connection, which no meter may."""
    with Secured(port, CIPHERED, gmac()) as line:
        line.run(get(line.associate(), NAME))
        heard = line.channel.heard
    with Secured(port, CIPHERED, gmac(heard=heard)) as line, pytest.raises(CipherError) as raised:
        line.associate()
    assert raised.value.code == "cipher-counter"
