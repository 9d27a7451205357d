"""The policy of commands from YAML; how YAML is read, and refused, is `checked_yaml`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.runtime.authority.kinds import FIRMWARE, KINDS, acts, cuts
from streams.runtime.authority.policy import AREAS, CONTROLS, Hours, Kind, Policy
from streams.runtime.checked_yaml import At, PolicyError, Reader, read_policy_text

__all__ = ["PolicyError", "load_policy", "parse_policy"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ROLE = re.compile(r"[a-z][a-z0-9-]{0,39}")


def load_policy(file: str = "") -> Policy:
    """The policy in a file, or the strict one that ships. `PolicyError` where it is not right or cannot be read."""
    if not file:
        return parse_policy(files(__package__).joinpath("strict.yaml").read_text(encoding="utf-8"), "strict.yaml")
    return parse_policy(read_policy_text(file, "commands.policy_file"), file)


def parse_policy(text: str, name: str = "policy") -> Policy:
    """The policy that a text states; `PolicyError`."""
    reader = _PolicyReader()
    policy = reader.policy(reader.load(text))
    if reader.problems or policy is None:
        raise PolicyError([f"{name}:{line}: {what}" for line, what in sorted(reader.problems)])
    return policy


class _PolicyReader(Reader):
    def policy(self, document: Any) -> Policy | None:
        if self.problems:
            return None
        required = ("time-zone", "fresh", "clock-skew", "decide-within", "kinds", "protected", "limits", "controls")
        top = self.mapping(document, (), (*required, "authorization"))
        zone = self.one(top, ("time-zone",), _is_zone, "an IANA time zone such as Europe/Madrid") or "UTC"
        protects = self.one(top, ("protected",), lambda value: value in ("refuse", "allow"), "refuse or allow") or "refuse"
        kinds = self.open(top.get("kinds"), ("kinds",), KINDS)
        limits = self.mapping(top.get("limits"), ("limits",), (*AREAS, "openings-a-minute"))
        controls = self.mapping(top.get("controls"), ("controls",), CONTROLS)
        standing = self.mapping(top.get("authorization"), ("authorization",), ("longest", "meters-a-day"))
        policy = Policy(
            time_zone=zone,
            fresh_ms=self.time(top, ("fresh",)),
            skew_ms=self.time(top, ("clock-skew",)),
            decide_ms=self.time(top, ("decide-within",)),
            kinds={kind: self._kind(kind, body, ("kinds", kind)) for kind, body in kinds.items()},
            protects=protects == "refuse",
            limits={area: self.count(limits, ("limits", area)) for area in AREAS},
            openings_a_minute=self.count(limits, ("limits", "openings-a-minute")),
            controls={name: self._roles(controls, ("controls", name)) for name in CONTROLS},
            authorization_ms=self.time(standing, ("authorization", "longest")),
            authorization_most=self.count(standing, ("authorization", "meters-a-day")),
        )
        return None if self.problems else policy

    def _kind(self, kind: str, body: Any, at: At) -> Kind:
        optional = ("signed", "requested-by", "decided-by", "decisions", "hours")
        known = self.mapping(body, at, ("expires", "meters"), optional)
        signed = self.one(known, (*at, "signed"), lambda value: isinstance(value, bool), "true or false", True)
        asks = signed or "requested-by" in known
        requested_by = self._roles(known, (*at, "requested-by")) if asks else ()
        decisions = self.count(known, (*at, "decisions")) if "decisions" in known else 0
        decided_by = self._roles(known, (*at, "decided-by")) if decisions or "decided-by" in known else ()
        if acts(kind) and not signed:
            self.fail(
                (*at, "signed"), "is false, and this kind changes a meter; what changes a meter is signed: remove the key"
            )
        if decisions and not signed:
            self.fail(
                (*at, "decisions"), "needs a signed request, else nobody knows who decides on his own; set signed: true"
            )
        if kind and cuts(kind) and not decisions:
            self.fail(at, "lets one person cut off a customer alone; set decisions: 1 or more, and decided-by")
        if kind == FIRMWARE and not decisions:
            self.fail(at, "lets one person change the firmware of a fleet alone; set decisions: 1 or more, and decided-by")
        return Kind(
            signed=bool(signed),
            requested_by=requested_by,
            decided_by=decided_by,
            decisions=decisions,
            expires_ms=self.time(known, (*at, "expires")),
            meters=self.count(known, (*at, "meters")),
            hours=self._hours(known["hours"], (*at, "hours")) if "hours" in known else None,
        )

    def _hours(self, body: Any, at: At) -> Hours | None:
        known = self.mapping(body, at, ("days", "from", "to"))
        days = known.get("days", [])
        if not isinstance(days, list) or not days:
            self.fail((*at, "days"), f"must be a list of {', '.join(_DAYS)}")
            days = []
        for index, day in enumerate(days):
            if day not in _DAYS:
                self.fail((*at, "days", str(index)), f"{day!r} is no day; write {self.near(str(day), _DAYS)}")
        start, end = (self.clock(known, (*at, name)) for name in ("from", "to"))
        if start == end:
            self.fail(at, "begins when it ends; give a span of hours")
        return Hours(frozenset(_DAYS.index(day) for day in days if day in _DAYS), start, end)

    def _roles(self, known: Mapping[str, Any], at: At) -> tuple[str, ...]:
        value = known.get(at[-1])
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(item, str) and _ROLE.fullmatch(item) for item in value)
        ):
            self.fail(at, "must be a list of roles, such as [meter-operator]: a-z, 0-9 and -")
            return ()
        return tuple(value)


def _is_zone(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ZoneInfo(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
