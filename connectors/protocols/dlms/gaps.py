"""A column of whole numbers of which some rows lack one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Gaps(Sequence["int | None"]):
    """Two arrays of one length: `numbers`, 0 where there is none, and `missing`. It reads as a tuple with None does."""

    __slots__ = ("missing", "numbers")

    def __init__(self, numbers: NDArray[np.int64], missing: NDArray[np.bool_]) -> None:
        self.numbers = numbers
        self.missing = missing

    @classmethod
    def of(cls, values: Iterable[int | None]) -> Gaps:
        """The column of these values."""
        values = list(values)
        numbers = np.array([0 if value is None else value for value in values], np.int64)
        return cls(numbers, np.array([value is None for value in values], np.bool_))

    def take(self, rows: NDArray[np.int64]) -> Gaps:
        """Some of the rows, in this order."""
        return Gaps(self.numbers[rows], self.missing[rows])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Gaps(self.numbers[at], self.missing[at])
        return None if self.missing[at] else int(self.numbers[at])

    def __iter__(self) -> Iterator[int | None]:
        pairs = zip(self.numbers.tolist(), self.missing.tolist(), strict=True)
        return iter([None if lacks else number for number, lacks in pairs])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Gaps):
            return self.numbers.tobytes() == other.numbers.tobytes() and self.missing.tobytes() == other.missing.tobytes()
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Gaps.of({list(self)!r})"
