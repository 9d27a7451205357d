"""Commands to DLMS meters: what gurux' server is sent and becomes, and what a driver does when it may not send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, ErrorCode
from gurux_dlms.objects import GXDLMSData, GXDLMSObject, GXDLMSSpecialDaysTable

from connectors.gateway.drivers.dlms_commands import Means, act, command_of
from connectors.gateway.drivers.dlms_operations import check
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.dlms_shapes import Shapes
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.errors import FramingError, PeerError
from connectors.protocols.dlms.template import PullTemplate, Template
from schemas.records import Alarm, Job, Meter, Operation
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Calendar, Clock, ObjectMeter, Relay
from tests.unit.connectors.protocols.dlms.objects.test_limiter import meter as limiter_meter

NOW = int(datetime(2026, 3, 2, 10, 7, tzinfo=UTC).timestamp() * 1000)
SETTING = "1/0.0.96.1.4.255/2"
CALENDAR = {
    "name": "summer26",
    "seasons": "S1 04-01 W1; S2 10-01 W1",
    "weeks": "W1 1 1 1 1 1 2 2",
    "days": "1 00:00=2 06:00=1 22:00=2; 2 00:00=2",
}
O = Operation  # noqa: E741 - the cases below stay on one line


class FakeDeed:
    """Notes what a driver asks, and raises where it is told to."""

    def __init__(self, *, unsettled: bool = False, refuses: str = "", holds: str = "") -> None:
        self.unsettled = unsettled
        self.before = "before" if unsettled else ""
        self.asked: list[str] = []
        self._refuses, self._holds = refuses, holds

    async def intend(self, before: str) -> None:
        self.asked.append(f"intend: {before}")
        if self._refuses:
            raise JobError(self._refuses, "no")

    def still(self) -> None:
        self.asked.append("still")
        if self._holds:
            raise JobError(self._holds, "no")

    def known(self) -> None:
        self.asked.append("known")


class Peer:
    """A meter, and a clock that goes on when a command waits."""

    def __init__(self, *objects: GXDLMSObject) -> None:
        self.meter = ObjectMeter(objects)
        self.now = NOW
        self.waited: list[float] = []
        self.breaks = False
        self.tick: Callable[[], None] = lambda: None

    def order(self, operation: Operation, **fields: Any) -> DlmsOrder:
        template = Template("t", pull=PullTemplate(settable=(SETTING,)))
        job = Job(id="j", meter_id="m", operation=operation, **fields)
        return DlmsOrder(job, Meter(id="m"), template, UTC, lambda: self.now, Shapes())

    def code(self, order: DlmsOrder, deed: FakeDeed) -> str:
        """Why a command is not done."""
        try:
            self.do(order, deed)
        except JobError as error:
            return error.code
        return ""

    def do(self, order: DlmsOrder, deed: FakeDeed) -> Found:
        found = self.found = Found()

        async def run(session: Any) -> Any:
            return drive(session, self.meter.exchange)

        async def once(session: Any) -> Any:
            if self.breaks:
                session = _lost(session)
            return drive(session, self.meter.exchange)

        async def rest(seconds: float) -> None:
            self.waited.append(seconds)
            self.now += round(seconds * 1000)
            self.tick()

        check(order)
        asyncio.run(act(command_of(order), Means(self.meter.link(), run, once, rest), deed, found))
        return found


def _lost(session: Any) -> Any:
    """The meter takes the order, and its answer is lost."""
    yield next(session)
    raise FramingError("hdlc-closed", "the line is cut")


CONNECTED, DISCONNECTED = "connected, contact closed, mode 4", "disconnected, contact open, mode 4"


@pytest.mark.parametrize(
    ("operation", "mode", "state", "after", "sent"),
    [
        pytest.param(O.DISCONNECT, 4, 1, DISCONNECTED, 1, id="disconnect"),
        pytest.param(O.DISCONNECT, 4, 0, DISCONNECTED, 0, id="disconnect-twice"),
        pytest.param(O.RECONNECT, 4, 0, CONNECTED, 1, id="reconnect"),
        pytest.param(O.RECONNECT, 1, 0, "ready, contact open, mode 1", 1, id="reconnect-by-button"),
        pytest.param(O.RECONNECT, 1, 1, "connected, contact closed, mode 1", 0, id="reconnect-what-the-customer-did"),
        pytest.param(O.ARM_FOR_RECONNECTION, 3, 0, "ready, contact open, mode 3", 1, id="arm"),
    ],
)
def test_relays(operation: Operation, mode: int, state: int, after: str, sent: int) -> None:
    peer, deed = Peer(Relay(mode=mode, state=state)), FakeDeed()
    found = peer.do(peer.order(operation), deed)
    assert (found.after, len(peer.meter.invoked)) == (after, sent)
    assert deed.asked == ([f"intend: {found.before}", "still", "known"] if sent else ["known"])


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        pytest.param(FakeDeed(refuses="frozen"), "frozen", id="frozen-meanwhile"),
        pytest.param(FakeDeed(refuses="intent-unavailable"), "intent-unavailable", id="no-intent"),
        pytest.param(FakeDeed(holds="command-too-late"), "command-too-late", id="paused"),
    ],
)
def test_what_may_not_be_sent_is_not_sent(deed: FakeDeed, code: str) -> None:
    peer = Peer(Relay())
    with pytest.raises(JobError) as caught:
        peer.do(peer.order(O.DISCONNECT), deed)
    assert (caught.value.code, peer.meter.invoked) == (code, [])


@pytest.mark.parametrize(
    ("operation", "mode", "code"),
    [
        pytest.param(O.DISCONNECT, 0, "command-mode", id="always-connected"),
        pytest.param(O.ARM_FOR_RECONNECTION, 4, "command-mode", id="arming-would-close-it"),
    ],
)
def test_control_modes_that_do_not_know_the_command(operation: Operation, mode: int, code: str) -> None:
    peer, deed = Peer(Relay(mode=mode, state=1 if operation is O.DISCONNECT else 0)), FakeDeed()
    with pytest.raises(JobError) as caught:
        peer.do(peer.order(operation), deed)
    assert (caught.value.code, peer.meter.invoked, deed.asked) == (code, [], [])


def test_what_the_meter_refuses_is_known() -> None:
    relay, deed = Relay(), FakeDeed()
    relay.refused = [ErrorCode.TEMPORARY_FAILURE]
    peer = Peer(relay)
    with pytest.raises(PeerError):
        peer.do(peer.order(O.DISCONNECT), deed)
    assert deed.asked[-1] == "known"


def test_whose_answer_is_lost_is_not_known() -> None:
    peer, deed = Peer(Relay()), FakeDeed()
    peer.breaks = True
    with pytest.raises(FramingError):
        peer.do(peer.order(O.DISCONNECT), deed)
    assert deed.asked == [f"intend: {CONNECTED}", "still"]


@pytest.mark.parametrize("state", [0, 1], ids=["as-asked", "changed-back-or-never-done"])
def test_what_may_have_been_sent_is_looked_at_only(state: int) -> None:
    peer, deed = Peer(Relay(state=state)), FakeDeed(unsettled=True)
    code = peer.code(peer.order(O.DISCONNECT), deed)
    assert (code, deed.asked, peer.meter.invoked) == (("outcome-unknown", [], []) if state else ("", ["known"], []))
    assert (peer.found.before, peer.found.after) == ("before", CONNECTED if state else DISCONNECTED)


def test_a_relay_that_is_slow_and_one_that_is_stuck() -> None:
    relay = Relay()
    relay.stuck = True
    peer = Peer(relay)
    assert (peer.code(peer.order(O.DISCONNECT), FakeDeed()), len(peer.waited)) == ("outcome-unknown", 3)

    slow = Relay()
    slow.stuck = True
    peer = Peer(slow)

    def arrives() -> None:
        slow.stuck = False
        slow.go(0)

    peer.tick = arrives
    assert peer.do(peer.order(O.DISCONNECT), FakeDeed()).after == DISCONNECTED
    assert peer.waited == [1.0]


def test_limits_are_written_in_the_meters_type_and_only_where_they_differ() -> None:
    meter, item = limiter_meter()
    peer = Peer(Relay())
    peer.meter = meter
    found = peer.do(peer.order(O.LIMIT, parameters={"normal": "4500", "over_s": "60"}), FakeDeed())
    assert (item.thresholdNormal, item.minOverThresholdDuration) == (4500, 60)
    assert found.before == "71/0.0.17.0.0.255/4 9000; 71/0.0.17.0.0.255/6 60"
    assert found.after == "71/0.0.17.0.0.255/4 4500; 71/0.0.17.0.0.255/6 60"


def test_a_parameter_that_the_template_lists_is_set() -> None:
    item = GXDLMSData("0.0.96.1.4.255")
    item.value = 7
    item.setDataType(2, DataType.UINT16)
    peer = Peer(item)
    found = peer.do(peer.order(O.SET_PARAMETER, objects=(SETTING,), parameters={SETTING: "9"}), FakeDeed())
    assert (item.value, found.before, found.after) == (9, f"{SETTING} 7", f"{SETTING} 9")


@pytest.mark.parametrize(
    ("operation", "fields", "code"),
    [
        pytest.param(O.DISCONNECT, {"objects": ("3/1.0.1.8.0.255/2",)}, "object-invalid", id="no-relay"),
        pytest.param(O.LIMIT, {"parameters": {"most": "1"}}, "object-invalid", id="no-threshold"),
        pytest.param(O.LIMIT, {}, "object-invalid", id="no-limit"),
        pytest.param(O.SET_PARAMETER, {"objects": (SETTING,)}, "object-invalid", id="no-value"),
        pytest.param(
            O.SET_PARAMETER,
            {"objects": ("3/1.0.1.8.0.255/2",), "parameters": {"3/1.0.1.8.0.255/2": "0"}},
            "object-not-settable",
            id="not-listed",
        ),
        pytest.param(O.SET_CLOCK, {"parameters": {"limit_s": "soon"}}, "object-invalid", id="no-seconds"),
        pytest.param(O.SET_CLOCK, {"parameters": {"to": "1"}}, "object-invalid", id="no-such-parameter"),
        pytest.param(O.SET_CALENDAR, {"parameters": CALENDAR | {"weeks": "W1 1 1"}}, "object-invalid", id="short-week"),
        pytest.param(O.SET_CALENDAR, {"parameters": CALENDAR | {"days": "1 24:00=1"}}, "object-invalid", id="no-time"),
        pytest.param(O.SET_CALENDAR, {"parameters": CALENDAR | {"seasons": "S1 04-01 W9"}}, "object-invalid", id="no-week"),
        pytest.param(O.SET_CALENDAR, {"parameters": {"name": "x"}}, "object-invalid", id="empty-calendar"),
    ],
)
def test_what_cannot_be_asked_so_is_refused_before_anyone_connects(
    operation: Operation, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(JobError) as caught:
        check(Peer(Relay()).order(operation, **fields))
    assert caught.value.code == code


def test_a_calendar_is_written_to_the_passive_side_and_made_active() -> None:
    peer = Peer(calendars())
    found = peer.do(peer.order(O.SET_CALENDAR, parameters=CALENDAR), FakeDeed())
    assert found.after.startswith("active summer26 (2 seasons, 1 weeks, 2 days)")
    again = FakeDeed()
    assert "so before" in peer.do(peer.order(O.SET_CALENDAR, parameters=CALENDAR), again).detail
    assert again.asked == ["known"]


def calendars(name: str = "old") -> Calendar:
    """A meter's calendar without anything in it, and no time to come."""
    item = Calendar("0.0.13.0.0.255")
    item.calendarNameActive = item.calendarNamePassive = name
    for side in ("seasonProfile", "weekProfileTable", "dayProfileTable"):
        setattr(item, f"{side}Active", [])
        setattr(item, f"{side}Passive", [])
    item.time = GXDateTime(datetime(2022, 1, 1, tzinfo=UTC))
    return item


