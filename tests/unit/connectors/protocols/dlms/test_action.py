"""ACTION: the octets of requests, what methods return in every form, and each way in which they go wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gurux_dlms import GXDLMSClient, GXDLMSTranslator
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.objects import GXDLMSScriptTable
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.action import ACTION_RESULTS, Method, invoke, invoke_list
from connectors.protocols.dlms.association import PROPOSED, Conformance
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.get import Limits
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of, drive
from tests.unit.connectors.protocols.dlms.scripted import asked, link

DISCONNECT = Method(70, "0.0.96.3.10.255", 1)
SCRIPT = Method(9, "0.0.10.0.0.255", 1)
ZERO = b"\x0f\x00"


def test_method_reads_what_it_writes() -> None:
    assert Method.parse("70/0.0.96.3.10.255/1") == DISCONNECT
    assert str(DISCONNECT) == "70/0.0.96.3.10.255/1"
    for wrong in ("70/0.0.96.3.10.255", "x/0.0.96.3.10.255/1", "70/0.0.96.3/1"):
        with pytest.raises(ValueError, match="expected"):
            Method.parse(wrong)


@pytest.mark.parametrize(
    ("parameter", "octets"),
    [
        pytest.param(ZERO, "C3 01 C1 00 46 00 00 60 03 0A FF 01 01 0F 00", id="parameter"),
        pytest.param(None, "C3 01 C1 00 46 00 00 60 03 0A FF 01 00", id="none"),
    ],
)
def test_normal(parameter: bytes | None, octets: str) -> None:
    requests, exchange = asked("C7 01 C1 00 00")
    assert drive(invoke(link(), DISCONNECT, parameter), exchange) is None
    assert requests == [octets]


@pytest.mark.parametrize(
    ("answer", "returned"),
    [
        pytest.param("C7 01 C1 00 01 00 09 02 68 69", "09 02 68 69", id="data-as-jdlms-sends-it"),
        pytest.param("C7 01 C1 00", None, id="optional-flag-left-out"),
        pytest.param("C7 01 C1 00 00", None, id="nothing"),
        pytest.param("C7 01 C1 00 01 01 00", None, id="data-access-result-success"),
        pytest.param("C7 01 C1 00 01 09 02 68 69", "09 02 68 69", id="choice-left-out"),
    ],
)
def test_returned(answer: str, returned: str | None) -> None:
    _, exchange = asked(answer)
    assert drive(invoke(link(), SCRIPT, ZERO), exchange) == (returned and bytes.fromhex(returned))


@pytest.mark.parametrize(
    ("answers", "code", "says", "retry"),
    [
        pytest.param(
            ["C7 01 C1 03 00"], "peer-action", "70/0.0.96.3.10.255/1: action-result 3 (read-write", False, id="denied"
        ),
        pytest.param(["C7 01 C1 02"], "peer-action", "(temporary-failure)", True, id="temporary"),
        pytest.param(["C7 01 C1 63 00"], "peer-action", "99 (not in the standard)", False, id="unknown-result"),
        pytest.param(["C7 01 C0 03 00"], "peer-action", "(read-write-denied)", False, id="refusal-that-forgot-the-id"),
        pytest.param(
            ["C7 01 C1 00 01 01 04"], "peer-access", "what it returns: data-access-result 4", False, id="no-return"
        ),
        pytest.param(["D8 01 02"], "peer-exception", "service-not-supported", False, id="exception"),
        pytest.param([""], "peer-closed", "closed", True, id="closed"),
        pytest.param(["C5 01 C1 00"], "peer-unexpected", "C5 01 C1", True, id="answer-to-a-set"),
        pytest.param(["C7 03 C1 01 00 00"], "peer-unexpected", "C7 03", True, id="list-for-one"),
        pytest.param(["C7 01 C1 00 01 00 09 05 68"], "dlms-truncated", "what it returned", None, id="data-cut-short"),
        pytest.param(["C7 01 C1 00 05"], "dlms-axdr", "05 where 0", None, id="optional-flag-wrong"),
        pytest.param(["C7 01 C1 00 00 07"], "dlms-axdr", "1 octets follow", None, id="octets-after"),
        pytest.param(["C7 01 C2 00 00"] * 4, "peer-unexpected", "invoke-ids", True, id="other-invoke-ids"),
        pytest.param(["C7 01 C2 03 00", "C7 01 C1 00 00"], None, "", None, id="late-refusal-of-another"),
    ],
)
def test_refused(answers: list[str], code: str | None, says: str, retry: bool | None) -> None:
    _, exchange = asked(*answers)
    if code is None:
        assert drive(invoke(link(), DISCONNECT, ZERO), exchange) is None
        return
    with pytest.raises(DlmsError) as raised:
        drive(invoke(link(), DISCONNECT, ZERO), exchange)
    assert raised.value.code == code
    assert code in CODES
    assert says in raised.value.detail
    assert getattr(raised.value, "retry", None) == retry


def test_every_action_result_says_what_to_do_next() -> None:
    for result, (name, mend, _) in ACTION_RESULTS.items():
        _, exchange = asked(f"C7 01 C1 {result:02X} 00")
        with pytest.raises(PeerError, match=name) as raised:
            drive(invoke(link(), DISCONNECT, ZERO), exchange)
        assert mend in raised.value.detail


LONG = encode(bytes(range(100)))


def acknowledging(answer: str) -> tuple[list[bytes], Callable[[bytes], bytes]]:
    """A meter that asks for each further block, and answers the last."""
    requests: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu)
        block = apdu[12:] if apdu[1] == 4 else apdu[3:]
        return bytes.fromhex(answer) if block[0] else b"\xc7\x04" + apdu[2:3] + block[1:5]

    return requests, exchange


@pytest.mark.parametrize("size", [21, 30, 64, 65, 100])
def test_long_parameter(size: int) -> None:
    requests, exchange = acknowledging("C7 01 C1 00 00")
    assert drive(invoke(link(max_send_pdu=size), SCRIPT, LONG), exchange) is None
    assert all(len(request) <= size for request in requests)
    assert all(len(request) == size for request in requests[:-1])
    assert [request[1] for request in requests] == [4] + [6] * (len(requests) - 1)
    parts = [request[12 if request[1] == 4 else 3 :] for request in requests]
    assert [int.from_bytes(part[1:5], "big") for part in parts] == list(range(1, len(parts) + 1))
    assert [part[0] for part in parts] == [0] * (len(parts) - 1) + [1]
    assert b"".join(part[6:] for part in parts) == LONG


def gurux_client(size: int) -> GXDLMSClient:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.settings.maxPduSize = size
    return client


@pytest.mark.parametrize("size", [0xFFFF, 64, 90])
def test_first_request_is_gurux_clients(size: int) -> None:
    theirs = gurux_client(size).method(GXDLMSScriptTable("0.0.10.0.0.255"), 1, bytes(range(100)), DataType.OCTET_STRING)
    requests, exchange = acknowledging("C7 01 C1 00 00") if size < 100 else ([], None)
    session = invoke(link(max_send_pdu=size), SCRIPT, LONG)
    ours = next(session)
    assert ours == bytes(theirs[0])[8:]  # without the wrapper
    if exchange:
        drive(invoke(link(max_send_pdu=size), SCRIPT, LONG), exchange)
        assert requests[0] == ours


def test_gurux_reads_the_request() -> None:
    xml = GXDLMSTranslator().pduToXml(next(invoke(link(), DISCONNECT, None)))
    for expected in ('ClassId Value="0046"', 'InstanceId Value="000060030AFF"', 'MethodId Value="01"'):
        assert expected in xml


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        pytest.param(["C7 04 C1 00 00 00 02"], "peer-block", id="acknowledges-another"),
        pytest.param(["C7 01 C1 00 00"], "peer-block", id="done-before-the-last"),
        pytest.param(["C7 01 C1 0F 00"], "peer-action", id="aborted"),
        pytest.param(["C7 04 C1 00 00 00 01", "C7 01 C1 10 00"], "peer-action", id="forgotten"),
        pytest.param(["C7 04 C1 00 00 00 01", ""], "peer-closed", id="closed"),
        pytest.param(["D8 01 04"], "peer-exception", id="exception"),
    ],
)
def test_long_parameter_refused(answers: list[str], code: str) -> None:
    _, exchange = asked(*answers)
    assert code_of(lambda: drive(invoke(link(max_send_pdu=40), SCRIPT, LONG), exchange)) == code


@pytest.mark.parametrize(
    ("conformance", "size", "code"),
    [
        pytest.param(PROPOSED & ~Conformance.BLOCK_TRANSFER_WITH_ACTION, 40, "peer-pdu-size", id="no-blocks"),
        pytest.param(PROPOSED, 18, "peer-pdu-size", id="no-room"),
        pytest.param(PROPOSED | Conformance.GENERAL_BLOCK_TRANSFER, 40, None, id="general-block-transfer-cuts"),
    ],
)
def test_long_parameter_and_a_small_meter(conformance: Conformance, size: int, code: str | None) -> None:
    requests, exchange = asked("C7 01 C1 00 00")
    assert code_of(lambda: drive(invoke(link(conformance, size), SCRIPT, LONG), exchange)) == code
    assert len(requests) == (code is None)


RESULT = "00 01 00 09 02 68 69"
"""As jDLMS 1.8.0 joins its blocks: the whole response."""


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(RESULT, id="response"),
        pytest.param("00 09 02 68 69", id="choice-and-data-as-gurux-joins-them"),
        pytest.param("09 02 68 69", id="data"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_long_answer(whole: str, first: int) -> None:
    octets = bytes.fromhex(whole)
    answers = [f"C7 02 C1 {i == len(octets) - 1:02X} {i + first:08X} 01 {octet:02X}" for i, octet in enumerate(octets)]
    requests, exchange = asked(*answers)
    assert drive(invoke(link(), SCRIPT, ZERO), exchange) == bytes.fromhex("09 02 68 69")
    assert requests[1] == "C3 02 C1 " + first.to_bytes(4, "big").hex(" ").upper()
    assert len(requests) == len(octets)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        pytest.param(["C7 02 C1 00 00 00 00 01 01 00", "C7 02 C1 01 00 00 00 03 01 00"], "peer-block", id="gap"),
        pytest.param(["C7 02 C1 00 00 00 00 02 01 00"], "peer-block", id="begins-with-the-second"),
        pytest.param(["C7 02 C1 01 00 00 00 01 05 00"], "peer-block", id="length-wrong"),
        pytest.param(["C7 02 C1 01"], "peer-block", id="no-head"),
        pytest.param(["C7 02 C1 00 00 00 00 01 01 00", "C7 01 C1 0F"], "peer-action", id="aborted"),
        pytest.param(["C7 02 C1 00 00 00 00 01 01 00", ""], "peer-closed", id="closed"),
        pytest.param(["C7 02 C1 01 00 00 00 01 02 09 05"], "dlms-axdr", id="content-is-nothing"),
        pytest.param([f"C7 02 C1 00 00 00 00 {n:02X} 01 00" for n in range(1, 9)], "peer-block", id="too-many"),
    ],
)
def test_long_answer_broken(answers: list[str], code: str) -> None:
    _, exchange = asked(*answers)
    assert code_of(lambda: drive(invoke(link(), SCRIPT, ZERO, limits=Limits(4, 8)), exchange)) == code


METHODS = [(DISCONNECT, ZERO), (SCRIPT, None), (Method(9, "0.0.10.0.0.255", 2), ZERO)]


def test_list() -> None:
    requests, exchange = asked("C7 03 C1 03 00 01 00 09 01 AA 03 00 00 00")
    first, second, third = drive(invoke_list(link(), METHODS), exchange)
    assert requests == [
        "C3 03 C1 03 00 46 00 00 60 03 0A FF 01 00 09 00 00 0A 00 00 FF 01 00 09 00 00 0A 00 00 FF 02 03 0F 00 00 0F 00"
    ]
    assert (first, third) == (bytes.fromhex("09 01 AA"), None)
    assert isinstance(second, PeerError)
    assert "9/0.0.10.0.0.255/1: action-result 3" in second.detail


@pytest.mark.parametrize(
    ("size", "kinds"),
    [pytest.param(0, [3], id="one"), pytest.param(30, [3, 1], id="two-and-one"), pytest.param(20, [1, 1, 1], id="singly")],
)
def test_list_fits_the_meter(size: int, kinds: list[int]) -> None:
    requests: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu)
        results = bytes((apdu[3],)) + bytes(2 * apdu[3]) if apdu[1] == 3 else bytes(2)
        return b"\xc7" + apdu[1:3] + results

    assert drive(invoke_list(link(max_send_pdu=size), METHODS), exchange) == (None, None, None)
    assert [request[1] for request in requests] == kinds


def test_list_refused_as_a_whole_goes_one_by_one() -> None:
    requests, exchange = asked("D8 01 02", "C7 01 C2 00 00", "C7 01 C3 04 00", "C7 01 C4 00 00")
    peer = link()
    found = drive(invoke_list(peer, METHODS), exchange)
    assert [isinstance(item, PeerError) for item in found] == [False, True, False]
    assert Conformance.MULTIPLE_REFERENCES not in peer.conformance
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("", "peer-closed", id="closed"),
        pytest.param("C7 03 C1 02 00 00 00 00", "peer-unexpected", id="one-result-short"),
        pytest.param("C7 03 C1 03 00 00 00 00", "dlms-truncated", id="cut-short"),
        pytest.param("C7 03 C1 03 00 00 00 00 00 00 00", "dlms-axdr", id="octets-after"),
    ],
)
def test_list_of_which_it_is_not_known_what_ran_is_not_repeated(answer: str, code: str) -> None:
    requests, exchange = asked(answer)
    assert code_of(lambda: drive(invoke_list(link(), METHODS), exchange)) == code
    assert len(requests) == 1


@given(st.lists(st.binary(max_size=24).map(lambda tail: b"\xc7" + tail) | st.binary(max_size=8), min_size=1, max_size=6))
def test_no_answer_raises_but_our_own(answers: list[bytes]) -> None:
    for session in (invoke(link(max_send_pdu=30), SCRIPT, LONG), invoke_list(link(), METHODS)):
        left = iter(answers)
        assert code_of(lambda session=session, left=left: drive(session, lambda _: next(left, b""))) in {None, *CODES}  # type: ignore[misc]  # a lambda's defaults
