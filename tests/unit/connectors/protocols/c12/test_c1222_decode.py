"""Messages in fields: each with its name, meaning and place; errors beside what could be read; nothing raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu, Authentication, Unknown
from connectors.protocols.c12.c1222_security import Seal, keyring
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.c1222_services import encode_request
from connectors.protocols.c12.decode import View, decode_c1222, services_of
from connectors.protocols.c12.decode_services import service_node, table_name
from connectors.protocols.c12.epsem import Respond
from connectors.protocols.c12.requests import Identify, ReadFull, ReadOffset, Security, WriteFull
from connectors.protocols.c12.responses import TableData
from connectors.protocols.c12.titles import C1222_SECURITY, title
from connectors.protocols.c12.tree import Node
from tests.unit.connectors.protocols.c12.messages import (
    AUTHENTICATED,
    CIPHERED,
    HES,
    HES_RELATIVE,
    KEYS,
    METER,
    METER_RELATIVE,
    PASSWORD,
    REFUSALS,
    REQUESTS,
    RESPONSES_OK,
    notification,
    request,
    response,
)


def names(node: Node) -> list[str]:
    return [each.name for _, each in node.walk()]


def values(node: Node) -> dict[str, str]:
    return {each.name: each.value for _, each in node.walk()}


def whole(node: Node, octets: bytes) -> None:
    """Every field stands where it says, and children lie within their parents."""
    for _, each in node.walk():
        if "*" not in each.octets.decode("latin-1") and "EPSEM" not in each.name:
            assert octets[each.offset : each.offset + len(each.octets)] == each.octets, each.name
        for child in each.children:
            assert each.offset <= child.offset <= each.offset + max(len(each.octets), 1)


def test_a_request() -> None:
    octets = request(Identify(), ReadOffset(64, 300, 16), called=METER_RELATIVE, qualifier=acse.URGENT | acse.TEST,
                     respond=Respond.ON_EXCEPTION, ed_class=b"TEMP")  # fmt: skip
    node = decode_c1222(octets)
    whole(node, octets)
    assert [(each.name, each.value) for depth, each in node.walk() if depth == 1] == [
        ("aSO-context", "2.16.124.113620.1.22"),
        ("called-AP-title", ".123.8437 (absolute 2.16.124.113620.1.22.0.123.8437)"),
        ("calling-AP-title", HES.text),
        ("calling-AE-qualifier", "0x03 (test, urgent)"),
        ("calling-AP-invocation-id", "7"),
        ("user-information", ""),
    ]
    information = node.find("user-information")
    assert information is not None
    assert [(each.name, each.value) for depth, each in information.walk() if depth] == [
        ("EPSEM control", "0x91"),
        ("recovery session", "false"),
        ("proxy service used", "false"),
        ("end-device class included", "true"),
        ("security mode", "cleartext"),
        ("respond", "on exception"),
        ("end-device class", "TEMP"),
        ("request", "identify"),
        ("request", "identify (0x20)"),
        ("request", "partial read, offset, table 64"),
        ("request", "partial read, offset (0x3f)"),
        ("table", "table 64"),
        ("offset", "300"),
        ("octet count", "16"),
    ]


@pytest.mark.parametrize("secured", [AUTHENTICATED, CIPHERED], ids=["authenticated", "ciphered"])
def test_a_secured_request(secured: Seal) -> None:
    octets = request(ReadFull(1), WriteFull(64, bytes(20)), seal_with=secured, calling=HES_RELATIVE)
    node = decode_c1222(octets, View(KEYS))
    assert "error" not in names(node)
    assert values(node)["MAC"].endswith("(verifies)")
    assert (values(node)["key-id-element"], values(node)["iv-element"]) == ("2", "48 f3 d0 61")
    assert values(node)["table data"] == bytes(20).hex(" ")


def test_without_its_key_a_ciphered_message_is_shown_as_far_as_it_goes() -> None:
    node = decode_c1222(request(ReadFull(1), seal_with=CIPHERED))
    assert values(node)["EPSEM ciphered"] == "4 octets"
    assert "c1222-key-missing" in values(node)["error"]
    assert values(decode_c1222(request(ReadFull(1), seal_with=AUTHENTICATED)))["table"] == "table 1"


def test_a_wrong_key() -> None:
    node = decode_c1222(request(ReadFull(1), seal_with=CIPHERED), View(keyring({("*", 2): bytes(16)})))
    assert values(node)["MAC"].endswith("(not verified: c1222-authentication)")


def test_a_message_too_short_to_be_protected_says_so() -> None:
    assert "does not protect" in values(decode_c1222(request(ReadFull(1), seal_with=CIPHERED), View(KEYS)))["MAC"]


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_read_to_its_last_octet(name: str) -> None:
    octets = request(REQUESTS[name])
    node = decode_c1222(octets, View(secrets=True))
    whole(node, octets)
    assert not {"error", "octets"} & set(names(node))
    assert not [value for value in values(node).values() if value.startswith("unknown")]
    assert_covered(node)


@pytest.mark.parametrize("name", RESPONSES_OK)
def test_every_response_is_read_to_its_last_octet(name: str) -> None:
    asked, said = RESPONSES_OK[name]
    node = decode_c1222(response(said), View(requests=(encode_request(asked),)))
    assert not {"error", "octets"} & set(names(node))
    assert_covered(node)


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_its_name(name: str) -> None:
    node = decode_c1222(response(REFUSALS[name]), View(requests=(b"\x30\x00\x01",)))
    assert values(node)["response"].startswith(name.split()[1])


def assert_covered(node: Node) -> None:
    """The fields of a service are its octets, one after the other."""
    for _, each in node.walk():
        if each.name in ("request", "response") and each.children:
            assert b"".join(child.octets for child in each.children) == each.octets


def test_without_its_request_a_response_is_octets() -> None:
    assert values(decode_c1222(response(TableData(b"abc"))))["octets"] == "00 03 61 62 63 da"


def test_a_wrong_checksum_is_told() -> None:
    node = decode_c1222(response(TableData(b"abc", 0)), View(requests=(b"\x30\x00\x01",)))
    assert values(node)["checksum"] == "0x00 (wrong: 0xda fits)"


def test_passwords_are_asterisks_unless_asked_for() -> None:
    octets = request(Security(PASSWORD), seal_with=CIPHERED)
    hidden, shown = decode_c1222(octets, View(KEYS)), decode_c1222(octets, View(KEYS, secrets=True))
    assert values(hidden)["password"] == repr("*" * 20)
    assert PASSWORD not in b"".join(each.octets for _, each in hidden.walk())
    assert values(shown)["password"] == repr(PASSWORD.decode())


def test_fields_of_tables() -> None:
    def tables(table: int, data: bytes, at: int) -> list[Node]:
        return [Node(f"field of {table}", "", data[:1], offset=at)]

    octets = request(WriteFull(64, b"abc"))
    node = decode_c1222(octets, View(tables=tables))
    field = node.find("field of 64")
    assert field is not None
    assert octets[field.offset : field.offset + 1] == b"a"
    assert "field of 42" not in names(decode_c1222(request(WriteFull(42, b"abc")), View(tables=tables)))
    answered = service_node(b"\x00\x00\x01\x07\xf9", 0, encode_request(ReadFull(3)), tables=tables)
    assert "field of 3" in names(answered)


def test_the_answers_requests_are_told_by_the_request() -> None:
    assert services_of(request(Identify(), ReadFull(1), seal_with=CIPHERED), View(KEYS)) == (b"\x20", b"\x30\x00\x01")
    assert services_of(b"\x60") == ()


def test_a_segment() -> None:
    node = decode_c1222(cut(request(WriteFull(64, bytes(200))), 120)[1])
    assert "segment of a message of" in values(node)["called-AE-qualifier"]
    assert values(node)["segment"].startswith("octets ")


def test_what_is_not_known_is_named() -> None:
    apdu = Apdu(METER, HES, 1, mechanism=C1222_SECURITY, unknown=(Unknown(0x89, b"\1"),), information=b"\x80\x02\x2e\x01",
                authentication=Authentication(1, b"abcd", others=(Unknown(0x82, b"\1\2"),)))  # fmt: skip
    node = decode_c1222(acse.encode(apdu))
    assert values(node)["unknown element 89"] == "2a"
    assert values(node)["element 82"] == "2a 2a"
    assert values(node)["mechanism-name"] == C1222_SECURITY.text
    assert "unknown 2E" in values(node)["request"]
    assert "psem-service-unknown" in values(node)["error"]


@pytest.mark.parametrize(
    ("table", "name"), [(7, "table 7"), (2048 + 3, "manufacturer table 3"), (0x1800 + 3, "pending manufacturer table 3"),
                        (0x2003, "table 3, flags 1")],
)  # fmt: skip
def test_table_names(table: int, name: str) -> None:
    assert table_name(table) == name


def test_cut_anywhere_it_is_read_as_far_as_it_goes() -> None:
    octets = notification(WriteFull(76, bytes(20)), seal_with=CIPHERED)
    for size in range(len(octets)):
        assert "error" in names(decode_c1222(octets[:size], View(KEYS)))


@pytest.mark.parametrize("name", REQUESTS)
def test_services_cut_anywhere(name: str) -> None:
    service = encode_request(REQUESTS[name])
    for size in range(1, len(service)):
        node = service_node(service[:size], 0)
        assert "error" in names(node) or name in ("trace", "logon", "security"), size
        assert sum(len(child.octets) for child in node.children) == size


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    assert decode_c1222(octets, View(KEYS)).name == "C12.22 message"


@given(st.binary(max_size=80), st.none() | st.binary(min_size=1, max_size=12))
def test_any_service(service: bytes, asked: bytes | None) -> None:
    service_node(service, 0, asked)


@given(st.binary(max_size=120))
def test_any_epsem(information: bytes) -> None:
    octets = acse.encode(Apdu(title(".1"), HES, 1, information=information, authentication=Authentication(2, bytes(4))))
    assert decode_c1222(octets, View(KEYS)).find("user-information")
