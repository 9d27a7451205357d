"""Keys to gurux' server, unwrapped by it; the table of a change of keys, walked whole."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from gurux_dlms.enums import ErrorCode
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.objects import GXDLMSSecuritySetup
from gurux_dlms.objects.enums import SecurityPolicy0
from gurux_dlms.objects.enums import SecuritySuite as GuruxSuite
from gurux_dlms.secure import GXDLMSSecureClient

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.objects.security_setup import (
    MOVES,
    TRIES,
    KeyEvent,
    KeyKind,
    KeyState,
    NewKey,
    SecuritySetup,
    advance,
    read_security_setup,
    strengthen_policy,
    transfer_keys,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

MASTER, OLD_EK, OLD_AK = bytes(range(16)), b"E" * 16, b"A" * 16
NEW_EK, NEW_AK = bytes(range(0x50, 0x60)), bytes(range(0x60, 0x70))


class Security(GXDLMSSecuritySetup):  # type: ignore[misc]  # no type hints upstream
    """Takes what it is given: the port's own unwrapping stumbles over a division."""

    def invoke(self, _: object, e: Any) -> None:
        e.error = ErrorCode.OK

    def applyKeys(self, *_: object) -> None:  # noqa: N802 - gurux' name
        return None


def meter() -> ObjectMeter:
    item = Security()
    item.version, item.serverSystemTitle, item.clientSystemTitle = 0, b"MTR\0\0\0\0\2", b"HES\0\0\0\0\1"
    item.securityPolicy, item.securitySuite = SecurityPolicy0.NOTHING, GuruxSuite.SUITE_0
    peer = ObjectMeter([item])
    peer.settings.cipher = GXCiphering(b"MTR\0\0\0\0\2")
    peer.settings.cipher.blockCipherKey, peer.settings.cipher.authenticationKey = OLD_EK, OLD_AK
    peer.settings.kek = MASTER
    return peer


def test_read() -> None:
    peer = meter()
    found = drive(read_security_setup(peer.link()), peer.exchange)
    assert (found.policy, found.suite, found.server_title) == (0, 0, b"MTR\0\0\0\0\2")
    assert found.client_title == b"HES\0\0\0\0\1"


def test_keys_arrive_wrapped_as_gurux_wraps_them() -> None:
    peer = meter()
    keys = [NewKey(KeyKind.UNICAST, NEW_EK), NewKey(KeyKind.AUTHENTICATION, NEW_AK)]
    drive(transfer_keys(peer.link(), keys, MASTER), peer.exchange)
    (_, method, parameter), wrapped = peer.invoked[0], GXDLMSSecureClient.encrypt
    assert method == 2
    assert [(int(kind), bytes(key)) for kind, key in parameter] == [
        (0, bytes(wrapped(MASTER, NEW_EK))),
        (2, bytes(wrapped(MASTER, NEW_AK))),
    ]
    sent = b"".join(peer.requests)
    assert NEW_EK not in sent
    assert MASTER not in sent


def test_the_octets_of_a_transfer() -> None:
    """The wrapped key is that of RFC 3394, 4.1."""
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex().upper())
        return bytes.fromhex("C7 01 C1 00 00")

    key = NewKey(KeyKind.UNICAST, bytes.fromhex("00112233445566778899AABBCCDDEEFF"))
    drive(transfer_keys(Associated(PROPOSED, 0), [key], bytes(range(16))), exchange)
    wrapped = "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"
    assert asked == ["C301C1004000002B0000FF0201" + "0101" + "0202" + "1600" + "0918" + wrapped]


@pytest.mark.parametrize(
    ("keys", "master", "suite"),
    [
        pytest.param([], MASTER, 0, id="none"),
        pytest.param([NewKey(KeyKind.UNICAST, NEW_EK)] * 2, MASTER, 0, id="twice-the-same-kind"),
        pytest.param([NewKey(KeyKind.UNICAST, NEW_EK)], MASTER, 2, id="16-octets-in-suite-2"),
        pytest.param([NewKey(KeyKind.UNICAST, b"short")], MASTER, 0, id="short-key"),
        pytest.param([NewKey(KeyKind.UNICAST, NEW_EK)], b"short", 0, id="short-master"),
        pytest.param([NewKey(KeyKind.UNICAST, NEW_EK)], MASTER, 7, id="unknown-suite"),
    ],
)
def test_keys_that_do_not_fit_are_not_sent(keys: list[NewKey], master: bytes, suite: int) -> None:
    peer = meter()
    link = peer.link()
    with pytest.raises(DecodeError) as raised:
        drive(transfer_keys(link, keys, master, suite=suite), peer.exchange)
    assert raised.value.code == "object-value"
    assert not peer.invoked
    for secret in (NEW_EK, b"short", MASTER):
        assert secret.hex() not in raised.value.detail
        assert repr(secret) not in raised.value.detail


