"""Missing intervals to the ranges that are asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Range = tuple[int, int]
"""First and last interval, both included."""


def ranges_of(numbers: Sequence[int], *, join: int, most: int) -> list[Range]:
    """Ranges that hold all the numbers, which rise. Those with fewer than `join` intervals between them become one, and
    where there are still more than `most`, those that are nearest.
    """
    found: list[Range] = []
    for number in numbers:
        if found and number - found[-1][1] <= join:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    while len(found) > most:
        nearest = min(range(len(found) - 1), key=lambda at: found[at + 1][0] - found[at][1])
        found[nearest : nearest + 2] = [(found[nearest][0], found[nearest + 1][1])]
    return found
