"""One command in two records of a jobs topic, both in one worker: what is known of the one is not lost for the other."""

from __future__ import annotations

import asyncio

from schemas.records import Outcome
from tests.unit.connectors.gateway.test_deeds import Desk, code_of, run
from tests.unit.streams.runtime.authority.builders import meter


def test_a_copy_whose_time_is_over_does_not_end_what_may_have_been_sent() -> None:
    async def work() -> None:
        desk = Desk()
        copy = await desk.admitted(offset=9)
        copy.prove(meter())
        deed = await desk.intended()
        deed.still()
        assert await code_of(copy.settle(Outcome.EXPIRED, "job-expired", "", "", "")) == "intent-unavailable"
        assert deed.unsettled
        deed.known()
        kept = await deed.settle(Outcome.DONE, "", "done", "connected", "disconnected")
        assert kept is not None
        assert kept.outcome is Outcome.DONE
        assert await copy.settle(Outcome.EXPIRED, "job-expired", "", "", "") == kept

    run(work())


def test_of_two_that_are_about_to_be_sent_at_once_one_is() -> None:
    async def work() -> None:
        desk = Desk()
        deeds = [await desk.admitted(offset=offset) for offset in (5, 9)]
        for deed in deeds:
            deed.prove(meter())
        codes = await asyncio.gather(*(code_of(deed.intend("connected")) for deed in deeds))
        assert sorted(codes) == ["", "intent-unavailable"]
        assert sorted(deed.unsettled for deed in deeds) == [False, True]

    run(work())


def test_an_end_that_the_book_has_forgotten_is_told_as_it_was() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.intended()
        await deed.settle(Outcome.FAILED, "relay-refused", "no", "connected", "connected")
        again = await Desk(desk.shared).admitted()
        assert again.ended is not None
        later = Desk(desk.shared)
        again._commands = later.commands
        desk.shared.intents.clear()
        kept = await again.settle(Outcome.DONE, "", "", "", "")
        assert kept is not None
        assert (kept.outcome, kept.code) == (Outcome.FAILED, "relay-refused")

    run(work())
