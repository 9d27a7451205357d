"""What a head-end has to know of the simulated C12.22 meters: a template a kind, as its vendor would deliver it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.layout import clock, fixed_tables
from connectors.simulator.c12.procedures import CLOSED, OPEN
from connectors.simulator.plan import MeterPlan

_FOLDER = "c12"
_ASSUMED = (0, 71)
"""Tables by which a notification is read before the first meter of its kind was; and 52, for what the clock keeps."""


def write_templates(folder: Path, fleet: Iterable[MeterPlan], profile_days: int) -> None:
    """A file for each kind of meter in the fleet, in the folder `c12`."""
    kinds = {plan.model.template: plan.model.c12 for plan in fleet if plan.model.c12 is not None}
    (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
    for name, kind in kinds.items():
        (folder / _FOLDER / f"{name}.yaml").write_text(_template(kind, profile_days), encoding="utf-8")


def _template(kind: C12Kind, profile_days: int) -> str:
    tables = fixed_tables(kind, profile_days)
    given = {
        "extends": "generic",
        "vendor": kind.manufacturer.strip(),
        "logon": {"c1222": "SESSION" if kind.session else "NONE"},
        "messages": {"mode": kind.mode.name, "key_id": kind.key_id},
        "relay": {"point": 0, "opens": OPEN, "closes": CLOSED},
        "assumed": {**{number: tables[number].hex() for number in _ASSUMED}, 52: clock(0, kind).hex()},
    }
    return "".join(f"{name}: {_yaml(value)}\n" for name, value in given.items())


def _yaml(value: object) -> str:
    """YAML in one line: JSON, with numbers as keys of tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {json.dumps(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
