"""A command from this side: asked, watched through its states, and told in words with the next step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from connectors.cli.failure import CommandError, unreachable
from connectors.cli.output import say
from connectors.cli.signing import ANSWER_S, NOT_ANSWERED, Person, new_id, now_ms, seal
from connectors.cli.topics import read_topic
from connectors.cli.watching import Watch
from schemas.codec import Codec, CodecError
from schemas.records import (
    CommandAck,
    CommandCase,
    CommandRequest,
    CommandState,
    CommandStatus,
    Operation,
    Record,
    Target,
)
from streams.runtime.settings import Settings

ACKS, COMMANDS, DECISIONS, STATES = "hes.command-acks", "hes.commands", "hes.command-decisions", "hes.command-states"
ENDED = frozenset(
    {
        CommandState.REJECTED,
        CommandState.DONE,
        CommandState.FAILED,
        CommandState.EXPIRED,
        CommandState.CANCELLED,
        CommandState.OUTCOME_UNKNOWN,
    }
)
_MEANS = {
    CommandState.RECEIVED: "received",
    CommandState.REJECTED: "refused",
    CommandState.AWAITING_APPROVAL: "waits for a decision: `hes approve {id}` by another person who may",
    CommandState.APPROVED: "approved",
    CommandState.QUEUED: "queued",
    CommandState.SENT: "sent to the gateways",
    CommandState.DONE: "done",
    CommandState.FAILED: "failed",
    CommandState.EXPIRED: "its time is over, and nothing was done",
    CommandState.CANCELLED: "cancelled",
    CommandState.OUTCOME_UNKNOWN: "may or may not have been done: read the relay's state before anything else",
}


def target_of(
    meters: list[str], groups: list[str], segments: list[str], transformers: list[str], feeders: list[str]
) -> Target:
    """The target that options name."""
    return Target(tuple(meters), tuple(groups), tuple(segments), tuple(transformers), tuple(feeders))


def request_of(given: Settings, by: str, operation: Operation, target: Target, **fields: Any) -> CommandRequest:
    """A request made now; its id is new."""
    return CommandRequest(
        id=new_id("CommandRequest", by, operation),
        target=target,
        operation=operation,
        requested_by=by,
        requested_at=now_ms(),
        environment=given.environment,
        **fields,
    )


def ask(watch: Watch, given: Settings, codec: Codec, request: CommandRequest, by: Person | None) -> bytes:
    """Write a request, signed where somebody signs; the exact bytes."""
    value = codec.encode(request) if by is None else seal(codec, request, given, by)
    watch.send(COMMANDS, request.id, request, value)
    say(f"command {request.id}: {request.operation.lower().replace('_', ' ')}, asked by {request.requested_by}")
    return value


def follow(
    watch: Watch, command_id: str, meters: Sequence[str], seconds: float, settle_s: float | None = None
) -> Iterator[CommandAck]:
    """A command's own acknowledgements as they come, until it ends or the time is over.

    `settle_s`: how long one in the queue is waited for. `CommandError` (3) where nobody answers at all.
    """
    began = heard_at = time.monotonic()
    last: CommandAck | None = None
    while last is None or last.state not in ENDED:
        now = time.monotonic()
        until = began + (min(seconds, ANSWER_S) if last is None else seconds)
        if settle_s is not None and last is not None and last.state is CommandState.QUEUED:
            until = min(until, heard_at + settle_s)
        if now >= until:
            break
        for record, _ in watch.records(min(0.2, until - now), {command_id, *meters}):
            if isinstance(record, CommandAck) and record.command_id == command_id and not record.job_id:
                last, heard_at = record, time.monotonic()
                say(f"  {told(record)}")
                yield record
    if last is None:
        raise unreachable(
            NOT_ANSWERED, "start it, then look by `hes commands list`: the request is kept and may still count"
        )


def told(ack: CommandAck) -> str:
    """An acknowledgement in a sentence."""
    if ack.code and ack.state is CommandState.AWAITING_APPROVAL:
        return f"the decision was refused ({ack.code}): {ack.detail}. The command still waits for one"
    words = _MEANS.get(ack.state, ack.state).format(id=ack.command_id)
    why = f" ({ack.code})" if ack.code else ""
    return f"{words}{why}{': ' if ack.detail else ''}{ack.detail}"


def row(ack: CommandAck) -> dict[str, Any]:
    """What a command line gives back of a command."""
    found: dict[str, Any] = {"command": ack.command_id, "state": ack.state, "code": ack.code, "detail": ack.detail}
    if ack.meter_id:
        found["meter"] = ack.meter_id
    if ack.before or ack.after:
        found |= {"before": ack.before, "after": ack.after}
    return found


def latency(ack: CommandAck) -> dict[str, int]:
    """Milliseconds by stage, of those that are known."""
    stages = ("command_ms", "queue_ms", "connect_ms", "associate_ms", "read_ms", "pipeline_ms")
    return {stage: value for stage in stages if (value := getattr(ack, stage)) is not None}


def standing(given: Settings, codec: Codec) -> dict[str, tuple[CommandCase, CommandStatus]]:
    """Every command on the books, by id."""
    latest = {message.key(): message.value() for message in read_topic(given, STATES)}
    cases: dict[str, CommandCase] = {}
    states: dict[str, CommandStatus] = {}
    for value in latest.values():
        if value is None:
            continue
        try:
            record: Record = codec.decode(value)
        except CodecError:
            continue
        if isinstance(record, CommandCase):
            cases[record.id] = record
        elif isinstance(record, CommandStatus):
            states[record.id] = record
    return {name: (cases[name], states[name]) for name in cases if name in states}


def one(known: dict[str, tuple[CommandCase, CommandStatus]], name: str) -> tuple[CommandCase, CommandStatus]:
    """The command of an id, or of the only id that begins so."""
    found = [name] if name in known else [each for each in known if each.startswith(name)]
    if len(found) != 1:
        what = f"{len(found)} commands begin with {name}" if found else f"there is no command {name}"
        raise CommandError(what, mend="`hes commands list` shows them")
    return known[found[0]]
