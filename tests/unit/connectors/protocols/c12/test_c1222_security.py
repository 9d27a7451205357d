"""Messages sealed and opened: the published vectors as whole messages, every bit, every policy, replays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import acse, ber, eax
from connectors.protocols.c12.acse import Apdu, Authentication
from connectors.protocols.c12.c1222_framing import ApduStream
from connectors.protocols.c12.c1222_messages import message_of
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_security import Opened, Policy, Seal, Short, canonical, keyring, open_, seal
from connectors.protocols.c12.c1222_services import Request, encode_request
from connectors.protocols.c12.epsem import Body, Mode, Respond
from connectors.protocols.c12.errors import C12Error, CipherError
from connectors.protocols.c12.requests import Identify, ReadFull, Security, WriteFull
from connectors.protocols.c12.titles import title
from tests.unit.connectors.protocols.c12.messages import (
    AUTHENTICATED,
    CIPHERED,
    HES,
    IV,
    KEY,
    KEY_ID,
    KEYS,
    METER,
    PASSWORD,
    request,
)
from tests.unit.connectors.protocols.c12.test_eax import VECTORS, flipped

LONG = (ReadFull(1), ReadFull(2), ReadFull(3), ReadFull(4), ReadFull(5))
SEALS = {"clear": None, "authenticated": AUTHENTICATED, "ciphered": CIPHERED}


def code(octets: bytes, policy: Policy | None = None, keys: object = None, **given: object) -> str:
    with pytest.raises(C12Error) as caught:
        open_(octets, keys or KEYS, policy, **given)  # type: ignore[arg-type]  # a table's row
    assert KEY.hex() not in caught.value.detail
    return caught.value.code


@pytest.mark.parametrize(
    ("vector", "apdu", "respond", "services"),
    [
        ("1", Apdu(title("2.16.124.113620.1.22.0.23.2"), title("2.16.124.113620.1.22.0.23.273"), 2, qualifier=4),
         Respond.NEVER, 1),
        ("2", Apdu(title("2.16.124.113620.1.22.0.123.2"), title("2.16.124.113620.1.22.0.123.273"), 2, qualifier=4),
         Respond.NEVER, 1),
        ("1", Apdu(title(".23.2"), title(".23.273"), 2, qualifier=4), Respond.NEVER, 1),
        ("3", None, Respond.ALWAYS, 2),
        ("4", Apdu(title("1.3.6.1.4.1.33507.1919.12345678.1"), None, 0x2BC81AA1), Respond.ALWAYS, 7),
    ],
    ids=["1", "2", "1, relative titles", "3", "4"],
)  # fmt: skip
def test_published_vectors_as_messages(vector: str, apdu: Apdu | None, respond: Respond, services: int) -> None:
    """The vectors' headers are canonical ones: the messages they are of are made here from their fields."""
    key, header, text, enciphered, tag = map(bytes.fromhex, VECTORS[vector])
    fields = acse.apdu_of(tuple(ber.elements(header[: header.index(b"\xbe")])))
    calling = acse.apdu_of((ber.read(header, header.rindex(b"\xa6")),)).calling
    value = fields.authentication or Authentication()
    shown = apdu or Apdu(fields.called, calling, fields.calling_invocation)
    made = seal(
        Apdu(shown.called, shown.calling or calling, shown.calling_invocation, qualifier=shown.qualifier),
        Body((), None, text) if not text.startswith(b"TEMP") else Body((text[5:],), b"TEMP"),
        Seal(Mode.CIPHERED, key, value.key_id or 0, value.iv or b""),
        respond=respond,
    )
    assert acse.decode(made).information == header[_control_at(header) :][:1] + enciphered + tag
    opened = open_(made, lambda _title, _id: key)
    assert (opened.plain, len(opened.services), opened.control.respond) == (text, services, respond)


def _control_at(header: bytes) -> int:
    return header.index(b"\xbe") + 6


