"""The clock (class 8): whether it may be put right, putting it right, and what it is set up for.

    |drift|   below tolerance ─▶ none       above tolerance ─▶ set       above limit ─▶ alarm

Setting a clock across the end of an interval makes one interval short, or measures one twice: a decision to set says where
it would cross, and waits where the policy wants that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import Enum

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client import CLOCK, read_clock
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.get import Attribute, datetime_octets
from connectors.protocols.dlms.objects.patterns import DateTimePattern, read_datetime
from connectors.protocols.dlms.objects.reading import Fields, call, read_fields, typed, unfit, written
from connectors.protocols.dlms.put import put

_WEEKDAY = 4
_MOST_SHIFT_S = 900


class Act(Enum):
    """What is to be done about a drift."""

    NONE = "none"
    SET = "set"
    ALARM = "alarm"


class Adjust(Enum):
    """Methods by which a meter puts its own clock right, to the nearest of these."""

    QUARTER = 1
    MEASURING_PERIOD = 2
    MINUTE = 3
    PRESET = 4


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """When a clock is set. Metering law mostly bounds both: small drifts are left, large ones are looked into first."""

    tolerance_s: float = 3.0
    limit_s: float = 300.0
    period_s: int = 900
    """The interval whose ends are not to be crossed unsaid; 0 where the meter keeps none."""
    may_cross: bool = False
    """Whether to set across the end of an interval, rather than wait until that is not needed."""


POLICY = DriftPolicy()


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How one type of meter wants a time written: each off or on is a quirk of some (see `template.QUIRKS`)."""

    deviation: bool = True
    deviation_reversed: bool = False
    weekday: bool = True
    date_time: bool = False
    """Under the tag date-time, in place of an octet-string."""


FORM = TimeForm()


def form_of(quirks: Collection[str], *, deviation_reversed: bool = False) -> TimeForm:
    """The form that a template's quirks ask for."""
    return TimeForm("no-deviation" not in quirks, deviation_reversed, "no-weekday" not in quirks, "date-time-tag" in quirks)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in a sentence. `drift_ms` is the meter's time less ours: a clock that is fast has it positive."""

    act: Act
    drift_ms: int
    crosses_ms: int | None
    """The end of an interval (UTC) between the meter's time and ours, the latest; None where there is none."""
    reason: str


@dataclass(frozen=True, slots=True)
class ClockSet:
    """A clock before and after; `after` is None where it was not set."""

    before: MeterTime | None
    decision: Decision
    after: MeterTime | None = None


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """Attributes 3 to 9; None what the meter does not tell."""

    time_zone: int | None
    """Minutes, local normal time to UTC, as the meter has them."""
    status: int | None
    dst_begin: DateTimePattern | None
    dst_end: DateTimePattern | None
    dst_deviation: int | None
    """Minutes, mostly 60."""
    dst_enabled: bool | None
    base: int | None
    """0 not defined, 1 crystal, 2 mains 50 Hz, 3 mains 60 Hz, 4 satellite, 5 radio."""


def decide(meter_ms: int, now_ms: int, policy: DriftPolicy = POLICY, uncertainty_ms: int = 0) -> Decision:
    """What to do about a clock that says `meter_ms` at `now_ms` (UTC both), the reading being good to `uncertainty_ms`
    (half the round trip, and the meter's resolution).
    """
    drift = meter_ms - now_ms
    crosses = _crossed(meter_ms, now_ms, policy.period_s)
    seconds = f"{abs(drift) / 1000:g} s {'fast' if drift > 0 else 'slow'}"
    if abs(drift) - uncertainty_ms <= policy.tolerance_s * 1000:
        return Decision(Act.NONE, drift, None, f"{seconds}: within {policy.tolerance_s:g} s, and how well it was read")
    if abs(drift) - uncertainty_ms > policy.limit_s * 1000:
        reason = f"{seconds}: more than {policy.limit_s:g} s, so it is not set unseen: check its battery, zone and season"
        return Decision(Act.ALARM, drift, crosses, reason)
    if crosses is None:
        return Decision(Act.SET, drift, None, f"{seconds}: set it")
    at = datetime.fromtimestamp(crosses / 1000, UTC).isoformat()
    if policy.may_cross:
        return Decision(Act.SET, drift, crosses, f"{seconds}: set it, across the end of the interval at {at}")
    reason = f"{seconds}: setting it would cross the end of the interval at {at}: try again when both clocks are past it"
    return Decision(Act.NONE, drift, crosses, reason)


