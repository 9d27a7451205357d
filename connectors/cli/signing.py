"""Who signs on this machine, and what is signed: requests, decisions, controls, operators."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.cli import context
from connectors.cli.failure import CommandError, usage
from connectors.cli.operator_keys import ROOT, key_place, private_key, read_key_file
from connectors.cli.topics import read_topic
from connectors.cli.watching import Watch
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import AuditEntry, Record
from schemas.signatures import Signed, digest, signed
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators, roots_of
from streams.runtime.authority.policy_file import PolicyError, load_policy
from streams.runtime.authority.verify import Around
from streams.runtime.settings import Settings

ANSWER_S = 20.0
NOT_ANSWERED = "nobody answered: is the service of commands running? (`hes run commands`)"


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """Somebody who can sign."""

    name: str
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Person({self.name!r})"


def keys_folder() -> Path:
    """Where operators' keys are on this machine."""
    return context.home().data("keys") / "operators"


def person(name: str, key_file: Path | None) -> Person:
    """Who signs; `CommandError` where nobody is named or the key is not there."""
    if not name:
        raise usage("nobody is named who signs", "add --as NAME, or set HES_OPERATOR")
    pem = read_key_file(key_file) if key_file is not None else key_place(keys_folder()).read(name)
    return Person(name, private_key(pem, name))


def root(key_file: Path | None) -> Person:
    """The root key, which makes operators."""
    return person(ROOT, key_file)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(what: str, *parts: str | int) -> str:
    """An id for what a person asks now: short enough to be typed, and no other's."""
    return event_id(what, time.time_ns(), *parts)[:12]


def seal(codec: Codec, record: Signed, given: Settings, by: Person) -> bytes:
    """The record's value, signed."""
    return signed(codec, record, given.environment, by.key)


def around(given: Settings, codec: Codec) -> Around:
    """Operators, controls and policy as they are on the topics now: what this command believes of who may do what."""
    try:
        roots = roots_of(given.commands.root_key)
        policy = load_policy(given.commands.policy_file)
    except (ValueError, PolicyError) as error:
        raise usage(f"commands.root_key or commands.policy_file is wrong: {error}", "correct the settings") from error
    operators = Operators(codec, given.environment, roots)
    for message in read_topic(given, "hes.operators"):
        operators.apply(message.value())
    controls = Controls(codec, given.environment, operators, policy)
    for message in read_topic(given, "hes.controls"):
        controls.apply(message.value(), now_ms())
    return Around(codec, given.environment, policy, operators, controls)


def send_and_hear(given: Settings, codec: Codec, topic: str, key: str, record: Record, value: bytes) -> AuditEntry | None:
    """Write a record of operators or controls, and wait until the audit chain says what became of it; None where nobody
    does in time.
    """
    wanted = digest(value)

    def about(found: Record) -> AuditEntry | None:
        return found if isinstance(found, AuditEntry) and found.digest == wanted else None

    with Watch(given, ["hes.audit"], codec) as watch:
        watch.send(topic, key, record, value)
        return watch.first(ANSWER_S, about)


def accepted(entry: AuditEntry | None) -> bool:
    """Whether it was taken in; `CommandError` where it was refused. Without an answer it is written, and nobody knows."""
    if entry is not None and entry.code:
        raise CommandError(f"it was refused ({entry.code}): {entry.detail}", mend="correct that, and do it again")
    return entry is not None