@pytest.mark.parametrize("name", SEALS)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_what_is_sealed_is_opened(name: str, relative: bool) -> None:
    called, calling = (title(".123.8437"), title(".123.4")) if relative else (METER, HES)
    octets = request(*LONG, seal_with=SEALS[name], qualifier=acse.TEST, ed_class=b"TEMP", called=called, calling=calling)
    opened = open_(octets, KEYS)
    assert opened.services == tuple(encode_request(one) for one in LONG)
    assert (opened.body.ed_class, opened.control.classed, opened.mode.name.lower()) == (b"TEMP", True, name)
    assert (opened.key_id, opened.iv) == ((KEY_ID, IV) if SEALS[name] else (None, None))
    assert (opened.short, opened.may_act, opened.answer) == (False, True, False)


def test_a_relative_title_and_its_absolute_one_are_the_same_to_the_mac() -> None:
    relative = acse.decode(request(*LONG, seal_with=CIPHERED, called=title(".123.8437")))
    absolute = acse.decode(request(*LONG, seal_with=CIPHERED, called=title("2.16.124.113620.1.22.0.123.8437")))
    assert relative.information == absolute.information
    assert (
        code(request(*LONG, seal_with=CIPHERED, called=title(".1")), Policy(base=title("1.3.6"))) == "c1222-authentication"
    )


@pytest.mark.parametrize("secured", [AUTHENTICATED, CIPHERED], ids=["authenticated", "ciphered"])
def test_every_bit_counts(secured: Seal) -> None:
    """Whatever bit is flipped on the way, nothing is opened: some break the message, all others the MAC."""
    octets = request(*LONG, seal_with=secured, qualifier=acse.URGENT)
    codes = [code(flipped(octets, bit), Policy(least=secured.mode)) for bit in range(8 * len(octets))]
    assert set(codes) <= {
        "c1222-authentication", "c1222-key-missing", "c1222-policy", "c1222-acse", "c1222-ber", "c1222-truncated",
        "c1222-garbage", "c1222-epsem", "c1222-title", "c1222-segment",
    }  # fmt: skip
    assert codes[-8 * 10 :] == ["c1222-authentication"] * 80  # the last services and the MAC


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (keyring({}), "c1222-key-missing"),
        (keyring({(HES.text, 3): KEY}), "c1222-key-missing"),
        (keyring({(METER.text, KEY_ID): KEY}), "c1222-key-missing"),
        (keyring({(HES.text, KEY_ID): bytes(16)}), "c1222-authentication"),
    ],
    ids=["no key", "another key id", "the called title's", "another key"],
)
def test_keys(keys: object, expected: str) -> None:
    assert code(request(*LONG, seal_with=CIPHERED), keys=keys) == expected


def test_captures_of_both_sides_open_with_the_meters_key() -> None:
    octets = request(*LONG, seal_with=CIPHERED)
    assert open_(octets, keyring({(METER.text, KEY_ID): KEY}), either=True).services


def test_the_error_names_the_title() -> None:
    with pytest.raises(CipherError) as caught:
        open_(request(*LONG, seal_with=CIPHERED), keyring({}))
    assert caught.value.title == HES.text
    assert HES.text in caught.value.detail


@pytest.mark.parametrize(
    ("requests", "short"), [((Identify(),), True), ((WriteFull(7, b"123456789"),), True), (LONG, False)],
    ids=["2 octets", "16 octets", "20 octets"],
)  # fmt: skip
@pytest.mark.parametrize("secured", [AUTHENTICATED, CIPHERED], ids=["authenticated", "ciphered"])
def test_short_messages_are_read_and_cause_nothing(requests: tuple[Request, ...], short: bool, secured: Seal) -> None:
    octets = request(*requests, seal_with=secured)
    opened = open_(octets, KEYS)
    assert (opened.short, opened.may_act) == (short, not short)
    assert open_(octets, KEYS, Policy(short=Short.ACT)).may_act
    if short:
        assert code(octets, Policy(short=Short.REFUSE)) == "c1222-short-cleartext"
    else:
        assert open_(octets, KEYS, Policy(short=Short.REFUSE)).may_act