def _crossed(meter_ms: int, now_ms: int, period_s: int) -> int | None:
    """The latest end of an interval after the earlier of two times and not after the later."""
    if period_s <= 0:
        return None
    early, late = sorted((meter_ms, now_ms))
    end = late // (period_s * 1000) * period_s * 1000
    return end if end > early else None


def set_clock(link: Associated, utc_ms: int, zone: tzinfo, clock: Attribute = CLOCK, form: TimeForm = FORM) -> Session[None]:
    """Set the time, in the meter's zone."""
    octets = datetime_octets(utc_ms, zone, deviation=form.deviation, deviation_reversed=form.deviation_reversed)
    if not form.weekday:
        octets = octets[:_WEEKDAY] + b"\xff" + octets[_WEEKDAY + 1 :]
    tag = axdr.DATE_TIME if form.date_time else axdr.OCTET_STRING
    yield from put(link, clock, written(typed(tag, octets), str(clock)))


def correct_clock(
    link: Associated,
    zone: tzinfo,
    now_ms: Callable[[], int],
    policy: DriftPolicy = POLICY,
    clock: Attribute = CLOCK,
    form: TimeForm = FORM,
) -> Session[ClockSet]:
    """Read the clock, decide, set it where that is due, and read it again. `now_ms` is our time, UTC; it is asked when the
    answer is there and again when the time is written. A meter without a time (wildcards) has it set.
    """
    asked = now_ms()
    before = yield from read_clock(link, clock, deviation_reversed=form.deviation_reversed)
    answered = now_ms()
    if before is None:
        decision = Decision(Act.SET, 0, None, "the meter has no time: set it")
    else:
        trip = max(0, answered - asked)
        decision = decide(before.to_utc_ms(zone), answered - trip // 2, policy, trip // 2 + _resolution(before))
    if decision.act is not Act.SET:
        return ClockSet(before, decision)
    yield from set_clock(link, now_ms(), zone, clock, form)
    after = yield from read_clock(link, clock, deviation_reversed=form.deviation_reversed)
    return ClockSet(before, decision, after)


def _resolution(time: MeterTime) -> int:
    """A clock that tells whole seconds says up to one less than it has."""
    return 0 if time.local.microsecond else 1000


def adjust_clock(link: Associated, adjust: Adjust, clock: str = cosem.CLOCK) -> Session[None]:
    """Have the meter put its clock to the nearest quarter, measuring period or minute, or to a preset time."""
    yield from call(link, 8, clock, adjust.value)


def preset_clock(
    link: Associated, time: DateTimePattern, start: DateTimePattern, end: DateTimePattern, clock: str = cosem.CLOCK
) -> Session[None]:
    """Give the meter a time to be taken by `Adjust.PRESET` between `start` and `end`: for setting many at once."""
    fields = (typed(axdr.OCTET_STRING, each.encode()) for each in (time, start, end))
    yield from call(link, 8, clock, 5, written(axdr.Tagged(axdr.STRUCTURE, tuple(fields)), f"8/{clock}/5"))


def shift_clock(link: Associated, seconds: int, clock: str = cosem.CLOCK) -> Session[None]:
    """Move the clock by -900 to 900 seconds, however long the way to the meter is. "object-value" beyond that."""
    subject = f"8/{clock}/6"
    if not -_MOST_SHIFT_S <= seconds <= _MOST_SHIFT_S:
        raise unfit(subject, f"a shift of {seconds} s: it lies within ±{_MOST_SHIFT_S} s: set the clock instead")
    yield from call(link, 8, clock, 6, written(typed(axdr.INT16, seconds), subject))


def read_clock_settings(link: Associated, clock: str = cosem.CLOCK) -> Session[ClockSettings]:
    """Time zone and daylight saving."""
    fields = yield from read_fields(link, 8, clock, (3, 4, 5, 6, 7, 8, 9))
    return ClockSettings(
        fields.integer(3), fields.integer(4), _pattern(fields, 5), _pattern(fields, 6),
        fields.integer(7), fields.boolean(8), fields.integer(9),
    )  # fmt: skip


def _pattern(fields: Fields, attribute: int) -> DateTimePattern | None:
    octets = fields.octets(attribute)
    return None if not octets else read_datetime(octets, fields.name(attribute))
