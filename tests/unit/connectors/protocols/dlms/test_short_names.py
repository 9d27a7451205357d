"""Short names: conversations that jDLMS 1.8.0 had with us as a server, gurux' client octets, and each way to go wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gurux_dlms import GXDLMSClient, GXDLMSTranslator
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.objects import GXDLMSData
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.action import Method
from connectors.protocols.dlms.association import PROPOSED_SHORT_NAMES, Associated, Association, Conformance, associate
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.get import Attribute, ByEntry, Limits
from connectors.protocols.dlms.short_names import (
    ShortNames,
    SnObject,
    read_names,
    sn_get,
    sn_get_list,
    sn_invoke,
    sn_put,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of, drive
from tests.unit.connectors.protocols.dlms.scripted import asked

NAME, NAME_OF_IT = Attribute(1, "0.0.96.1.0.255", 2), Attribute(1, "0.0.96.1.0.255", 1)
ABSENT = Attribute(1, "0.0.96.9.0.255", 2)
SCRIPT = Method(9, "0.0.10.0.0.255", 1)
NAMES = ShortNames(
    [
        SnObject(0x1000, 1, 0, "0.0.96.1.0.255"),
        SnObject(0x2000, 9, 0, "0.0.10.0.0.255"),
        SnObject(0xFA00, 12, 4, "0.0.40.0.0.255"),
        SnObject(0xFB00, 17, 0, "0.0.41.0.0.255"),
        SnObject(0xFD00, 1, 0, "0.0.42.0.0.255"),
        SnObject(0x0000, 64, 0, "0.0.43.0.0.255"),
    ]
)
LONG = encode(bytes(range(100)))

OBJECTS = (
    "0204101000120001110009060000600100ff02041020001200091100090600000a0000ff020410fa0012000c110409060000280000ff"
    "020410fb00120011110009060000290000ff020410fd001200011100090600002a0000ff02041000001200401100090600002b0000ff"
)
JDLMS = {
    "050102fa08": "0c01000106" + OBJECTS,
    "0501021008": "0c0100090b4845533030303030303432",
    "0601021008010964" + bytes(range(100)).hex(): "0d0100",
    "0502021008021000": "0c0200090568656c6c6f0009060000600100ff",
    "060102202001090568656c6c6f": "0d010104",
    "050104202000090568656c6c6f": "0c0100090568656c6c6f",
    "0501042020000903616263": "0c010103",
    "0501022008": "0c010104",
}
"""What jDLMS answered to what we asked, whole."""
JDLMS_64 = {
    "050102fa08": "0c01020000013f01000106" + OBJECTS[:118],
    "0501050001": "0c010201000231" + OBJECTS[118:],
}
"""The same with PDUs of 64 octets."""
JDLMS_64_LONG = {
    "0501021008": "0c01020000013f01000964" + bytes(range(59)).hex(),
    "0501050001": "0c010201000229" + bytes(range(59, 100)).hex(),
}


def link(max_send_pdu: int = 0) -> Associated:
    return Associated(PROPOSED_SHORT_NAMES, max_send_pdu)


def recorded(answers: dict[str, str]) -> Callable[[bytes], bytes]:
    return lambda apdu: bytes.fromhex(answers[apdu.hex()])


def test_association_as_jdlms_took_it() -> None:
    config = Association(conformance=PROPOSED_SHORT_NAMES, short_names=True)
    exchange = recorded(
        {
            "601da109060760857405080102be10040e01000000065f1f0400180320ffff": "612d80020780a109060760857405080102a20302"
            "0100a305a103020100be10040e0800065f1f0400180220ffff0007"
        }
    )
    agreed = drive(associate(config), exchange).conformance
    assert Conformance.READ | Conformance.WRITE | Conformance.PARAMETERIZED_ACCESS in agreed


@pytest.mark.parametrize("answers", [pytest.param(JDLMS, id="whole"), pytest.param(JDLMS_64, id="in-blocks")])
def test_object_list_of_jdlms(answers: dict[str, str]) -> None:
    names = drive(read_names(link()), recorded(answers))
    assert names.objects == NAMES.objects
    assert len(names) == 6


def test_read_and_write_with_jdlms() -> None:
    exchange = recorded(JDLMS)
    assert drive(sn_get(link(), NAMES, NAME), exchange) == b"\x09\x0bHES00000042"
    drive(sn_put(link(), NAMES, NAME, LONG), exchange)
    assert drive(sn_get(link(), NAMES, NAME), recorded(JDLMS_64_LONG)) == LONG
    assert code_of(lambda: drive(sn_get(link(), NAMES, Attribute(9, SCRIPT.obis, 2)), exchange)) == "peer-access"


def test_list_with_jdlms() -> None:
    first, second, third = drive(sn_get_list(link(), NAMES, [NAME, NAME_OF_IT, ABSENT]), recorded(JDLMS))
    assert (first, second) == (b"\x09\x05hello", bytes.fromhex("09060000600100ff"))
    assert isinstance(third, PeerError)
    assert "1/0.0.96.9.0.255/2: data-access-result 4 (object-undefined)" in third.detail


def test_methods_with_jdlms() -> None:
    exchange, hello = recorded(JDLMS), encode(b"hello")
    assert drive(sn_invoke(link(), NAMES, SCRIPT, hello, returns=True), exchange) == hello
    refused = "9/0.0.10.0.0.255/1: data-access-result 3"
    with pytest.raises(PeerError, match=refused):
        drive(sn_invoke(link(), NAMES, SCRIPT, encode(b"abc"), returns=True), exchange)
    assert code_of(lambda: drive(sn_invoke(link(), NAMES, SCRIPT, hello), exchange)) == "peer-access"


def gurux_client() -> tuple[GXDLMSClient, GXDLMSData]:
    item = GXDLMSData(NAME.obis, 0x1000)
    item.shortName, item.value = 0x1000, bytes(range(100))
    item.setDataType(2, DataType.OCTET_STRING)
    return GXDLMSClient(False, 16, 1, Authentication.NONE, None, InterfaceType.WRAPPER), item


def test_requests_are_gurux_clients() -> None:
    client, item = gurux_client()
    assert next(sn_get(link(), NAMES, NAME)) == bytes(client.read(item, 2)[0])[8:]
    assert next(sn_put(link(), NAMES, NAME, LONG)) == bytes(client.write(item, 2)[0])[8:]


@pytest.mark.parametrize(
    ("request_apdu", "expected"),
    [
        pytest.param(
            next(sn_get(link(), NAMES, NAME, ByEntry(1, 2))),
            ['<VariableName Value="1008" />', '<Selector Value="02" />', '<UInt32 Value="00000002" />'],
            id="parameterized",
        ),
        pytest.param(
            next(sn_put(link(40), NAMES, NAME, LONG)),
            ['<LastBlock Value="00" />', '<BlockNumber Value="0001" />', f'Value="0102100801{LONG.hex()[:48].upper()}'],
            id="block-of-a-write",
        ),
        pytest.param(bytes.fromhex("0501050001"), ['<BlockNumber Value="0001" />'], id="next-block"),
    ],
)  # fmt: skip
def test_gurux_reads_the_request(request_apdu: bytes, expected: list[str]) -> None:
    xml = GXDLMSTranslator().pduToXml(request_apdu)
    for line in expected:
        assert line in xml


@pytest.mark.parametrize(
    ("class_id", "version", "method", "offset"),
    [
        pytest.param(3, 0, 1, 0x28, id="register-reset"),
        pytest.param(5, 0, 2, 0x50, id="demand-register-next-period"),
        pytest.param(7, 1, 1, 0x58, id="profile-reset"),
        pytest.param(8, 0, 6, 0x88, id="clock-shift-time"),
        pytest.param(12, 3, 8, 0x58, id="association-reply-to-hls"),
        pytest.param(18, 0, 2, 0x48, id="image-block-transfer"),
        pytest.param(64, 0, 2, 0x30, id="security-setup-0-key-transfer"),
        pytest.param(64, 1, 2, 0x38, id="security-setup-1-key-transfer"),
        pytest.param(70, 0, 2, 0x28, id="reconnect"),
        pytest.param(72, 0, 1, 0x60, id="mbus-client-0"),
        pytest.param(72, 1, 1, 0x70, id="mbus-client-1"),
        pytest.param(3, 0, 2, None, id="register-has-no-second"),
        pytest.param(1, 0, 1, None, id="data-has-none"),
    ],
)
def test_where_methods_lie(class_id: int, version: int, method: int, offset: int | None) -> None:
    names = ShortNames([SnObject(0x3000, class_id, version, "1.2.3.4.5.255")])
    if offset is None:
        assert code_of(lambda: names.method(Method(class_id, "1.2.3.4.5.255", method))) == "peer-access"
    else:
        assert names.method(Method(class_id, "1.2.3.4.5.255", method)) == 0x3000 + offset


def test_methods_that_return_are_read_the_others_written() -> None:
    reply = Method(12, "0.0.40.0.0.255", 8)
    assert next(sn_invoke(link(), NAMES, reply, b"\x09\x01\xaa")).hex() == "050104fa58000901aa"
    assert next(sn_invoke(link(), NAMES, SCRIPT)).hex() == "06010220200100"


def taking(service: int, answer: str) -> tuple[list[bytes], Callable[[bytes], bytes]]:
    """A meter that asks for each further block, and answers the last."""
    requests: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu)
        return bytes.fromhex(answer) if apdu[3] else bytes((service, 1, 3 if service == 0x0C else 2)) + apdu[4:6]

    return requests, exchange


@pytest.mark.parametrize("size", [16, 40, 64, 107])
def test_long_write(size: int) -> None:
    requests, exchange = taking(0x0D, "0D 01 00")
    drive(sn_put(link(size), NAMES, NAME, LONG), exchange)
    assert all(len(request) <= size for request in requests)
    assert [request[4:6] for request in requests] == [n.to_bytes(2, "big") for n in range(1, len(requests) + 1)]
    assert [request[3] for request in requests] == [0] * (len(requests) - 1) + [1]
    assert b"".join(request[9:] for request in requests) == bytes.fromhex("01 02 10 08 01") + LONG


def test_long_read_request() -> None:
    requests, exchange = taking(0x0C, "0C 01 00 11 07")
    parameter = ByEntry(1, 2)
    assert drive(sn_get(link(20), NAMES, NAME, parameter), exchange) == b"\x11\x07"
    assert b"".join(request[7:] for request in requests) == bytes.fromhex("01 04 10 08") + parameter.encode()
    assert all(len(request) <= 20 for request in requests)


@pytest.mark.parametrize(
    ("size", "asked_for"),
    [pytest.param(0, [4], id="one"), pytest.param(8, [2, 2], id="two"), pytest.param(5, [1] * 4, id="singly")],
)
def test_list_fits_the_meter(size: int, asked_for: list[int]) -> None:
    counts: list[int] = []

    def exchange(apdu: bytes) -> bytes:
        counts.append(apdu[1])
        return b"\x0c" + apdu[1:2] + b"\0\x11\x07" * apdu[1]

    wanted = [Attribute(17, "0.0.41.0.0.255", n) for n in (1, 2, 3, 4)]
    assert drive(sn_get_list(link(size), NAMES, wanted), exchange) == (b"\x11\x07",) * 4
    assert counts == asked_for


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        pytest.param(["0C 01 01 03"], "peer-access", "1/0.0.96.1.0.255/2: data-access-result 3", id="denied"),
        pytest.param(["0E 05 05 01"], "peer-exception", "read: access, scope-of-access-violated", id="service-error"),
        pytest.param([""], "peer-closed", "closed", id="closed"),
        pytest.param(["0D 01 00"], "peer-unexpected", "0D 01", id="answer-to-a-write"),
        pytest.param(["0C 02 00 11 07 00 11 07"], "peer-unexpected", "2 results for 1", id="two-for-one"),
        pytest.param(["0C 01 00 11 07 00"], "dlms-axdr", "1 octets after", id="octets-after"),
        pytest.param(["0C 01 05"], "dlms-axdr", "05 where", id="unknown-choice"),
        pytest.param(["0C 01 00 09 05 68"], "dlms-truncated", "", id="cut-short"),
        pytest.param(["0C 01 02 00 00 02 01 01"], "peer-block", "block 2 came where 1", id="begins-with-the-second"),
        pytest.param(["0C 01 02 00 00 01 01 01", "0C 01 02 00 00 03 01 01"], "peer-block", "block 3", id="gap"),
        pytest.param(["0C 01 02 00 00 01 05 01"], "peer-block", "announced", id="length-wrong"),
        pytest.param(["0C 01 02 00"], "peer-block", "no head", id="no-head"),
        pytest.param(["0C 01 02 00 00 01 01 01", "0C 01 01 0F"], "peer-access", "long-get-aborted", id="aborted"),
        pytest.param(["0C 01 02 00 00 01 01 01", ""], "peer-closed", "closed", id="closed-in-mid-block"),
        pytest.param(["0C 01 02 01 00 01 02 11 07"], None, "", id="data-alone-in-blocks"),
        pytest.param(["0C 01 02 01 00 01 03 00 11 07"], None, "", id="choice-and-data-in-blocks"),
        pytest.param(["0C 01 02 01 00 01 02 09 07"], "dlms-axdr", "hold no answer", id="nothing-in-blocks"),
        pytest.param(
            [f"0C 01 02 00 00 {n:02X} 04 01 01 01 01" for n in range(1, 9)], "peer-block", "more than", id="too-long"
        ),
    ],
)
def test_read_refused(answers: list[str], code: str | None, says: str) -> None:
    _, exchange = asked(*answers)
    try:
        assert drive(sn_get(link(), NAMES, NAME, limits=Limits(16, 100)), exchange) == b"\x11\x07"
        raised: tuple[str, str | None] = ("", None)
    except DlmsError as error:
        raised = (error.detail, error.code)
    assert raised[1] == code
    assert says in raised[0]


@pytest.mark.parametrize(
    ("size", "answers", "code"),
    [
        pytest.param(0, ["0D 01 01 0C"], "peer-access", id="type-unmatched"),
        pytest.param(0, ["0D 01 01"], "peer-unexpected", id="cut-short"),
        pytest.param(0, [""], "peer-closed", id="closed"),
        pytest.param(0, ["0C 01 00 11 07"], "peer-unexpected", id="answer-to-a-read"),
        pytest.param(60, ["0D 01 00"], "peer-block", id="done-before-the-last"),
        pytest.param(60, ["0D 01 02 00 02"], "peer-block", id="acknowledges-another"),
        pytest.param(60, ["0D 01 01 11"], "peer-access", id="aborted"),
        pytest.param(60, ["0D 01 02 00 01", "D8 01 04"], "peer-exception", id="exception"),
        pytest.param(11, [], "peer-pdu-size", id="no-room"),
    ],
)
def test_write_refused(size: int, answers: list[str], code: str) -> None:
    _, exchange = asked(*answers)
    assert code_of(lambda: drive(sn_put(link(size), NAMES, NAME, LONG), exchange)) == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("11 07", "dlms-axdr", id="a-number"),
        pytest.param("01 01 02 01 11 07", "dlms-axdr", id="a-row-of-one"),
        pytest.param("01 01 02 04 10 10 00 12 00 01 11 00 09 02 00 00", "dlms-axdr", id="a-short-logical-name"),
        pytest.param("01 00", None, id="none"),
    ],
)
def test_object_lists_that_are_none(value: str, code: str | None) -> None:
    _, exchange = asked("0C 01 00 " + value)
    assert code_of(lambda: drive(read_names(link()), exchange)) == code


def test_objects_that_the_meter_lacks() -> None:
    assert code_of(lambda: drive(sn_get(link(), NAMES, ABSENT), lambda _: b"")) == "peer-access"
    assert code_of(lambda: drive(sn_put(link(), NAMES, ABSENT, LONG), lambda _: b"")) == "peer-access"


@given(
    st.lists(
        st.tuples(st.sampled_from([b"\x0c", b"\x0c\x01", b"\x0c\x01\x02", b"\x0d\x01", b""]), st.binary(max_size=24)).map(
            b"".join
        ),
        min_size=1,
        max_size=6,
    )
)
def test_no_answer_raises_but_our_own(answers: list[bytes]) -> None:
    for session in (
        sn_get(link(20), NAMES, NAME, ByEntry(1, 2)),
        sn_get_list(link(), NAMES, [NAME, NAME_OF_IT]),
        sn_put(link(60), NAMES, NAME, LONG),
        read_names(link()),
    ):
        left = iter(answers)
        try:
            drive(session, lambda _, left=left: next(left, b""))  # type: ignore[misc]  # a lambda's defaults
        except DlmsError as error:
            assert error.code in CODES  # noqa: PT017 - both outcomes are right
