"""General block transfer around sessions: gurux' server streaming, a line that loses blocks, and each fault."""

from __future__ import annotations

from typing import Any

import pytest
from gurux_dlms import GXDLMSTranslator, GXServerReply
from gurux_dlms.enums import Conformance as GuruxConformance
from gurux_dlms.enums import DataType
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms.association import PROPOSED, Associated, Association, Conformance, associate
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.gbt_session import GbtBlock, gbt_session
from connectors.protocols.dlms.get import Attribute, Limits, get, get_list
from connectors.protocols.dlms.link import silent
from connectors.protocols.dlms.put import put
from tests.unit.connectors.protocols.dlms.gurux_meter import CLIENT, METER, GuruxMeter, T, _Reply, code_of, data, drive
from tests.unit.connectors.protocols.dlms.scripted import asked

NAME = Attribute(1, "0.0.96.1.0.255", 2)
VALUE = bytes(i % 251 for i in range(500))
GBT = PROPOSED | Conformance.GENERAL_BLOCK_TRANSFER


def link() -> Associated:
    return Associated(GBT, 0)


def echo(apdu: bytes) -> Session[bytes]:
    """Sends `apdu`, returns what came."""
    return (yield apdu)


def block(number: int, acknowledged: int, part: str = "", control: int = 0x01) -> str:
    content = bytes.fromhex(part)
    return f"E0 {control:02X} {number:04X} {acknowledged:04X} {len(content):02X} {part}".strip()


# gurux


class StreamingMeter(GuruxMeter):
    """Gurux' server with general block transfer; blocks that it streams wait until they are asked for."""

    def __init__(self, window: int) -> None:
        super().__init__([data(NAME.obis, VALUE, DataType.OCTET_STRING)])
        self.conformance |= GuruxConformance.GENERAL_BLOCK_TRANSFER
        self.settings.gbtWindowSize = self.settings.gbtWndowSize = window
        self.settings.setBlockNumberAck = lambda number: setattr(self.settings, "blockNumberAck", number)
        self.streamed: list[bytes] = []

    def exchange(self, apdu: bytes) -> bytes:
        if not apdu:
            return self.streamed.pop(0)
        self.requests.append(apdu)
        reply = _Reply(b"".join(n.to_bytes(2, "big") for n in (1, CLIENT, METER, len(apdu))) + apdu)
        self.handleRequest(reply)
        first = bytes(reply.reply)[8:]
        while reply.isStreaming():
            self.handleRequest(reply)
            self.streamed.append(bytes(reply.reply)[8:])
        return first


@pytest.mark.parametrize("size", [64, 100, 300])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_gurux_server(monkeypatch: pytest.MonkeyPatch, window: int, size: int) -> None:
    monkeypatch.setattr(GXServerReply, "setCount", lambda self, count: setattr(self, "count", count), raising=False)
    monkeypatch.setattr(GXServerReply, "getCount", lambda self: self.count, raising=False)
    meter = StreamingMeter(window)
    peer = drive(associate(Association(conformance=GBT, max_receive_pdu=size)), meter.exchange)
    assert Conformance.GENERAL_BLOCK_TRANSFER in peer.conformance
    for _ in range(2):
        assert drive(gbt_session(get(peer, NAME), peer.max_send_pdu, window=window), meter.exchange) == encode(VALUE)


def test_gurux_reads_our_blocks() -> None:
    xml = GXDLMSTranslator().pduToXml(GbtBlock(True, False, 3, 3, 6, b"").encode())
    for expected in ('BlockControl Value="83"', 'BlockNumber Value="0003"', 'BlockNumberAck Value="0006"'):
        assert expected in xml


# octets


def test_short_apdus_pass_unchanged() -> None:
    requests, exchange = asked("C5 01 C1 00")
    drive(gbt_session(put(link(), NAME, b"\x11\x07"), 64), exchange)
    assert requests == ["C1 01 C1 00 01 00 00 60 01 00 FF 02 00 11 07"]


def test_acknowledgements() -> None:
    """The octets of an acknowledgement as a log of a commercial client shows them: E0 83 00 03 00 06 00."""
    answers = [block(n, 0, "AA", 0x41) for n in (1, 2, 3, 4, 5)] + [block(6, 0, "BB", 0x01), block(7, 1, "CC", 0x81)]
    requests, exchange = asked(*answers)
    whole = drive(gbt_session(echo(b"\xc0"), 0, window=3), exchange)
    assert whole.hex() == "aaaaaaaaaabbcc"
    assert [request for request in requests if request] == [
        "C0", "E0 83 00 01 00 01 00", "E0 83 00 02 00 04 00", "E0 83 00 03 00 06 00",
    ]  # fmt: skip