@pytest.mark.parametrize(
    ("sent", "least", "taken"),
    [
        ("clear", Mode.CLEAR, True), ("clear", Mode.AUTHENTICATED, False), ("clear", Mode.CIPHERED, False),
        ("authenticated", Mode.AUTHENTICATED, True), ("authenticated", Mode.CIPHERED, False),
        ("ciphered", Mode.AUTHENTICATED, True), ("ciphered", Mode.CIPHERED, True),
    ],
)  # fmt: skip
def test_the_least_protection(sent: str, least: Mode, taken: bool) -> None:
    octets = request(*LONG, seal_with=SEALS[sent])
    if taken:
        assert open_(octets, KEYS, Policy(least=least)).services
    else:
        assert code(octets, Policy(least=least)) == "c1222-policy"


def test_messages_in_clear_may_be_forbidden_to_act() -> None:
    assert not open_(request(*LONG), KEYS, Policy(clear_acts=False)).may_act


def test_key_id_and_iv_of_the_session() -> None:
    """A message may leave its authentication value out: what was sent before holds, and ends the canonical header."""
    draft = Apdu(METER, HES, 9, information=b"\x88" + bytes(20) + bytes(4))
    header = canonical(acse.split(acse.encode(draft)), METER, (KEY_ID, IV))
    assert header.endswith(bytes((KEY_ID,)) + IV)
    enciphered, tag = enciphered_under(header)
    octets = acse.encode(Apdu(METER, HES, 9, information=b"\x88" + enciphered + tag))
    assert open_(octets, KEYS, held=(KEY_ID, IV)).services == (b"\x20" * 19,)
    assert code(octets, held=(KEY_ID, bytes(4))) == "c1222-authentication"
    assert code(octets) == "c1222-key-missing"


def enciphered_under(header: bytes) -> tuple[bytes, bytes]:
    return eax.encipher(KEY, header, b"\x13" + b"\x20" * 19)


@pytest.mark.parametrize(
    ("apdu", "expected"),
    [
        (Apdu(METER, HES, 1), "c1222-acse"),
        (Apdu(METER, HES, 1, information=b""), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x00\x01\x20"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x83\x01\x20"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x8c\x01\x20aaaa"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x84\x01\x20"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x80\x05\x20"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x90\x05\x20"), "c1222-epsem"),
        (Apdu(METER, HES, 1, information=b"\x80\x80\x20"), "c1222-ber"),
        (Apdu(METER, HES, 1, information=b"\x80\x01\x20", size=80, offset=0), "c1222-segment"),
        (Apdu(METER, HES, 1, information=b"\x88\x01\x20aaaa", authentication=Authentication(form="c1221")), "c1222-acse"),
    ],
    ids=["no information", "no EPSEM", "bit 7 clear", "response control 3", "mode 3", "no MAC", "a service cut",
         "a class cut", "an indefinite length", "a segment", "another mechanism"],
)  # fmt: skip
def test_messages_that_cannot_be_opened(apdu: Apdu, expected: str) -> None:
    assert code(acse.encode(apdu)) == expected


def test_a_length_of_zero_ends_the_services() -> None:
    opened = open_(acse.encode(Apdu(METER, HES, 1, information=b"\x80\x01\x20\x00\x00\x00")), KEYS)
    assert (opened.services, opened.body.padding) == ((b"\x20",), b"\x00\x00\x00")


@pytest.mark.parametrize("name", SEALS)
def test_no_secret_in_a_repr(name: str) -> None:
    octets = request(Security(PASSWORD), seal_with=SEALS[name])
    shown = "".join(map(repr, (SEALS[name], open_(octets, KEYS), acse.decode(octets), open_(octets, KEYS).body)))
    shown += repr(message_of(open_(octets, KEYS))) + repr(ApduStream().feed(octets))
    assert not [secret for secret in (KEY.hex(), repr(KEY)[2:-1], PASSWORD.decode(), PASSWORD.hex()) if secret in shown]


