"""What a command may be refused for, and what the verdict looks like."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import CommandRequest
from schemas.signatures import CODES as SIGNATURES

CODES = SIGNATURES | {
    "request-unreadable": "a value where a signed CommandRequest is expected that is none",
    "argument-invalid": "the request lacks an argument that its operation needs, or has one that it may not have",
    "kind-not-allowed": "the policy allows no command of this kind",
    "environment-other": "the record names another environment than this one",
    "root-missing": "the settings pin no root key (commands.root_key), so nobody is an operator",
    "operator-unknown": "no operator of this name is on hes.operators under the root key that the settings pin",
    "operator-revoked": "the operator's key was revoked",
    "operator-expired": "the operator's key is not valid yet, or not any more",
    "operator-outdated": "a record of an operator that is not newer than the one that is known",
    "role-missing": "the operator has none of the roles that the policy asks for",
    "request-not-fresh": "the request was signed too long ago, or in the future: ask again",
    "request-expired": "the time within which the command may be begun is over",
    "command-replayed": "this very request came before",
    "command-id-taken": "another request has this command id",
    "target-empty": "the target names no meter that is known and in service",
    "target-unknown": "the target lists a meter that is not known or not in service",
    "target-too-large": "the target means more meters than the policy allows in one command",
    "frozen": "a freeze holds: nothing that moves a relay or changes a meter is done",
    "protected": "a customer on life support, or on a hold list, is not cut off",
    "outside-hours": "the policy does not allow this kind of command at this hour",
    "over-limit": "the policy's daily limit for the area would be exceeded",
    "decision-unreadable": "a value where a signed CommandDecision is expected that is none",
    "decision-unknown-command": "a decision on a command that is not known, or ended long ago",
    "decision-other-request": "the decision is on other request bytes than these",
    "decision-other-target": "the decision is on other meters than the target as resolved",
    "decision-self": "who requested may not decide, under no other name either",
    "decision-late": "the decision was made, or came, outside the time that the policy gives for it",
    "decision-repeated": "this operator, or this key, has decided already",
    "decision-missing": "the policy asks for more decisions than there are",
    "decision-rejected": "a meter operator rejected the command",
    "decision-too-late": "the command is in a state in which this decision changes nothing",
    "decision-outdated": "a decision to pause, resume or halt that is not newer than the last one that counted",
    "control-unreadable": "a value where a signed Control is expected that is none",
    "control-invalid": "a control that contradicts itself, or goes beyond what the policy allows",
    "control-outdated": "a control that is not newer than the one of its id that holds",
    "authorization-invalid": "a standing authorization that does not cover the request, has expired or was withdrawn",
    "job-unreleased": "a job of a command that the service of commands has not signed, where the settings ask for that",
    "job-unproven": "a job that moves a relay or changes a meter and carries no signed request",
    "job-misplaced": "a job in another partition than its meter's, where nobody would know that it was done",
    "job-replayed": "a job whose command has ended at this meter, by another record of a jobs topic",
    "job-other": "a job that asks for something else than the request that it carries",
}
"""Codes of a `Refusal`, with their meaning."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: a stable code, and a sentence with what to do next."""

    code: str
    detail: str


class RefusedError(Exception):
    """A refusal on its way to whoever asked."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(code, detail)


@dataclass(frozen=True, slots=True)
class Pending:
    """Nothing is wrong, and decisions are missing."""

    missing: int
    roles: tuple[str, ...]
    """Any of which may decide."""


@dataclass(frozen=True, slots=True)
class Proven:
    """Everything that the policy asks for is there."""

    request: CommandRequest
    digest: bytes
    """Of the request's exact bytes. With a meter's id it names one action: whoever keeps track of what was done keeps track
    by it, since a job's own id can be made up."""
    kind: str
    decided_by: tuple[str, ...]
    authorization: str
    """Id of the standing authorization that stood for the decisions; empty where people decided."""
    expires: int
    """Milliseconds; nothing is begun after this."""
