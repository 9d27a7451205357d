"""What changes a C12 meter, as sessions over its tables: its switch (C12.19, procedure 21) and its clock (procedure 10).

    point_status: 112 ─▶ start: 7 (procedure 21) ─▶ result_of: 8, until it is this request's ─▶ point_status: 112

Whoever calls these has proven the command (architecture, rule 9) before, and keeps its intent: see `c12_relay`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.gateway.drivers.c12_access import Access, Part
from connectors.gateway.drivers.c12_reading import again, learn
from connectors.gateway.session import Session
from connectors.protocols.c12.errors import DecodeError, PeerError
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.procedures import (
    ACCEPTED,
    INITIATE,
    RESPONSE,
    Result,
    clock_setting,
    initiate,
    load_control,
    read_result,
    require,
)
from connectors.protocols.c12.tables.values import Record

_STATUS, _LIMITS = 112, 111
_LOOKS = 10
"""How often table 8 is read for the end of a procedure that the meter has only accepted."""


Still = Callable[[], None]
"""Called in the same breath as the octets that change something: `port.Deed.still`."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure and its parameters."""

    number: int
    parameters: Record | bytes


def point_status(access: Access, model: Model | None, point: int, catalog: Catalog) -> Session[tuple[Model, Record]]:
    """A control point's entry of table 112 as it is now, and the model by which it can be switched."""
    model = yield from learn(access, model, (_LIMITS,), catalog)
    model = yield from again(access, model, (_STATUS,))
    entries = model.table(_STATUS).records("STATUS_ENTRIES")
    if point >= len(entries):
        raise DecodeError("table-shape", f"control point {point}: table 112 has {len(entries)}; correct the template")
    return model, entries[point]


def set_level(model: Model, point: int, level: int) -> Procedure:
    """Set a control point to a level, for good."""
    number, parameters = load_control(model, level, frozenset((point,)))
    return Procedure(number, parameters)


def set_clock(model: Model, utc: int, clock: Clock) -> Procedure:
    """Set the meter's clock to seconds since 1970 UTC; the model knows table 52 or 55 where the meter has one."""
    return Procedure(*clock_setting(model, utc, clock))


def start(access: Access, model: Model, procedure: Procedure, sequence: int, still: Still) -> Session[None]:
    """Have the meter begin. Raises PeerError "psem-response" where it refuses to: then nothing is done."""
    octets = initiate(model, procedure.number, procedure.parameters, sequence)
    still()
    yield from access.write(INITIATE, octets)


def result_of(access: Access, model: Model, procedure: Procedure, sequence: int) -> Session[Result]:
    """What came of it. Raises PeerError "procedure-result" where the meter did not do it, and "peer-unexpected" where its
    result does not come: then only its state tells.
    """
    for _ in range(_LOOKS):
        (octets,) = yield from access.read([Part(RESPONSE)])
        result = read_result(octets, model, (procedure.number, sequence))
        if result.code != ACCEPTED:
            return require(result)
    detail = f"procedure {procedure.number}: accepted, and not completed after {_LOOKS} looks at table 8"
    raise PeerError("peer-unexpected", f"{detail}: read what it should change", retry=True)
