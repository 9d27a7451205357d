from __future__ import annotations

import pytest

from connectors.gateway.counters import Counters

TITLE = b"KAM12345"


@pytest.mark.parametrize(
    ("telegrams", "replayed"),
    [
        pytest.param([(1, b"a"), (2, b"b"), (9, b"c")], [False, False, False], id="rising"),
        pytest.param([(5, b"a"), (5, b"a")], [False, False], id="sent-again"),
        pytest.param([(5, b"a"), (6, b"b"), (7, b"c"), (5, b"a"), (6, b"b")], [False] * 5, id="several-sent-again"),
        pytest.param([(5, b"a"), (5, b"b")], [False, True], id="same-counter-other-content"),
        pytest.param([(5, b"a"), (4, b"b"), (6, b"c")], [False, True, False], id="falls"),
        pytest.param([(5, b"a"), (4, b"b"), (4, b"b")], [False, True, False], id="told-once"),
    ],
)
def test_counters(telegrams: list[tuple[int, bytes]], replayed: list[bool]) -> None:
    counters = Counters()
    assert [counters.replayed(TITLE, counter, telegram) for counter, telegram in telegrams] == replayed


def test_meters_have_counters_of_their_own() -> None:
    counters = Counters()
    assert not counters.replayed(TITLE, 5, b"a")
    assert not counters.replayed(b"KAM54321", 4, b"b")


def test_what_is_kept_is_bounded() -> None:
    counters = Counters(meters=2)
    for n in range(5):
        counters.replayed(bytes([n]) * 8, 1, b"a")
    for n in range(100):
        counters.replayed(b"\4" * 8, n + 2, n.to_bytes(2))
    assert len(counters._seen) == 2
    assert len(counters._seen[b"\4" * 8][1]) == 64
