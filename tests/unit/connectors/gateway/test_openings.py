"""The cap on relay openings: which claims of a log are granted, whoever reads it and however often."""

from __future__ import annotations

import pytest

from connectors.gateway.openings import WINDOW_MS, Cap


def granted(times: list[int], most: int) -> list[bool]:
    cap = Cap(most)
    return [cap.take(str(n), at) for n, at in enumerate(times)]


@pytest.mark.parametrize(
    ("most", "times", "verdicts"),
    [
        pytest.param(2, [0, 1, 2], [True, True, False], id="the-third"),
        pytest.param(2, [0, 1, 59_999, 60_000], [True, True, False, True], id="a-minute-later"),
        pytest.param(1, [0, 30_000, 60_000], [True, False, True], id="what-was-denied-does-not-count"),
        pytest.param(0, [0], [False], id="none-at-all"),
        pytest.param(2, [1_000, 0, 60_500], [True, True, False], id="a-broker-whose-clock-falls"),
    ],
)
def test_claims(most: int, times: list[int], verdicts: list[bool]) -> None:
    assert granted(times, most) == verdicts


def test_no_minute_has_more_than_the_cap() -> None:
    times = sorted(n * 7_919 * 7_919 % 600_000 for n in range(2_000))
    given = [at for at, good in zip(times, granted(times, 10), strict=True) if good]
    assert len(given) >= 90
    assert max(sum(at <= other < at + WINDOW_MS for other in given) for at in given) == 10


def test_when_the_next_can_be_granted() -> None:
    cap = Cap(2)
    assert (cap.free_in_ms(0), Cap(0).free_in_ms(0)) == (0, WINDOW_MS)
    cap.take("a", 0)
    cap.take("b", 10_000)
    assert (cap.free_in_ms(20_000), cap.free_in_ms(60_000), cap.verdict("b"), cap.verdict("c")) == (40_000, 0, True, None)
