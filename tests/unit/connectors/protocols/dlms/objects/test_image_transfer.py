"""Images to gurux' server: whole, resumed, with blocks lost, and each way in which it goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms.enums import ErrorCode
from gurux_dlms.objects import GXDLMSActionSchedule
from gurux_dlms.objects.enums import ImageTransferStatus

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, DlmsError, PeerError
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.objects import image_transfer
from connectors.protocols.dlms.objects.image_transfer import (
    Activation,
    ImageState,
    Status,
    Transferred,
    activate_image,
    order_activation,
    read_image_state,
    schedule_activation,
    transfer_image,
    verify_image,
)
from connectors.protocols.dlms.objects.steps import Pause, Polling, Steps, run_steps
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of, drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Image, ObjectMeter

FIRMWARE = image_transfer.Image(b"FW-2.1", bytes(n * 7 % 256 for n in range(1000)), b"sig")
BLOCKS = 16  # of 64 octets, the last of 40


def run(peer: ObjectMeter, steps: Steps[Any], pauses: list[Pause] | None = None) -> Any:
    return run_steps(steps, lambda session: drive(session, peer.exchange), (pauses if pauses is not None else []).append)


def meter(**settings: Any) -> tuple[ObjectMeter, Image]:
    item = Image()
    for name, value in settings.items():
        setattr(item, name, value)
    return ObjectMeter([item]), item


def blocks(peer: ObjectMeter) -> list[int]:
    return [int(parameter[0]) for _, method, parameter in peer.invoked if method == 2]


@pytest.mark.parametrize(("size", "pdu"), [(64, 0xFFFF), (1000, 0xFFFF), (1, 0xFFFF), (64, 200)], ids=str)
def test_a_whole_image(size: int, pdu: int) -> None:
    peer, item = meter(imageBlockSize=size)
    pauses: list[Pause] = []
    count = -(-1000 // size)
    assert run(peer, transfer_image(peer.link(pdu), FIRMWARE), pauses) == Transferred(count, count, size)
    assert b"".join(item.parts[n] for n in range(count)) == FIRMWARE.data
    assert [(pause.done, pause.total) for pause in pauses] == [(n + 1, count) for n in range(count)]
    assert {pause.seconds for pause in pauses} == {0}
    assert [method for _, method, _ in peer.invoked] == [1] + [2] * count + [3]


def test_other_work_goes_between_blocks() -> None:
    peer, _ = meter()
    link = peer.link()
    read: list[bytes] = []

    def pause(_: Pause) -> None:
        read.append(drive(get(link, Attribute(18, "0.0.44.0.0.255", 2)), peer.exchange))

    done = run_steps(transfer_image(link, FIRMWARE), lambda session: drive(session, peer.exchange), pause)
    assert done.blocks == BLOCKS
    assert set(read) == {bytes.fromhex("06 00 00 00 40")}


def test_blocks_that_the_meter_lost_are_sent_again() -> None:
    peer, item = meter(lose={3, 15})
    assert run(peer, transfer_image(peer.link(), FIRMWARE)) == Transferred(BLOCKS, BLOCKS + 2, 64)
    assert blocks(peer) == [*range(BLOCKS), 3, 15]
    assert item.imageTransferStatus == Status.VERIFIED


def test_a_broken_transfer_goes_on_where_it_was() -> None:
    peer, item = meter(lose={2})
    left = [peer.exchange] * 12 + [lambda _: b""]

    def exchange(apdu: bytes) -> bytes:
        answer: Callable[[bytes], bytes] = left.pop(0)
        return answer(apdu)

    with pytest.raises(PeerError) as raised:
        run_steps(transfer_image(peer.link(), FIRMWARE), lambda session: drive(session, exchange), lambda _: None)
    assert raised.value.code == "peer-closed"
    had = set(item.parts)
    assert 2 not in had
    assert 5 < len(had) < BLOCKS
    peer.invoked.clear()
    done = run(peer, transfer_image(peer.link(), FIRMWARE, resume=True))
    assert blocks(peer) == [n for n in range(BLOCKS) if n not in had]
    assert done.sent == BLOCKS - len(had)
    assert b"".join(item.parts[n] for n in range(BLOCKS)) == FIRMWARE.data


def test_resume_of_what_was_never_begun_begins() -> None:
    peer, _ = meter()
    assert run(peer, transfer_image(peer.link(), FIRMWARE, resume=True)).sent == BLOCKS


def test_resume_of_what_is_verified_sends_nothing() -> None:
    peer, _ = meter()
    run(peer, transfer_image(peer.link(), FIRMWARE))
    peer.invoked.clear()
    assert run(peer, transfer_image(peer.link(), FIRMWARE, resume=True)).sent == 0
    assert not peer.invoked


def test_another_image_is_not_taken_for_a_resumed_one() -> None:
    peer, item = meter()
    run(peer, transfer_image(peer.link(), image_transfer.Image(b"FW-1.0", bytes(500))))
    assert run(peer, transfer_image(peer.link(), FIRMWARE, resume=True)).sent == BLOCKS
    assert item.identifier == b"FW-2.1"


def test_a_meter_that_takes_no_images_is_told_to() -> None:
    peer, item = meter(imageTransferEnabled=False)
    run(peer, transfer_image(peer.link(), FIRMWARE))
    assert item.imageTransferEnabled


def test_verification_is_waited_for() -> None:
    peer, _ = meter(polls=3)
    pauses: list[Pause] = []
    run(peer, transfer_image(peer.link(), FIRMWARE, polling=Polling(7, 5)), pauses)
    assert [(pause.seconds, pause.doing) for pause in pauses if pause.seconds] == [(7, "verification")] * 3


def test_temporary_failure_of_verify_means_that_it_began() -> None:
    peer, item = meter()
    link = peer.link()
    run(peer, transfer_image(link, FIRMWARE))
    item.imageTransferStatus = 1
    verify = item.does[3]

    def begins(value: object) -> None:
        item.polls = 2
        verify(value)
        item.refused = []

    item.does[3] = begins
    sent: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        sent.append(apdu)
        answer = peer.exchange(apdu)
        return b"\xc7\x01" + apdu[2:3] + b"\x02\x00" if apdu[0] == 0xC3 else answer

    state = run_steps(verify_image(link, FIRMWARE), lambda session: drive(session, exchange), lambda _: None)
    assert state.status is Status.VERIFIED
    assert [request[0] for request in sent].count(0xC3) == 1


@pytest.mark.parametrize(
    ("settings", "polling", "code", "says"),
    [
        pytest.param({"spoil": True}, Polling(), "peer-state", "finds the image wrong", id="verification-failed"),
        pytest.param({"polls": 9}, Polling(1, 3), "peer-state", "takes long", id="verification-endless"),
    ],
)
def test_what_goes_wrong(settings: dict[str, Any], polling: Polling, code: str, says: str) -> None:
    peer, _ = meter(**settings)
    with pytest.raises(DlmsError, match=says) as raised:
        run(peer, transfer_image(peer.link(), FIRMWARE, polling=polling))
    assert raised.value.code == code


def test_a_meter_that_loses_a_block_for_ever() -> None:
    peer, item = meter()
    item.does[2] = lambda _: None
    with pytest.raises(PeerError, match="16 of 16 blocks are missing after 5 rounds") as raised:
        run(peer, transfer_image(peer.link(), FIRMWARE))
    assert raised.value.code == "peer-state"


def test_a_block_that_cannot_be_taken_now_is_tried_again() -> None:
    peer, item = meter()
    item.refused = [ErrorCode.OK, ErrorCode.OK, ErrorCode.TEMPORARY_FAILURE, ErrorCode.TEMPORARY_FAILURE]
    pauses: list[Pause] = []
    assert run(peer, transfer_image(peer.link(), FIRMWARE, polling=Polling(4)), pauses).blocks == BLOCKS
    assert [pause.seconds for pause in pauses if pause.seconds] == [4, 4]


def test_a_block_that_is_refused() -> None:
    peer, item = meter()
    item.refused = [ErrorCode.OK, ErrorCode.OK, ErrorCode.READ_WRITE_DENIED]
    with pytest.raises(PeerError, match=r"18/0\.0\.44\.0\.0\.255/2: action-result 3"):
        run(peer, transfer_image(peer.link(), FIRMWARE))


@pytest.mark.parametrize("polls", [0, 2])
def test_activation(polls: int) -> None:
    peer, item = meter()
    link = peer.link()
    run(peer, transfer_image(link, FIRMWARE))
    item.polls = polls
    assert run(peer, activate_image(link, FIRMWARE)) is Activation.ACTIVATED
    assert run(peer, activate_image(link, FIRMWARE)) is Activation.ACTIVATED
    assert [method for _, method, _ in peer.invoked].count(4) == 1


def test_only_what_was_verified_is_activated() -> None:
    peer, _ = meter()
    link = peer.link()
    with pytest.raises(PeerError, match="the status is none: transfer it first"):
        run(peer, activate_image(link, FIRMWARE))
    run(peer, transfer_image(link, FIRMWARE))
    with pytest.raises(PeerError, match="the status is verified"):
        run(peer, activate_image(link, image_transfer.Image(b"FW-2.2", FIRMWARE.data)))
    with pytest.raises(PeerError, match="status is verified"):
        run(peer, activate_image(link, image_transfer.Image(b"FW-2.1", FIRMWARE.data, b"other")))


def test_a_meter_that_restarts_is_activating() -> None:
    peer, _ = meter()
    link = peer.link()
    run(peer, transfer_image(link, FIRMWARE))

    def session(steps: Session[Any]) -> Any:
        return drive(steps, lambda apdu: b"" if apdu[0] == 0xC3 else peer.exchange(apdu))

    assert run_steps(activate_image(link, FIRMWARE), session, lambda _: None) is Activation.ACTIVATING


def test_activation_failed() -> None:
    peer, item = meter()
    link = peer.link()
    run(peer, transfer_image(link, FIRMWARE))
    item.spoil = True
    with pytest.raises(PeerError, match="keeps the one before"):
        run(peer, activate_image(link, FIRMWARE))


@pytest.mark.parametrize(
    ("state", "missing"),
    [
        pytest.param(ImageState(64, (True, False, True), 1, True, Status.INITIATED), (1,), id="bitmap"),
        pytest.param(ImageState(64, (True, False, True, *[False] * 5), 1, True, Status.INITIATED), (1,), id="padded-bitmap"),
        pytest.param(ImageState(64, None, 2, True, Status.INITIATED), (2,), id="first-missing-alone"),
        pytest.param(ImageState(64, (True,), 1, True, Status.INITIATED), (1, 2), id="bitmap-too-short"),
        pytest.param(ImageState(64, None, 99, True, Status.INITIATED), (), id="first-missing-beyond"),
    ],
)
def test_missing(state: ImageState, missing: tuple[int, ...]) -> None:
    assert state.missing(3) == missing


def test_a_status_that_is_none() -> None:
    answer = bytes.fromhex("C4 03 C1 06 00 06 00 00 00 40 00 04 00 00 06 00 00 00 00 00 03 01 00 16 09 00 01 00")
    with pytest.raises(DecodeError) as raised:
        drive(read_image_state(Associated(PROPOSED, 0)), lambda _: answer)
    assert raised.value.code == "object-shape"


def test_a_meter_without_a_block_size() -> None:
    answer = bytes.fromhex("C4 03 C1 06 00 06 00 00 00 00 00 04 00 00 06 00 00 00 00 00 03 01 00 16 00 00 01 00")
    with pytest.raises(DecodeError, match="no block size") as raised:
        run_steps(
            transfer_image(Associated(PROPOSED, 0), FIRMWARE),
            lambda session: drive(session, lambda _: answer),
            lambda _: None,
        )
    assert raised.value.code == "object-shape"


@pytest.mark.parametrize("size", [0], ids=["empty"])
def test_no_image(size: int) -> None:
    peer, _ = meter()
    with pytest.raises(DecodeError) as raised:
        run(peer, transfer_image(peer.link(), image_transfer.Image(b"x", bytes(size))))
    assert raised.value.code == "object-value"


def test_what_is_being_verified_is_waited_for_and_not_begun_anew() -> None:
    peer, item = meter()
    run(peer, transfer_image(peer.link(), FIRMWARE))
    item.imageTransferStatus, item.imageActivateInfo, item.waiting = 2, [], (1, ImageTransferStatus(3))
    peer.invoked.clear()
    assert run(peer, transfer_image(peer.link(), FIRMWARE, resume=True)).sent == 0
    assert not peer.invoked


def test_blocks_are_put_into_what_is_asked_for() -> None:
    peer, _ = meter()
    seen: list[int] = []

    def around(session: Session[None]) -> Session[None]:
        seen.append(1)
        yield from session

    run(peer, transfer_image(peer.link(), FIRMWARE, around=around))
    assert len(seen) == BLOCKS


@pytest.mark.parametrize(
    ("refused", "code"), [([], ""), ([ErrorCode.TEMPORARY_FAILURE], ""), ([ErrorCode.READ_WRITE_DENIED], "peer-action")]
)
def test_an_order_to_activate(refused: list[ErrorCode], code: str) -> None:
    peer, item = meter()
    link = peer.link()
    run(peer, transfer_image(link, FIRMWARE))
    item.refused = refused
    assert code_of(lambda: drive(order_activation(link), peer.exchange)) == (code or None)
    assert [method for _, method, _ in peer.invoked][-1] == 4


def test_an_activation_is_scheduled_in_the_meters_local_time() -> None:
    schedule = GXDLMSActionSchedule("0.0.15.0.2.255")
    peer = ObjectMeter([schedule])
    at = int(datetime(2026, 3, 1, 1, 30, tzinfo=UTC).timestamp() * 1000)
    drive(schedule_activation(peer.link(), at, ZoneInfo("Europe/Oslo"), "0.0.15.0.2.255"), peer.exchange)
    (time,) = schedule.executionTime
    assert (time.value.year, time.value.month, time.value.day, time.value.hour, time.value.minute) == (2026, 3, 1, 2, 30)


def test_an_image_shows_no_octet_of_itself() -> None:
    assert "data" not in repr(FIRMWARE)
