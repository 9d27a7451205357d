"""Intents of commands that hes.intents does not take in their size: nothing is sent, or its end is kept shorter."""

from __future__ import annotations

import pytest

from connectors.gateway.errors import JobError
from schemas.records import Outcome
from streams.runtime.errors import TooLargeError
from tests.unit.connectors.gateway.test_deeds import Desk, code_of, run
from tests.unit.streams.runtime.authority.builders import meter


def test_an_intent_that_kafka_takes_in_no_time_ends_the_command_before_anything_is_sent() -> None:
    async def work() -> None:
        desk = Desk()
        desk.ledger.most = 0
        deed = await desk.admitted()
        deed.prove(meter())
        with pytest.raises(JobError, match=r"raise its max\.message\.bytes") as caught:
            await deed.intend("connected")
        assert (caught.value.code, caught.value.retry, desk.fatal) == ("intent-unavailable", False, [])
        assert (deed.intent, desk.shared.intents) == (None, {})

    run(work())


@pytest.mark.parametrize(
    ("most", "left"), [(1_000_000, 200_000), (100_000, 200)], ids=["of-any-length", "more-than-the-topic-takes"]
)
def test_how_a_command_ended_is_kept_with_the_first_octets_of_a_long_state(most: int, left: int) -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.intended()
        deed.known()
        desk.ledger.most = most
        ended = await deed.settle(Outcome.DONE, "", "done", "connected", "ü" * 400_000)
        (kept,) = desk.shared.intents.values()
        assert (kept, kept.outcome, kept.detail, desk.fatal) == (ended, Outcome.DONE, "done", [])
        assert kept.after == "ü" * (left // 2) + "… (the first octets of 800,000)"

    run(work())


def test_where_kafka_takes_not_even_a_few_words_of_an_end_the_process_ends() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.intended()
        deed.known()
        desk.ledger.most = 0
        assert await code_of(deed.settle(Outcome.DONE, "", "done", "connected", "disconnected")) == "intent-unavailable"
        (fatal,) = desk.fatal
        assert (isinstance(fatal, TooLargeError), "max.message.bytes" in str(fatal)) == (True, True)

    run(work())
