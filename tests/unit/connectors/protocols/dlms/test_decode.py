from __future__ import annotations

import json
from pathlib import Path

import pytest
from gurux_dlms import GXDLMS, GXByteBuffer, GXDLMSLNParameters
from gurux_dlms.enums import Command, Conformance, InterfaceType, Security
from gurux_dlms.secure import GXDLMSSecureNotify
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms import axdr, general_ciphering
from connectors.protocols.dlms.alarms import AlarmFact, alarms_of
from connectors.protocols.dlms.axdr import Array, Structure, Tagged
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.decode import Assembler, decode_stream
from connectors.protocols.dlms.errors import CODES, DlmsError
from connectors.protocols.dlms.framing import Apdu, PushStream, Refused
from connectors.protocols.dlms.push import identities, read_plain, read_push, reread
from connectors.protocols.dlms.telegram import Telegram, TelegramError, to_json
from connectors.protocols.dlms.template import ALARM_KINDS, SEVERITIES, PushTemplate
from connectors.templates.loader import load_templates
from schemas.records import AlarmKind, Severity

TITLE, EK, AK = bytes.fromhex("49534B0000000001"), bytes(range(16)), bytes(range(16, 32))
KEYS = Keys(EK, AK)
A, SERIAL, NAME = "1.0.1.8.0.255", "0.0.96.1.0.255", "0.0.42.0.0.255"
TIME = bytes.fromhex("07E60B0C0610360000FFC400")


def body(*pairs: tuple[str, axdr.Value]) -> bytes:
    return axdr.encode(Structure(part for code, value in pairs for part in (obis_bytes(code), value)))


def plain(*pairs: tuple[str, axdr.Value], time: bytes = TIME) -> bytes:
    return b"\x0f\0\0\0\1" + bytes((len(time),)) + time + body(*pairs)


def ciphered(octets: bytes, security: Security = Security.AUTHENTICATION_ENCRYPTION, counter: int = 5) -> bytes:
    """A push within general-glo-ciphering, as gurux writes it."""
    notify = GXDLMSSecureNotify(True, 103, 1, InterfaceType.PDU)
    notify.settings.maxPduSize = 0xFFFF
    cipher = notify.ciphering
    cipher.security = security
    cipher.systemTitle = bytearray(TITLE)
    cipher.blockCipherKey, cipher.authenticationKey = bytearray(EK), bytearray(AK)
    cipher.invocationCounter = counter
    notify.settings.preEstablishedSystemTitle = bytearray(TITLE)
    notify.settings.proposedConformance |= Conformance.GENERAL_PROTECTION
    parameters = GXDLMSLNParameters(notify.settings, 1, Command.DATA_NOTIFICATION, 0, None, GXByteBuffer(octets), 0xFF)
    return bytes(GXDLMS.getLnMessages(parameters)[0])


def wrapped(apdu: bytes) -> bytes:
    return b"\0\1\0\1\0\x67" + len(apdu).to_bytes(2, "big") + apdu


def blocks(apdu: bytes, size: int) -> list[bytes]:
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    return [
        bytes((0xE0, 0x40 | (0x80 if n == len(parts) else 0)))
        + n.to_bytes(2, "big")
        + b"\0\0"
        + axdr.encode_length(len(p))
        + p
        for n, p in enumerate(parts, 1)
    ]


def lookup(title: bytes) -> Keys | None:
    return KEYS if title == TITLE else None


SECURITIES = {
    "authenticated and encrypted": (Security.AUTHENTICATION_ENCRYPTION, True),
    "encrypted": (Security.ENCRYPTION, False),
    "authenticated": (Security.AUTHENTICATION, True),
}


@pytest.mark.parametrize(("security", "authenticated"), SECURITIES.values(), ids=SECURITIES)
def test_what_gurux_ciphers(security: Security, authenticated: bool) -> None:
    telegram = read_push(ciphered(body((SERIAL, b"123"), (A, 7)), security), lookup)
    assert [(v.obis, v.raw) for v in telegram.values] == [(SERIAL, "123"), (A, 7)]
    assert (telegram.system_title, telegram.invocation_counter) == (TITLE.hex().upper(), 5)
    assert telegram.authenticated is authenticated


def test_blocks_around_and_inside_the_ciphering() -> None:
    outer = blocks(ciphered(body((A, 7))), 20)
    inner = [ciphered_block(part, n) for n, part in enumerate(blocks(plain((A, 8)), 20), 1)]
    assembler = Assembler(lookup)
    found = [t for part in (*outer, *inner) if (t := assembler.take(Apdu(part, (part,), "RAW"))) is not None]
    assert [t.values[0].raw for t in found] == [7, 8]
    assert all(t.authenticated for t in found)


