"""What is remembered between two processes: states and the journal, together and each alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.oms.core import Core
from connectors.oms.journal import Journal, News
from connectors.oms.marks import Mark
from connectors.oms.states import TOPIC, Place, states
from schemas.codec import Codec
from schemas.records import OutageJournal, OutageState, Record
from schemas.registry import MemoryRegistry
from streams.runtime.settings import Oms
from tests.unit.connectors.oms.world import T0, S, Utility, alarm

CODEC = Codec(MemoryRegistry())
OLD = 31.0
"""Seconds after which an entry is old."""


def dark(utility: Utility, transformer: str, meters: range, at_s: float = 0.0) -> None:
    utility.hear(*[alarm(f"{transformer}-{number}", at_s + number * 0.01) for number in meters])


def alarms_of(utility: Utility) -> int:
    return sum(len(record.marks) for record in utility.books.values() if isinstance(record, (OutageState, OutageJournal)))


def test_a_storm_writes_a_record_a_moment_and_no_state() -> None:
    utility = Utility()
    for moment in range(10):
        for transformer in range(50):
            for number in range(2 * moment % 10, 2 * moment % 10 + 2):
                utility.core.take(alarm(f"T{transformer}-{number}", moment * 0.1), utility.now)
        utility.wait(0.1)
    assert (len(utility.journal), sorted(utility.state)) == (10, [f"feeder/F{number}/0" for number in range(10)])
    assert alarms_of(utility) == 10 * 50 * 2


def test_an_old_entry_becomes_states_and_nothing_is_there_twice() -> None:
    utility = Utility()
    dark(utility, "T1", range(3))
    dark(utility, "T2", range(4))
    utility.wait(OLD)
    utility.wait(OLD)
    assert utility.journal == {}
    assert sorted(len(state.marks) for state in utility.state.values()) == [3, 4]
    dark(utility, "T1", range(3, 5), 100)
    assert len(utility.journal) == 1
    assert alarms_of(utility) == 3 + 4 + 2


def test_few_states_are_written_at_once_and_all_in_the_end() -> None:
    utility = Utility()
    utility.hear(*[alarm(f"lonely{number}", 0) for number in range(250)])
    counts = []
    for _ in range(4):
        utility.wait(OLD)
        counts.append(len(utility.state))
    assert counts == [100, 200, 250, 250]
    assert (alarms_of(utility), len(utility.journal)) == (250, 0)


def restarted(utility: Utility, *without: str) -> Utility:
    other = Utility(utility.rules, utility.town)
    other.now = utility.now
    other.books = {key: record for key, record in utility.books.items() if key not in without}
    other.restart()
    return other


MARKS = [Mark(f"T1-{number}/out/{number * 0.01}", f"T1-{number}", True, T0 + 10 * number, T0 + 500) for number in range(4)]


def test_what_is_in_a_state_is_not_added_again_from_an_entry_that_is_there_still() -> None:
    utility = Utility()
    dark(utility, "T1", range(4))
    (key,) = utility.journal
    told = utility.journal[key].outages
    three, names = MARKS[:3], {mark.alarm for mark in MARKS}
    (state,) = states(Place("transformer/T1", "T1", "F0"), told, three, names, utility.journal[key].sequence, T0)
    utility.books["transformer/T1/0"] = state  # as if the fourth alarm had been forgotten since
    utility.restart()
    utility.wait(0.1)
    assert utility.outages[told[0].outage_id].meters == ("T1-0", "T1-1", "T1-2")
    assert key not in utility.books


def test_states_of_the_release_before_the_journal_are_read_and_added_to() -> None:
    utility = Utility()
    dark(utility, "T1", range(3))
    utility.wait(OLD)
    assert utility.journal == {}
    old = {key: replace(state, journal=0) for key, state in utility.state.items()}
    other = restarted(utility)
    other.books = dict(old)
    other.core = Core(other.rules, other.town)
    assert other.core.restore(list(old.values())) == []
    assert other.wait(0.1) == []
    (event,) = other.hear(alarm("T1-7", OLD))
    assert (event.revision, event.premises_affected) == (utility.told[-1].revision + 1, 4)
    again = restarted(other)
    assert again.wait(0.1) == []
    (event,) = again.hear(alarm("T1-8", OLD + 1))
    assert event.premises_affected == 5


def test_a_bucket_that_is_forgotten_stays_so_though_an_entry_named_it() -> None:
    utility = Utility(Oms(keep_s=5, expire_s=10))
    dark(utility, "T1", range(2))
    utility.hear(alarm("T1-0", 1, "back"), alarm("T1-1", 1, "back"), alarm("T2-1", 1))
    for _ in range(9):
        utility.wait(1)
    assert "transformer/T1/0" not in utility.books
    other = restarted(utility)
    assert other.wait(0.1) == []
    (event,) = [event for event in other.hear(alarm("T1-5", 12)) if event.transformer == "T1"]
    assert (event.revision, event.meters) == (1, ("T1-5",))


def test_alarms_that_are_not_told_yet_are_remembered_as_such() -> None:
    utility = Utility()
    utility.core.take(alarm("T1-1", 0), utility.now)
    utility.now += 60
    utility.core.take(alarm("T2-1", 0.06), utility.now)
    told = utility.wait(0.04)  # T1 has waited for long enough, T2 has not
    assert [event.transformer for event in told] == ["T1"]
    other = restarted(utility)
    assert [event.transformer for event in other.wait(0.01)] == ["T2"]
    assert [event.alarms for event in other.told] == [("T2-1/out/0.06",)]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"told": b"\1\1"},
        {"keys": b"a\0b"},
        {"meters": b"a\0b"},
        {"times": b"1234"},
        {"mark_of": (7,)},
        {"mark_of": (-1,)},
        {"outage_of": ()},
    ],
    ids=lambda spoilt: next(iter(spoilt)),
)
def test_an_entry_that_makes_no_sense_is_named_and_the_others_are_read(spoilt: dict[str, object]) -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    dark(utility, "T2", range(3))
    first, second = utility.journal
    record = replace(utility.journal[first], **spoilt)  # type: ignore[arg-type]  # a test's own fields
    core = Core(utility.rules, utility.town)
    assert core.restore([record, utility.journal[second]]) == [first]
    assert len(core) == 1


def test_entries_are_small_enough_for_kafka() -> None:
    utility = Utility(Oms(most_meters=100_000))
    long = "n" * 150
    utility.hear(*[alarm(f"T{number % 3}-{long}{number}", 0) for number in range(9_000)])
    entries = list(utility.journal.values())
    assert len(entries) > 3
    assert max(len(CODEC.encode(entry)) for entry in entries) < 1_000_000
    assert restarted(utility).wait(0.1) == []
    assert alarms_of(utility) == 9_000


def test_names_with_octets_of_0_are_written_whole() -> None:
    utility = Utility()
    utility.hear(alarm("stray", 0, transformer="T\0X", feeder="F\0"))
    assert utility.journal == {}
    assert "transformer/T\0X/0" in utility.books
    assert restarted(utility).wait(0.1) == []


class Thing:
    """Something that is remembered, with a state of as many alarms as it was told."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.marks: list[Mark] = [Mark(f"{key}/0", key, True, T0, T0)]

    def __len__(self) -> int:
        return len(self.marks)

    @property
    def place(self) -> Place:
        return Place(self.key, "", "")

    def news(self) -> News | None:
        return News(self.marks, True, ()) if self.marks else None

    def state(self, journal: int, now: int) -> list[tuple[str, OutageState | None]]:
        found = states(self.place, (), self.marks, set(), journal, now)
        return [(f"{self.key}/0", found[0] if found else None)]


def test_while_something_that_is_gone_would_come_back_from_an_entry_the_others_of_it_are_written() -> None:
    journal, books = Journal(), dict[str, Record | None]()
    things = {key: Thing(key) for key in "abc"}
    books.update(journal.written([things["a"], things["b"]], things.get, T0))
    books.update(journal.written([things["c"]], things.get, T0))
    things["a"].marks = []
    books.update(journal.written([things.pop("a")], things.get, T0 + S))
    left = {key for key, record in books.items() if record is not None}
    assert left == {"b/0", "journal/2"}
    assert (len(journal), journal.wait_ms(T0 + S)) == (1, 29_000)
    assert journal.wait_ms(T0 - S) == 0  # a clock that was set back


def test_the_journal_s_records_and_states_have_one_topic() -> None:
    assert TOPIC == "hes.outage-states"
