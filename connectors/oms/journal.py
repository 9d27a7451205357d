"""What each moment changes in what is remembered, as few records of `hes.outage-states`: a journal beside the states. Pure.

A transformer that goes dark changes with every few alarms; to write its state anew each time would cost as much as to tell
of it. So a moment's changes of all transformers are one entry (or few, each small enough for Kafka). A state is written
whole where an entry cannot say what changed, and otherwise a while after: an entry whose transformers have all been written
since is deleted. What is remembered is each state, and then, in order, the entries that are newer than it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from connectors.oms.marks import Mark
from connectors.oms.states import Place, columns, joined, marks_in
from schemas.records import OutageJournal, OutageState, OutageTold

_PIECE = 500
"""Alarms of one state in an entry; more make several entries."""
_FULL = 500_000
"""Octets of an entry, about; a record of Kafka is at most a million."""
_OLD_MS = 30_000
"""An entry that is older is deleted, and the states that it names are written."""
_AT_ONCE = 100
"""States that are written at most in one moment because an entry is old: some milliseconds."""

Outs = list[tuple[str, OutageState | OutageJournal | None]]
"""Keys, and what is remembered under them; None where nothing is."""


class News(NamedTuple):
    """What changed in a state."""

    marks: Sequence[Mark]
    told: bool
    """Whether all of its alarms are told now; else those are that were."""
    outages: Sequence[OutageTold]


Changes = list[tuple[Place, News]]


class Remembered(Protocol):
    """Something with a state: a `Bucket`."""

    @property
    def place(self) -> Place:
        """Whose state it is."""

    def __len__(self) -> int:
        """How many alarms are in it."""

    def news(self) -> News | None:
        """What changed since it was last asked, or written; None where only the whole state can say so."""

    def state(self, journal: int, now: int) -> Sequence[tuple[str, OutageState | None]]:
        """Key and record of each part of the state; None for a part that is no more."""


class Journal:
    """The entries that are on the topic. `written` says what to write; whoever does so writes all of it, or ends."""

    def __init__(self) -> None:
        self._last = 0
        self._entries: dict[int, tuple[int, set[str]]] = {}  # when, and whose state has not been written since
        self._naming: dict[str, list[int]] = {}  # key of a state → entries
        self._void: list[int] = []  # entries that were read, and that no state needs

    def __len__(self) -> int:
        return len(self._entries)

    def wait_ms(self, now: int) -> int | None:
        """How long until there is something to write by itself; None where there is nothing."""
        if not self._entries:
            return None
        at = next(iter(self._entries.values()))[0]
        return at + _OLD_MS - now if at <= now < at + _OLD_MS else 0

    def written(self, changed: Iterable[Remembered], find: Callable[[str], Remembered | None], now: int) -> Outs:
        """What to write for what changed, and for what is old."""
        whole: dict[str, Remembered] = {}
        said: Changes = []
        for one in changed:
            place, news = one.place, one.news()
            if news is None or "\0" in f"{place.key}{place.transformer}{place.feeder}":
                whole[place.key] = one
            elif len(news.marks) > _PIECE:
                said += [(place, piece) for piece in _pieces(news)]
            else:
                said.append((place, news))
        outs: Outs = [(_key(number), None) for number in self._void]
        self._void = []
        if said:
            outs += self._entered(said, now)
        for key in [*self._beside(whole), *self._old(now)]:
            if (found := find(key)) is not None:
                whole.setdefault(key, found)
            elif key not in whole:
                outs += self._settled(key)
        for key, one in whole.items():
            outs += one.state(self._last, now)
            outs += self._settled(key)
        return outs

    def restore(self, states: Iterable[OutageState], entries: Iterable[OutageJournal]) -> list[Changes | str]:
        """The entries in order, each as what it adds to the states that do not have it yet; the key of one that makes no
        sense.
        """
        upto: dict[str, int] = {}
        for state in states:
            upto[state.key] = state.journal
            self._last = max(self._last, state.journal)
        found: list[Changes | str] = []
        for entry in sorted(entries, key=lambda one: one.sequence):
            self._last = max(self._last, entry.sequence)
            if (said := _said(entry)) is None:
                found.append(_key(entry.sequence))
                continue
            newer = [(place, news) for place, news in said if upto.get(place.key, 0) < entry.sequence]
            if not newer:
                self._void.append(entry.sequence)
                continue
            self._entries[entry.sequence] = entry.at, set()
            for place, _ in newer:
                self._name(entry.sequence, place.key)
            found.append(newer)
        return found

    def _entered(self, said: Sequence[tuple[Place, News]], now: int) -> Outs:
        entry = _record(said, self._last + 1, now)
        if _octets(entry) > _FULL and len(said) > 1:
            half = len(said) // 2
            return self._entered(said[:half], now) + self._entered(said[half:], now)
        self._last += 1
        self._entries[self._last] = now, set()
        for place, _ in said:
            self._name(self._last, place.key)
        return [(_key(self._last), entry)]

    def _name(self, sequence: int, key: str) -> None:
        keys = self._entries[sequence][1]
        if key not in keys:
            keys.add(key)
            self._naming.setdefault(key, []).append(sequence)

    def _beside(self, whole: dict[str, Remembered]) -> list[str]:
        """What stands in one entry with a state that will be no more: while such an entry is there, it would come back."""
        gone = [key for key, one in whole.items() if not len(one)]
        return [other for key in gone for number in self._naming.get(key, ()) for other in self._entries[number][1]]

    def _old(self, now: int) -> list[str]:
        found: list[str] = []
        for at, keys in self._entries.values():
            if at <= now < at + _OLD_MS or len(found) >= _AT_ONCE:
                break
            found += list(keys)[: _AT_ONCE - len(found)]
        return found

    def _settled(self, key: str) -> Outs:
        """A state is written: entries that it was the last one to need are deleted."""
        outs: Outs = []
        for number in self._naming.pop(key, ()):
            keys = self._entries[number][1]
            keys.discard(key)
            if not keys:
                del self._entries[number]
                outs.append((_key(number), None))
        return outs


def _record(some: Sequence[tuple[Place, News]], sequence: int, now: int) -> OutageJournal:
    marks = columns([mark for _, news in some for mark in news.marks])
    return OutageJournal(
        sequence=sequence,
        keys=joined([place.key for place, _ in some]),
        transformers=joined([place.transformer for place, _ in some]),
        feeders=joined([place.feeder for place, _ in some]),
        told=bytes([news.told for _, news in some]),
        outages=tuple([told for _, news in some for told in news.outages]),
        outage_of=tuple([number for number, (_, news) in enumerate(some) for _ in news.outages]),
        mark_of=tuple([number for number, (_, news) in enumerate(some) for _ in news.marks]),
        meters=marks.meters,
        alarms=marks.alarms,
        marks=marks.marks,
        times=marks.times,
        arrivals=marks.arrivals,
        at=now,
    )


def _octets(entry: OutageJournal) -> int:
    names = (entry.keys, entry.transformers, entry.feeders, entry.meters, entry.alarms)
    return sum(map(len, names)) + 20 * len(entry.marks) + 300 * len(entry.outages)


def _pieces(news: News) -> list[News]:
    """In parts that an entry has room for; that all is told is said with the last."""
    starts = range(0, len(news.marks), _PIECE)
    parts = [News(news.marks[start : start + _PIECE], False, ()) for start in starts]
    return [*parts[:-1], News(parts[-1].marks, news.told, news.outages)]


def _said(entry: OutageJournal) -> Changes | None:
    """What an entry says of each state; None where its columns do not fit each other."""
    names = [column.decode("utf-8", "replace").split("\0") for column in (entry.keys, entry.transformers, entry.feeders)]
    marks, count = marks_in(entry), len(entry.told)
    owners = (*entry.mark_of, *entry.outage_of)
    if (
        marks is None
        or {len(column) for column in names} != {count}
        or len(entry.mark_of) != len(marks)
        or len(entry.outage_of) != len(entry.outages)
        or not all(0 <= owner < count for owner in owners)
    ):
        return None
    of: list[tuple[list[Mark], list[OutageTold]]] = [([], []) for _ in range(count)]
    for owner, (mark, _) in zip(entry.mark_of, marks, strict=True):
        of[owner][0].append(mark)
    for owner, told in zip(entry.outage_of, entry.outages, strict=True):
        of[owner][1].append(told)
    places = [Place(*some) for some in zip(*names, strict=True)]
    return [
        (place, News(marks, bool(told), outages))
        for place, told, (marks, outages) in zip(places, entry.told, of, strict=True)
    ]


def _key(sequence: int) -> str:
    return f"journal/{sequence}"
