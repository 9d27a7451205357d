"""What a meter, or whoever is at its place, may do wrong: each ends in a typed result that says what to try next, and the
next meter is read. Security and refusals are gurux-dlms'; blocks are written by hand after IEC 62056-5-3, 7.3.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from gurux_dlms.enums import DataType

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.template import PullTemplate, PushTemplate, Template
from schemas.records import AlarmKind, Operation, Outcome
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import AK, EK, title
from tests.unit.connectors.gateway.meters import AARE, PASSWORD, REFUSED, RLRE, ScriptedMeter
from tests.unit.connectors.gateway.meters import Network as Wires
from tests.unit.connectors.gateway.secured_bench import NAME, alarms, done
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, data
from tests.unit.connectors.protocols.dlms.secure_meter import METER_TITLE, SecureMeter

OTHER = bytes(range(0x70, 0x80))
TEMPLATES = {
    "open": PullTemplate(),
    "low": PullTemplate(auth="low"),
    "gmac": PullTemplate(client=1, auth="hls-gmac", security="both"),
}


def things() -> list[Any]:
    return [data(NAME, b"HES42", DataType.OCTET_STRING)]


@dataclass
class Theirs(ScriptedMeter):
    """Answers as `exchange` does; b"" is to hang up."""

    exchange: Callable[[bytes], bytes] = field(default=lambda apdu: apdu)

    def answer(self, apdu: bytes) -> bytes:
        return self.exchange(apdu)


def refusing(password: bytes | None = None, denied: tuple[str, ...] = ()) -> Theirs:
    return Theirs(exchange=GuruxMeter(things(), password, denied).exchange)


def secure(alter: Callable[[SecureMeter, bytes], bytes] | None = None, heard: int = -1, **given: Any) -> Theirs:
    there = SecureMeter(GuruxMeter(things()), **({"ek": EK, "ak": AK} | given))
    there.heard = heard
    if alter is not None:
        there.alter = lambda answer: alter(there, answer)
    return Theirs(exchange=there.exchange)


def replays(there: SecureMeter, answer: bytes) -> bytes:
    """The answer to the request before, once more."""
    return there.answers[-1] if len(there.plain) > 1 else answer


def in_blocks(*answers: str, then_closes: bool = False) -> Theirs:
    """A meter that associates and answers one GET after another with these, whatever is asked."""
    left = iter([bytes.fromhex(answer) for answer in answers])

    def exchange(apdu: bytes) -> bytes:
        if apdu[0] == 0x60:
            return AARE
        if apdu[0] == 0x62:
            return RLRE
        answer = next(left)
        return answer[:2] + apdu[2:3] + answer[3:]

    return Theirs(exchange=exchange, closes_after=1 + len(answers) if then_closes else 1_000_000)


FIRST = "C4 02 00 00 00000001 00 05 09 10 01 02 03"


@dataclass(frozen=True)
class Case:
    make: Callable[[], ScriptedMeter]
    code: str
    next_step: str
    """Words of the detail that say what to try."""
    template: str = "open"
    alarm: str = ""


CASES = {
    "wrong-key": Case(lambda: secure(ek=OTHER), "peer-association-refused", "keys are this meter's", "gmac"),
    "wrong-password": Case(lambda: refusing(b"another"), "peer-association-refused", "password", "low"),
    "wrong-system-title": Case(
        lambda: secure(title=b"MTR\0\0\0\0\3"), "peer-title", "correct the system title", "gmac", "peer-title"
    ),
    "replayed-answer": Case(lambda: secure(replays), "cipher-counter", "change its keys", "gmac", "cipher-counter"),
    "our-counter-is-behind": Case(
        lambda: secure(heard=9_000_000), "peer-association-refused", "what it tells the public client", "gmac"
    ),
    "refused-association": Case(
        lambda: Theirs(exchange=lambda _: REFUSED), "peer-association-refused", "the client address"
    ),
    "object-undefined": Case(lambda: ScriptedMeter({}), "peer-access", "compare the template"),
    "access-denied": Case(lambda: refusing(denied=(NAME,)), "peer-access", "associate as another"),
    "truncated-block": Case(lambda: in_blocks("C4 02 00 00 00000001 00 0A 09 10 01"), "peer-block", "ask for"),
    "block-out-of-order": Case(
        lambda: in_blocks(FIRST, "C4 02 00 00 00000003 00 05 04 05 06 07 08"), "peer-block", "ask for the whole again"
    ),
    "closes-in-mid-block": Case(lambda: in_blocks(FIRST, then_closes=True), "connection-lost", "ask for less"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
async def test_each_ends_typed_with_what_to_try_next_and_the_next_meter_is_read(case: Case) -> None:
    bad = registered("m1", 1, template=case.template, key_ref="ref", identities=(title(METER_TITLE),))
    good = registered("m2", 2, template="open")
    network = Wires({1: case.make(), 2: refusing()})
    bench = Bench(bad, good, network=network, keys={"ref": MeterKeys(EK, AK, PASSWORD)}, attempts=1)
    templates = {name: Template(name, push=PushTemplate(), pull=pull) for name, pull in TEMPLATES.items()}
    bench.driver._tools = replace(bench.driver._tools, templates=templates)
    objects = (f"1/{NAME}/2",)
    bench.put(*(job(Operation.READ_REGISTERS, f"j-{meter}", meter, objects=objects) for meter in ("m1", "m2")))
    await done(bench, 2)
    results = {result.job_id: result for result in bench.results()}
    assert (results["j-m1"].outcome, results["j-m1"].code) == (Outcome.FAILED, case.code)
    assert case.next_step in results["j-m1"].detail
    assert results["j-m2"].outcome is Outcome.DONE
    told = [alarm.code for alarm in alarms(bench, AlarmKind.SECURITY)]
    assert told == ([case.alarm] if case.alarm else [])
    for secret in (EK, AK, OTHER, PASSWORD):
        assert secret.hex() not in results["j-m1"].detail.lower()
