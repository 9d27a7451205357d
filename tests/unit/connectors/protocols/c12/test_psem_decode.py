"""A C12.18 line taken apart: both directions in one stream, whatever happened on it, and no secret shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.psem_decode import decode_c1218
from connectors.protocols.c12.psem_frames import Frames
from connectors.protocols.c12.psem_masking import LineMask, masked
from connectors.protocols.c12.tree import Node
from tests.unit.connectors.protocols.c12.psem_octets import ACK, NAK, altered, crc, packet

# termineter 1.0.6 and a meter, as a tap on the line between them gives it
TAPPED = bytes.fromhex(
    "ee0000000001201310 06 ee00000000050000020000a25a 06 ee0020000005610200020624dd 06 ee00200000050002000206d377 06"
    "ee000000000d5000017573657220202020202016c4 06 ee0000000001001131 06"
    "ee002000001551736563726574000000000000000000000000000062d6 06 ee0020000001008051 06"
    "ee0000000003300003472e 06 ee00000000090000050100000000fff282 06 ee00200000083f0005000002000431c7 06"
    "ee00200000080000045445522de87882 06 ee0000000001528640 06 ee0000000001001131 06"
)


def summary(nodes: tuple[Node, ...]) -> list[str]:
    return [f"{node.name} {node.value}".strip() for node in nodes if node.name != "ACK"]


def test_a_session_of_termineter() -> None:
    assert summary(decode_c1218(TAPPED)) == [
        "packet request: identify",
        "packet response to identify: ok (acknowledged)",
        "packet request: negotiate, 1 rates",
        "packet response to negotiate, 1 rates: ok (acknowledged)",
        "packet request: logon",
        "packet response to logon: ok (acknowledged)",
        "packet request: security",
        "packet response to security: ok (acknowledged)",
        "packet request: full read, table 3",
        "packet response to full read, table 3: ok (acknowledged)",
        "packet request: partial read, offset, table 5",
        "packet response to partial read, offset, table 5: ok (acknowledged)",
        "packet request: logoff",
        "packet response to logoff: ok (acknowledged)",
    ]


def test_fields_have_names_and_places() -> None:
    node = decode_c1218(packet("300003", 0x20) + ACK + packet("00 0005 01 00000000 FF"))[2]
    assert [(n.name, n.value, n.octets.hex(), n.offset) for n in node.children] == [
        ("start", "", "ee", 12),
        ("identity", "0", "00", 13),
        ("control", "C12.18 or C12.21", "00", 14),
        ("sequence", "0", "00", 15),
        ("length", "9", "0009", 16),
        ("data", "9 octets", "0000050100000000ff", 18),
        ("CRC", "f2 82", "f282", 27),
        ("response", "ok (acknowledged)", "0000050100000000ff", 18),
    ]
    data = node.find("table data")
    assert data is not None
    assert (data.octets.hex(), data.offset) == ("0100000000", 21)


def test_tables_are_shown_in_fields() -> None:
    def tables(table: int, octets: bytes, at: int) -> list[Node]:
        return [Node("mode", str(octets[0]), octets[:1], offset=at)] if table == 3 else []

    found = [hit for node in decode_c1218(TAPPED, tables=tables) if (hit := node.find("mode"))]
    assert [hit.value for hit in found] == ["1"]


LONG = bytes.fromhex("00 0078") + bytes(120) + b"\0"
FIRST, SECOND = packet(LONG[:64], 0xC0, 1), packet(LONG[64:], 0xA0, 0)
READ = packet("30003F")

STREAMS: list[tuple[str, bytes, list[str]]] = [
    ("nothing", b"", []),
    ("several packets", READ + ACK + FIRST + ACK + SECOND + ACK,
     ["packet request: full read, table 63", "packet 1 to follow",
      "packet response to full read, table 63: ok (acknowledged)"]),
    ("a part twice", READ + FIRST + FIRST + SECOND,
     ["packet request: full read, table 63", "packet 1 to follow", "packet repeated",
      "packet response to full read, table 63: ok (acknowledged)"]),
    ("the second part without the first", SECOND, ["packet out of order"]),
    ("a request for an answer in parts", FIRST + READ, ["packet 1 to follow", "packet request: full read, table 63"]),
    ("refused, then right", altered(READ, 7) + NAK + READ,
     ["packet bad", "NAK", "packet request: full read, table 63"]),
    ("altered at the end", READ + altered(FIRST), ["packet request: full read, table 63", "packet bad"]),
    ("cut at the end", READ[:-1], ["packet bad"]),
    ("cut at the beginning", READ[3:] + ACK + READ, ["octets 8 outside of packets", "packet request: full read, table 63"]),
    ("an answer to nothing", packet("00 0001 41 BF"), ["packet response: ok (acknowledged)"]),
    ("refused", READ + packet("04"), ["packet request: full read, table 63",
                                      "packet response to full read, table 63: onp (operation not possible)"]),
    ("an unknown service", packet("99"), ["packet request: unknown 99"]),
    ("no data", packet(""), ["packet service: empty"]),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(octets: bytes, expected: list[str]) -> None:
    nodes = decode_c1218(octets, secrets=True)
    assert summary(nodes) == expected
    assert b"".join(node.octets for node in nodes) == octets


SECRET = b"PASSWORD1234567890ab"
TABLE = b"\x00\x14" + SECRET + bytes((-sum(SECRET) & 0xFF,))

SECRETS: list[tuple[str, bytes]] = [
    ("security", packet(b"\x51" + SECRET)),
    ("security of C12.22", packet(b"\x51" + SECRET + b"\0\2")),
    ("security, repeated", packet(b"\x51" + SECRET) * 2),
    ("security, altered", altered(packet(b"\x51" + SECRET), 2)),
    ("security, its code altered", altered(packet(b"\x51" + SECRET), 6)),
    ("security, cut", packet(b"\x51" + SECRET)[:-2]),
    ("security, its start lost", packet(b"\x51" + SECRET)[1:]),
    ("security in two packets", packet(b"\x51" + SECRET[:10], 0xC0, 1) + ACK + packet(SECRET[10:], 0xA0, 0)),
    ("a proof", packet(b"\x53\x14" + SECRET)),
    ("passwords read", packet("30002A") + ACK + packet(b"\0" + TABLE)),
    ("passwords read in part", packet("3F002A0000000014") + ACK + packet(b"\0" + TABLE)),
    ("passwords read in two packets", packet("30002A") + packet(b"\0" + TABLE[:9], 0xC0, 1) + packet(TABLE[9:], 0xA0)),
    ("keys written", packet(b"\x40\x00\x2d" + TABLE)),
    ("keys written in two packets", packet(b"\x40\x00\x2d" + TABLE[:9], 0xC0, 1) + packet(TABLE[9:], 0xA0)),
    ("the proof of the meter", packet(b"\x53\x02\0\0") + packet(b"\0\x14" + SECRET)),
]


def shows(octets: bytes) -> bool:
    """Whether four octets of the secret stand together."""
    return any(SECRET[at : at + 4] in octets for at in range(len(SECRET) - 3))


@pytest.mark.parametrize("octets", [row[1] for row in SECRETS], ids=[row[0] for row in SECRETS])
def test_secrets_are_masked(octets: bytes) -> None:
    assert shows(octets)
    nodes = decode_c1218(octets)
    assert not any(shows(node.octets) or shows(node.value.encode()) for top in nodes for _, node in top.walk())
    assert len(b"".join(node.octets for node in nodes)) == len(octets)
    assert not shows(masked(octets))
    assert len(masked(octets)) == len(octets)
    assert crc(octets[:-2]) not in masked(octets)


def test_secrets_are_shown_where_that_is_wanted() -> None:
    octets = SECRETS[0][1]
    node = decode_c1218(octets, secrets=True)[0]
    assert node.octets == octets
    assert (node.find("password") or node).value == repr(SECRET.decode())


def test_what_is_no_secret_is_kept_as_it_came() -> None:
    clear = packet("30003F") + ACK + FIRST + ACK + SECOND + ACK
    assert masked(clear) == clear


def test_a_line_is_kept_packet_by_packet_and_what_was_asked_is_remembered() -> None:
    line, answer = LineMask(), packet(b"\0" + TABLE)
    assert line.sent(packet("30002A")) == packet("30002A")
    kept = [line.heard(piece) for piece in (ACK, answer[:20], answer[20:])]
    assert kept[:2] == [ACK, b""]
    assert (len(kept[2]), shows(kept[2])) == (len(answer), False)
    line.heard(answer[:20])
    assert line.rest() == answer[:6] + b"*" * 14


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([TAPPED, READ, FIRST, SECOND, ACK])), max_size=6))
def test_every_octet_is_somewhere(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    nodes = decode_c1218(octets, secrets=True)
    assert b"".join(node.octets for node in nodes) == octets
    at = 0
    for node in nodes:
        assert node.offset == at
        at += len(node.octets)
    assert len(masked(octets)) == len(octets)


@given(st.binary(max_size=60))
def test_a_password_is_never_shown_whatever_follows(after: bytes) -> None:
    octets = packet(b"\x51" + SECRET) + after
    assert not shows(b"".join(node.octets for node in decode_c1218(octets)))
    assert not shows(masked(octets))
    assert Frames(1.0).feed(octets, 0.0)
