"""A policy that is wrong is refused with line, key and mend."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from schemas.records import Operation
from streams.followup.policy import OPERATIONS
from streams.followup.policy_file import PolicyError, load_policy, parse_policy
from streams.runtime.authority.kinds import acts, kind_of

TEXT = files("streams.followup").joinpath("standard.yaml").read_text(encoding="utf-8")


def test_the_standard_policy_is_right() -> None:
    policy = load_policy()
    assert [rule.name for rule in policy.rules] == ["tamper", "outage-extent", "restoration", "clock"]
    assert policy.horizon_ms == 6 * 3_600_000
    assert policy.clocks.sets


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS.values())))
def test_no_rule_can_change_a_meter(operation: Operation) -> None:
    assert not acts(kind_of(operation, ()))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fresh: 30m ", "fresh: 30 ", "standard.yaml:4: fresh: is 30; write such as 90s"),
        ("fresh: 30m ", "frehs: 30m ", "frehs: is not known here; write fresh"),
        ("do: read-clock ", "do: set-clock ", "rules > clock > do: is 'set-clock'; write one of read-event-log"),
        ("alarms: [CLOCK]", "alarms: [CLOCKS]", "rules > clock > alarms > 0: 'CLOCKS' is no kind of alarm; write CLOCK"),
        ("alarms: [CLOCK]", "alarms: CLOCK", "rules > clock > alarms: must be a list of kinds of alarms"),
        ("    most: 5 ", "    moist: 5 ", "moist: is not known here; write most"),
        ("    most: 5 ", "    #", "rules > outage-extent: pings neighbours and has no most"),
        ("    after: 15m", "    look-back: 15m", "is of event logs only; remove it"),
        (
            "    window: 6h",
            "    unanswered: OUTAGE\n    window: 6h",
            "rules > clock > unanswered: is of pings only; remove it",
        ),
        ("unanswered: COMMUNICATION ", "unanswered: SILENCE ", "is 'SILENCE'; write COMMUNICATION or OUTAGE"),
        ("across: wait ", "across: never ", "clock > across: is 'never'; write wait or mark"),
        ("window: 6h", "window: 2d", "rules > clock > window: is longer than a day"),
        ("  furthest: 15m ", "  furthest: 10s ", "clock > furthest: is less than the tolerance"),
        ("  segment: 30", "", "budgets: has no segment; add it"),
        ("  segment: 30", "  segment: -1", "budgets > segment: is -1; write a whole number"),
        ("  feeder: 60", "  all: 60", "budgets > all: stands twice"),
        ("above-tolerance: set ", "above-tolerance: guess ", "is 'guess'; write set or alarm"),
        ("  tamper:", "  Tamper!:", "is no name of a rule"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    with pytest.raises(PolicyError) as refused:
        parse_policy(TEXT.replace(old, new, 1), "standard.yaml")
    assert problem in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "rules: 3", "a: [", "fresh: 1m\nrules: {x: 1}\nclock: {}\nbudgets: []"])
def test_what_is_no_policy_at_all(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(PolicyError, match=r"followup\.policy_file"):
        load_policy(str(Path("no") / "such.yaml"))