def ciphered_block(part: bytes, counter: int) -> bytes:
    from connectors.protocols.dlms.ciphering import cipher  # noqa: PLC0415 - gurux ciphers no blocks

    return cipher(part, KEYS, TITLE, counter)


def test_template_is_chosen_by_the_system_title() -> None:
    asked: list[bytes | None] = []

    def choose(title: bytes | None) -> PushTemplate | None:
        asked.append(title)
        return PushTemplate(units={A: (1, "Wh")}) if title else None

    assembler = Assembler(lookup, choose)
    telegrams = [assembler.take(Apdu(octets, (), "RAW")) for octets in (ciphered(body((A, 7))), plain((A, 7)))]
    assert asked == [TITLE, None]
    assert [t.values[0].unit for t in telegrams if t] == ["Wh", None]


def test_reread_under_the_template_of_the_meter_that_it_is() -> None:
    first = read_push(ciphered(body((SERIAL, b"123"), (A, 7))), lookup)
    again = reread(first, PushTemplate(units={A: (1, "Wh")}))
    assert again.values[1].unit == "Wh"
    assert (again.system_title, again.authenticated, again.plain) == (first.system_title, True, first.plain)


GOOD = wrapped(plain((A, 7)))
ERRORS = {
    "wrong key": (wrapped(ciphered(body((A, 7)))[:-1] + b"\0"), "cipher-authentication"),
    "no key": (wrapped(ciphered(body((A, 7))).replace(TITLE, b"LGZ\0\0\0\0\1")), "key-missing"),
    "body cut": (wrapped(plain((A, 7))[:-1]), "dlms-truncated"),
    "body of nonsense": (wrapped(plain((A, 7))[:-2] + b"\x08\x08"), "dlms-axdr"),
    "no layout": (wrapped(b"\x0f\0\0\0\1\0" + axdr.encode(Structure((1, 2)))), "dlms-layout-unknown"),
    "too deep": (wrapped(b"\x0f\0\0\0\1\0" + b"\x02\x01" * 20 + b"\0"), "dlms-nesting"),
    "a block lost": (wrapped(blocks(plain((A, 7)), 10)[1]), "block-transfer"),
}


@pytest.mark.parametrize(("octets", "code"), ERRORS.values(), ids=ERRORS)
def test_an_error_does_not_stop_what_follows(octets: bytes, code: str) -> None:
    error, telegram = decode_stream(octets + GOOD, lookup)
    assert isinstance(error, TelegramError)
    assert isinstance(telegram, Telegram)
    assert (error.code, error.transport) == (code, "WRAPPER")
    assert code in CODES
    assert to_json(error)["error"] == {"code": code, "detail": error.detail}
    assert error.data


def test_an_error_says_whose_telegram_it_was() -> None:
    (error,) = decode_stream(wrapped(ciphered(axdr.encode(Structure((1, 2))))), lookup)
    assert isinstance(error, TelegramError)
    assert (error.code, error.system_title) == ("dlms-layout-unknown", TITLE.hex().upper())


def test_a_new_transfer_saves_itself_from_a_broken_one() -> None:
    octets = wrapped(blocks(plain((A, 7)), 10)[0]) + wrapped(blocks(plain((A, 8)), 1000)[0])
    error, telegram = decode_stream(octets, lookup)
    assert isinstance(error, TelegramError)
    assert isinstance(telegram, Telegram)
    assert (error.code, telegram.values[0].raw) == ("block-transfer", 8)


def test_blocks_that_never_end() -> None:
    (error,) = decode_stream(wrapped(blocks(plain((A, 7)), 10)[0]), lookup)
    assert isinstance(error, TelegramError)
    assert error.code == "block-transfer"


def test_a_refused_frame_is_an_error_with_its_octets() -> None:
    (error,) = Assembler(lookup).read(Refused("frame-checksum", "wrong", b"\x7e", "HDLC"))
    assert error == TelegramError("frame-checksum", "wrong", b"\x7e", "HDLC")


def test_text_of_a_p1_port() -> None:
    (error,) = decode_stream(b"/ISK5\\2M550T-1012\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n!1234\r\n", lookup)
    assert isinstance(error, TelegramError)
    assert error.code == "frame-checksum"
    assert "P1" in error.detail


def test_a_single_block_is_no_telegram() -> None:
    with pytest.raises(DlmsError) as caught:
        read_push(blocks(plain((A, 7)), 10)[0], lookup)
    assert caught.value.code == "block-transfer"


