"""Policies: the strict one, hours and days, and what is wrong with a file, by line and with the mend."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from schemas.records import Operation
from streams.runtime.authority.kinds import KINDS, acts, cuts, kind_of
from streams.runtime.authority.policy import Hours, Kind, areas_of
from streams.runtime.authority.policy_file import PolicyError, load_policy, parse_policy
from tests.unit.streams.runtime.authority.builders import POLICY, meter, policy

STRICT = files("streams.runtime.authority").joinpath("strict.yaml").read_text()


def test_the_strict_policy_lets_nobody_cut_off_alone() -> None:
    assert set(POLICY.kinds) == set(KINDS)
    for name, kind in POLICY.kinds.items():
        assert kind.signed == acts(name)
        assert bool(kind.decisions) >= cuts(name)
        assert kind.requested_by or not kind.signed
    assert POLICY.protects
    assert set(POLICY.controls["lift-freeze"]) < set(POLICY.controls["freeze"])


WRONG: dict[str, tuple[str, str, str]] = {
    "misspelt key": ("fresh: 10m", "frsh: 10m", "frsh: is not known here; write fresh"),
    "missing key": ("fresh: 10m                #", "#", "the policy: has no fresh; add it"),
    "misspelt kind": ("  disconnect:", "  disconect:", "kinds > disconect: is not known here; write disconnect"),
    "no zone": ("time-zone: UTC", "time-zone: Mars/Olympus", "write an IANA time zone"),
    "no time": ("decide-within: 24h", "decide-within: soon", "decide-within: is 'soon'; write such as 90s, 10m, 7d"),
    "a count below zero": ("    meters: 50", "    meters: -1", "write a whole number from 0"),
    "alone": ("    decisions: 1\n", "", "lets one person cut off"),
    "firmware alone": ("decisions: 1, expires: 84d", "expires: 84d", "lets one person change the firmware of a fleet"),
    "unsigned": ("reconnect: {requested-by:", "reconnect: {signed: false, requested-by:", "what changes a meter is signed"),
    "no role": ("decided-by: [supervisor]", "decided-by: []", "must be a list of roles"),
    "twice": ("protected: refuse", "protected: refuse\nprotected: allow", "protected: stands twice"),
    "not YAML": ("limits:", "limits: [", "not YAML"),
    "a list": ("kinds:\n", "kinds: []\nothers:\n", "kinds: must be a mapping"),
    "day": ("    # hours: {days: [mon, tue,", "    hours: {days: [mon, tues,", "'tues' is no day; write tue"),
    "protected by what": ("protected: refuse", "protected: maybe", "write refuse or allow"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, says: str) -> None:
    assert STRICT.count(old) >= 1
    with pytest.raises(PolicyError) as error:
        parse_policy(STRICT.replace(old, new, 1), "mine.yaml")
    assert says in str(error.value)
    assert all(problem.startswith("mine.yaml:") for problem in error.value.problems)


def test_a_line_is_the_line() -> None:
    line = STRICT.splitlines().index("  openings-a-minute: 10   # what one gateway does at most, whatever it is asked") + 1
    with pytest.raises(PolicyError, match=f"mine.yaml:{line}: limits > openings-a-minute"):
        parse_policy(STRICT.replace("openings-a-minute: 10", "openings-a-minute: ten"), "mine.yaml")


@pytest.mark.parametrize("text", ["", "[]", "42", "{", "a: &a [*a]", "- " * 5_000, "{" * 5_000, "a\x02: b", "a: \x85"])
def test_what_is_no_policy_at_all(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(STRICT)
    assert load_policy(str(tmp_path / "mine.yaml")) == POLICY
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(str(tmp_path / "none.yaml"))
    (tmp_path / "huge.yaml").write_text("#" * 300_000)
    with pytest.raises(PolicyError, match="larger"):
        load_policy(str(tmp_path / "huge.yaml"))


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


DAY_SHIFT = Hours(frozenset({0, 1, 2, 3, 4}), 8 * 60, 15 * 60)
NIGHT = Hours(frozenset({0}), 22 * 60, 6 * 60)


@pytest.mark.parametrize(
    ("hours", "utc", "is_open"),
    [
        (DAY_SHIFT, "2026-03-02T07:00", True),  # Monday, 08:00 in Madrid
        (DAY_SHIFT, "2026-03-02T06:59", False),
        (DAY_SHIFT, "2026-03-02T14:00", False),
        (DAY_SHIFT, "2026-03-07T09:00", False),  # Saturday
        (DAY_SHIFT, "2026-03-30T06:00", True),  # the Monday after clocks went forward: 08:00 is an hour earlier in UTC
        (DAY_SHIFT, "2026-03-30T05:59", False),
        (NIGHT, "2026-03-02T21:00", True),
        (NIGHT, "2026-03-03T04:59", True),  # the night that began on Monday
        (NIGHT, "2026-03-03T05:00", False),
        (NIGHT, "2026-03-02T04:00", False),  # Sunday's
        (None, "2026-03-07T03:00", True),
    ],
)
def test_working_hours(hours: Hours | None, utc: str, is_open: bool) -> None:
    kind = Kind(True, ("a",), (), 0, 1, 1, hours)
    assert policy(time_zone="Europe/Madrid").is_open(kind, at(utc)) is is_open


def test_the_day_that_limits_count_by_is_the_zone_s() -> None:
    assert policy(time_zone="Europe/Madrid").day(at("2026-03-01T23:30")) == "2026-03-02"
    assert areas_of(meter(transformer="")) == {"all": "", "feeder": "F1", "segment": "S1"}


@pytest.mark.parametrize(
    ("objects", "kind"),
    [
        (("3/1.0.31.4.0.255/2",), "set-parameter"),
        (("70/0.0.96.3.10.255/4",), "disconnect"),
        (("3/1.0.31.4.0.255/2", "71/0.0.17.0.0.255/3"), "disconnect"),
        (("0070/0.0.96.3.10.255/4",), "disconnect"),
        (("ST12/4",), "disconnect"),
        (("⁷/x/1",), "disconnect"),
    ],
)
def test_a_parameter_that_reaches_the_relay_is_a_disconnection(objects: tuple[str, ...], kind: str) -> None:
    assert kind_of(Operation.SET_PARAMETER, objects) == kind
