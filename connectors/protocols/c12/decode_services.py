"""One PSEM service as fields with names and places: requests and responses of C12.18, C12.21 and C12.22 alike.

A response does not say what it answers; without its request its octets are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.protocols.c12.c1222_services import (
    CONNECTION_TYPES,
    DEREGISTER,
    NODE_TYPES,
    REGISTER,
    RESOLVE,
    TRACE,
    decode_request,
    decode_response,
    flags_text,
)
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.octets import checksum
from connectors.protocols.c12.requests import BAUDS, PASSWORD_SIZE, USER_SIZE
from connectors.protocols.c12.responses import (
    AUTHENTICATION,
    AUTHENTICATION_TICKET,
    DEVICE_CLASS,
    DEVICE_IDENTITY,
    OK,
    RQTL,
    RSTL,
    SECURITY_MECHANISM,
    SESSION_CONTROL,
    name_of,
)
from connectors.protocols.c12.titles import read
from connectors.protocols.c12.tree import Node

TableReader = Callable[[int, bytes, int], Sequence[Node]]
"""Fields of a table's octets: table id, octets, and where they stand. Empty where the table is not known."""

NAMES = {
    0x20: "identify", 0x21: "terminate", 0x22: "disconnect", DEREGISTER: "deregister", RESOLVE: "resolve", TRACE: "trace",
    REGISTER: "register", 0x30: "full read", **{0x30 + n: f"partial read, {n} indices" for n in range(1, 10)},
    0x3E: "default read", 0x3F: "partial read, offset", 0x40: "full write",
    **{0x40 + n: f"partial write, {n} indices" for n in range(1, 10)}, 0x4E: "default write", 0x4F: "partial write, offset",
    0x50: "logon", 0x51: "security", 0x52: "logoff", 0x53: "authenticate",
    **{0x60 + n: f"negotiate, {n} rates" for n in range(12)}, 0x70: "wait", 0x71: "timing setup",
}  # fmt: skip
"""Requests by their codes."""

_FEATURES = {
    AUTHENTICATION: "authentication service", AUTHENTICATION_TICKET: "authentication ticket",
    SECURITY_MECHANISM: "security mechanism", SESSION_CONTROL: "session control", DEVICE_CLASS: "device class",
    DEVICE_IDENTITY: "device identity",
}  # fmt: skip
_STANDARDS = {0: "C12.18", 1: "reserved", 2: "C12.21", 3: "C12.22"}
_PENDING = ((0x1000, "pending "), (0x0800, "manufacturer "))
_STARS = "*"


class _Cursor:
    """Fields of one service, in order. What is cut short ends in an error field."""

    def __init__(self, service: bytes, at: int, tables: TableReader | None) -> None:
        self.data, self._base, self.at, self.tables = service, at, 0, tables
        self.nodes: list[Node] = []

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, name: str, size: int, value: str | None = None) -> bytes:
        """A field of that many octets, or as many as there are; its value is hex where none is given."""
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            self.nodes.append(Node("error", f"psem-truncated: {name} has {size} octets, {len(part)} are there", part,
                                   offset=self._base + self.at))  # fmt: skip
        elif size:
            self.nodes.append(Node(name, part.hex(" ") if value is None else value, part, offset=self._base + self.at))
        self.at += len(part)
        return part

    def number(self, name: str, size: int, text: Callable[[int], str] = str) -> int:
        """A number, highest octet first."""
        value = int.from_bytes(self.data[self.at : self.at + size], "big")
        self.take(name, size, text(value))
        return value

    def title(self, name: str) -> None:
        """An object identifier with tag and length. Raises C12Error."""
        found, end = read(self.data, self.at)
        self.take(name, end - self.at, found.text or "(none)")

    def text(self, name: str, size: int) -> None:
        """Octets that should be printable."""
        self.take(name, size, printable(self.data[self.at : self.at + size]))

    def table_data(self, table: int | None) -> None:
        """Count, octets of a table, checksum."""
        size = self.number("count", 2)
        at = self.at
        data = self.take("table data", size)
        if self.tables and table is not None and len(data) == size and size and self.nodes[-1].name == "table data":
            whole = self.nodes.pop()
            fields = tuple(self.tables(table, data, self._base + at))
            self.nodes.append(Node(whole.name, whole.value, whole.octets, fields, whole.offset))
        right = checksum(data)
        self.number(
            "checksum", 1, lambda came: f"{came:#04x}" if came == right else f"{came:#04x} (wrong: {right:#04x} fits)"
        )