WHO = {
    "ciphered": (
        ciphered(body((NAME, b"ISK1"), (SERIAL, b"9"))),
        [("SYSTEM_TITLE", TITLE.hex().upper()), ("LOGICAL_DEVICE_NAME", "ISK1"), ("SERIAL", "9")],
    ),
    "plain": (plain((SERIAL, b" 9 "), (A, 7)), [("SERIAL", "9")]),
    "the likelier serial": (plain(("0.0.96.1.1.255", b"8"), (SERIAL, b"9")), [("SERIAL", "9")]),
    "a number": (plain(("1.1.0.0.1.255", 12343400)), [("SERIAL", "12343400")]),
    "nobody": (plain((A, 7)), []),
    "empty": (plain((SERIAL, b"")), []),
}


@pytest.mark.parametrize(("octets", "who"), WHO.values(), ids=WHO)
def test_identities(octets: bytes, who: list[tuple[str, str]]) -> None:
    assert identities(read_push(octets, lookup)) == who


def test_identities_in_the_order_of_the_template() -> None:
    telegram = read_push(ciphered(body((NAME, b"ISK1"), ("0.0.96.1.1.255", b"8"), (SERIAL, b"9"))), lookup)
    template = PushTemplate(identity_order=("SERIAL", "SYSTEM_TITLE"), serials=("0.0.96.1.1.255",))
    assert identities(telegram, template) == [("SERIAL", "8"), ("SYSTEM_TITLE", TITLE.hex().upper())]


DSMR = load_templates()["dsmr"].push
GENERIC = load_templates()["generic"].push
REGISTER_1, REGISTER_3, STANDARD = "0.0.97.98.0.255", "0.0.97.98.2.255", "0.0.96.11.0.255"
EVENT = b"\xc2\0\0\1" + obis_bytes(STANDARD) + b"\2" + b"\x11\x01"
ALARMS = {
    "bits of a register": (
        plain((REGISTER_1, 0b10_0000_0000_0101)),
        DSMR,
        [("CLOCK", "0"), ("RESTORATION", "2"), ("TAMPER_OTHER", "13")],
    ),
    "last gasp": (plain((REGISTER_3, 1)), DSMR, [("OUTAGE", "0")]),
    "no bit": (plain((REGISTER_1, 0)), DSMR, []),
    "a bit that the table lacks": (plain((REGISTER_1, 1 << 14)), DSMR, [("UNKNOWN", "14")]),
    "a bit-string": (plain((REGISTER_1, axdr.BitString(b"\xa0", 8))), DSMR, [("CLOCK", "0"), ("RESTORATION", "2")]),
    "event codes": (plain((STANDARD, 1), ("0.0.96.11.1.255", 44)), GENERIC, [("OUTAGE", "1"), ("TAMPER_COVER", "44")]),
    "a code that the table lacks": (plain((STANDARD, 200)), GENERIC, [("UNKNOWN", "200")]),
    "readings": (plain((A, 7)), DSMR, []),
    "event-notification": (EVENT, GENERIC, [("OUTAGE", "1")]),
    "event-notification of an unknown object": (
        EVENT.replace(obis_bytes(STANDARD), obis_bytes(A)),
        GENERIC,
        [("UNKNOWN", "1")],
    ),
}


@pytest.mark.parametrize(("octets", "template", "facts"), ALARMS.values(), ids=ALARMS)
def test_alarms(octets: bytes, template: PushTemplate, facts: list[tuple[str, str]]) -> None:
    assert [(fact.kind, fact.code) for fact in alarms_of(read_plain(octets), template)] == facts


def test_an_alarm_states_its_table_type_and_time() -> None:
    (fact,) = alarms_of(read_plain(plain((STANDARD, 1))), GENERIC)
    assert isinstance(fact, AlarmFact)
    assert (fact.severity, fact.code_table, fact.event_type, fact.obis) == ("CRITICAL", STANDARD, "3.26.0.85", STANDARD)
    assert fact.time is not None
    assert fact.time.iso == "2022-11-12T16:54:00+01:00"


def test_event_notification_is_a_telegram() -> None:
    telegram = read_plain(EVENT)
    assert (telegram.apdu, telegram.layout, telegram.source) == ("event-notification", "event", f"1/{STANDARD}/2")
    assert [(v.class_id, v.obis, v.attribute, v.raw) for v in telegram.values] == [(1, STANDARD, 2, 1)]


def test_names_of_kinds_are_those_of_the_records() -> None:
    assert {kind.value for kind in AlarmKind} == ALARM_KINDS
    assert {severity.value for severity in Severity} == SEVERITIES


