"""The audit chain and the hash tree: each against a second way of computing it, and against every kind of alteration."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from schemas.records import AuditEntry, Target
from streams.runtime.authority.chain import START, Break, Link, link_of, linked, walk, walk_all
from streams.runtime.authority.targets import Proofs, proves, selects
from tests.unit.streams.runtime.authority.builders import meter


def chain(count: int) -> list[AuditEntry]:
    entries, at = [], START
    for number in range(count):
        entry = linked(AuditEntry(at=number, actor="bob", action="act", subject=f"c{number}"), at)
        entries.append(entry)
        at = link_of(entry)
    return entries


ENTRIES = chain(5)
FORGED = linked(AuditEntry(actor="eve"), link_of(ENTRIES[1]))
ALTERED: dict[str, tuple[list[AuditEntry], int, str]] = {
    "one field": ([*ENTRIES[:2], replace(ENTRIES[2], actor="eve"), *ENTRIES[3:]], 3, "was altered"),
    "its hash too": (
        [*ENTRIES[:2], linked(replace(ENTRIES[2], actor="eve"), link_of(ENTRIES[1])), *ENTRIES[3:]],
        4,
        "was replaced",
    ),
    "left out": ([*ENTRIES[:2], *ENTRIES[3:]], 3, "entries 3 to 3 are missing"),
    "cut off at the beginning": (ENTRIES[2:], 1, "entries 1 to 2 are missing"),
    "put in": ([*ENTRIES[:3], FORGED, *ENTRIES[3:]], 4, "stands a second time"),
    "doubled": ([*ENTRIES[:3], ENTRIES[2], *ENTRIES[3:]], 4, "stands a second time"),
    "exchanged": ([ENTRIES[0], ENTRIES[2], ENTRIES[1], *ENTRIES[3:]], 2, "entries 2 to 2 are missing"),
    "its sequence": ([*ENTRIES[:2], replace(ENTRIES[2], sequence=9), *ENTRIES[3:]], 3, "was altered"),
    "its code": ([replace(ENTRIES[0], code="x")], 1, "was altered"),
    "its digest": ([replace(ENTRIES[0], digest=b"x")], 1, "was altered"),
}


@pytest.mark.parametrize(("entries", "sequence", "says"), ALTERED.values(), ids=ALTERED)
def test_the_first_break_is_named(entries: list[AuditEntry], sequence: int, says: str) -> None:
    steps = list(walk(entries))
    broken = steps[-1]
    assert isinstance(broken, Break)
    assert broken.sequence == sequence
    assert says in broken.what
    assert all(isinstance(step, Link) for step in steps[:-1])


def test_a_sound_chain_is_walked_to_its_end() -> None:
    assert list(walk(ENTRIES))[-1] == link_of(ENTRIES[-1])
    assert [entry.id for entry in ENTRIES][:2] == ["000000000001", "000000000002"]


def rfc6962(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash as RFC 6962, section 2.1, defines it, by recursion."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\1" + rfc6962(leaves[:half]) + rfc6962(leaves[half:])).digest()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 100, 101, 255, 256, 257])
def test_the_tree_is_that_of_rfc_6962_and_every_meter_has_its_way(count: int) -> None:
    meters = [f"m{number}" for number in range(count)]
    tree = Proofs(meters)
    assert tree.root == rfc6962([meter.encode() for meter in meters])
    for index, name in enumerate(meters):
        way = tree.of(index)
        assert proves(name, way, tree.root)
        assert not proves(f"{name}x", way, tree.root)
        assert not way or not proves(name, way[1:], tree.root)


def test_the_tree_of_rfc_6962_s_reference_implementation() -> None:
    """Published test vector: the leaves '', '00' and '10' of certificate-transparency's merkle_tree_test."""
    leaves = [b"", b"\x00", b"\x10"]
    assert rfc6962(leaves).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


@pytest.mark.parametrize("way", [(b"",), (b"\x02" + bytes(32),), (b"\x00" + bytes(31),), (b"\x00" + bytes(32),) * 65])
def test_what_is_no_way_proves_nothing(way: tuple[bytes, ...]) -> None:
    assert not proves("m1", way, bytes(32))


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        (Target(), True),
        (Target(meters=("m1",)), True),
        (Target(meters=("m2",)), False),
        (Target(feeders=("F1",), transformers=("T1",)), True),
        (Target(feeders=("F1",), transformers=("T2",)), False),
        (Target(groups=("a", "b")), True),
        (Target(groups=("c",)), False),
        (Target(segments=("S1",)), True),
        (Target(meters=("m1",), segments=("S2",)), False),
    ],
)
def test_what_a_target_means(target: Target, meant: bool) -> None:
    assert selects(target, meter(groups=("b",))) is meant


def named_chain(name: str, count: int) -> list[AuditEntry]:
    entries, at = [], START
    for number in range(count):
        entry = linked(AuditEntry(at=number, actor="bob", action="act", subject=f"c{number}", chain=name), at)
        entries.append(entry)
        at = link_of(entry)
    return entries


OTHERS = named_chain("firmware", 3)
MIXED = [ENTRIES[0], OTHERS[0], OTHERS[1], ENTRIES[1], ENTRIES[2], OTHERS[2]]


def test_chains_of_several_writers_are_walked_each_for_itself() -> None:
    found = dict(walk_all(MIXED))
    assert found == {"": link_of(ENTRIES[2]), "firmware": link_of(OTHERS[2])}
    assert list(walk(MIXED)) == [link_of(entry) for entry in ENTRIES[:3]]
    assert list(walk(MIXED, chain="firmware")) == [link_of(entry) for entry in OTHERS]
    assert [entry.id for entry in OTHERS] == ["firmware-000000000001", "firmware-000000000002", "firmware-000000000003"]


@pytest.mark.parametrize(
    ("entries", "chain", "says"),
    [
        ([*MIXED[:1], *MIXED[2:]], "firmware", "entries 1 to 1 are missing"),
        ([*MIXED[:3], *MIXED[4:]], "", "entries 2 to 2 are missing"),
        ([*MIXED[:2], replace(OTHERS[1], chain="")], "", "was altered"),
        ([ENTRIES[0], replace(ENTRIES[1], chain="firmware")], "firmware", "was altered"),
        ([*MIXED, OTHERS[2]], "firmware", "stands a second time"),
    ],
    ids=["left out of one", "left out of the other", "moved to another", "moved the other way", "doubled"],
)
def test_an_entry_of_one_chain_is_of_no_other(entries: list[AuditEntry], chain: str, says: str) -> None:
    *_, (name, broken) = walk_all(entries)
    assert isinstance(broken, Break)
    assert (name, broken.chain) == (chain, chain)
    assert says in broken.what
