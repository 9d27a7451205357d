"""Dead letters, tried again."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.cli.through_gateway import Decoder, Octets
from schemas.ids import event_id
from schemas.records import DeadLetter
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings

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
        total = decoder.run(Octets(letter.data, letter.endpoint, letter.at) for letter in octets)
        counts["decoded"] = decoder.outcomes["events"]
        counts["failed"] = total - decoder.outcomes["events"]
    return counts
