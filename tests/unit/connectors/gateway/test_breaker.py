from __future__ import annotations

from itertools import product

import pytest

from connectors.gateway.breaker import TABLE, Breaker, Event, Rules, State

RULES = Rules(failures=3, open_ms=1_000, longest_ms=5_000)


def opened(at: int = 0) -> Breaker:
    breaker = Breaker(RULES)
    for name in "abc":
        breaker.missed(at, name, probe=False)
    return breaker


LEGAL = {
    (State.CLOSED, Event.REACHED): State.CLOSED,
    (State.CLOSED, Event.MISSED): State.CLOSED,
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.REACHED): State.CLOSED,
    (State.OPEN, Event.MISSED): State.OPEN,
    (State.OPEN, Event.COOLED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.REACHED): State.CLOSED,
    (State.HALF_OPEN, Event.MISSED): State.OPEN,
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=lambda item: item.value)
def test_every_transition(state: State, event: Event) -> None:
    breaker = Breaker(RULES, state=state)
    if (state, event) in LEGAL:
        breaker._become(event)
        assert breaker.state is LEGAL[state, event]
    else:
        assert (state, event) not in TABLE
        with pytest.raises(KeyError):
            breaker._become(event)


@pytest.mark.parametrize(
    ("names", "state"),
    [
        pytest.param("aaaaaaaa", State.CLOSED, id="one-meter-however-often"),
        pytest.param("abab", State.CLOSED, id="two-meters"),
        pytest.param("abc", State.OPEN, id="as-many-as-the-rules-say"),
        pytest.param("ab+c", State.CLOSED, id="one-that-answers-in-between"),
        pytest.param("a+b+c+abc", State.CLOSED, id="only-those-that-were-dead-before-are-left"),
        pytest.param("a+b+c+abcdef", State.OPEN, id="those-and-as-many-others"),
    ],
)
def test_opens_after_different_meters_in_a_row(names: str, state: State) -> None:
    breaker = Breaker(RULES)
    for name in names:
        if name == "+":
            breaker.reached("z")
        else:
            breaker.missed(0, name, probe=False)
    assert breaker.state is state


def test_opening_and_closing_are_told_once() -> None:
    breaker = Breaker(RULES)
    assert [breaker.missed(0, name, probe=False) for name in "abcde"] == [False, False, True, False, False]
    assert breaker.begins(1_000)
    assert breaker.begin()
    assert not breaker.missed(1_000, "f", probe=True)
    assert [breaker.reached("f"), breaker.reached("f")] == [True, False]


def test_the_time_between_two_tries_doubles_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0, []
    for _ in range(5):
        waits.append(breaker.until - now)
        now = breaker.until
        assert not breaker.begins(now - 1)
        assert breaker.begins(now)
        probe = breaker.begin()
        assert not breaker.begins(now)
        breaker.missed(now, "a", probe=probe)
    assert waits == [1_000, 2_000, 4_000, 5_000, 5_000]


def test_after_it_closed_it_starts_with_the_shortest_time_again() -> None:
    breaker = opened()
    assert breaker.begins(1_000)
    breaker.missed(1_000, "a", probe=breaker.begin())
    for name in "abc":
        breaker.reached(name)
    for name in "abc":
        breaker.missed(9_000, name, probe=False)
    assert breaker.until == 10_000


def test_sessions_begun_before_it_opened_neither_lengthen_it_nor_end_a_try() -> None:
    breaker = opened()
    breaker.missed(500, "d", probe=False)
    assert breaker.until == 1_000
    assert breaker.begins(1_000)
    breaker.begin()
    breaker.missed(1_100, "e", probe=False)
    assert (breaker.state, breaker.probing) == (State.HALF_OPEN, True)
    breaker.untold(probe=False)
    assert breaker.probing
    breaker.untold(probe=True)
    assert breaker.begins(1_200)
