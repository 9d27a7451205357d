"""The service of commands with a signal armed (`staged`): `python -m tests.integration.staged_commands`.

`STAGES` are in the order in which a disconnection passes them. What its request, its decision and its result cause is one
Kafka transaction each: each is stopped before it is handled, in each state, and before, within and after its writing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from schemas.records import AuditEntry, CommandState, Job
from streams.commands.desk import Desk
from streams.commands.output import Paper
from streams.commands.service import main
from streams.runtime.books import Books
from streams.runtime.settings import Settings
from streams.runtime.transactions import Transactions
from tests.integration.staged import Stage, arm


def _in(state: CommandState) -> Stage:
    """In memory a command is in a state, and nothing of it is written."""
    return Stage(Paper, "stand", fits=lambda args, _: args[1].state is state)


def _held(transactions: Transactions) -> None:
    """What is written so far is with the broker, in a transaction that is open."""
    transactions._producer.flush()


def _holds(record: Any, action: str) -> bool:
    return isinstance(record, Job) if action == "job" else isinstance(record, AuditEntry) and record.action == action


def _writes(action: str) -> Callable[[tuple[Any, ...], Any], bool]:
    return lambda args, _: any(_holds(out.record, action) for out in args[1])


def _transaction(name: str, action: str) -> dict[str, Stage]:
    """The writing of the transaction that holds an audit entry of this action, or a job."""
    return {
        f"{name}-writing": Stage(Books, "write", after=False, fits=_writes(action)),
        f"{name}-half-written": Stage(
            Transactions, "_produce", fits=lambda args, _: _holds(args[1].record, action), first=_held
        ),
        f"{name}-written": Stage(Books, "write", fits=_writes(action)),
    }


STAGES = {
    "request-taken": Stage(Desk, "request", after=False),
    "received": _in(CommandState.RECEIVED),
    "awaiting-approval": _in(CommandState.AWAITING_APPROVAL),
    **_transaction("request", "command-awaiting-approval"),
    "decision-taken": Stage(Desk, "decision", after=False),
    "approved": _in(CommandState.APPROVED),
    "queued": _in(CommandState.QUEUED),
    "job-issued": Stage(Paper, "job"),
    "sent": _in(CommandState.SENT),
    **_transaction("decision", "job"),
    "result-taken": Stage(Desk, "result", after=False),
    "done": _in(CommandState.DONE),
    **_transaction("result", "command-done"),
}
REQUEST = tuple(STAGES)[:6]
"""Before anybody could decide."""
JOB_WRITTEN = tuple(STAGES)[13:]
"""From here on the job is in Kafka, and the relay moves whatever becomes of the service."""

if __name__ == "__main__":
    arm(STAGES)
    sys.exit(main(Settings()))
