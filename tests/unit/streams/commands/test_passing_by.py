"""What is about firmware passes by: it is for the service of campaigns to judge."""

from __future__ import annotations

import pytest

from schemas.records import CommandState, JobResult, Operation, Outcome, Verdict
from tests.unit.streams.commands.builders import Room
from tests.unit.streams.runtime.authority.builders import CODEC, asks, decides

FIRMWARE = asks(id="f1", operation=Operation.FIRMWARE_TRANSFER, parameters={"image": "ab" * 32, "version": "2.0"})


def test_a_campaign_its_decisions_and_its_results_pass_by_also_after_a_restart() -> None:
    room = Room()
    room.desk.request(FIRMWARE)
    for verdict in (Verdict.APPROVE, Verdict.PAUSE, Verdict.RESUME):
        room.desk.decision(decides(FIRMWARE, by="carol", verdict=verdict))
    assert len(room.desk.paper) == 0
    room = room.restarted()
    written = len(room.written)
    room.desk.decision(decides(FIRMWARE, by="carol"))
    result = JobResult(caused_by="f1", operation=Operation.FIRMWARE_TRANSFER, outcome=Outcome.FAILED, code="job-unproven")
    room.desk.result(result, CODEC.encode(result))
    assert len(room.desk.paper) == 0
    assert len(room.written) == written
    assert room.audit() == []


def test_a_campaigns_id_takes_nothing_from_a_command_of_the_same_id() -> None:
    room = Room()
    value = asks()
    assert room.request(value)[-1] is CommandState.AWAITING_APPROVAL
    room.desk.request(asks(id="c1", operation=Operation.FIRMWARE_TRANSFER))
    assert room.decision(decides(value))[-1] is CommandState.SENT


def test_whoever_floods_the_topic_with_campaigns_fills_no_memory() -> None:
    room = Room()
    for number in range(1_100):
        room.desk.request(asks(id=f"f{number}", operation=Operation.FIRMWARE_TRANSFER))
    assert len(room.desk._campaigns) == 1_000


@pytest.mark.parametrize("verdict", [Verdict.PAUSE, Verdict.RESUME])
def test_a_command_is_neither_paused_nor_resumed(verdict: Verdict) -> None:
    room = Room()
    value = asks()
    room.request(value)
    room.decision(decides(value, verdict=verdict))
    assert (room.last().state, room.last().code) == (CommandState.AWAITING_APPROVAL, "decision-unreadable")
