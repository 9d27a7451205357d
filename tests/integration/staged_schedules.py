"""The planner with a signal armed (`staged`): `python -m tests.integration.staged_schedules`.

`STAGES` are in the order in which a tick passes them. The tick with its plan is one Kafka transaction, and so is each slice
of the plan with its jobs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from schemas.records import Job, PlanSlice, Tick
from streams.runtime.settings import Settings
from streams.runtime.transactions import Transactions
from streams.schedules.core import PLANS, Core, Work
from streams.schedules.ledger import Ledger
from streams.schedules.service import main
from tests.integration.staged import Stage, arm


def _decided(what: str) -> Stage:
    """It is known what to write next, and nothing of it is written."""
    return Stage(Core, "step", fits=lambda _, work: work is not None and work.what == what)


def _half(fits: Callable[[str, Any], bool]) -> Stage:
    """The broker has it, in a transaction that is open."""
    return Stage(Transactions, "_produce", fits=lambda args, _: fits(args[1].topic, args[1].record), first=_held)


def _held(transactions: Transactions) -> None:
    transactions._producer.flush()


def _written(what: str) -> Stage:
    """Kafka has committed it, and the planner does not know."""
    return Stage(Ledger, "write", fits=lambda _, _result: DECIDED[-1:] == [what])


DECIDED: list[str] = []
"""What the planner meant to write, in order."""
STAGES = {
    "plans-fenced": Stage(Ledger, "_read", after=False),
    "tick-decided": _decided("tick-planned"),
    "tick-half-written": _half(lambda _, record: isinstance(record, Tick)),
    "plan-half-written": _half(lambda _, record: isinstance(record, PlanSlice)),
    "tick-written": _written("tick-planned"),
    "slice-decided": _decided("slice-sent"),
    "job-half-written": _half(lambda _, record: isinstance(record, Job)),
    "slice-half-written": _half(lambda topic, record: topic == PLANS and record is None),
    "slice-written": _written("slice-sent"),
    "slice-sent": Stage(Core, "_was_sent"),
}


def noting(step: Callable[[Core, int], Work | None]) -> Callable[[Core, int], Work | None]:
    """Has it noted what is decided."""

    def noted(core: Core, now: int) -> Work | None:
        work = step(core, now)
        DECIDED.extend([] if work is None else [work.what])
        return work

    return noted


if __name__ == "__main__":
    setattr(Core, "step", noting(Core.step))  # noqa: B010 - mypy knows methods as constants
    arm(STAGES)
    sys.exit(main(Settings()))