SERVICES = st.lists(st.binary(min_size=1, max_size=300), max_size=4)
SECURED = st.sampled_from([Mode.AUTHENTICATED, Mode.CIPHERED])


@given(st.binary(min_size=16, max_size=16), st.integers(0, 255), st.binary(min_size=4, max_size=4), SERVICES, SECURED)
def test_any_services_round_trip(key: bytes, key_id: int, iv: bytes, services: list[bytes], mode: Mode) -> None:
    octets = seal(Apdu(METER, HES, 1), Body(tuple(services)), Seal(mode, key, key_id, iv))
    assert open_(octets, lambda _title, _id: key).services == tuple(services)


# -- replays ----------------------------------------------------------------------------------------------------------


def sent(iv: int, invocation: int = 1, calling: str = METER.text) -> Opened:
    secured = Seal(Mode.CIPHERED, KEY, KEY_ID, iv.to_bytes(4, "big"))
    return open_(request(*LONG, seal_with=secured, calling=title(calling), invocation=invocation), KEYS)


def verdicts(replays: Replays, *messages: Opened) -> list[bool]:
    found = []
    for message in messages:
        try:
            replays.check(message)
        except CipherError as error:
            found.append(error.code != "c1222-replay")
        else:
            found.append(True)
    return found


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([(5, 1), (5, 1)], [True, False]),
        ([(5, 1), (5, 2), (5, 2)], [True, True, False]),
        ([(5, 1), (4, 1), (5, 1)], [True, True, False]),
        ([(9, 1), (7, 1), (8, 1), (6, 1), (10, 1), (7, 1)], [True, True, True, False, True, False]),
        ([(1, 1), (2, 1), (3, 1), (4, 1), (1, 1)], [True, True, True, True, False]),
    ],
    ids=["the same twice", "one IV, two ids", "out of order", "below the window", "long ago"],
)
def test_a_message_is_let_in_once(messages: list[tuple[int, int]], expected: list[bool]) -> None:
    replays = Replays(window=2)
    assert verdicts(replays, *(sent(iv, invocation) for iv, invocation in messages)) == expected


def test_senders_have_windows_of_their_own() -> None:
    assert verdicts(Replays(), sent(5), sent(5, calling="1.3.6.1"), sent(5)) == [True, True, False]


def test_random_ivs() -> None:
    replays = Replays(window=2, ordered=False)
    assert verdicts(replays, sent(9), sent(3), sent(9), sent(1), sent(2)) == [True, True, False, True, True]


def test_marks_hold_over_a_restart() -> None:
    before, after = Replays(), Replays()
    verdicts(before, sent(5), sent(3))
    after.restore(before.marks())
    assert before.marks() == {(METER.text, KEY_ID): 5}
    assert verdicts(after, sent(5), sent(4), sent(6)) == [False, False, True]


def test_the_number_of_senders_is_bounded() -> None:
    replays = Replays(senders=2)
    verdicts(replays, sent(1, calling="1.3.1"), sent(1, calling="1.3.2"), sent(1, calling="1.3.3"))
    assert len(replays.marks()) == 2


def test_without_an_iv_nothing_tells_old_from_new() -> None:
    octets = acse.encode(Apdu(METER, HES, 9, authentication=Authentication(KEY_ID), information=b"\x88" + bytes(24)))
    header = canonical(acse.split(octets), METER, (KEY_ID, None))
    enciphered, tag = enciphered_under(header)
    opened = open_(acse.encode(Apdu(METER, HES, 9, authentication=Authentication(KEY_ID),
                                    information=b"\x88" + enciphered + tag)), KEYS)  # fmt: skip
    assert verdicts(Replays(), opened) == [False]


def test_messages_in_clear_pass() -> None:
    opened = open_(request(*LONG), KEYS)
    assert verdicts(Replays(), opened, opened) == [True, True]
