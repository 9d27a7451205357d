from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from connectors.gateway import directory as directory_module
from connectors.gateway.directory import Change, Directory
from schemas.records import Identity, IdentityKind, Meter, MeterState, Network, Protocol, UtilityKind
from tests.unit.connectors.gateway.builders import directory, meter, title

NAME = Identity(IdentityKind.LOGICAL_DEVICE_NAME, "KFM1200200234804")


def change(item: Meter) -> Change:
    return Change(item.id, item)


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
    known.apply([Change("m1", None), Change("unknown", None)])
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
    known.apply([Change("winner", None)])
    left = known.find(title().kind, title().value)
    assert left is not None
    assert left.id == "loser"


def test_who_is_exchanged_gives_a_shared_identity_to_the_other() -> None:
    known = directory(meter("old", title(), updated_at=5), meter("new", title(), updated_at=1))
    known.apply([change(meter("old", title(), updated_at=6, state=MeterState.EXCHANGED))])
    found = known.find(title().kind, title().value)
    assert found is not None
    assert found.id == "new"


def every_field(number: int) -> Meter:
    """A meter that states something else in each field."""
    return Meter(
        id=f"m{number}", identities=(title(number.to_bytes(8)), Identity(IdentityKind.SERIAL, f"Nº {number}")),
        vendor="vendor", model="model", utility=UtilityKind.ELECTRICITY, protocol=Protocol.DLMS, network=Network.NB_IOT,
        segment="segment", endpoint="tcp://192.0.2.1:4059", template="template", key_ref="key", feeder="feeder",
        transformer="transformer", time_zone="Europe/Oslo", life_support=True, groups=("one", "two"),
        state=MeterState.NORMAL, exchanged_for="other", firmware="1.2", updated_at=1_772_323_200_000 + number,
        hardware="B", firmware_at=1_772_323_100_000 + number,
    )  # fmt: skip


def test_a_meter_comes_back_in_every_field() -> None:
    item, plain = every_field(1), Meter()
    assert all(getattr(item, each.name) != getattr(plain, each.name) for each in fields(Meter))
    known = Directory()
    known.apply([change(item), change(Meter(id="bare"))])
    assert (known.get("m1"), known.get("bare")) == (item, Meter(id="bare"))


def test_of_many_meters_those_that_were_asked_for_last_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "_RECENT", 100)
    known = Directory()
    known.apply([change(every_field(n)) for n in range(450)])
    first = known.get("m0")
    for n in range(450):
        assert known.get(f"m{n}") == every_field(n)
        assert known.get("m0") is first, "asked for again and again, it is not made anew"
        assert len(known._recent) + len(known._before) <= 200
    assert known.get("m1") == every_field(1), "and one that was let go is made anew"
    assert len(known._alike) == 1
    known.apply([change(replace(every_field(0), firmware="2.0")), Change("m1", None)])
    assert known.get("m0") == replace(every_field(0), firmware="2.0")
    assert known.get("m1") is None