def test_a_calendar_for_later_is_written_and_told_its_time_and_not_activated() -> None:
    peer = Peer(calendars())
    wanted = CALENDAR | {"activate": "2026-10-01T00:00"}
    found = peer.do(peer.order(O.SET_CALENDAR, parameters=wanted), FakeDeed())
    assert found.after == (
        "active old (0 seasons, 0 weeks, 0 days), passive summer26 (2 seasons, 1 weeks, 2 days), "
        "to be active 2026-10-01 00:00:00"
    )
    assert peer.meter.invoked == []
    again = FakeDeed()
    assert "so before" in peer.do(peer.order(O.SET_CALENDAR, parameters=wanted), again).detail
    assert again.asked == ["known"]
    later = wanted | {"activate": "2026-10-02T00:00"}
    assert "2026-10-02" in peer.do(peer.order(O.SET_CALENDAR, parameters=later), FakeDeed()).after


def test_special_days_are_set_with_a_calendar_and_alone() -> None:
    table = GXDLMSSpecialDaysTable("0.0.11.0.0.255")
    peer = Peer(calendars(), table)
    found = peer.do(peer.order(O.SET_CALENDAR, parameters=CALENDAR | {"special": "12-25 2; 2026-04-03 2"}), FakeDeed())
    assert found.after.startswith("active summer26 (2 seasons, 1 weeks, 2 days)")
    assert found.after.endswith(", 2 special days")
    alone = {"special": "2026-04-03 2; 12-25 2"}
    again = FakeDeed()
    assert "so before" in peer.do(peer.order(O.SET_CALENDAR, parameters=alone), again).detail  # in whatever order
    assert again.asked == ["known"]
    assert peer.do(peer.order(O.SET_CALENDAR, parameters={"special": "02-29 1"}), FakeDeed()).after.endswith(
        "1 special days"
    )
    assert peer.do(peer.order(O.SET_CALENDAR, parameters={"special": "none"}), FakeDeed()).after.endswith(", 0 special days")
    assert peer.code(peer.order(O.SET_CALENDAR, parameters={"special": "12-25 9"}), FakeDeed()) == "object-invalid"


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"special": "12-25"}, "a date and a day profile are expected"),
        ({"special": "13-01 1"}, "is no date"),
        ({"special": "2026-02-29 1"}, "is no date"),
        ({"special": "12-25 256"}, "a date and a day profile are expected"),
        ({"special": "12-25 1; 12-25 1"}, "names a date twice"),
        ({"special": "12-25 1; 12-25 2"}, "names a date twice"),
        ({"special": ""}, "names no day"),
        (CALENDAR | {"special": "12-25 9"}, "name day profile 9, which calendar summer26"),
        (CALENDAR | {"special": "12-25 2", "activate": "2026-10-01T00:00"}, "hold at once"),
        (CALENDAR | {"activate": "2026-10-01T00:00+02:00"}, "by the meter's own clock"),
        (CALENDAR | {"activate": "in autumn"}, "by the meter's own clock"),
        (CALENDAR | {"activate": "2026-03-02T10:07"}, "is over by the meter's clock"),
        ({"activate": "2026-10-01T00:00"}, "no name"),
    ],
)
def test_what_is_no_calendar_or_no_special_day_is_not_sent(parameters: dict[str, str], why: str) -> None:
    peer, deed = Peer(calendars(), GXDLMSSpecialDaysTable("0.0.11.0.0.255")), FakeDeed()
    with pytest.raises(JobError, match=why) as refused:
        peer.do(peer.order(O.SET_CALENDAR, parameters=parameters), deed)
    assert (refused.value.code, deed.asked) == ("object-invalid", [])