def service_node(
    service: bytes,
    at: int,
    request: bytes | None = None,
    *,
    tables: TableReader | None = None,
    shown: bytes | None = None,
) -> Node:
    """A service that stands at `at`: a response where its code is below 20. `shown` are its octets with secrets masked: of
    a table that is, no fields are told.
    """
    octets = service if shown is None else shown
    code = service[0] if service else None
    if code is None:
        return Node("service", "empty", b"", offset=at)
    cursor = _Cursor(octets, at, tables if octets == service else None)
    name = NAMES.get(code, f"unknown {code:02X}") if code >= 0x20 else name_of(code)
    try:
        if code >= 0x20:
            cursor.take("request", 1, f"{name} ({code:#04x})")
            _REQUESTS.get(code, _rest)(cursor)
        else:
            cursor.take("response", 1, f"{name} ({code:#04x})")
            _response(cursor, code, request)
        _check(service, request, code)
    except C12Error as error:
        cursor.nodes.append(Node("error", f"{error.code}: {error.detail}", offset=at + cursor.at))
    if cursor.left:
        cursor.take("octets", cursor.left)
    return Node("request" if code >= 0x20 else "response", _title(name, cursor.nodes), octets, tuple(cursor.nodes), at)


def table_name(table: int) -> str:
    """A table id as a person reads it: "table 7", "pending manufacturer table 3"."""
    words = "".join(word for bit, word in _PENDING if table & bit)
    return f"{words}table {table & 0x07FF}" + (f", flags {table >> 13}" if table >> 13 else "")


def printable(octets: bytes) -> str:
    """Text in quotes where it is text, else hex."""
    stripped = octets.rstrip(b"\0 ")
    return repr(stripped.decode("ascii")) if all(0x20 <= octet < 0x7F for octet in stripped) else octets.hex(" ")


def _title(name: str, nodes: list[Node]) -> str:
    """The service's name, with the table it is about."""
    table = next((node.value for node in nodes if node.name == "table"), "")
    return f"{name}, {table}" if table else name


def _check(service: bytes, request: bytes | None, code: int) -> None:
    """The codec has the last word on whether a service is sound. Raises C12Error."""
    if code >= 0x20:
        decode_request(service)
    elif request:
        decode_response(service, request[0])


def _table(cursor: _Cursor) -> int:
    return cursor.number("table", 2, table_name)


def _read_index(cursor: _Cursor) -> None:
    _table(cursor)
    _indices(cursor)
    cursor.number("element count", 2)


def _indices(cursor: _Cursor) -> None:
    for place in range(cursor.data[0] & 0x0F):
        cursor.number(f"index {place + 1}", 2)


def _read_offset(cursor: _Cursor) -> None:
    _table(cursor)
    cursor.number("offset", 3)
    cursor.number("octet count", 2)


def _write_full(cursor: _Cursor) -> None:
    cursor.table_data(_table(cursor))


def _write_index(cursor: _Cursor) -> None:
    _table(cursor)
    _indices(cursor)
    cursor.table_data(None)


def _write_offset(cursor: _Cursor) -> None:
    table = _table(cursor)
    cursor.table_data(table if cursor.number("offset", 3) == 0 else None)


def _logon(cursor: _Cursor) -> None:
    cursor.number("user id", 2)
    cursor.text("user", USER_SIZE)
    if cursor.left:
        cursor.number("session idle timeout", 2, _seconds)


def _security(cursor: _Cursor) -> None:
    cursor.text("password", PASSWORD_SIZE)
    if cursor.left:
        cursor.number("user id", 2)


def _authenticate(cursor: _Cursor) -> None:
    cursor.take("authentication", cursor.number("length", 1))


def _negotiate(cursor: _Cursor) -> None:
    cursor.number("packet size", 2)
    cursor.number("packets", 1)
    while cursor.left:
        cursor.number("rate", 1, lambda code: f"{BAUDS[code]} baud" if code < len(BAUDS) else f"unknown {code}")


def _timing(cursor: _Cursor) -> None:
    for name in ("traffic timeout", "inter-character timeout", "response timeout"):
        cursor.number(name, 1, _seconds)
    cursor.number("retries", 1)


