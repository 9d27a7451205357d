"""Records of which a dead letter holds only the first octets, whole again: from the place that the letter names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from confluent_kafka import Message

from connectors.cli.failure import USAGE, CommandError
from connectors.cli.topics import Span, read_topic
from schemas.records import DeadLetter
from streams.runtime.settings import Settings
from streams.runtime.tracing import pairs_of

_CUT = re.compile(r"\((the first octets of [0-9,]+; headers are left out|its first octets only)\)")
"""What the detail of a cut letter says. Letters of before the field `cut` say it only there."""
Find = Callable[[str, int, int], Message | None]
"""The record of a topic and partition that stands at an offset, or the next behind it; None where there is none."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A letter that is not redriven, and why."""

    letter: DeadLetter
    why: str


def is_cut(letter: DeadLetter) -> bool:
    """Whether a letter holds less than there was."""
    return letter.cut or _CUT.search(letter.detail) is not None


def whole(letters: Iterable[DeadLetter], find: Find) -> tuple[list[DeadLetter], list[DeadLetter], list[LeftOut]]:
    """Letters that are whole, those made whole by the record at the place that they name, and those that cannot be."""
    complete, mended, left = [], [], []
    for letter in letters:
        if not is_cut(letter):
            complete.append(letter)
            continue
        found = _original(letter, find)
        if isinstance(found, DeadLetter):
            mended.append(found)
        else:
            left.append(LeftOut(letter, found))
    return complete, mended, left


def finder(given: Settings) -> Find:
    """Looks where the settings say."""

    def find(topic: str, partition: int, offset: int) -> Message | None:
        span = Span(offsets={partition: offset}, partitions=frozenset((partition,)))
        try:
            return next(read_topic(given, topic, span), None)
        except CommandError as error:
            if error.exit_code == USAGE:  # there is no such topic any more
                return None
            raise

    return find


def _original(letter: DeadLetter, find: Find) -> DeadLetter | str:
    """The letter with all that there was; or why there is no more than it holds."""
    if not letter.topic:
        return f"it came from {letter.endpoint or 'a meter'}, and nobody has the rest: read the meter again"
    if letter.partition < 0 or letter.offset < 0:
        return (
            f"{letter.topic} never took it, and nobody has the rest: raise the topic's max.message.bytes, then have what it "
            f"was made of done again (`hes replay`)"
        )
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    message = find(letter.topic, letter.partition, letter.offset)
    if message is None or message.offset() != letter.offset:
        return f"the record is no longer at {place}: retention or compaction has removed it"
    key, value = message.key(), message.value() or b""
    if not value.startswith(letter.data) or not (key or b"").startswith(letter.key or b""):
        return f"another record stands at {place} by now: the topic was made anew"
    headers = {
        name: value.encode() if isinstance(value, str) else value or b"" for name, value in pairs_of(message.headers())
    }
    return replace(letter, data=value, key=key, headers=headers, cut=False)