def clock(seconds: float) -> Clock:
    item = Clock("0.0.1.0.0.255")
    item.time = GXDateTime(datetime.fromtimestamp(NOW / 1000 + seconds, UTC))
    return item


@pytest.mark.parametrize(
    ("seconds", "parameters", "asked", "codes", "error"),
    [
        pytest.param(2, {}, ["known"], [], "", id="right-enough"),
        pytest.param(60, {}, ["intend", "still", "known"], [], "", id="fast"),
        pytest.param(900, {}, [], ["clock-drift"], "clock-drift", id="too-far"),
        pytest.param(
            500, {"limit_s": "600", "may_cross": "true"}, ["intend", "still", "known"], ["clock-set-across"], "", id="across"
        ),
    ],
)
def test_clocks(seconds: float, parameters: dict[str, str], asked: list[str], codes: list[str], error: str) -> None:
    peer, deed = Peer(clock(seconds)), FakeDeed()
    code = peer.code(peer.order(O.SET_CLOCK, parameters=parameters), deed)
    assert (code, peer.waited) == (error, [])
    found = peer.found
    assert [text.partition(":")[0] for text in deed.asked] == asked
    assert [alarm.code for alarm in found.readings if isinstance(alarm, Alarm)] == codes


def test_a_clock_waits_until_both_times_are_past_the_end_of_the_interval() -> None:
    item = clock(0)
    peer = Peer(item)
    peer.now = NOW - NOW % 900_000 + 900_000 - 20_000  # 20 s before the end, the meter a minute ahead
    item.time = GXDateTime(datetime.fromtimestamp(peer.now / 1000 + 60, UTC))

    def goes_on() -> None:
        item.time = GXDateTime(datetime.fromtimestamp(peer.now / 1000 + 60, UTC))

    peer.tick = goes_on
    peer.do(peer.order(O.SET_CLOCK), FakeDeed())
    assert peer.waited == [22.0]
