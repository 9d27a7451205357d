"""Dead letters, tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from connectors.cli.c12_telegrams import Family, family_of
from connectors.cli.originals import LeftOut
from connectors.cli.telegrams import Capture
from connectors.cli.through_gateway import Decoder, Octets
from schemas.ids import event_id
from schemas.records import DeadLetter, Protocol
from streams.runtime.errors import TooLargeError
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings

_C12_CODES = ("c1222-", "psem-", "table-")
REDRIVEN = "redriven"
"""Header of a record that came back from the dead letters: the dead letter's id."""
_ANY_SIZE = {"message.max.bytes": 1_000_000_000, "batch.num.messages": 1}
"""What is too large the broker says, of one record and not of those with it."""


@dataclass(slots=True)
class Redriven:
    """What became of letters."""

    to_topics: int = 0
    decoded: int = 0
    failed: int = 0
    refused: list[LeftOut] = field(default_factory=list)
    """Of the failed ones those that their topic did not take."""


def redrive(given: Settings, letters: Sequence[DeadLetter]) -> Redriven:
    """Records back to their topics, meters' bytes through the decoder; counts of both, and of what failed again."""
    found = Redriven()
    records = [letter for letter in letters if letter.topic]
    if records:
        found.refused = _to_topics(Publisher(given.kafka, "hes-redrive", **_ANY_SIZE), records)
        found.failed = len(found.refused)
        found.to_topics = len(records) - found.failed
    octets = [letter for letter in letters if not letter.topic]
    if octets:
        # Marked as a replay: what is late by as long as the mending took must not alarm anybody by itself.
        replay_id = event_id("Redrive", *sorted(letter.id for letter in octets))
        decoder = Decoder(given, Publisher(given.kafka, "hes-redrive"), replay_id, frames=False)
        total = decoder.run(Octets(letter.data, letter.endpoint, letter.at, protocol=_protocol(letter)) for letter in octets)
        found.decoded = decoder.outcomes["events"]
        found.failed += total - found.decoded
    return found


def _to_topics(publisher: Publisher, letters: Sequence[DeadLetter]) -> list[LeftOut]:
    """Those that are too large for their topic; of another failure its error."""
    failed: list[tuple[DeadLetter, Exception]] = []
    for letter in letters:
        headers: list[tuple[str, str | bytes | None]] = [*letter.headers.items(), (REDRIVEN, letter.id.encode())]
        publisher.send(letter.topic, letter.key, letter.data, headers, partial(_reported, failed, letter))
    publisher.flush()
    for _, error in failed:
        if not isinstance(error, TooLargeError):
            raise error
    return [LeftOut(letter, str(error)) for letter, error in failed]


def _reported(failed: list[tuple[DeadLetter, Exception]], letter: DeadLetter, error: Exception | None) -> None:
    if error is not None:
        failed.append((letter, error))


def _protocol(letter: DeadLetter) -> Protocol:
    """Whose bytes a letter holds: it does not say, but its code does, or they do."""
    if letter.code.startswith(_C12_CODES):
        return Protocol.C1222
    family = family_of(Capture("", letter.endpoint, letter.data))
    return Protocol.C1222 if family is Family.C1222 else Protocol.DLMS