def _register(cursor: _Cursor) -> None:
    kind = cursor.number("node type", 1, lambda bits: flags_text((*NODE_TYPES, "domain pattern follows"), bits))
    cursor.number("connection type", 1, lambda bits: flags_text(CONNECTION_TYPES, bits))
    cursor.take("device class", 4)
    cursor.title("AP title")
    cursor.title("electronic serial number")
    cursor.text("native address", cursor.number("address length", 1))
    cursor.number("registration period", 3, _seconds)
    if kind & 0x80:
        cursor.text("domain pattern", cursor.number("pattern length", 1))


def _named(cursor: _Cursor) -> None:
    cursor.title("AP title")


def _trace(cursor: _Cursor) -> None:
    while cursor.left:
        cursor.title("AP title")


def _wait(cursor: _Cursor) -> None:
    cursor.number("wait", 1, _seconds)


def _rest(_cursor: _Cursor) -> None:
    """Nothing is known of what follows: it is shown as it is."""


def _seconds(value: int) -> str:
    return f"{value} s"


_REQUESTS: dict[int, Callable[[_Cursor], object]] = {
    DEREGISTER: _named, RESOLVE: _named, TRACE: _trace, REGISTER: _register, 0x30: _table,
    **dict.fromkeys(range(0x31, 0x3A), _read_index), 0x3F: _read_offset, 0x40: _write_full,
    **dict.fromkeys(range(0x41, 0x4A), _write_index), 0x4F: _write_offset, 0x50: _logon, 0x51: _security,
    0x53: _authenticate, **dict.fromkeys(range(0x60, 0x6C), _negotiate), 0x70: _wait, 0x71: _timing,
}  # fmt: skip


def _response(cursor: _Cursor, code: int, request: bytes | None) -> None:
    asked = request[0] if request else None
    if code != OK:
        if code in (RQTL, RSTL) and cursor.left >= 4:
            cursor.number("largest size", 4)
        elif asked == TRACE:
            _trace(cursor)
        return
    if request and asked is not None and 0x30 <= asked <= 0x3F:
        cursor.table_data(_whole_table(request))
    elif asked is not None and asked in _RESPONSES:
        _RESPONSES[asked](cursor)


def _whole_table(request: bytes) -> int | None:
    """The table of which a read's answer is the beginning, for it to be shown in fields."""
    starts = request[0] == 0x30 or (request[0] == 0x3F and not any(request[3:6]))
    return int.from_bytes(request[1:3], "big") if starts and len(request) >= 3 else None


def _identified(cursor: _Cursor) -> None:
    cursor.number("standard", 1, lambda code: _STANDARDS.get(code, f"unknown {code}"))
    cursor.number("version", 1)
    cursor.number("revision", 1)
    while cursor.left and (kind := cursor.data[cursor.at]):
        cursor.take("feature", 1, _FEATURES.get(kind, f"unknown {kind:#04x}"))
        if kind in (SECURITY_MECHANISM, DEVICE_CLASS):
            cursor.title(_FEATURES[kind])
        elif kind == SESSION_CONTROL:
            cursor.number("session control", 1, _session_control)
        elif kind == DEVICE_IDENTITY:
            size = cursor.number("identity length", 1)
            if size:
                cursor.number("identity format", 1)
                cursor.text("identity", size - 1)
        elif kind == AUTHENTICATION:
            cursor.take("authentication type and algorithm", 2)
        elif kind == AUTHENTICATION_TICKET:
            cursor.take("authentication type and algorithm", 2)
            cursor.take("ticket", cursor.number("ticket length", 1))
        else:
            return
    if cursor.left:
        cursor.take("end of list", 1, "")


def _session_control(bits: int) -> str:
    return f"{bits & 0x7F} sessions, {'also without session' if bits & 0x80 else 'not without session'}"


def _logged_on(cursor: _Cursor) -> None:
    if cursor.left:
        cursor.number("session idle timeout", 2, _seconds)


def _registered(cursor: _Cursor) -> None:
    cursor.title("AP title")
    cursor.number("registration delay", 2, _seconds)
    cursor.number("registration period", 3, _seconds)
    cursor.number(
        "registration info", 1, lambda bits: flags_text(("direct messaging available", *CONNECTION_TYPES[1:]), bits)
    )


def _resolved(cursor: _Cursor) -> None:
    cursor.text("native address", cursor.number("address length", 1))


_RESPONSES: dict[int, Callable[[_Cursor], None]] = {
    0x20: _identified, REGISTER: _registered, RESOLVE: _resolved, TRACE: _trace, 0x50: _logged_on, 0x53: _authenticate,
    **dict.fromkeys(range(0x60, 0x6C), _negotiate), 0x71: _timing,
}  # fmt: skip
