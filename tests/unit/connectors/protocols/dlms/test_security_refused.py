"""What a channel takes from a meter, and what not: nothing that is forged, in clear, or said again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.association import PROPOSED_SHORT_NAMES, Associated, Association, Conformance, aarq, read_aare
from connectors.protocols.dlms.ciphering import AUTHENTICATED, BROADCAST, ENCRYPTED, Keys, cipher, decipher
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.get import get
from connectors.protocols.dlms.security import BOTH, secured
from tests.unit.connectors.protocols.dlms.channels import ANSWER, BOOK, EK, GET, NAME, assert_masked, channel, keys, octets
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of, drive
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE


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
