"""What is known of a profile before its buffer is read: its columns, period and order, and how its meter is understood."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache

from connectors.protocols.dlms.profile_rows import Layout


@dataclass(frozen=True, slots=True)
class Column:
    """A capture object, with the scaler and unit of the register it captures where that has them."""

    class_id: int
    obis: str
    attribute: int
    data_index: int = 0
    scaler: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ProfileShape:
    """What is the same for every meter of a type, so that a caller may keep it: which columns, how often, in which order."""

    obis: str
    columns: tuple[Column, ...]
    period_s: int
    sort_method: int = 1
    """1 first in first out, 2 last in first out, 3 to 6 by value."""
    plan: Plan = field(init=False, repr=False, compare=False)
    """What reading buffers taught so far; shapes that differ in scalers and units only share it."""

    def __post_init__(self) -> None:
        objects = tuple((column.class_id, column.obis, column.attribute) for column in self.columns)
        object.__setattr__(self, "plan", _plan(objects, self.period_s, self.sort_method))  # frozen for all others

    @property
    def source(self) -> str:
        """The buffer as class/OBIS/attribute."""
        return f"7/{self.obis}/2"

    @property
    def clock(self) -> int | None:
        """The index of the column that times the rows: the clock's time, wherever it stands."""
        return self.plan.clock

    @property
    def status(self) -> int | None:
        """The index of the column with the profile status (AMR status, 0.b.96.10.e)."""
        return self.plan.status


@dataclass(slots=True, eq=False)
class Plan:
    """How buffers of one shape are read: it grows with use, and forgetting it costs time only."""

    clock: int | None
    status: int | None
    layout: Layout | None = None
    """How most rows lay in the buffer read last."""


@lru_cache(maxsize=1024)
def _plan(objects: tuple[tuple[int, str, int], ...], _period_s: int, _sort_method: int) -> Plan:
    clock = next((i for i, (class_id, _, attribute) in enumerate(objects) if class_id == 8 and attribute == 2), None)
    names = [obis.split(".") for _, obis, _ in objects]
    status = next((i for i, groups in enumerate(names) if groups[0] == "0" and groups[2:4] == ["96", "10"]), None)
    return Plan(clock, status)


@dataclass(frozen=True, slots=True)
class Rules:
    """How one type of meter is to be understood; the template says."""

    zone: tzinfo | None = None
    deviation_reversed: bool = False
    null_repeats: bool = False


RULES = Rules()
