"""What a job asks of a C12 meter, as sessions over its tables: clock, registers, profiles, logs. What changes a meter is in
`c12_relay`.

Each object of a job (a table) is a session of its own, so that more urgent jobs of the meter find room in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from connectors.gateway.drivers.c12_access import Access
from connectors.gateway.drivers.c12_known import CLOCKS
from connectors.gateway.drivers.c12_order import C12Order, origin_of, tables_named
from connectors.gateway.drivers.c12_profile import Wanted, read_profile
from connectors.gateway.drivers.c12_reading import SOURCES, again, clock_tables, learn, listed
from connectors.gateway.drivers.c12_records import (
    channel_names,
    clock_readings,
    log_records,
    moment_of,
    profile_readings,
    register_names,
    registers_readings,
    unknown_moment,
)
from connectors.gateway.drivers.c12_relay import LEVELS, relay_of
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.readings import Moment
from connectors.gateway.session import Session
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.clock import Clock, clock_of
from connectors.protocols.c12.tables.events import EVENTS, HISTORY, log
from connectors.protocols.c12.tables.model import Model, needed_for
from connectors.protocols.c12.tables.profile_layout import CONTROL, LIMITS
from connectors.protocols.c12.tables.registers import READABLE, registers
from schemas.records import Operation

Step = Callable[[Access, Model | None], Session[Model]]
"""One object's session: given what is known of the meter, it tells what is known now."""

_PROFILES = (64, 65, 66, 67)
_LOGS = (EVENTS, HISTORY)
_OUT_OF_DATE = frozenset(("table-size", "table-shape", "table-prerequisite", "table-value", "table-format", "profile-shape"))
"""What a meter that was set up anew looks like to who knows it as it was."""

_LATER = {
    Operation.SET_CLOCK: "clocks of C12 meters are not set by this release",
    Operation.FIRMWARE_TRANSFER: (
        "C12.19 has no standard way to load firmware, makers have their own tables and procedures: load it with the maker's "
        "tool, or add a driver for the maker's procedure"
    ),
}


def check(order: C12Order) -> None:
    """Whether the job can be asked of the meter at all. Raises `JobError`."""
    operation = order.job.operation
    if operation in LEVELS:
        relay_of(order)
        return
    if operation not in _OPERATIONS:
        why = _LATER.get(operation, "it is not performed by this release")
        raise JobError("operation-unsupported", f"{operation}: {why}; nothing was sent to the meter")
    for _ in _OPERATIONS[operation](order, Found()):
        pass  # what is wrong with the job's objects is raised on the way


def steps(order: C12Order, found: Found) -> Iterator[Step]:
    """The sessions that do what the job asks; what is read is put into `found` as it comes."""
    return _OPERATIONS[order.job.operation](order, found)


def perform(step: Step, access: Access, order: C12Order, found: Found) -> Session[None]:
    """A step by what is known of the meter or, where that holds no more, by what it says of itself now."""
    known = order.known.model(order.meter, order.now_ms())
    before = len(found.readings), found.rows, found.detail
    try:
        model = yield from step(access, known)
    except DecodeError as error:
        if known is None or error.code not in _OUT_OF_DATE:
            raise
        order.known.forget(order.meter)
        del found.readings[before[0] :]
        _, found.rows, found.detail = before
        model = yield from step(access, None)
    order.known.keep(order.meter, model, order.now_ms())


def _read_clock(order: C12Order, found: Found) -> Iterator[Step]:
    def read(access: Access, model: Model | None) -> Session[Model]:
        model, clock = yield from _clock(access, model, order, now=())
        shows = _shows(model)
        if shows is None:
            raise DecodeError("table-not-listed", "the meter has no clock: neither table 52 nor 55 is in its table 0")
        moment = moment_of(model.table(shows), clock, order.now_ms())
        found.readings.append(clock_readings(moment, clock.zone, origin_of(order, shows)))
        found.rows += 1
        return model

    yield read


def _read_registers(order: C12Order, found: Found) -> Iterator[Step]:
    named = tables_named(order.job.objects, tuple(READABLE), "registers")
    yield lambda access, model: _registers(access, model, order, found, named)


def _registers(access: Access, model: Model | None, order: C12Order, found: Found, named: tuple[int, ...]) -> Session[Model]:
    model = yield from learn(access, model, (), order.template.catalog)
    tables = named or listed(model, order.template.read.registers)
    if not tables:
        raise JobError("object-invalid", "the meter's table 0 lists none of the registers that its template names")
    selections = (READABLE[table] for table in tables)
    model = yield from learn(access, model, (*listed(model, SOURCES), *selections), order.template.catalog)
    model, clock = yield from _clock(access, model, order, now=tables)
    shows = _shows(model)
    now: Moment = unknown_moment(order.now_ms())
    if shows is not None:
        now = moment_of(model.table(shows), clock, order.now_ms())
    words = []
    for table in tables:
        for captured in registers(model, table, model.table(table), clock):
            if captured.values:
                found.readings.append(registers_readings(captured, origin_of(order, table), now))
                found.rows += len(captured.values)
                words.append(register_names(captured.values))
    found.detail = _joined(found.detail, words)
    return model


