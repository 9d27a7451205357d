"""The policy of follow-up from YAML; how YAML is read, and refused, is `streams.runtime.checked_yaml`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from schemas.records import AlarmKind
from streams.followup.policy import AREAS, Act, Clocks, Policy, Rule
from streams.runtime.checked_yaml import At, PolicyError, Reader, read_policy_text

_KINDS = tuple(kind.value for kind in AlarmKind if kind is not AlarmKind.UNKNOWN)
_SILENT = (AlarmKind.COMMUNICATION.value, AlarmKind.OUTAGE.value)
"""What may be said of a meter that does not answer a ping."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LONGEST_MS = 86_400_000
"""Of a window and of a wait: both are rebuilt from hes.alarms at the start."""


def load_policy(file: str = "") -> Policy:
    """The policy in a file, or the standard one that ships. `PolicyError` where it is not right or cannot be read."""
    if not file:
        return parse_policy(files(__package__).joinpath("standard.yaml").read_text(encoding="utf-8"), "standard.yaml")
    return parse_policy(read_policy_text(file, "followup.policy_file"), file)


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
        top = self.mapping(document, (), ("fresh", "rules", "clock", "budgets"))
        bodies = top.get("rules")
        if not isinstance(bodies, dict):
            self.fail(("rules",), "must be a mapping of names to rules; {} is none")
            bodies = {}
        budgets = self.mapping(top.get("budgets"), ("budgets",), AREAS)
        policy = Policy(
            fresh_ms=self.time(top, ("fresh",)),
            rules=tuple(self._rule(name, body, ("rules", str(name))) for name, body in bodies.items()),
            clocks=self._clocks(top.get("clock")),
            budgets={area: self.count(budgets, ("budgets", area)) for area in AREAS},
        )
        return None if self.problems else policy

    def _rule(self, name: Any, body: Any, at: At) -> Rule:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.fail(at, "is no name of a rule: a-z, 0-9 and -")
        known = self.mapping(body, at, ("alarms", "do", "window"), ("after", "most", "look-back", "unanswered"))
        acts = [act.value for act in Act]
        act = Act(self.one(known, (*at, "do"), lambda value: value in acts, f"one of {', '.join(acts)}") or Act.PING)
        if act is Act.PING_NEIGHBOURS and not known.get("most"):
            self.fail(at, "pings neighbours and has no most; say how many, such as 5")
        if "look-back" in known and act is not Act.READ_EVENT_LOG:
            self.fail((*at, "look-back"), "is of event logs only; remove it")
        if "unanswered" in known and act not in (Act.PING, Act.PING_NEIGHBOURS):
            self.fail((*at, "unanswered"), "is of pings only; remove it")
        return Rule(
            name=str(name),
            alarms=self._alarms(known, (*at, "alarms")),
            act=act,
            window_ms=self._bounded(known, (*at, "window")),
            after_ms=self._bounded(known, (*at, "after")),
            most=self.count(known, (*at, "most")),
            look_back_ms=self.time(known, (*at, "look-back")),
            unanswered=self._unanswered(known, (*at, "unanswered")),
        )

    def _unanswered(self, known: Mapping[str, Any], at: At) -> AlarmKind | None:
        if at[-1] not in known:
            return None
        found = self.one(known, at, lambda value: value in _SILENT, " or ".join(_SILENT))
        return None if found is None else AlarmKind(found)

    def _alarms(self, known: Mapping[str, Any], at: At) -> frozenset[AlarmKind]:
        value = known.get(at[-1])
        if not isinstance(value, list) or not value:
            self.fail(at, f"must be a list of kinds of alarms: {', '.join(_KINDS)}")
            return frozenset()
        for index, kind in enumerate(value):
            if kind not in _KINDS:
                self.fail((*at, str(index)), f"{kind!r} is no kind of alarm; write {self.near(str(kind), _KINDS)}")
        return frozenset(AlarmKind(kind) for kind in value if kind in _KINDS)

    def _clocks(self, body: Any) -> Clocks:
        known = self.mapping(body, ("clock",), ("tolerance", "furthest", "above-tolerance", "window"), ("across",))
        across = known.get("across", "wait")
        if across not in ("wait", "mark"):
            self.fail(("clock", "across"), f"is {across!r}; write wait or mark")
        above = self.one(known, ("clock", "above-tolerance"), lambda value: value in ("set", "alarm"), "set or alarm")
        clocks = Clocks(
            tolerance_ms=self.time(known, ("clock", "tolerance")),
            furthest_ms=self.time(known, ("clock", "furthest")),
            sets=above == "set",
            window_ms=self._bounded(known, ("clock", "window")),
            crosses=across == "mark",
        )
        if clocks.furthest_ms < clocks.tolerance_ms:
            self.fail(("clock", "furthest"), "is less than the tolerance; give more")
        return clocks

    def _bounded(self, known: Mapping[str, Any], at: At) -> int:
        found = self.time(known, at)
        if found > _LONGEST_MS:
            self.fail(at, "is longer than a day; give 24h or less")
        return found


__all__ = ["PolicyError", "load_policy", "parse_policy"]