def test_refused() -> None:
    peer = meter()
    peer.modes["0.0.43.0.0.255"] = 0
    link = peer.link()
    with pytest.raises(PeerError) as raised:
        drive(transfer_keys(link, [NewKey(KeyKind.UNICAST, NEW_EK)], MASTER), peer.exchange)
    assert (raised.value.code, raised.value.retry) == ("peer-action", False)


def test_policy() -> None:
    peer = meter()
    drive(strengthen_policy(peer.link(), 3), peer.exchange)
    assert peer.invoked == [("0.0.43.0.0.255", 1, 3)]


@pytest.mark.parametrize(
    ("policy", "version", "text"),
    [
        pytest.param(3, 0, "authenticated and encrypted", id="version-0"),
        pytest.param(
            0x6C, 1, "authenticated request, encrypted request, authenticated response, encrypted response", id="1"
        ),
        pytest.param(0, 1, "nothing", id="nothing"),
        pytest.param(None, 1, "not told", id="not-told"),
    ],
)
def test_policy_in_words(policy: int | None, version: int, text: str) -> None:
    assert SecuritySetup(policy, 0, None, None).policy_text(version) == text


def test_a_key_is_not_shown() -> None:
    shown = repr(NewKey(KeyKind.UNICAST, NEW_EK))
    assert shown == "NewKey(kind=<KeyKind.UNICAST: 0>)"


def walk(*events: KeyEvent) -> KeyState:
    state = KeyState.PENDING
    for event in events:
        state = advance(state, event)
    return state


E = KeyEvent


@pytest.mark.parametrize(
    ("events", "state", "tries"),
    [
        pytest.param((), KeyState.PENDING, ("old",), id="pending"),
        pytest.param((E.SEND,), KeyState.SENT, ("new", "old"), id="died-while-it-was-sent"),
        pytest.param((E.SEND, E.ACCEPTED), KeyState.WRITTEN, ("new", "old"), id="written"),
        pytest.param((E.SEND, E.ACCEPTED, E.NEW_WORKS), KeyState.ACTIVATED, ("new",), id="activated"),
        pytest.param((E.SEND, E.REFUSED), KeyState.PENDING, ("old",), id="refused"),
        pytest.param((E.SEND, E.NEW_WORKS), KeyState.ACTIVATED, ("new",), id="lost-and-taken"),
        pytest.param((E.SEND, E.OLD_WORKS), KeyState.RECOVERED, ("old", "new"), id="lost-and-not-taken"),
        pytest.param((E.SEND, E.ACCEPTED, E.OLD_WORKS), KeyState.RECOVERED, ("old", "new"), id="taken-and-forgotten"),
        pytest.param((E.SEND, E.OLD_WORKS, E.SEND, E.ACCEPTED, E.NEW_WORKS), KeyState.ACTIVATED, ("new",), id="again"),
        pytest.param((E.SEND, E.NEITHER_WORKS), KeyState.LOST, ("new", "old"), id="lost"),
        pytest.param((E.SEND, E.NEITHER_WORKS, E.OLD_WORKS), KeyState.RECOVERED, ("old", "new"), id="found-again"),
    ],
)
def test_a_change_of_keys(events: tuple[KeyEvent, ...], state: KeyState, tries: tuple[str, ...]) -> None:
    assert walk(*events) is state
    assert TRIES[state] == tries


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(state, event, id=f"{state.value}-{event.value}")
        for state, event in itertools.product(KeyState, KeyEvent)
        if (state, event) not in MOVES
    ],
)
def test_no_other_move(state: KeyState, event: KeyEvent) -> None:
    with pytest.raises(ValueError, match="read the key store anew"):
        advance(state, event)


def test_the_old_key_is_tried_until_the_new_one_has_worked() -> None:
    assert {state for state in KeyState if "old" not in TRIES[state]} == {KeyState.ACTIVATED}
    assert {
        before for (before, event), after in MOVES.items() if after is KeyState.ACTIVATED and event is not E.NEW_WORKS
    } == set()
