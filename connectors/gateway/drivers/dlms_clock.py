"""The clock as a command sets it: not what is right, not what is so wrong that somebody should look, and across the end of
an interval only where the command says so, and then marked by an alarm.

Parameters: `tolerance_s` (3) and `limit_s` (300) bound the drift that is set, `may_cross` ("true") allows to cross.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client import read_clock
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.clock import Act, Decision, DriftPolicy, decide, form_of, set_clock
from schemas.ids import event_id
from schemas.records import Alarm, AlarmKind, Severity

_KNOWN = frozenset(("tolerance_s", "limit_s", "may_cross"))
_PAST_MS = 2_000
_A_SECOND_MS = 1_000
_CODE_TABLE = "hes-gateway"


class SetClock:
    """See `dlms_commands.Command`."""

    def __init__(self, order: DlmsOrder) -> None:
        self._order = order
        self._policy = _policy_of(order)
        self._zone: tzinfo = order.zone or UTC
        self._attribute = Attribute(8, order.template.pull.clock, 2)
        self._form = form_of(order.template.quirks, deviation_reversed=order.template.push.deviation_reversed)
        self._decision: Decision | None = None
        self._meter_ms = self._seen_ms = 0
        self._found: Found | None = None
        self._reached = False

    def reached(self) -> bool:
        """See `dlms_commands.Command`."""
        return self._reached

    def look(self, link: Associated) -> Session[str]:
        """See `dlms_commands.Command`."""
        asked = self._order.now_ms()
        time = yield from read_clock(link, self._attribute, deviation_reversed=self._form.deviation_reversed)
        answered = self._order.now_ms()
        if time is None:
            self._decision, self._reached = None, False
            return "no time"
        trip = max(0, answered - asked)
        self._meter_ms, self._seen_ms = time.to_utc_ms(self._zone), answered - trip // 2
        # A clock that tells whole seconds says up to one less than it has.
        unsure = trip // 2 + (0 if time.local.microsecond else _A_SECOND_MS)
        found = self._decision = decide(self._meter_ms, self._seen_ms, self._policy, unsure)
        self._reached = found.act is Act.NONE and found.crosses_ms is None
        return f"{time.iso}, {found.drift_ms / 1000:+g} s"

    def wait(self, found: Found) -> float:
        """See `dlms_commands.Command`."""
        decision = self._decision
        if decision is None or self._reached:
            return 0.0
        if decision.act is Act.ALARM:
            found.readings.append(self._alarm("clock-drift", decision, Severity.WARNING))
            raise JobError("clock-drift", f"{decision.reason}; nothing was sent", harmless=True)
        if decision.crosses_ms is None:
            return 0.0
        if decision.act is Act.NONE:
            early = min(self._meter_ms, self._seen_ms)
            return (decision.crosses_ms - early + _PAST_MS) / 1000
        self._found = found
        return 0.0

    def send(self, link: Associated) -> Session[None]:
        """See `dlms_commands.Command`: who reads the interval later is told what made it short or long."""
        if self._found is not None and self._decision is not None:
            self._found.readings.append(self._alarm("clock-set-across", self._decision, Severity.INFO))
        yield from set_clock(link, self._order.now_ms(), self._zone, self._attribute, self._form)

    def say(self) -> str:
        """See `dlms_commands.Command`."""
        return "" if self._decision is None else self._decision.reason

    def _alarm(self, code: str, decision: Decision, severity: Severity) -> Alarm:
        order, meter = self._order, self._order.meter
        across = decision.crosses_ms
        at = "" if across is None else f"; across the end of the interval at {datetime.fromtimestamp(across / 1000, UTC)}"
        return Alarm(
            id=event_id("Alarm", meter.id, _CODE_TABLE, code, order.job.id),
            meter_id=meter.id,
            kind=AlarmKind.CLOCK,
            severity=severity,
            occurred_at=self._meter_ms,
            received_at=self._seen_ms,
            code=code,
            code_table=_CODE_TABLE,
            feeder=meter.feeder,
            transformer=meter.transformer,
            segment=meter.segment,
            source=str(self._attribute),
            detail=f"{decision.reason}{at}",
        )


def _policy_of(order: DlmsOrder) -> DriftPolicy:
    given = order.job.parameters
    if unknown := sorted(set(given) - _KNOWN):
        names = ", ".join(sorted(_KNOWN))
        raise JobError("object-invalid", f"SET_CLOCK knows no parameter {unknown[0]!r}; it knows {names}")
    try:
        tolerance, limit = float(given.get("tolerance_s", "3")), float(given.get("limit_s", "300"))
    except ValueError:
        raise JobError("object-invalid", "tolerance_s and limit_s are seconds") from None
    if not 0 <= tolerance <= limit or limit > 2**31:
        raise JobError("object-invalid", "tolerance_s lies between 0 and limit_s")
    return DriftPolicy(tolerance, limit, order.template.pull.load_period_s, given.get("may_cross", "") == "true")