def _read_profiles(order: C12Order, found: Found) -> Iterator[Step]:
    for table in _profiles(order):
        yield _profile(order, found, table)


def _profile(order: C12Order, found: Found, table: int) -> Step:
    job, template = order.job, order.template

    def read(access: Access, model: Model | None) -> Session[Model]:
        model = yield from learn(access, model, (), template.catalog)
        if table not in model.config.tables:
            detail = f"load profile set {table - 63} (table {table}) is not in the meter's table 0: correct job or template"
            raise DecodeError("table-not-listed", detail)
        model = yield from learn(access, model, (LIMITS, CONTROL, *listed(model, SOURCES)), template.catalog)
        model, clock = yield from _clock(access, model, order)
        wanted = Wanted(table, job.from_time, job.to_time, template.read.access)
        profile = yield from read_profile(access, model, wanted, clock, template.rules)
        if profile is not None:
            readings = profile_readings(profile, origin_of(order, table), job.from_time, job.to_time)
            found.readings += readings
            found.rows += sum(item.rows for item in readings)
            found.detail = _joined(found.detail, [channel_names(profile)] if readings else [])
        return model

    return read


def _read_event_logs(order: C12Order, found: Found) -> Iterator[Step]:
    named = tables_named(order.job.objects, _LOGS, "log")
    for table in named or order.template.read.event_logs:
        yield _log(order, found, table, named=bool(named))


def _log(order: C12Order, found: Found, table: int, *, named: bool) -> Step:
    start, end = order.job.from_time, order.job.to_time

    def read(access: Access, model: Model | None) -> Session[Model]:
        model = yield from learn(access, model, (), order.template.catalog)
        if not named and not listed(model, (table,)):
            return model
        model, clock = yield from _clock(access, model, order)
        model = yield from learn(access, model, (table,), order.template.catalog)
        entries = log(model, table, model.table(table), clock)
        # An entry without a time may be of any.
        events = [
            event
            for event in entries.events
            if event.at is None or ((start is None or event.at >= start) and (end is None or event.at < end))
        ]
        found.readings += log_records(events, order.meter, origin_of(order, table), order.template.name)
        found.rows += len(events)
        if entries.overflow:
            found.detail = _joined(found.detail, [f"table {table} says that entries were lost before they were read"])
        return model

    return read


def _ping(_order: C12Order, _found: Found) -> Iterator[Step]:
    """That the meter answered when it was spoken to is the answer."""
    yield from ()


_OPERATIONS: dict[Operation, Callable[[C12Order, Found], Iterator[Step]]] = {
    Operation.READ_CLOCK: _read_clock,
    Operation.READ_REGISTERS: _read_registers,
    Operation.READ_PROFILE: _read_profiles,
    Operation.READ_EVENT_LOG: _read_event_logs,
    Operation.PING: _ping,
}


def _clock(
    access: Access, model: Model | None, order: C12Order, now: Sequence[int] | None = None
) -> Session[tuple[Model, Clock]]:
    """How the meter's times are to be read; with `now` also its clock, and those other tables, as they are now."""
    catalog = order.template.catalog
    model = yield from learn(access, model, (), catalog)
    tables = clock_tables(model, zone=order.zone is not None)
    if now is None:
        model = yield from learn(access, model, tables, catalog)
    else:
        fresh = (*now, *(table for table in tables if table in CLOCKS))
        lasting = (table for table in tables if table not in CLOCKS)
        model = yield from learn(access, model, (*lasting, *_limits(model, fresh)), catalog)
        model = yield from again(access, model, fresh)
    return model, clock_of(model, order.zone)


def _limits(model: Model, tables: Sequence[int]) -> tuple[int, ...]:
    """What sizes these tables."""
    return tuple(dict.fromkeys(number for table in tables for number in needed_for(table, model.catalog)))


def _shows(model: Model) -> int | None:
    return next((table for table in CLOCKS if model.has(table)), None)


def _profiles(order: C12Order) -> tuple[int, ...]:
    named = tables_named(order.job.objects, _PROFILES, "load profile")
    if named:
        return named
    which = order.job.parameters.get("profile", "load")
    tables = order.template.read.profiles.get(which, ())
    if not tables:
        detail = f"the template {order.template.name!r} names no profile {which!r}; name a table in the job"
        raise JobError("object-invalid", detail)
    return tables


def _joined(detail: str, more: Sequence[str]) -> str:
    return "; ".join(filter(None, (detail, *more)))
