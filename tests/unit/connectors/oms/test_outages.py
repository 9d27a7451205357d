"""What the OMS is told, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.oms.core import Where
from connectors.oms.standing import STATUS, Facts, status_of
from schemas.records import Alarm, AlarmKind, OutageDuration, OutageEvent, OutageKind, OutageScope, OutageStatus
from streams.runtime.settings import Oms
from tests.unit.connectors.oms.world import T0, S, Town, Utility, alarm

OUT, BACK = OutageKind.OUTAGE, OutageKind.RESTORATION


def meters(transformer: str, count: int) -> list[str]:
    return [f"{transformer}-{number}" for number in range(count)]


def dark(transformer: str, count: int, at_s: float = 0.0) -> list[Alarm]:
    return [alarm(meter, at_s + number * 0.1) for number, meter in enumerate(meters(transformer, count))]


def lit(transformer: str, count: int, at_s: float) -> list[Alarm]:
    return [alarm(meter, at_s, "back") for meter in meters(transformer, count)]


def brief(events: Sequence[OutageEvent]) -> list[tuple[str, str, str, int]]:
    return [(str(one.kind), str(one.scope), str(one.status), one.premises_out) for one in events]


def test_one_premise() -> None:
    utility = Utility()
    (event,) = utility.hear(alarm("T1-3", 0))
    assert (event.kind, event.scope, event.status, event.reason) == (OUT, OutageScope.PREMISE, OutageStatus.OPEN, "first")
    assert (event.transformer, event.feeder, event.meters) == ("T1", "F0", ("T1-3",))
    assert (event.premises_known, event.premises_affected, event.premises_out) == (10, 1, 1)
    assert (event.revision, event.alarms) == (1, ("T1-3/out/0",))
    later = utility.settle()
    assert {one.outage_id for one in later} == {event.outage_id}
    assert later[-1].confidence > 0.85 > event.confidence
    assert [one.alarms for one in later] == [()] * len(later)


def test_a_transformer_is_told_apart_from_a_premise_and_gets_surer() -> None:
    utility = Utility()
    (first,) = utility.hear(*dark("T1", 1))
    (second,) = utility.hear(*dark("T1", 5)[1:])
    assert (first.scope, second.scope) == (OutageScope.PREMISE, OutageScope.TRANSFORMER)
    assert (first.outage_id, second.revision) == (second.outage_id, 2)
    assert second.confidence > 0.9
    assert second.meters == tuple(meters("T1", 5))
    utility.settle()
    assert len(utility.outages) == 1
    assert utility.outages[first.outage_id].scope is OutageScope.TRANSFORMER


def test_a_few_of_very_many_are_a_section() -> None:
    utility = Utility(town=Town(each=100))
    utility.hear(*dark("T1", 5))
    utility.settle()
    (event,) = utility.outages.values()
    assert event.scope is OutageScope.SECTION


def test_restoration_follows_and_says_how_long_it_was() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 6))
    part = utility.hear(*lit("T1", 2, 100))
    rest = utility.hear(*lit("T1", 6, 110)[2:])
    assert brief(part) == [("RESTORATION", "TRANSFORMER", "PARTLY_RESTORED", 4)]
    assert part[0].meters_back == ("T1-0", "T1-1")
    assert brief(rest) == [("RESTORATION", "TRANSFORMER", "RESTORED", 0)]
    assert rest[0].duration is OutageDuration.MOMENTARY
    assert (rest[0].first_time, rest[0].last_time) == (T0 + 200, T0 + 110 * S)
    assert len(utility.alarms_of()) == 12


@pytest.mark.parametrize(("back_s", "duration"), [(299, "MOMENTARY"), (300, "MOMENTARY"), (301, "SUSTAINED")])
def test_five_minutes_part_momentary_from_sustained(back_s: float, duration: str) -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.hear(alarm("T1-1", back_s, "back"))
    (event,) = utility.outages.values()
    assert event.duration == duration


def test_an_outage_that_goes_on_becomes_a_sustained_one_by_time_alone() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    told = utility.settle(310)
    assert [(one.reason, one.duration) for one in told if one.reason != "confidence"] == [("sustained", "SUSTAINED")]


def test_two_premises_hours_apart_are_two_outages_though_the_first_is_still_out() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.settle(120)
    utility.wait(3 * 3600)
    (event,) = utility.hear(alarm("T1-2", 3 * 3600))
    assert (event.revision, event.meters) == (1, ("T1-2",))
    assert len(utility.outages) == 2


def test_late_news_of_a_dark_transformer_joins_its_outage() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 6))
    utility.wait(1_000)
    (event,) = utility.hear(alarm("T1-8", 1_000))
    assert (event.revision > 1, event.premises_affected) == (True, 7)


def test_a_transformer_that_is_back_but_for_a_lost_restoration_can_go_out_anew() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 6))
    utility.hear(*lit("T1", 5, 600))  # T1-5 is never heard of
    first = next(iter(utility.outages))
    utility.hear(*dark("T1", 5, 7_200))
    assert len(utility.outages) == 2
    assert utility.outages[first].status is OutageStatus.PARTLY_RESTORED


def test_a_last_gasp_that_comes_after_the_restoration_is_in_its_place() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 4))
    utility.hear(*lit("T1", 5, 60))  # of T1-4 only the restoration
    (late,) = utility.hear(alarm("T1-4", 0.3, late_s=200))
    assert brief([late]) == [("OUTAGE", "TRANSFORMER", "RESTORED", 0)]
    assert len(utility.outages) == 1


def test_only_restorations() -> None:
    utility = Utility()
    (event,) = utility.hear(*lit("T1", 3, 60))
    assert (event.kind, event.status, event.duration) == (BACK, OutageStatus.RESTORED, OutageDuration.UNKNOWN)
    assert event.premises_affected == 3


def test_a_meter_that_gasps_again_had_supply_in_between_though_nobody_heard() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.hear(alarm("T1-1", 4_000))
    first, second = utility.outages.values()
    assert (first.premises_out, first.status) == (0, OutageStatus.RESTORED)
    assert (second.premises_out, second.status) == (1, OutageStatus.OPEN)


def test_one_thing_said_by_two_event_objects_is_one() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0), alarm("T1-1", 1, said="+register"))
    utility.hear(alarm("T1-1", 30, "back"), alarm("T1-1", 31, "back", said="+register"))
    (event,) = utility.outages.values()
    assert (event.premises_affected, event.status) == (1, OutageStatus.RESTORED)
    assert len(utility.alarms_of()) == 4


def flaps(count: int, every_s: float = 40) -> list[Alarm]:
    return [one for n in range(count) for one in (alarm("T1-1", n * every_s), alarm("T1-1", n * every_s + 20, "back"))]


def test_a_flapping_meter_is_held_back_with_one_summary() -> None:
    utility = Utility()
    told = [event for one in flaps(12) for event in utility.hear(one)]
    assert [one.reason for one in told if one.status is OutageStatus.FLAPPING] == ["flapping"]
    assert sum(len(one.alarms) for one in told) == 5  # out, back, out, back, and out for the third time
    assert told[-1].premises_flapping == 1
    summary = utility.settle(700)
    assert [(one.reason, one.status) for one in summary if one.alarms] == [
        ("settled", OutageStatus.RESTORED),
        ("settled", OutageStatus.RESTORED),
    ]
    assert len(utility.alarms_of()) == 24
    assert len(utility.outages) == 1


def test_a_flapping_meter_does_not_hide_a_transformer() -> None:
    utility = Utility()
    for one in flaps(6):
        utility.hear(one)
    event = utility.hear(*[alarm(f"T1-{number}", 230) for number in range(2, 7)])[0]
    assert (event.status, event.premises_out, event.premises_flapping) == (OutageStatus.OPEN, 6, 1)
    assert event.scope is OutageScope.TRANSFORMER


def test_life_support_is_said_at_once_and_by_name() -> None:
    utility = Utility()
    assert utility.core.take(alarm("T1-1", 0, life_support=True), utility.now)
    utility.town.moved["T1-2"] = Where("T1", "F0", life_support=True)
    assert utility.core.take(alarm("T1-2", 0), utility.now)
    assert not utility.core.take(alarm("T1-3", 0), utility.now)
    (event,) = utility.wait(0.1)
    assert (event.life_support, event.life_support_out) == (True, ("T1-1", "T1-2"))
    (event,) = utility.hear(alarm("T1-1", 9, "back"))
    assert (event.life_support, event.life_support_out) == (True, ("T1-2",))


def test_without_a_transformer_a_meter_stands_alone() -> None:
    utility = Utility()
    one, two = utility.hear(alarm("stray1", 0), alarm("stray2", 0))
    assert (one.transformer, one.scope, one.premises_known) == ("", OutageScope.PREMISE, 0)
    assert one.outage_id != two.outage_id


def test_the_alarm_s_own_transformer_counts_before_the_registry_s() -> None:
    utility = Utility()
    (event,) = utility.hear(alarm("T1-1", 0, transformer="T2", feeder="F9"))
    assert (event.transformer, event.feeder) == ("T2", "F9")


def test_a_name_that_too_many_meters_bear_groups_nothing() -> None:
    utility = Utility(Oms(most_meters=5))
    events = utility.hear(*dark("T1", 3))
    assert [(one.transformer, one.premises_affected) for one in events] == [("T1", 1)] * 3


def test_a_meter_that_was_moved_while_out_is_restored_where_it_was_lost() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.town.moved["T1-1"] = Where("T2", "F0")
    (event,) = utility.hear(alarm("T1-1", 90, "back"))
    assert (event.transformer, event.status) == ("T1", OutageStatus.RESTORED)


def test_a_meter_that_loses_supply_elsewhere_is_out_only_there() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.town.moved["T1-1"] = Where("T2", "F0")
    told = utility.hear(alarm("T1-1", 900))
    assert sorted((one.transformer, one.premises_out) for one in told) == [("T1", 0), ("T2", 1)]


def test_a_meter_that_is_exchanged_while_out_holds_no_outage_open() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 2))
    utility.town.moved["T1-0"] = Where("T1", "F0", lives=False)
    utility.core.moved(["T1-0", "nobody"])
    (event,) = utility.wait(0.1)
    assert (event.reason, event.premises_out) == ("status", 1)


def test_history_is_no_outage_of_now() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 3))
    day = 86_400
    old = [alarm("T1-7", -3 * day, late_s=3 * day), alarm("T1-7", -3 * day + 600, "back", late_s=3 * day - 600)]
    out, back = utility.hear(*old)
    assert (out.status, back.status, back.duration) == (OutageStatus.HISTORIC, OutageStatus.HISTORIC, "SUSTAINED")
    assert (back.first_time, back.last_time) == (T0 - 3 * day * S, T0 - (3 * day - 600) * S)
    assert len(utility.outages) == 2


@pytest.mark.parametrize(
    ("occurred_s", "given", "at_s"),
    [
        (-10, True, -10),
        (3, True, 0),  # a clock that is ahead
        (3_600, True, 0),
        (-20 * 365 * 86_400, True, 0),  # a clock that was reset
        (-10, False, 0),
    ],
)
def test_a_meter_s_clock_is_believed_within_reason(occurred_s: int, given: bool, at_s: int) -> None:
    utility = Utility()
    one = alarm("T1-1", 0, occurred_at=T0 + occurred_s * S, received_at=T0, meter_time_given=given)
    (event,) = utility.hear(one)
    assert event.first_time == T0 + at_s * S


def test_a_wrong_clock_does_not_move_the_beginning_of_an_outage() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 4), alarm("T1-9", -500, late_s=500))
    (event,) = utility.outages.values()
    assert event.first_time == T0 + 100
    assert event.premises_affected == 5


def test_other_alarms_are_none_of_its_business() -> None:
    utility = Utility()
    assert utility.hear(replace(alarm("T1-1", 0), kind=AlarmKind.VOLTAGE)) == []


def test_nothing_heard_for_days_ends_an_outage_and_then_it_is_forgotten() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0))
    utility.settle(310)
    utility.wait(3 * 86_400)
    (event,) = utility.outages.values()
    assert (event.status, event.reason) == (OutageStatus.EXPIRED, "expired")
    utility.wait(86_400)
    assert utility.state == {}
    assert len(utility.core) == 0


def test_a_feeder_refers_to_its_transformers() -> None:
    utility = Utility()
    for number in range(2):
        utility.hear(*dark(f"T{number}", 6))
    assert {one.scope for one in utility.outages.values()} == {OutageScope.TRANSFORMER}
    told = utility.hear(*dark("T2", 6))
    feeder = told[-1]
    assert (feeder.scope, feeder.feeder, feeder.transformers) == (OutageScope.FEEDER, "F0", ("T0", "T1", "T2"))
    assert (feeder.transformers_known, feeder.premises_known, feeder.premises_out) == (5, 30, 18)
    assert (feeder.meters, feeder.alarms) == ((), ())
    assert set(feeder.outages) == utility.outages.keys() - {feeder.outage_id}
    event = utility.hear(alarm("T1-8", 5))[0]
    assert (event.transformer, event.parent) == ("T1", feeder.outage_id)
    for number in range(3):
        utility.hear(*lit(f"T{number}", 6, 60))
    utility.hear(alarm("T1-8", 60, "back"))
    utility.settle(5)
    assert utility.outages[feeder.outage_id].status is OutageStatus.RESTORED
    assert utility.outages[feeder.outage_id].kind is BACK


def test_a_feeder_is_taken_back_where_its_transformers_turn_out_to_be_premises() -> None:
    utility = Utility(town=Town(each=100))
    for number in range(3):
        utility.hear(*dark(f"T{number}", 3))
    assert OutageScope.FEEDER in {one.scope for one in utility.outages.values()}
    utility.settle()
    assert OutageScope.FEEDER not in {one.scope for one in utility.outages.values()}
    assert OutageStatus.WITHDRAWN in {one.status for one in utility.told}


def test_more_alarms_than_a_record_holds_make_several_and_lists_are_bounded() -> None:
    utility = Utility(town=Town(each=1_500))
    told = utility.hear(*[alarm(f"T1-{number}", number / 1_000) for number in range(1_500)])
    assert [(len(one.alarms), one.revision) for one in told] == [(1_000, 1), (500, 2)]
    assert {(len(one.meters), one.premises_affected) for one in told} == {(1_000, 1_500)}
    assert len(utility.alarms_of()) == 1_500


def test_a_replay_tells_an_outage_again_and_counts_nothing_twice() -> None:
    utility = Utility()
    utility.hear(*dark("T1", 3))
    assert utility.hear(*dark("T1", 3)) == []
    (again,) = utility.hear(*dark("T1", 3), replayed=True)
    assert (again.reason, again.alarms, again.premises_affected) == ("replay", (), 3)


def test_two_outages_that_late_news_shows_to_be_one() -> None:
    utility = Utility()
    utility.hear(alarm("T1-1", 0, late_s=0))
    utility.settle(200)
    utility.hear(alarm("T1-2", 200, late_s=0))
    first, second = utility.outages
    # It had arrived at another head-end in between, and comes by way of a redelivery.
    told = utility.hear(alarm("T1-3", 100, late_s=0))
    assert [(one.outage_id, one.status, one.merged_into) for one in told] == [
        (second, OutageStatus.MERGED, first),
        (first, OutageStatus.OPEN, ""),
    ]
    assert set(utility.alarms_of().values()) == {first}


def test_a_meter_that_says_very_much_is_remembered_in_part_and_its_outage_keeps_its_name() -> None:
    utility = Utility()
    for one in flaps(120, 100):
        utility.hear(one)
    utility.settle(700)
    assert len(utility.outages) == 1
    assert len(utility.alarms_of()) == 240
    assert len(utility.state["transformer/T1/0"].marks) <= 70


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (Facts(True, 3, 3, 0, False), "HISTORIC"),
        (Facts(False, 3, 0, 1, False), "FLAPPING"),
        (Facts(False, 3, 0, 1, True), "FLAPPING"),
        (Facts(False, 3, 0, 0, False), "RESTORED"),
        (Facts(False, 3, 3, 0, True), "EXPIRED"),
        (Facts(False, 3, 3, 0, False), "OPEN"),
        (Facts(False, 3, 2, 1, False), "OPEN"),
        (Facts(False, 3, 1, 1, False), "PARTLY_RESTORED"),
        (Facts(False, 3, 1, 0, True), "EXPIRED"),
    ],
)
def test_status(facts: Facts, status: str) -> None:
    assert status_of(facts) == status


def test_every_status_of_the_table_is_reached() -> None:
    assert [status for status, _ in STATUS] == [
        OutageStatus.HISTORIC,
        OutageStatus.FLAPPING,
        OutageStatus.RESTORED,
        OutageStatus.EXPIRED,
        OutageStatus.OPEN,
        OutageStatus.PARTLY_RESTORED,
    ]
