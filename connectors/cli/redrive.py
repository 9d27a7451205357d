"""Dead letters, tried again."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.cli.c12_telegrams import Family, family_of
from connectors.cli.telegrams import Capture
from connectors.cli.through_gateway import Decoder, Octets
from schemas.ids import event_id
from schemas.records import DeadLetter, Protocol
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings

_C12_CODES = ("c1222-", "psem-", "table-")
REDRIVEN = "redriven"
"""Header of a record that came back from the dead letters: the dead letter's id."""


def redrive(given: Settings, letters: Sequence[DeadLetter]) -> dict[str, int]:
    """Records back to their topics, meters' bytes through the decoder; counts of both, and of what failed again."""
    publisher = Publisher(given.kafka, "hes-redrive")
    records = [letter for letter in letters if letter.topic]
    for letter in records:
        headers: list[tuple[str, str | bytes | None]] = [*letter.headers.items(), (REDRIVEN, letter.id.encode())]
        publisher.send(letter.topic, letter.key, letter.data, headers)
    publisher.flush()
    octets = [letter for letter in letters if not letter.topic]
    counts = {"to_topics": len(records), "decoded": 0, "failed": 0}
    if octets:
        # Marked as a replay: what is late by as long as the mending took must not alarm anybody by itself.
        decoder = Decoder(given, publisher, event_id("Redrive", *sorted(letter.id for letter in octets)), frames=False)
        total = decoder.run(Octets(letter.data, letter.endpoint, letter.at, protocol=_protocol(letter)) for letter in octets)
        counts["decoded"] = decoder.outcomes["events"]
        counts["failed"] = total - decoder.outcomes["events"]
    return counts


def _protocol(letter: DeadLetter) -> Protocol:
    """Whose bytes a letter holds: it does not say, but its code does, or they do."""
    if letter.code.startswith(_C12_CODES):
        return Protocol.C1222
    family = family_of(Capture("", letter.endpoint, letter.data))
    return Protocol.C1222 if family is Family.C1222 else Protocol.DLMS
