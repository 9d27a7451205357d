from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.directory import Change, Directory
from schemas.records import Identity, IdentityKind, Meter, MeterState
from tests.unit.connectors.gateway.builders import directory, meter, title
from tests.unit.streams.fakes import CODEC

NAME = Identity(IdentityKind.LOGICAL_DEVICE_NAME, "KFM1200200234804")


def change(item: Meter) -> Change:
    return Change(item.id, CODEC.encode(item), item)


def test_a_meter_is_found_by_each_of_its_identities() -> None:
    item = meter("m1", title(), NAME)
    known = directory(item)
    assert known.get("m1") == item
    assert [known.find(identity.kind, identity.value) for identity in item.identities] == [item, item]
    assert known.find(IdentityKind.SERIAL, NAME.value) is None
    assert len(known) == 1


@pytest.mark.parametrize("value", ["4b414d1122334455", "4B414D1122334455"])
def test_a_system_title_is_the_same_in_either_case(value: str) -> None:
    assert directory(meter("m1", title())).find(IdentityKind.SYSTEM_TITLE, value) is not None


def test_a_change_takes_old_identities_away() -> None:
    known = directory(meter("m1", title()))
    known.apply([change(meter("m1", NAME))])
    assert known.find(title().kind, title().value) is None
    assert known.find(NAME.kind, NAME.value) is not None


def test_a_tombstone_takes_the_meter_away() -> None:
    known = directory(meter("m1", title()))
    known.apply([Change("m1", None, None), Change("unknown", None, None)])
    assert known.get("m1") is None
    assert known.find(title().kind, title().value) is None
    assert len(known) == 0


STATES: list[Any] = [
    pytest.param(
        {"state": MeterState.NORMAL}, {"state": MeterState.DISCOVERED, "updated_at": 9}, id="registered-before-discovered"
    ),
    pytest.param(
        {"state": MeterState.NORMAL}, {"state": MeterState.EXCHANGED, "updated_at": 9}, id="living-before-exchanged"
    ),
    pytest.param(
        {"state": MeterState.RETIRED}, {"state": MeterState.DISCOVERED, "updated_at": 9}, id="retired-before-discovered"
    ),
    pytest.param(
        {"state": MeterState.NORMAL, "updated_at": 2}, {"state": MeterState.LOST, "updated_at": 1}, id="changed-last"
    ),
]


@pytest.mark.parametrize("turned", [False, True], ids=["wins-first", "wins-last"])
@pytest.mark.parametrize(("wins", "loses"), STATES)
def test_a_contested_identity_belongs_to_the_one_that_lives(
    wins: dict[str, Any], loses: dict[str, Any], turned: bool
) -> None:
    pair = [meter("winner", title(), **wins), meter("loser", title(), **loses)]
    known = directory(*(reversed(pair) if turned else pair))
    found = known.find(title().kind, title().value)
    assert found is not None
    assert found.id == "winner"
    known.apply([Change("winner", None, None)])
    left = known.find(title().kind, title().value)
    assert left is not None
    assert left.id == "loser"


def test_who_is_exchanged_gives_a_shared_identity_to_the_other() -> None:
    known = directory(meter("old", title(), updated_at=5), meter("new", title(), updated_at=1))
    known.apply([change(meter("old", title(), updated_at=6, state=MeterState.EXCHANGED))])
    found = known.find(title().kind, title().value)
    assert found is not None
    assert found.id == "new"


def test_many_meters_are_kept_as_bytes_and_decoded_on_use() -> None:
    known = Directory(CODEC)
    known.apply([change(meter(f"m{n}", Identity(IdentityKind.SERIAL, str(n)))) for n in range(12_000)])
    assert len(known._decoded) <= 10_000
    found = known.find(IdentityKind.SERIAL, "11999")
    assert found is not None
    assert found.id == "m11999"
