"""What telegrams come to, from the octets of a connection: everything that can be wrong, blocks, and answers."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.conversation import Conversation, apdu_pushes, octets_pushes
from connectors.protocols.dlms.framing import Limits
from schemas.records import Identity, IdentityKind, Meter
from tests.unit.connectors.gateway.builders import (
    ENDPOINT,
    NOW,
    SERIAL,
    TITLE,
    meter,
    notification,
    pipeline,
    reading,
    sealed,
    title,
    wrapped,
)
from tests.unit.connectors.gateway.telegrams import FLIPPED, GOOD, KEYS, code, one

BAD: list[Any] = [
    pytest.param(GOOD[:-3], "frame-truncated", id="truncated"),
    pytest.param(b"\0\1\0\1\0\1" + b"\xff\xff" + b"\x0f" * 50, "frame-truncated", id="cut-before-its-length"),
    pytest.param(b"\xff" * 40, "frame-garbage", id="garbage"),
    pytest.param(wrapped(notification(b"\x77")), "dlms-axdr", id="no-tag"),
    pytest.param(wrapped(reading()[:-4]), "dlms-truncated", id="cut-inside"),
    pytest.param(wrapped(notification(b"\x02\x01" * 40 + b"\x00")), "dlms-nesting", id="nested"),
    pytest.param(wrapped(b"\xdb\x08" + TITLE + b"\x02\x30\x00"), "cipher-malformed", id="ciphered-too-short"),
    pytest.param(FLIPPED, "cipher-authentication", id="altered"),
    pytest.param(wrapped(sealed(reading(), ek=b"\7" * 16)), "cipher-authentication", id="wrong-key"),
    pytest.param(wrapped(sealed(reading(), system_title=b"XYZ12345")), "key-missing", id="unknown-title"),
    pytest.param(wrapped(reading("99999999")), "meter-unknown", id="unknown-meter"),
    pytest.param(wrapped(b"\xe0\x80\0\2\0\0\1\0"), "block-transfer", id="block-out-of-order"),
]


@pytest.mark.parametrize(("data", "expected"), BAD)
def test_each_kind_of_bad_input_has_its_code_and_the_next_telegram_is_read(data: bytes, expected: str) -> None:
    known = pipeline(meter("m1", title(), Identity(IdentityKind.SERIAL, SERIAL)), keys=KEYS)
    conversation = Conversation(known, ENDPOINT)
    pushes = conversation.feed(data, NOW)
    if not pushes:
        pushes = conversation.close(NOW)
        conversation = Conversation(known, ENDPOINT)
    assert expected in [code(push) for push in pushes]
    assert b"".join(push.letter.data for push in pushes if push.letter) == data
    assert [push.outcome for push in conversation.feed(GOOD, NOW)][-1] == "events"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(bytes.fromhex("0001 0001 0066 0801 0F"), id="wrapper"),
        pytest.param(bytes.fromhex("DB 08 4B414D1122334455 84 7FFFFFFF"), id="bare-ciphered"),
    ],
)
def test_an_oversized_frame_is_refused_before_anyone_waits_for_it(head: bytes) -> None:
    known = pipeline(meter())
    known.limits = Limits(max_apdu=2048)
    conversation = Conversation(known, ENDPOINT)
    pushes = conversation.feed(head, NOW)
    pushes += conversation.feed(GOOD if head[0] == 0 else b"", NOW) + conversation.close(NOW)
    assert "frame-oversized" in [code(push) for push in pushes if push.letter]


def test_a_time_and_nothing_else_is_a_dead_letter() -> None:
    registered = meter("m1", Identity(IdentityKind.ENDPOINT, "10.0.0.7"))
    assert code(one(pipeline(registered), wrapped(notification(b"\x11\x01")))) in ("telegram-empty", "dlms-layout-unknown")


def blocks(apdu: bytes, size: int = 20) -> list[bytes]:
    """An APDU in blocks, streamed and unconfirmed."""
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    last = len(parts)
    return [
        b"\xe0" + bytes(((0x80 if n == last else 0) | 0x40,)) + n.to_bytes(2) + b"\0\0" + bytes((len(part),)) + part
        for n, part in enumerate(parts, 1)
    ]


def test_blocks_are_one_telegram_with_all_their_frames() -> None:
    frames = [wrapped(block) for block in blocks(reading())]
    push = one(pipeline(meter()), b"".join(frames))
    assert push.outcome == "events"
    assert [frame.data for frame in push.frames.frames] == frames


def test_a_telegram_between_blocks_is_its_own() -> None:
    frames = [wrapped(block) for block in blocks(reading())]
    whole = wrapped(reading(value=9))
    pushes = octets_pushes(pipeline(meter()), frames[0] + whole + b"".join(frames[1:]), ENDPOINT, NOW)
    assert [push.outcome for push in pushes] == ["events", "events"]
    assert [[frame.data for frame in push.frames.frames] for push in pushes] == [[whole], frames]


def test_blocks_that_end_early_are_refused_whole_and_the_next_go_on() -> None:
    first, second = blocks(reading()), blocks(reading(value=9))
    data = b"".join(map(wrapped, first[:2] + second))
    broken, good = octets_pushes(pipeline(meter()), data, ENDPOINT, NOW)
    assert code(broken) == "block-transfer"
    assert good.outcome == "events"
    assert [frame.data for frame in good.frames.frames] == list(map(wrapped, second))


def test_a_block_repeated_without_end_is_given_up() -> None:
    conversation = Conversation(pipeline(meter()), ENDPOINT)
    block = wrapped(blocks(bytes(5000), 100)[0])
    pushes = []
    for _ in range(2 * conversation._pipeline.limits.max_apdu // len(block) + 2):
        pushes += conversation.feed(block, NOW)
        assert conversation.pending <= 2 * conversation._pipeline.limits.max_apdu + len(block)
    assert [code(push) for push in pushes] == ["block-transfer"]


@pytest.mark.parametrize(
    ("apdu", "reply"),
    [
        pytest.param(reading(), b"", id="unconfirmed"),
        pytest.param(reading(invoke_id=0x40000005), wrapped(bytes.fromhex("104000000500"), 102, 1), id="confirmed"),
    ],
)
def test_a_confirmed_notification_is_answered_with_ports_swapped(apdu: bytes, reply: bytes) -> None:
    assert one(pipeline(meter()), wrapped(apdu)).reply == reply


def test_an_unknown_meters_confirmed_push_is_answered_too_since_its_bytes_are_kept() -> None:
    assert one(pipeline(), wrapped(reading(invoke_id=0x40000005))).reply


def test_a_bare_apdu_of_a_session_takes_the_same_way() -> None:
    (push,) = apdu_pushes(pipeline(meter()), reading(invoke_id=0x40000005), ENDPOINT, NOW)
    assert (push.outcome, push.reply) == ("events", bytes.fromhex("104000000500"))


def test_a_password_in_an_association_request_is_masked() -> None:
    aarq = bytes.fromhex(
        "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400007E1FFFFF"
    )
    push = one(pipeline(), wrapped(aarq)) if octets_pushes(pipeline(), wrapped(aarq), ENDPOINT, NOW) else None
    assert push is not None
    assert push.letter is not None
    for kept in (push.letter.data, push.frames.frames[0].data):
        assert b"12345678" not in kept


def test_a_bug_is_a_dead_letter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    known = pipeline(meter())
    monkeypatch.setattr("connectors.gateway.pipeline.events_of", broken)
    conversation = Conversation(known, ENDPOINT)
    (push,) = conversation.feed(GOOD, NOW)
    assert push.letter is not None
    assert (push.letter.code, push.letter.data) == ("internal", GOOD)
    monkeypatch.undo()
    assert conversation.feed(GOOD, NOW)[0].outcome == "events"


def test_the_template_of_the_endpoint_is_a_guess_that_may_be_wrong() -> None:
    host = meter("gateway", Identity(IdentityKind.ENDPOINT, "10.0.0.7"), template="kaifa-han")
    push = one(pipeline(meter(), host), GOOD)
    assert (push.outcome, push.meter_id) == ("events", "m1")


def test_the_same_octets_at_the_same_time_are_the_same_frames() -> None:
    known: list[Meter] = [meter()]
    assert one(pipeline(*known), GOOD).frames.id == one(pipeline(), GOOD).frames.id
