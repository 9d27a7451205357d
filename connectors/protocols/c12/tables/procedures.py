"""Procedures: requests for table 7, results from table 8, and both read back (C12.19, tables 7 and 8).

Numbers from 2048 on are a manufacturer's. The sequence number is the caller's: the result bears it, so that it is known for
what it is the result.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.c12.errors import DecodeError, PeerError
from connectors.protocols.c12.tables.builtin import TABLE_IDB
from connectors.protocols.c12.tables.clock import CLOCK, STATE, Clock, Keeps
from connectors.protocols.c12.tables.declarations import MANUFACTURER
from connectors.protocols.c12.tables.layouts import RecordType, decode_bits, encode
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.reading import Element, Reader
from connectors.protocols.c12.tables.standard_procedures import DIRECT_LOAD_CONTROL, SET_DATE_TIME
from connectors.protocols.c12.tables.times import TimeKind, datetime_of, table_time
from connectors.protocols.c12.tables.values import Record, Value

INITIATE, RESPONSE = 7, 8

ON_COMPLETION, ON_EXCEPTION, NEVER, AT_ONCE_AND_ON_COMPLETION = 0, 1, 2, 3
"""SELECTOR: when the meter writes table 8."""

DONE, ACCEPTED = 0, 1

RESULTS = (
    "completed",
    "accepted, but not fully completed",
    "invalid parameter, ignored",
    "conflicts with the meter's setup, ignored",
    "timing constraint, ignored",
    "not authorised, ignored",
    "not known to the meter, ignored",
)
"""RESULT_CODE in words."""

_NEXT = (
    "", "read table 8 again for the end", "compare the parameters with the meter's configuration",
    "compare with the meter's configuration", "ask again later", "log on with a password of more rights",
    "take the procedure out of the template",
)  # fmt: skip

_RETRY = frozenset((4,))


@dataclass(frozen=True, slots=True)
class Request:
    """What table 7 holds."""

    number: int
    sequence: int
    selector: int
    parameters: Element | None
    """None where the procedure is not declared."""
    rest: bytes
    """Parameters that are not declared."""


@dataclass(frozen=True, slots=True)
class Result:
    """What table 8 holds."""

    number: int
    sequence: int
    code: int
    response: Element | None
    """None where the procedure is not declared, or the meter answered nothing."""
    rest: bytes

    @property
    def done(self) -> bool:
        """Whether the meter did it."""
        return self.code == DONE

    @property
    def meaning(self) -> str:
        """The result code in words."""
        return RESULTS[self.code] if self.code < len(RESULTS) else f"result code {self.code}"


def initiate(model: Model, number: int, parameters: Record | bytes, sequence: int, selector: int = ON_COMPLETION) -> bytes:
    """The octets of table 7 that start a procedure. Parameters are fields, or octets where nobody declared it.

    Raises DecodeError: "table-not-listed" where the meter has no such procedure, "table-unknown" where fields are given and
    it is not declared, "table-value" where they do not fit.
    """
    if number not in model.config.procedures:
        raise DecodeError(
            "table-not-listed", f"procedure {number} is not in the meter's table 0: take it out of the template"
        )
    if not isinstance(parameters, bytes):
        parameters = encode(_declared(model, number), parameters, model.context())
    most = model.config.record.integer("MAX_PROC_PARM_LENGTH")
    if len(parameters) > most:
        raise DecodeError(
            "table-value", f"procedure {number}: {len(parameters)} octets of parameters, the meter takes {most}"
        )
    return _head(model, number, selector) + _octet(sequence, "sequence number") + parameters


def respond(model: Model, number: int, sequence: int, code: int, response: Record | bytes = b"") -> bytes:
    """The octets of table 8, as a meter writes them. Raises DecodeError as `initiate`."""
    if not isinstance(response, bytes):
        declared = model.catalog.procedures.get(number)
        if declared is None:
            raise DecodeError("table-unknown", f"procedure {number} is not declared: give the response's octets")
        response = encode(declared.response, response, model.context())
    return _head(model, number, 0) + _octet(sequence, "sequence number") + _octet(code, "result code") + response


def read_request(data: bytes, model: Model) -> Request:
    """What table 7 asks. Raises DecodeError "table-size" where it is cut short, "table-…" where parameters do not fit."""
    number, selector, sequence = _read_head(data, model)
    declared = model.catalog.procedures.get(number)
    element, at = _read(data, 3, "parameters", declared.request, model) if declared else (None, 3)
    return Request(number, sequence, selector, element, data[at:])


def read_result(data: bytes, model: Model, asked: tuple[int, int] | None = None) -> Result:
    """What table 8 says. `asked` is the number and sequence number of the request that it should be the result of.

    Raises DecodeError as `read_request`, PeerError "peer-unexpected" where it is another request's.
    """
    number, _, sequence = _read_head(data, model)
    if len(data) < 4:
        raise DecodeError("table-size", "table 8 has no result code: read it again")
    if asked is not None and (number, sequence) != asked:
        detail = (
            f"table 8 is the result of procedure {number}, sequence {sequence}, not of {asked[0]}, {asked[1]}: read it again"
        )
        raise PeerError("peer-unexpected", detail, retry=True)
    declared = model.catalog.procedures.get(number)
    if declared is None or len(data) == 4:  # meters may say no more than that it is done
        return Result(number, sequence, data[3], None, data[4:])
    element, at = _read(data, 4, "response", declared.response, model)
    return Result(number, sequence, data[3], element, data[at:])


def require(result: Result) -> Result:
    """The result, if the meter did what was asked. Raises PeerError "procedure-result"; asking again can help where the
    meter speaks of timing.
    """
    if result.done:
        return result
    advice = _NEXT[result.code] if result.code < len(_NEXT) else "see the meter's manual"
    detail = f"procedure {result.number}: {result.meaning}: {advice}"
    raise PeerError("procedure-result", detail, retry=result.code in _RETRY, response=result.code)


def clock_setting(model: Model, utc: int, clock: Clock) -> tuple[int, Record]:
    """Procedure 10, with the parameters that set the meter's clock to seconds since 1970 UTC.

    The qualifier is the meter's own (tables 52 or 55, where read), with the day and daylight saving of that time. Raises
    DecodeError "table-value" where the meter's format cannot hold it.
    """
    formats = model.config.formats
    shown = clock.from_utc(utc)
    own = next((model.table(number).record("TIME_DATE_QUAL") for number in (STATE, CLOCK) if model.has(number)), None)
    qualifier = own if own is not None else Record({
        "GMT_FLAG": clock.keeps is Keeps.UTC,
        "TM_ZN_APPLIED_FLAG": clock.keeps is not Keeps.UTC,
        "DST_APPLIED_FLAG": clock.keeps is Keeps.LOCAL,
    })  # fmt: skip
    weekday = datetime_of(shown).isoweekday() % 7
    qualifier = qualifier.changed(DAY_OF_WEEK=weekday, DST_FLAG=clock.daylight(utc))
    return SET_DATE_TIME, Record({
        "SET_MASK": Record({"SET_TIME_FLAG": True, "SET_DATE_FLAG": True, "SET_TIME_DATE_QUAL": True}),
        "DATE_TIME": table_time(shown, TimeKind.LTIME, formats.time, formats.order),
        "TIME_DATE_QUAL": qualifier,
    })  # fmt: skip


def load_control(model: Model, level: int, points: frozenset[int], seconds: int = 0) -> tuple[int, Record]:
    """Procedure 21, with the parameters that set control points (from 0) to a level in percent for a time; 0 s is for good.

    Which level connects and which disconnects is the meter's business: for some 100 is fully controlled, so off. Needs
    table 111. Raises DecodeError "table-prerequisite", "table-value" where the meter has no such points or keeps no time.
    """
    limits = model.table(111)
    if not points or max(points) >= limits.integer("NBR_OF_CONTROL_POINTS"):
        detail = f"control points {sorted(points)}, the meter has {limits.integer('NBR_OF_CONTROL_POINTS')}, from 0"
        raise DecodeError("table-value", detail)
    fields: dict[str, Value] = {"LEVEL": level, "CONTROL_POINTS": points}
    if limits.flag("DURATION_SUPPORTED_FLAG"):
        if not 0 <= seconds < 256 * 3600:
            raise DecodeError("table-value", f"{seconds} s of load control: give less than 256 hours")
        duration = Record({"HOURS": seconds // 3600, "MINUTES": seconds // 60 % 60, "SECONDS": seconds % 60})
        return DIRECT_LOAD_CONTROL, Record({**fields, "DURATION": duration})
    if seconds:
        raise DecodeError("table-value", "the meter controls loads without a duration: give none")
    return DIRECT_LOAD_CONTROL, Record(fields)


def _declared(model: Model, number: int) -> RecordType:
    declared = model.catalog.procedures.get(number)
    if declared is None:
        raise DecodeError("table-unknown", f"procedure {number} is not declared: give its parameters as octets")
    return declared.request


def _head(model: Model, number: int, selector: int) -> bytes:
    bits = {"TBL_PROC_NBR": number % MANUFACTURER, "MFG_FLAG": number >= MANUFACTURER, "SELECTOR": selector}
    return encode(TABLE_IDB, Record(bits), model.context())


def _octet(value: int, name: str) -> bytes:
    if not 0 <= value <= 255:
        raise DecodeError("table-value", f"{name} {value} is not within 0 to 255")
    return bytes((value,))


def _read_head(data: bytes, model: Model) -> tuple[int, int, int]:
    if len(data) < 3:
        raise DecodeError("table-size", f"{len(data)} octets are no procedure: read the table again")
    bits = decode_bits(TABLE_IDB, data[:2], model.context())
    number = bits.integer("TBL_PROC_NBR") + MANUFACTURER * bits.flag("MFG_FLAG")
    return number, bits.integer("SELECTOR"), data[2]


def _read(data: bytes, at: int, name: str, layout: RecordType, model: Model) -> tuple[Element, int]:
    reader = Reader(data, model.context(), at)
    try:
        return reader.read(name, layout), reader.at
    except DecodeError as error:
        raise DecodeError(error.code, f"procedure: {error.detail}") from None