def test_long_request() -> None:
    requests, exchange = asked(block(1, 1), block(2, 2), block(3, 3, "C5 01", 0x01), block(4, 3, "C1 00", 0x81))
    assert drive(gbt_session(echo(bytes(range(0xC1, 0xC1 + 30))), 20, window=2), exchange).hex() == "c501c100"
    assert [request[:20] for request in requests] == [
        "E0 02 00 01 00 00 0B", "E0 02 00 02 00 01 0B", "E0 82 00 03 00 02 08", "E0 82 00 04 00 03 00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "whole"),
    [
        pytest.param([block(1, 1), "C5 01 C1 00"], "c501c100", id="answer-without-blocks"),
        pytest.param([block(1, 1), block(1, 2, "C5", 0x81)], "c5", id="numbers-begin-again"),
        pytest.param([block(1, 1), block(2, 2, "", 0x01), block(3, 2, "C5", 0x81)], "c5", id="last-acknowledged-first"),
        pytest.param([block(1, 0), block(1, 1), block(2, 2, "C5", 0x81)], "c5", id="asked-again"),
        pytest.param(["D8 01 02"], "d80102", id="refused-at-the-first"),
    ],
)
def test_ways_to_answer_a_long_request(answers: list[str], whole: str) -> None:
    _, exchange = asked(*answers)
    assert drive(gbt_session(echo(bytes(20)), 20), exchange).hex() == whole


def test_a_lost_block_is_asked_for_again() -> None:
    answers = [block(1, 0, "AA"), block(3, 1, "CC", 0x41), block(4, 1, "DD", 0x81), block(2, 2, "BB", 0x41)]
    answers += [block(3, 2, "CC", 0x41), block(4, 2, "DD", 0x81)]
    requests, exchange = asked(*answers)
    assert drive(gbt_session(echo(b"\xc0"), 0, window=3), exchange).hex() == "aabbccdd"
    assert [request for request in requests if request][1:] == ["E0 83 00 01 00 01 00", "E0 83 00 02 00 01 00"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        pytest.param([block(1, 0, "AA"), ""], "peer-closed", id="closed"),
        pytest.param([block(1, 0, "AA"), "D8 01 02"], "peer-exception", id="exception"),
        pytest.param([block(2, 0, "AA")] * 9, "peer-block", id="first-never-comes"),
        pytest.param([block(1, 0, "AA")] * 9, "peer-block", id="one-for-ever"),
        pytest.param([block(n, 0, "") for n in range(1, 30)], "peer-block", id="empty-for-ever"),
        pytest.param([block(n, 0, "AA BB") for n in range(1, 30)], "peer-block", id="too-long"),
        pytest.param(["E0 81 00"], "peer-block", id="no-head"),
        pytest.param(["E0 81 00 01 00 00 02 AA"], "peer-block", id="length-wrong"),
        pytest.param(["E0 81 00 01 00 00 85 AA"], "peer-block", id="length-unreadable"),
    ],
)
def test_broken(answers: list[str], code: str) -> None:
    _, exchange = asked(*answers)
    assert code_of(lambda: drive(gbt_session(get(link(), NAME), 0, limits=Limits(16, 20)), exchange)) == code


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        pytest.param([block(1, 0)] * 9, "peer-block", id="asks-for-one-for-ever"),
        pytest.param([block(1, 9)], "peer-block", id="acknowledges-what-was-not-sent"),
        pytest.param([block(1, 1, "AA")], "peer-block", id="answers-too-early"),
        pytest.param([block(1, 1), ""], "peer-closed", id="closed"),
    ],
)
def test_long_request_broken(answers: list[str], code: str) -> None:
    _, exchange = asked(*answers)
    assert code_of(lambda: drive(gbt_session(put(link(), NAME, encode(VALUE)), 100), exchange)) == code


def test_no_room_for_a_block() -> None:
    assert code_of(lambda: drive(gbt_session(echo(bytes(20)), 9), lambda _: b"")) == "peer-pdu-size"
    for window in (0, 64):
        with pytest.raises(ValueError, match="1 to 63"):
            next(gbt_session(echo(b""), 0, window=window))


def test_a_session_that_knows_better_goes_on() -> None:
    """`get_list` reads one by one where the list fails; a broken long answer is not such a failure."""
    wanted = [NAME, Attribute(3, "1.0.1.8.0.255", 2)]
    _, exchange = asked("E0 81 00")
    assert code_of(lambda: drive(gbt_session(get_list(link(), wanted), 0), exchange)) == "peer-block"

    def stubborn() -> Session[str]:
        try:
            yield b"\xc0"
        except PeerError as error:
            return error.code + (yield b"\xc1").hex()
        return "no error"

    _, exchange = asked("E0 81 00", "AA")
    assert drive(gbt_session(stubborn(), 0), exchange) == "peer-blockaa"


