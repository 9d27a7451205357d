"""Whatever order alarms come in, however often, and whenever the process is ended: the same outages, each told once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import Alarm, OutageEvent, OutageScope, OutageStatus
from streams.runtime.settings import Oms
from tests.unit.connectors.oms.world import T0, S, Utility, alarm

RULES = Oms(flap_s=300, feeder_least=2, feeder_share=0.4)
END_S = 6_000
METERS = [f"T{transformer}-{number}" for transformer in (1, 2, 3) for number in range(6)] + ["stray"]


def said_by(meter: str, at_s: float, kind: str, **more: Any) -> Alarm:
    """An alarm; somebody's life depends on the supply of every meter 3."""
    return alarm(meter, at_s, kind, life_support=meter.endswith("3"), **more)


ALARMS = st.lists(
    st.builds(
        said_by,
        st.sampled_from(METERS),
        st.one_of(st.integers(0, 30), st.integers(0, 4_000)),
        st.sampled_from(["out", "out", "back"]),
        late_s=st.sampled_from([0.2, 0.2, 0.7, 5, 300]),
        said=st.sampled_from(["", "", "+register"]),
    ),
    max_size=40,
    unique_by=lambda one: one.id,
)
MOST = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def end(utility: Utility) -> None:
    """Wait until nothing more can change by itself."""
    while utility.now < T0 + END_S * S:
        utility.wait(100)


def stated(event: OutageEvent) -> tuple[Any, ...]:
    """What an outage comes to, but for how it got its name."""
    return (
        event.scope,
        event.transformer,
        event.status,
        event.duration,
        event.meters,
        event.meters_back,
        event.premises_affected,
        event.premises_out,
        event.premises_flapping,
        *(() if event.scope is OutageScope.FEEDER else (event.first_time, event.last_time)),
        event.life_support_out,
        event.transformers,
    )


def final(utility: Utility) -> list[Any]:
    """All outages."""
    return sorted(map(stated, utility.outages.values()))


def told(utility: Utility) -> list[OutageEvent]:
    """Every revision; those of one time have no order among outages."""
    return sorted(utility.told, key=lambda event: (event.told_at, event.outage_id, event.revision))


def played(alarms: Sequence[Alarm], steps: Sequence[int], *, restarts: bool = False) -> Utility:
    """Alarms in this order; after each, what its step says: nothing, a look, or (with `restarts`) a new process."""
    utility = Utility(RULES)
    for one, step in zip(alarms, steps, strict=True):
        utility.now = max(utility.now, one.received_at)
        utility.core.take(one, utility.now)
        if step:
            utility.wait(0.1)
        if restarts and step == 2:
            utility.restart()
    end(utility)
    return utility


@MOST
@given(ALARMS, st.data())
def test_any_order_comes_to_the_same(alarms: list[Alarm], data: st.DataObject) -> None:
    steps = st.lists(st.integers(0, 2), min_size=len(alarms), max_size=len(alarms))
    plain = played(sorted(alarms, key=lambda one: one.received_at), [1] * len(alarms))
    other = played(data.draw(st.permutations(alarms)), data.draw(steps))
    assert final(other) == final(plain)
    assert other.alarms_of().keys() == plain.alarms_of().keys() == {one.id for one in alarms}


@MOST
@given(ALARMS, st.data())
def test_a_restart_changes_nothing_at_all(alarms: list[Alarm], data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, 2), min_size=len(alarms), max_size=len(alarms)))
    order = data.draw(st.permutations(alarms))
    assert told(played(order, steps, restarts=True)) == told(played(order, steps))


@MOST
@given(ALARMS, st.data())
def test_twice_is_once(alarms: list[Alarm], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(alarms), max_size=10)) if alarms else []
    once = played(alarms, [1] * len(alarms))
    utility = Utility(RULES)
    for one in alarms:
        utility.now = max(utility.now, one.received_at)
        utility.core.take(one, utility.now)
        utility.wait(0.1)
    for one in again:
        assert [event.alarms for event in utility.hear(one) if event.alarms] == []
    end(utility)
    assert final(utility) == final(once)


def test_the_outages_that_are_drawn_are_of_every_kind() -> None:
    seen: set[tuple[OutageScope, OutageStatus]] = set()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(ALARMS)
    def look(alarms: list[Alarm]) -> None:
        seen.update((event.scope, event.status) for event in played(alarms, [1] * len(alarms)).told)

    look()
    assert {scope for scope, _ in seen} >= {OutageScope.PREMISE, OutageScope.TRANSFORMER, OutageScope.FEEDER}
    assert {status for _, status in seen} >= {
        OutageStatus.OPEN,
        OutageStatus.PARTLY_RESTORED,
        OutageStatus.RESTORED,
        OutageStatus.MERGED,
    }
