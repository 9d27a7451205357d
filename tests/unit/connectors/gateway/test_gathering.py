"""What is gathered is worked on at the end of a turn, or later and together where there is much to do."""

from __future__ import annotations

import asyncio

import pytest

from connectors.gateway.gathering import MOST, Gathering


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("patient", "count", "urgent", "at_once"),
    [
        pytest.param(False, 3, False, [[0, 1, 2]], id="little-to-do"),
        pytest.param(True, 3, False, [], id="more-to-come"),
        pytest.param(True, 3, True, [[0, 1, 2]], id="somebody-waits"),
        pytest.param(True, MOST, False, [list(range(MOST))], id="many"),
        pytest.param(True, MOST + 2, False, [list(range(MOST)), [MOST, MOST + 1]], id="very-many"),
    ],
)
async def test_when(patient: bool, count: int, urgent: bool, at_once: list[list[int]]) -> None:
    worked: list[list[int]] = []
    gathering = Gathering(worked.append, lambda: patient)
    for number in range(count):
        gathering.add(number, urgent=urgent and number == count - 1)
    assert (worked, len(gathering)) == ([], count)
    await turn()
    assert worked == at_once
    gathering.tick()
    assert [item for items in worked for item in items] == list(range(count))
    assert not gathering


async def test_what_is_added_meanwhile_is_worked_on_next() -> None:
    worked: list[list[int]] = []

    def work(items: list[int]) -> None:
        worked.append(items)
        if len(worked) == 1:
            gathering.add(7)

    gathering = Gathering(work, lambda: False)
    gathering.add(1)
    await turn()
    await turn()
    assert worked == [[1], [7]]