# a peer by the standard, on a line that loses blocks


class Peer:
    """A meter's end: takes blocks one by one, answers an APDU with its reverse, in blocks streamed as the window allows."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken: list[bytes] = []
        self.parts: dict[int, bytes] = {}
        self.out: list[bytes] = []
        self.base = 0

    def receive(self, apdu: bytes) -> list[bytes]:
        if apdu[:1] != b"\xe0":
            return self.answer(apdu, 1)
        came = GbtBlock.parse(apdu)
        if self.out:
            return self.stream(came.acknowledged, came.window)
        if came.number == len(self.parts) + 1:
            self.parts[came.number] = came.data
        if not came.last or came.number != len(self.parts):
            return [GbtBlock(False, False, 1, len(self.parts), len(self.parts), b"").encode()]
        self.base = len(self.parts) - 1
        return self.answer(b"".join(self.parts.values()), came.window)

    def answer(self, apdu: bytes, window: int) -> list[bytes]:
        self.taken.append(apdu)
        reply = apdu[::-1]
        self.out = [reply[at : at + self.size] for at in range(0, len(reply), self.size)]
        return self.stream(self.base, window)

    def stream(self, acknowledged: int, window: int) -> list[bytes]:
        first = max(acknowledged - self.base, 0)
        part = self.out[first : first + window]
        return [
            GbtBlock(first + i + 1 == len(self.out), i + 1 < len(part), 1, self.base + first + i + 1, 0, content).encode()
            for i, content in enumerate(part)
        ]


def converse(session: Session[T], peer: Peer, lost: list[bool]) -> T:
    """Run `session` where what comes is lost as `lost` says, and the driver throws the link's timeout in."""
    fate, waiting, steps = iter(lost), [], 0
    try:
        apdu = next(session)
        while True:
            steps += 1
            assert steps < 5000, "no end"
            if apdu and not next(fate, False):
                waiting += [answer for answer in peer.receive(apdu) if not next(fate, False)]
            apdu = session.send(waiting.pop(0)) if waiting else session.throw(silent("did not answer in time"))
    except StopIteration as ended:
        result: T = ended.value
        return result


APDU = bytes(i % 200 + 1 for i in range(300))


@pytest.mark.parametrize("window", [1, 2, 7, 63])
@pytest.mark.parametrize("max_send", [0, 20, 100])
@pytest.mark.parametrize("size", [5, 64, 400])
def test_both_ways(window: int, max_send: int, size: int) -> None:
    peer = Peer(size)
    assert converse(gbt_session(echo(APDU), max_send, window=window), peer, []) == APDU[::-1]
    assert peer.taken == [APDU]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10), st.sampled_from([0, 30, 100]), st.sampled_from([5, 20, 64]), st.lists(st.booleans(), max_size=80))
def test_lost_blocks(window: int, max_send: int, size: int, lost: list[bool]) -> None:
    """The answer whole, or an error of ours; the request is executed once at most."""
    peer = Peer(size)
    try:
        assert converse(gbt_session(echo(APDU), max_send, window=window), peer, lost) == APDU[::-1]
    except PeerError as error:
        assert error.code in ("link-timeout", "peer-block")  # noqa: PT017 - both outcomes are right
    assert peer.taken in ([], [APDU])


def test_a_few_lost_blocks_do_no_harm() -> None:
    lost = [False] * 7 + [True] + [False] * 11 + [True] + [False] * 5 + [True, False]
    assert converse(gbt_session(echo(APDU), 30, window=4), Peer(10), [False] * 22 + lost) == APDU[::-1]


def test_silence_before_any_block_is_the_drivers() -> None:
    session: Any = gbt_session(echo(b"\xc0"), 0)
    next(session)
    with pytest.raises(PeerError) as raised:
        session.throw(silent("did not answer in time"))
    assert raised.value.code == "link-timeout"


@given(st.lists(st.binary(max_size=24).map(lambda tail: b"\xe0" + tail) | st.binary(max_size=8), min_size=1, max_size=8))
def test_no_answer_raises_but_our_own(answers: list[bytes]) -> None:
    left = iter(answers)
    try:
        drive(gbt_session(put(link(), NAME, encode(VALUE)), 100), lambda _: next(left, b""))
    except DlmsError as error:
        assert error.code in CODES  # noqa: PT017 - both outcomes are right