def test_json_is_what_the_command_promises() -> None:
    telegram = read_push(ciphered(body((SERIAL, b"123"), (A, 7))), lookup, PushTemplate(units={A: (-1, "Wh")}))
    shown = json.loads(json.dumps(to_json(telegram)))
    assert shown.items() >= {"transport": "RAW", "apdu": "data-notification", "system_title": TITLE.hex().upper()}.items()
    assert shown["meter_time"] is None
    assert shown["values"] == [
        {"obis": SERIAL, "raw": "123", "scaler": None, "unit": None, "value": "123"},
        {"obis": A, "raw": 7, "scaler": -1, "unit": "Wh", "value": 0.7},
    ]


@given(st.binary(max_size=200))
def test_no_octets_break_it(octets: bytes) -> None:
    for found in decode_stream(octets, lookup):
        json.dumps(to_json(found), allow_nan=False)


@given(st.data())
def test_no_change_breaks_it(data: st.DataObject) -> None:
    octets = bytearray(plain((SERIAL, b"123"), (A, 7)) if data.draw(st.booleans()) else OBJECTS)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    for template in (None, DSMR):
        try:
            telegram = read_plain(bytes(octets), template=template)
        except DlmsError as error:
            assert error.code in CODES  # noqa: PT017 - both outcomes are right
        else:
            json.dumps(to_json(telegram), allow_nan=False)
            alarms_of(telegram, DSMR)


def _entry(class_id: int, code: str) -> Structure:
    parts = (Tagged(axdr.UINT16, class_id), obis_bytes(code), Tagged(axdr.INT8, 2), Tagged(axdr.UINT16, 0))
    return Structure(parts)  # type: ignore[arg-type]  # Tagged is for encode alone


OBJECTS = b"\x0f\0\0\0\1\0" + axdr.encode(
    Structure((Array((_entry(40, "0.0.25.9.0.255"), _entry(1, SERIAL), _entry(3, A))), b"123", 7))
)


def test_captures_one_after_the_other(captures_dir: Path) -> None:
    folder = captures_dir / "dlms-push"
    names = ("hdlc_iskra550", "raw_egd_example", "mbus_kmswest", "hdlc_norway_han_3phase", "raw_salzburg_netz")
    octets = b"".join(bytes.fromhex((folder / f"{name}.hex").read_text()) for name in names)
    found = list(decode_stream(octets, lookup))
    assert [t.transport for t in found] == ["HDLC", "RAW", "MBUS", "HDLC", "RAW"]
    assert [t.code for t in found if isinstance(t, TelegramError)] == ["key-missing"]


def test_stream_and_assembler_are_what_decode_stream_is() -> None:
    stream, assembler = PushStream(), Assembler(lookup)
    found = [t for octet in GOOD for item in stream.feed(bytes((octet,))) for t in assembler.read(item)]
    assert found == list(decode_stream(GOOD, lookup))


def test_an_apdu_that_is_no_push_is_named_as_what_it_is() -> None:
    (error,) = decode_stream(bytes.fromhex("0001 0001 0010 0004 DA01 0203".replace(" ", "")), lambda _: None)
    assert isinstance(error, TelegramError)
    assert error.code == "dlms-apdu-unknown"


def test_a_push_under_general_ciphering_is_opened_with_its_originator_s_key() -> None:
    title, key, ak = bytes.fromhex("4D4D4D0000BC614E"), bytes(range(16)), bytes(range(0xD0, 0xE0))
    plain = bytes.fromhex("0F 00000001 00 0201 0202 0906 0100010800FF 06 00000007".replace(" ", ""))
    parties = general_ciphering.Parties(title, b"HES00000", b"\x01\x02")
    keys = Keys(key, ak)
    sealed = general_ciphering.encipher(plain, keys, parties, 7, general_ciphering.KeyInfo.IDENTIFIED, security=0x30)
    (telegram,) = decode_stream(sealed, lambda asked: keys if asked == title else None)
    assert isinstance(telegram, Telegram)
    assert (telegram.system_title, telegram.invocation_counter, telegram.authenticated) == (title.hex().upper(), 7, True)
    assert [(value.obis, value.raw) for value in telegram.values] == [("1.0.1.8.0.255", 7)]
    (refused,) = decode_stream(sealed[:-1] + b"\x00", lambda _: keys)
    assert isinstance(refused, TelegramError)
    assert refused.code == "cipher-authentication"
    (missing,) = decode_stream(sealed, lambda _: None)
    assert isinstance(missing, TelegramError)
    assert (missing.code, missing.system_title) == ("key-missing", title.hex().upper())
