"""Targets of COSEM objects: what is read of a meter's objects, what is written to them, and work in steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from connectors.protocols.dlms.association import PROPOSED_SHORT_NAMES
from connectors.protocols.dlms.client import Span
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.get import Limits
from connectors.protocols.dlms.objects import (
    alarm_registers,
    calendar,
    clock,
    disconnect,
    event_log,
    image_transfer,
    limiter,
    mbus_client,
    object_list,
    patterns,
    push_setup,
    registers,
    security_setup,
)
from connectors.protocols.dlms.objects.steps import Polling, Steps
from connectors.protocols.dlms.profile_shape import Rules
from tests.fuzz.harness import Pieces, Target, associated, drive, drive_steps, enveloped, own, raw
from tests.fuzz.profile_targets import SHAPES
from tests.fuzz.push_targets import ZONES, templates

LIMITS = Limits(octets=8192, blocks=32)
_POLLING = Polling(1.0, 3)
_IMAGE = image_transfer.Image(b"FW-2", bytes(range(100)), b"\x01\x02\x03\x04")
_NOW = 1_680_360_527_000
_PERIOD = (patterns.NEVER, patterns.NEVER)


def run_objects(data: bytes) -> None:
    """Every object that is read; the answers are in order with the highest bit, else as they come."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated()
    reading: tuple[Callable[[], Session[Any]], ...] = (
        lambda: registers.read_extended_register(link, "1.0.1.6.0.255"),
        lambda: registers.read_demand_register(link, "1.0.1.4.0.255"),
        lambda: clock.read_clock_settings(link),
        lambda: disconnect.read_relay(link),
        lambda: image_transfer.read_image_state(link),
        lambda: limiter.read_limiter(link),
        lambda: mbus_client.read_mbus_device(link, 1, binary=bool(kind & 0x20)),
        lambda: mbus_client.read_mbus_devices(link, (1, 2)),
        lambda: mbus_client.read_mbus_values(link, 1),
        lambda: object_list.read_object_list(link, limits=LIMITS),
        lambda: object_list.read_short_name_list(associated(PROPOSED_SHORT_NAMES), limits=LIMITS),
        lambda: push_setup.read_push_setup(link),
        lambda: security_setup.read_security_setup(link),
        lambda: security_setup.own_security_setup(link),
        lambda: event_log.read_event_log(link, "0.0.99.98.0.255", Span(0, _NOW), Rules(ZONES[1]), LIMITS),
        lambda: event_log.read_event_log(link, SHAPES[3](), None, Rules(), LIMITS),
        lambda: alarm_registers.read_alarm_registers(link),
        lambda: calendar.read_calendars(link),
        lambda: calendar.read_special_days(link),
    )
    found = drive(reading[(kind & 0x1F) % len(reading)](), enveloped(pieces) if kind & 0x80 else raw(pieces))
    _used(found)


def _used(found: Any) -> None:
    """What was read can be shown, compared, written back."""
    repr(found)
    match found:
        case object_list.ObjectList():
            found.to_json()
            found.matching("*.*.1.8.*.*")
        case (object_list.ObjectList() as listed, _):
            listed.to_json()
        case calendar.Calendars():
            for side in (found.active, found.passive):
                if side is not None:
                    side.problems()
        case (event_log.EventLog() as log, _):
            for template in templates()[1:3]:
                if template is not None:
                    log.alarms(template.events)
        case security_setup.SecuritySetup():
            found.policy_text(0)
            found.policy_text(1)
        case image_transfer.ImageState():
            found.fits(_IMAGE)
            found.missing(13)


def run_acts(data: bytes) -> None:
    """What is written and set off, and work in steps: it reads before and after."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated()
    acting: tuple[Callable[[], Session[Any]], ...] = (
        lambda: clock.correct_clock(link, ZONES[kind >> 5 & 1], lambda: _NOW),
        lambda: clock.set_clock(link, _NOW, UTC),
        lambda: clock.shift_clock(link, -12),
        lambda: disconnect.remote_disconnect(link),
        lambda: disconnect.remote_reconnect(link),
        lambda: limiter.set_limits(link, normal=16.5, over_s=300),
        lambda: limiter.set_emergency_groups(link, (1, 2)),
        lambda: mbus_client.install(link, 1, 5),
        lambda: mbus_client.set_key(link, 1, bytes(16)),
        lambda: push_setup.write_push_objects(link, [push_setup.PushObject(1, "0.0.42.0.0.255", 2)]),
        lambda: push_setup.write_windows(link, [_PERIOD]),
        lambda: security_setup.strengthen_policy(link, 3),
        lambda: alarm_registers.clear_alarm_register(link, "0.0.97.98.0.255"),
        lambda: alarm_registers.write_alarm_filter(link, "0.0.97.98.10.255", 0xFFFF),
        lambda: calendar.insert_special_day(link, calendar.SpecialDay(1, patterns.DatePattern(), 2)),
        lambda: calendar.activate_passive(link),
    )
    steps: tuple[Callable[[], Steps[Any]], ...] = (
        lambda: image_transfer.transfer_image(link, _IMAGE, resume=bool(kind & 0x20), polling=_POLLING),
        lambda: image_transfer.verify_image(link, _IMAGE, polling=_POLLING),
        lambda: image_transfer.activate_image(link, _IMAGE, polling=_POLLING),
    )
    answer = enveloped(pieces) if kind & 0x80 else raw(pieces)
    which = (kind & 0x1F) % (len(acting) + len(steps))
    if which < len(acting):
        repr(drive(acting[which](), answer))
    else:
        repr(drive_steps(steps[which - len(acting)](), answer))


def run_event_log(data: bytes) -> None:
    """A log's buffer, under shapes with and without a code."""
    pieces = Pieces(data)
    kind = pieces.octet()
    shape = SHAPES[kind % len(SHAPES)]()
    buffer = pieces.rest()
    try:
        repr(event_log.parse_event_log(buffer, shape, Rules(ZONES[1] if kind & 0x80 else None)))
    except DlmsError as error:
        own(error)


def run_patterns(data: bytes) -> None:
    """Dates and times with open places: what is read can be shown and is written the same."""
    for read in (patterns.read_date, patterns.read_time, patterns.read_datetime):
        try:
            pattern = read(data, "fuzz")
        except DlmsError as error:
            own(error)
            continue
        str(pattern)
        try:
            again = pattern.encode()
        except DlmsError as error:
            own(error)
            continue
        read(again, "fuzz")


TARGETS = (
    Target("objects", run_objects, 4),
    Target("acts", run_acts, 3),
    Target("event_log", run_event_log, 2),
    Target("patterns", run_patterns, 4),
)
