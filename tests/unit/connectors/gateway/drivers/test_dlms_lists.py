"""Requests with list that a meter does not answer as it said it would: it is read all the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import pytest
from gurux_dlms.enums import Unit
from structlog.testing import capture_logs

from connectors.gateway.drivers.dlms_lists import learning, withhold
from connectors.gateway.drivers.dlms_shapes import Listless, Shapes
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.template import PullTemplate, Template
from schemas.records import Operation, Outcome, RegisterReadings
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.drivers.test_dlms import with_template
from tests.unit.connectors.gateway.meters import Network
from tests.unit.connectors.gateway.test_bad_meters import Theirs
from tests.unit.connectors.protocols.dlms.gurux_meter import register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

LIST = b"\xc0\x03"
NAMES = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.3.8.0.255")
KIND = {"vendor": "V", "model": "M", "firmware": "1"}
HANG_UP, REFUSE = b"", bytes.fromhex("D80202")


@dataclass
class Altered:
    """gurux' server, of which `bad` says what becomes of a request instead."""

    bad: Callable[[bytes], bytes | None]
    asked: list[bytes] = field(default_factory=list)
    meter: ObjectMeter = field(
        default_factory=lambda: ObjectMeter([register(name, 7, 1, Unit.ACTIVE_ENERGY) for name in NAMES])
    )

    def exchange(self, apdu: bytes) -> bytes:
        self.asked.append(apdu[:2])
        answer = self.bad(apdu)
        return self.meter.exchange(apdu) if answer is None else answer

    def lists(self) -> int:
        return self.asked.count(LIST)


def lists_get(answer: bytes) -> Callable[[bytes], bytes | None]:
    return lambda apdu: answer if apdu[:2] == LIST else None


def open_bench(*servers: Altered, **kind: str) -> Bench:
    meters = [registered(f"m{n}", n, template="open", **kind) for n, _ in enumerate(servers, 1)]
    network = Network({n: Theirs(exchange=server.exchange) for n, server in enumerate(servers, 1)})
    return with_template(Bench(*meters, network=network), Template("open", pull=PullTemplate()))


async def read(bench: Bench, name: str, meter_id: str = "m1") -> list[object]:
    bench.put(job(Operation.READ_REGISTERS, name, meter_id, objects=tuple(f"3/{one}/2" for one in NAMES)))
    await bench.run(400)
    made = bench.readings()[-1]
    assert isinstance(made, RegisterReadings)
    return [item.value for item in made.registers]


@pytest.mark.parametrize(
    ("answer", "connects"), [pytest.param(HANG_UP, 2, id="hangs-up"), pytest.param(REFUSE, 1, id="exception")]
)
async def test_a_meter_that_answers_no_lists_is_read_one_by_one_and_asked_once(answer: bytes, connects: int) -> None:
    server = Altered(lists_get(answer))
    bench = open_bench(server)
    with capture_logs() as logs:
        assert await read(bench, "a") == [7, 7, 7]
        assert len(bench.network.connects) == connects
        assert await read(bench, "b") == [7, 7, 7]
    assert bench.ended() == [("a", Outcome.DONE, ""), ("b", Outcome.DONE, "")]
    assert len(bench.network.connects) == connects + 1
    assert server.lists() == 1
    told = [log for log in logs if log["event"] == "lists-not-answered"]
    assert [log["meter"] for log in told] == ["m1"]


@pytest.mark.parametrize(
    ("answer", "asked"),
    [pytest.param(HANG_UP, 1, id="a-line-is-the-meters"), pytest.param(REFUSE, 0, id="an-answer-the-types")],
)
async def test_what_a_meter_answers_holds_for_its_type(answer: bytes, asked: int) -> None:
    first, second = Altered(lists_get(answer)), Altered(lists_get(answer))
    bench = open_bench(first, second, **KIND)
    await read(bench, "a", "m1")
    await read(bench, "b", "m2")
    assert (first.lists(), second.lists()) == (1, asked)
    assert [outcome for _, outcome, _ in bench.ended()] == [Outcome.DONE, Outcome.DONE]


async def test_a_line_that_breaks_all_the_same_says_nothing_of_lists() -> None:
    broken = 2  # requests with list, then without, on which the line breaks

    def bad(apdu: bytes) -> bytes | None:
        nonlocal broken
        if apdu[0] != 0xC0 or not broken or (broken == 2 and apdu[:2] != LIST):
            return None
        broken -= 1
        return HANG_UP

    server = Altered(bad)
    bench = open_bench(server)
    assert await read(bench, "a") == [7, 7, 7]
    assert bench.ended() == [("a", Outcome.DONE, "")]
    assert len(bench.network.connects) == 3
    assert server.lists() >= 2  # asked again once it was known that the line had been at fault


async def test_a_list_is_tried_again_after_a_week() -> None:
    server = Altered(lists_get(REFUSE))
    bench = open_bench(server)
    await read(bench, "a")
    bench.clock.advance(8 * 86_400)
    await read(bench, "b")
    assert server.lists() == 2


SILENT = JobError("answer-timeout", "", retry=True)
HUNG_UP = JobError("connection-lost", "", retry=True)
REFUSED_FOR_GOOD = JobError("association-refused", "", retry=False)


@dataclass
class Link:
    """As much of an association as what is learnt of it needs."""

    conformance: Conformance = Conformance.GET | Conformance.MULTIPLE_REFERENCES
    in_list: bool = False


@pytest.mark.parametrize(
    ("jobs", "known"),
    [
        pytest.param([(SILENT, True)], Listless.SILENT, id="silent-once"),
        pytest.param([(SILENT, True), (None, False)], None, id="silent-once-then-not"),
        pytest.param([(SILENT, True), (SILENT, True)], Listless.SUSPECTED, id="silent-twice"),
        pytest.param([(SILENT, True), (SILENT, True), (None, False)], Listless.CONFIRMED, id="and-read-one-by-one"),
        pytest.param([(HUNG_UP, True)], Listless.SUSPECTED, id="hung-up"),
        pytest.param([(HUNG_UP, True), (SILENT, False)], None, id="silent-without-lists-too"),
        pytest.param([(SILENT, False)], None, id="silent-elsewhere"),
        pytest.param([(REFUSED_FOR_GOOD, True)], None, id="no-end-of-the-link"),
    ],
)
def test_silence_in_a_list_counts_the_second_time(jobs: list[tuple[JobError | None, bool]], known: Listless | None) -> None:
    shapes, meter, granted = Shapes(), registered("m1", 1), []
    for error, in_list in jobs:
        link = Link()
        withhold(cast("Associated", link), shapes, meter, 0)
        granted.append(Conformance.MULTIPLE_REFERENCES in link.conformance)
        with suppress(JobError), learning(cast("Associated", link), shapes, meter, 0):
            link.in_list = in_list
            if error is not None:
                raise error
    assert shapes.listless(meter, 0) is known
    assert granted[:2] == [True, jobs[0][0] is SILENT][: len(jobs)]
