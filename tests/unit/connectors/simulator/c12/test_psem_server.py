"""The simulated meter's end of C12.18: what it answers to which service where, and what a session of ours makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.protocols.c12 import c1221
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_link import PsemLink
from connectors.protocols.c12.psem_session import (
    Session,
    T,
    User,
    close_session,
    open_session,
    read_elements,
    read_table,
    read_whole,
    stay,
    write_table,
    write_whole,
)
from connectors.protocols.c12.psem_timing import Timing
from connectors.protocols.c12.requests import Negotiate
from connectors.simulator.c12.psem_server import ALLOWED, PsemServer, Settings, State
from connectors.simulator.c12.psem_tables import OctetTables
from tests.unit.connectors.protocols.c12.psem_octets import ACK, altered, packet

PASSWORD = b"secret"
BIG = bytes(range(256)) * 12
USER = User(2, "user", PASSWORD)


def tables() -> OctetTables:
    return OctetTables({0: b"\x02" * 20, 1: b"ACME", 5: b"METER-1".ljust(20), 64: BIG}, writable={5, 7})


def meter(**settings: Any) -> PsemServer:
    return PsemServer(tables(), Settings(**{"password": PASSWORD, **settings}))


class Bench:
    """A client and a meter on one desk; time passes only where both wait."""

    def __init__(self, server: PsemServer, link: PsemLink | None = None) -> None:
        self.server, self.link, self.now = server, link or PsemLink(), 0.0
        self.link.open(0.0)

    def run(self, session: Session[T]) -> T:
        try:
            service = next(session)
            while True:
                service = session.send(self._ask(service))
        except StopIteration as end:
            result: T = end.value
            return result

    def _ask(self, service: bytes) -> bytes:
        out, came = self.link.send(service, self.now), list[bytes]()
        while not came:
            back = self.server.receive(out, self.now)
            received = self.link.receive(back, self.now)
            out, came = received.replies, list(received.apdus)
            if not out and not back and not came:
                self.now = min(at for at in (self.link.deadline, self.server.deadline) if at is not None)
                out = self.link.tick(self.now) + self.link.receive(self.server.tick(self.now), self.now).replies
        self.server.receive(out, self.now)
        return came[0]


def to(state: State, server: PsemServer) -> int:
    """Brings a meter into a state; how many packets that took."""
    services = {State.BASE: [], State.IDENTIFIED: ["20"], State.SESSION: ["20", "500002" + "20" * 10]}[state]
    for number, service in enumerate(services):
        answer(server, service, number)
    return len(services)


def answer(server: PsemServer, service: str, number: int = 0, now: float = 0.0) -> str:
    """The data of the one packet that the meter answers, which is acknowledged."""
    out = server.receive(packet(service, 0x20 * (number & 1)), now)
    assert out[:1] == ACK
    size = int.from_bytes(out[5:7], "big")
    assert out[1:] == packet(out[7 : 7 + size], out[3], out[4])
    assert server.receive(ACK, now) == b""
    return out[7 : 7 + size].hex()


OK, ISSS, SNS, ERR, ISC, IAR, ONP = "00", "0a", "02", "01", "03", "05", "04"
NOT_YET = (ISSS, ISSS)

MATRIX: list[tuple[str, str, tuple[str, str, str]]] = [
    ("identify", "20", ("0000020000",) * 3),
    ("terminate", "21", (OK, OK, OK)),
    ("negotiate", "60 0080 02", (ISSS, "00 0080 02 06", ISSS)),
    ("negotiate less than 64", "60 0001 00", (ISSS, "00 0040 01 06", ISSS)),
    ("negotiate a rate", "61 FFFF FF 08", (ISSS, "00 0400 FE 08", ISSS)),
    ("timing setup, which is C12.21's", "71 01010101", (ISSS, SNS, ISSS)),
    ("wait", "70 3C", (ISSS, OK, OK)),
    ("logon", "50 0002" + "20" * 10, (ISSS, OK, ISSS)),
    ("security", "51" + PASSWORD.hex() + "00" * 14, (*NOT_YET, OK)),
    ("security, filled up with spaces", "51" + PASSWORD.hex() + "20" * 14, (*NOT_YET, OK)),
    ("a wrong password", "51" + "78" * 20, (*NOT_YET, ERR)),
    ("authenticate without a key", "53 00", (*NOT_YET, SNS)),
    ("logoff", "52", (*NOT_YET, OK)),
    ("read an open table", "30 0001", (*NOT_YET, "00 0004 41434D45 EA")),
    ("read the default table", "3E", (*NOT_YET, "00 0004 41434D45 EA")),
    ("read in part", "3F 0001 000001 0002", (*NOT_YET, "00 0002 434D 70")),
    ("read in part, beyond the end", "3F 0001 000003 0009", (*NOT_YET, "00 0001 45 BB")),
    ("read after the end", "3F 0001 000004 0001", (*NOT_YET, IAR)),
    ("read a table that wants the password", "30 0005", (*NOT_YET, ISC)),
    ("write without the password", "40 0005 0001 41 BF", (*NOT_YET, ISC)),
    ("an unknown service", "99", (SNS, SNS, SNS)),
    ("a service cut short", "30", (ERR, ERR, ERR)),
]


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
@pytest.mark.parametrize(("service", "answers"), [row[1:] for row in MATRIX], ids=[row[0] for row in MATRIX])
def test_every_service_in_every_state(service: str, answers: tuple[str, str, str], state: State) -> None:
    server = meter()
    number = to(state, server)
    assert server.state is state
    assert answer(server, service, number) == bytes.fromhex(answers[list(State).index(state)]).hex()


def test_the_states_are_all_there() -> None:
    assert set(ALLOWED) == set(State)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("30 0063", IAR),
        ("30 0040", ONP),
        ("31 0001 0000 0001", SNS),
        ("40 0001 0001 41 BF", IAR),
        ("40 0005 0001 41 00", ERR),
        ("4F 0005 000014 0001 41 BF", ONP),
        ("4F 0005 000013 0001 41 BF", OK),
        ("41 0005 0000 0001 41 BF", SNS),
        ("40 0007 0003 010203 FA", OK),
    ],
    ids=["no such table", "longer than was granted", "by index", "not to be written", "wrong checksum", "beyond its end",
         "its last octet", "written by index", "a procedure"],
)  # fmt: skip
def test_tables_with_the_password(service: str, expected: str) -> None:
    server = meter()
    number = to(State.SESSION, server)
    assert answer(server, "51" + PASSWORD.hex() + "00" * 14, number) == OK
    assert answer(server, service, number + 1) == expected


def test_a_session_of_ours() -> None:
    octets = tables()
    written: list[int] = []
    octets.written = written.append
    bench = Bench(PsemServer(octets, Settings(password=PASSWORD)))
    opened = bench.run(open_session(USER))
    assert (opened.agreed.packet_size, opened.agreed.packets) == (1024, 8)
    assert bench.run(read_table(1)) == b"ACME"
    assert bench.run(read_table(5, 6, 1)) == b"1"
    assert bench.run(read_whole(64, opened.agreed)) == BIG
    bench.run(write_table(5, b"X", 6))
    assert bench.run(read_table(5)) == b"METER-X".ljust(20)
    bench.run(stay(30))
    with pytest.raises(C12Error, match="sns"):
        bench.run(read_elements(64, (1,), 2))
    bench.run(close_session())
    assert written == [5]
    assert bench.server.state is State.BASE
    assert bench.server.deadline is None


@pytest.mark.parametrize("propose", [None, Negotiate(64, 1), Negotiate(64, 20), Negotiate(1024, 1), Negotiate(8192, 255)])
def test_tables_of_any_size_whatever_was_negotiated(propose: Negotiate | None) -> None:
    octets = tables()
    octets.octets[5] = bytes(1500)
    bench = Bench(PsemServer(octets, Settings(password=PASSWORD, packet_size=8192)))
    opened = bench.run(open_session(USER, propose))
    assert bench.run(read_whole(64, opened.agreed, len(BIG))) == BIG
    bench.run(write_whole(5, BIG[:1500], opened.agreed))
    assert bench.run(read_whole(5, opened.agreed, 1500)) == BIG[:1500]


KEY = c1221.Key(3, bytes.fromhex("0123456789ABCDEF"))


def test_a_c1221_session_with_a_key() -> None:
    bench = Bench(meter(standard=2, password=None, key=KEY))
    opened = bench.run(c1221.open_session(User(2, "user"), KEY))
    assert opened.identified.standard == 2
    assert bench.link.agreed.timing == Timing(octet_s=1, answer_s=4, traffic_s=30, retries=3)
    assert bench.run(read_table(5)) == b"METER-1".ljust(20)


def test_a_c1221_session_with_another_key() -> None:
    bench = Bench(meter(standard=2, password=None, key=KEY))
    with pytest.raises(C12Error, match="err"):
        bench.run(c1221.open_session(User(2, "user"), c1221.Key(3, bytes(8))))
    with pytest.raises(C12Error, match="isc"):
        bench.run(read_table(5))


def test_every_identity_has_another_ticket() -> None:
    server = meter(standard=2, key=KEY)
    tickets = {answer(server, "20", number) for number in range(4)}
    assert len(tickets) == 4


def test_silence_ends_a_session_and_wait_puts_that_off_once() -> None:
    server = meter()
    number = to(State.SESSION, server)
    assert server.deadline == 6.0
    assert answer(server, "70 3C", number, now=5.0) == OK
    assert server.deadline == 65.0
    assert answer(server, "30 0001", number + 1, now=60.0)[:2] == OK
    assert server.deadline == 66.0
    assert server.tick(66.0) == b""
    assert server.state is State.BASE
    assert server.deadline is None


def test_an_answer_is_repeated_until_the_session_is_given_up() -> None:
    server = meter()
    first = server.receive(packet("20"), 0.0)
    assert server.tick(2.0) == first[1:]
    assert server.tick(4.0) == first[1:]
    server.tick(6.0)
    assert server.state is State.BASE


@pytest.mark.parametrize(
    "came",
    [packet("30", 0x80, 0), packet("20", 0x00, 3), altered(packet("20")), b"\x00\xff\x15\x06", bytes.fromhex("EE00FF")],
    ids=["out of order", "numbered, and single", "altered", "noise", "cut"],
)
def test_whatever_comes_the_next_client_is_served(came: bytes) -> None:
    server = meter()
    server.receive(came, 0.0)
    server.tick(1.0)
    assert answer(server, "20", 0, now=10.0) == "0000020000"
