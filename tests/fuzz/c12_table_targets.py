"""Targets of C12.19: table 0, every table under any table 0, profiles, registers, logs, procedures, declarations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from zoneinfo import ZoneInfo

from connectors.protocols.c12.errors import CODES, C12Error
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.clock import Clock, Keeps, clock_of
from connectors.protocols.c12.tables.declared import declared
from connectors.protocols.c12.tables.describe import describe
from connectors.protocols.c12.tables.events import log, status_events
from connectors.protocols.c12.tables.model import Model, decode_table, elements_at, encode_table, needed_for, size_of
from connectors.protocols.c12.tables.numerals import NI_SIZES, TEXTS, NiFormat
from connectors.protocols.c12.tables.procedures import read_request, read_result, require
from connectors.protocols.c12.tables.profile import MAX_ROWS, load_profile
from connectors.protocols.c12.tables.profile_layout import recent_blocks
from connectors.protocols.c12.tables.registers import READABLE, registers
from connectors.protocols.c12.tables.sources import sources
from connectors.protocols.c12.tables.values import MASKED, Record, Value
from tests.fuzz.harness import Pieces, Target, expect

ZONE = ZoneInfo("America/New_York")
NUMBERS = tuple(sorted(STANDARD.tables))
NI = tuple(NI_SIZES)
_LOSSY = TEXTS | {NiFormat.FIXED_BCD4, NiFormat.FIXED_BCD6, NiFormat.FIXED_BCD8}
"""Formats in which a number can be written in several ways."""


def own(error: C12Error) -> None:
    """An error of ours has a code that is documented, and a detail that can be shown."""
    expect(error.code in CODES, f"{error.code} is no code of errors.CODES")
    expect(bool(error.detail), "an error without a detail")


@cache
def head(formats: int, numbers: int) -> Model:
    """A meter that has every table and procedure, and any formats of the standard."""
    flags = bytes(
        (formats & 1 | (formats >> 1 & 3) << 1, formats >> 3 & 3 | (formats >> 5 & 3) % 3 << 6 | (formats >> 7) << 5)
    )
    ni = NI[numbers % len(NI)] | NI[numbers // len(NI) % len(NI)] << 4
    sizes = bytes((2, 0, 20, 20, numbers >> 7 & 1 | 1, 0, 16, 1, 4, 1, 1, 2))
    return Model.of(flags + bytes((ni,)) + b"TEST" + sizes + b"\xff" * 16 + b"\xff" + b"\xff" * 4 + b"\xff" + bytes(17))


def meter(pieces: Pieces, tables: tuple[int, ...]) -> Model:
    """A model that knows tables, each from a piece, cut or filled to its size."""
    model = head(pieces.octet(), pieces.octet())
    for number in tables:
        size = min(size_of(number, model), 4096)
        model = model.with_octets(number, pieces.piece()[:size].ljust(size, b"\0"))
    return model


def values(value: Value) -> Iterator[Value]:
    """A value and all in it."""
    yield value
    inner = tuple(value.values()) if isinstance(value, Record) else value
    if isinstance(inner, tuple):
        for item in inner:
            yield from values(item)


def run_config(data: bytes) -> None:
    """A table 0 is read, or refused by name; what is read is written the same, and sizes every table or says why not."""
    try:
        model = Model.of(data)
        table = decode_table(0, data, model)
    except C12Error as error:
        own(error)
        return
    expect(encode_table(0, table.value, model, table.rest) == data, "a table 0 is written otherwise than it was read")
    for number in NUMBERS:
        try:
            expect(size_of(number, model) >= 0, "a size below nothing")
        except C12Error as error:
            own(error)


def run_table(data: bytes) -> None:
    """Any table under any formats: what is read is written the same and described; parts of it are read as the whole is."""
    pieces = Pieces(data)
    number = NUMBERS[pieces.octet() % len(NUMBERS)]
    try:
        model = meter(pieces, needed_for(number))
        octets = pieces.rest()
        try:
            elements_at(number, octets[:64], len(octets) % 97, model)
        except C12Error as error:
            own(error)
        table = decode_table(number, octets, model)
        tree = describe(table, octets)
    except C12Error as error:
        own(error)
        return
    for _, node in tree.walk():
        expect(0 <= node.offset <= len(octets), "a field beyond its table")
    found = list(values(table.value))
    if MASKED in found:
        return
    formats = _LOSSY & {model.config.formats.ni1, model.config.formats.ni2}
    try:
        back = encode_table(number, table.value, model, table.rest)
    except C12Error as error:  # a text number may be longer in our writing than in the meter's
        own(error)
        expect(
            bool(_LOSSY & {model.config.formats.ni1, model.config.formats.ni2}), f"cannot be written again: {error.detail}"
        )
        return
    lossy = any(value != value for value in found if isinstance(value, float))  # noqa: PLR0124 - NaN
    if not lossy and not formats and model.config.formats.integer == 0:
        expect(back == octets, "a table is written otherwise than it was read")


def run_profile(data: bytes) -> None:
    """A load profile and all that explains it, from pieces: rows within the limit, and columns as long as rows are many."""
    pieces = Pieces(data)
    number = pieces.octet() % 4 + 1
    try:
        model = meter(pieces, (11, 12, 13, 15, 16, 51, 52, 61, 62, 63))
        clock = clock_of(model, ZONE)
        recent = recent_blocks(model, number, 3)
        profile = load_profile(model, number, [(recent[0].start if recent else 0, pieces.rest())], clock)
    except C12Error as error:
        own(error)
        return
    expect(profile.rows <= MAX_ROWS, "more rows than the limit")
    for channel in profile.channels:
        expect(len(channel.values) == len(channel.missing) == profile.rows, "a column of another length")


def run_registers(data: bytes) -> None:
    """Registers and all that explains them."""
    pieces = Pieces(data)
    number = tuple(READABLE)[pieces.octet() % len(READABLE)]
    try:
        model = meter(pieces, (11, 12, 13, 15, 16, 21, 22, 27))
        sources(model)
        found = registers(model, number, decode_table(number, pieces.rest(), model).value, Clock(ZONE, Keeps.LOCAL))
    except C12Error as error:
        own(error)
        return
    for group in found:
        for value in group.values:
            groups = value.obis.split(".")
            expect(len(groups) == 6 and all(0 <= int(part) <= 255 for part in groups), f"{value.obis} is no OBIS code")


def run_log(data: bytes) -> None:
    """Logs and status flags."""
    pieces = Pieces(data)
    number = (74, 76)[pieces.octet() & 1]
    try:
        model = meter(pieces, (3, 51, 52, 53, 54, 71))
        status_events(model.table(3))
        found = log(model, number, decode_table(number, pieces.rest(), model).value, clock_of(model, None))
    except C12Error as error:
        own(error)
        return
    expect(len(found.events) <= len(data), "more events than octets")


def run_procedure(data: bytes) -> None:
    """Tables 7 and 8."""
    pieces = Pieces(data)
    model = meter(pieces, (111,))
    octets = pieces.rest()
    try:
        read_request(octets, model)
    except C12Error as error:
        own(error)
    try:
        require(read_result(octets, model))
    except C12Error as error:
        own(error)


def run_declared(data: bytes) -> None:
    """A declaration from a file that somebody wrote, and octets read by it."""
    text, _, octets = data.partition(b"\0")
    try:
        source = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(source, dict):
        return
    source = {key: {int(n) if n.isdigit() and len(n) < 9 else n: body for n, body in part.items()} if isinstance(part, dict)
              else part for key, part in source.items()}  # fmt: skip
    try:
        catalog = STANDARD.extended(declared(source))
        model = Model(head(0, 0).config, {}, catalog)
        for number in list(source.get("tables") or ()):
            decode_table(number, octets, model)
    except C12Error as error:
        own(error)


TARGETS = (
    Target("c1219_config", run_config),
    Target("c1219_table", run_table, 4),
    Target("c1219_profile", run_profile, 3),
    Target("c1219_registers", run_registers, 2),
    Target("c1219_log", run_log),
    Target("c1219_procedure", run_procedure),
    Target("c1219_declared", run_declared),
)
