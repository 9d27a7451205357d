from __future__ import annotations

import pytest

from streams.runtime.offsets import Watermarks

P, Q = ("t", 0), ("t", 1)


@pytest.mark.parametrize(
    ("started", "finished", "expected"),
    [
        pytest.param([1, 2, 3], [], {}, id="nothing-done"),
        pytest.param([1, 2, 3], [1], {P: 2}, id="first-done"),
        pytest.param([1, 2, 3], [3, 2], {}, id="first-still-open"),
        pytest.param([1, 2, 3], [3, 1], {P: 2}, id="hole-in-the-middle"),
        pytest.param([1, 2, 3], [3, 2, 1], {P: 4}, id="all-in-reverse"),
        pytest.param([5, 9], [5, 9], {P: 10}, id="offsets-with-gaps"),
        pytest.param([1], [1, 1], {P: 2}, id="finished-twice"),
        pytest.param([1], [7], {}, id="never-started"),
    ],
)
def test_the_lowest_unfinished_offset_bounds_the_commit(
    started: list[int], finished: list[int], expected: dict[tuple[str, int], int]
) -> None:
    marks = Watermarks()
    for offset in started:
        marks.start(P, offset)
    for offset in finished:
        marks.finish(P, offset)
    assert marks.take() == expected


def test_a_commit_is_taken_once_and_partitions_are_apart() -> None:
    marks = Watermarks()
    marks.start(P, 1)
    marks.start(Q, 1)
    marks.finish(Q, 1)
    assert marks.take() == {Q: 2}
    assert marks.take() == {}
    assert marks.pending() == 1


def test_a_revoked_partition_is_never_committed() -> None:
    marks = Watermarks()
    marks.start(P, 1)
    marks.forget(P)
    marks.finish(P, 1)
    assert marks.take() == {}
