"""PSEM services, octets to values and back (ANSI C12.18, 5.2; C12.21, 5.2; C12.22, 5.3.2): what all three standards share.

A service is one code octet and its fields, numbers highest octet first whatever table 0 says. A response does not say what
it answers, so `decode_response` is told the request's code.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.octets import Octets, number, table_data
from connectors.protocols.c12.requests import (
    BAUDS,
    PASSWORD_SIZE,
    USER_SIZE,
    Authenticate,
    Disconnect,
    Identify,
    Logoff,
    Logon,
    Negotiate,
    ReadDefault,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Request,
    Security,
    Terminate,
    Timings,
    Wait,
    WriteFull,
    WriteIndex,
    WriteOffset,
    baud_code,
)
from connectors.protocols.c12.responses import (
    AUTHENTICATION,
    AUTHENTICATION_TICKET,
    DEVICE_CLASS,
    DEVICE_IDENTITY,
    OK,
    RESPONSES,
    SECURITY_MECHANISM,
    SESSION_CONTROL,
    Authenticated,
    Done,
    Feature,
    Identified,
    LoggedOn,
    Negotiated,
    Refused,
    Response,
    TableData,
)


def encode_request(request: Request) -> bytes:
    """The octets of a request. Raises DecodeError "psem-malformed" where a field does not fit."""
    return bytes((request.code,)) + request.fields()


def encode_response(response: Response) -> bytes:
    """The octets of a response. Raises DecodeError "psem-malformed" where a field does not fit."""
    match response:
        case Refused(code, rest):
            return bytes((code,)) + rest
        case Done(rest):
            body = rest
        case Identified(standard, version, revision, features):
            body = bytes((standard, version, revision)) + b"".join(bytes((f.kind,)) + f.body for f in features)
            body += b"\0" if not features or features[-1].kind in _FEATURE_SIZES else b""
        case TableData(data, sum_):
            body = table_data(data, sum_)
        case LoggedOn(idle):
            body = b"" if idle is None else number(idle, 2, "idle time")
        case Authenticated(data):
            body = number(len(data), 1, "authentication length") + data
        case Negotiated(size, packets, baud):
            body = number(size, 2, "packet size") + number(packets, 1, "number of packets")
            body += b"" if baud is None else baud_code(baud)
        case Timings():
            body = response.fields()
    return bytes((OK,)) + body


def decode_request(octets: bytes) -> Request:
    """A request out of its octets. Checksums of tables are kept, not judged: see `octets.intact`.

    Raises DecodeError: "psem-truncated", "psem-malformed", or "psem-service-unknown" for a code that is none of these.
    """
    data = Octets(octets, "request")
    code = data.number(1, "service code")
    decoder = _REQUESTS.get(code)
    if decoder is None:
        raise DecodeError("psem-service-unknown", f"service code {code:02X}: no request that C12.18 or C12.21 knows")
    request = decoder(data, code)
    data.end()
    return request


def decode_response(octets: bytes, request: int | None) -> Response:
    """A response out of its octets, as the answer to the request of that code; None, or another code, gives `Done`.

    Raises DecodeError: "psem-truncated", "psem-malformed", or "psem-service-unknown" for a response code from 20 on.
    """
    data = Octets(octets, "response")
    code = data.number(1, "response code")
    if code != OK:
        if code not in RESPONSES and code >= 0x20:
            raise DecodeError("psem-service-unknown", f"{code:02X} in place of a response code: it is a request, or noise")
        return Refused(code, data.rest())
    decoder = _RESPONSES.get(request if request is not None else -1)
    if decoder is None:
        return Done(data.rest())
    response = decoder(data)
    data.end()
    return response


def _read_indices(data: Octets, code: int) -> tuple[int, ...]:
    return tuple(data.number(2, "index") for _ in range(code & 0x0F))


def _read_table_data(data: Octets) -> tuple[bytes, int]:
    return data.take(data.number(2, "octet count"), "table data"), data.number(1, "checksum")


def _bauds(data: Octets, count: int) -> tuple[int, ...]:
    codes = tuple(data.take(count, "rates"))
    if unknown := [code for code in codes if code >= len(BAUDS)]:
        raise DecodeError("psem-malformed", f"rate code {unknown[0]:02X}: not in the standard")
    return tuple(BAUDS[code] for code in codes)


def _read_features(data: Octets) -> tuple[Feature, ...]:
    """Features up to the end-of-list. Without one the list ends with the service: some meters leave it out. Of a kind that
    is not known nobody knows the length, so all that is left is its body.
    """
    features = []
    while data.left and (kind := data.number(1, "feature")):
        size = _FEATURE_SIZES.get(kind)
        features.append(Feature(kind, data.rest() if size is None else size(data)))
    return tuple(features)


def _ticket(data: Octets) -> bytes:
    head = data.take(3, "ticket length")
    return head + data.take(head[2], "ticket")


def _universal_id(data: Octets) -> bytes:
    head = data.take(2, "object identifier length")
    return head + data.take(head[1], "object identifier")


def _counted(data: Octets) -> bytes:
    head = data.take(1, "identity length")
    return head + data.take(head[0], "identity")


_FEATURE_SIZES: dict[int, Callable[[Octets], bytes]] = {
    AUTHENTICATION: lambda data: data.take(2, "authentication"),
    AUTHENTICATION_TICKET: _ticket,
    SECURITY_MECHANISM: _universal_id,
    SESSION_CONTROL: lambda data: data.take(1, "session control"),
    DEVICE_CLASS: _universal_id,
    DEVICE_IDENTITY: _counted,
}

_Decoder = Callable[[Octets, int], Request]


def _optional(data: Octets, name: str) -> int | None:
    return data.number(2, name) if data.left else None


def _timings(data: Octets) -> Timings:
    return Timings(*data.take(4, "timings"))


_REQUESTS: dict[int, _Decoder] = {
    0x20: lambda _data, _code: Identify(),
    0x21: lambda _data, _code: Terminate(),
    0x22: lambda _data, _code: Disconnect(),
    0x30: lambda data, _code: ReadFull(data.number(2, "table")),
    **dict.fromkeys(range(0x31, 0x3A), lambda data, code: ReadIndex(
        data.number(2, "table"), _read_indices(data, code), data.number(2, "element count"))),
    0x3E: lambda _data, _code: ReadDefault(),
    0x3F: lambda data, _code: ReadOffset(data.number(2, "table"), data.number(3, "offset"), data.number(2, "octet count")),
    0x40: lambda data, _code: WriteFull(data.number(2, "table"), *_read_table_data(data)),
    **dict.fromkeys(range(0x41, 0x4A), lambda data, code: WriteIndex(
        data.number(2, "table"), _read_indices(data, code), *_read_table_data(data))),
    0x4F: lambda data, _code: WriteOffset(data.number(2, "table"), data.number(3, "offset"), *_read_table_data(data)),
    0x50: lambda data, _code: Logon(data.number(2, "user id"), data.take(USER_SIZE, "user"), _optional(data, "idle time")),
    0x51: lambda data, _code: Security(data.take(PASSWORD_SIZE, "password"), _optional(data, "user id")),
    0x52: lambda _data, _code: Logoff(),
    0x53: lambda data, _code: Authenticate(data.take(data.number(1, "authentication length"), "authentication")),
    **dict.fromkeys(range(0x60, 0x6C), lambda data, code: Negotiate(
        data.number(2, "packet size"), data.number(1, "number of packets"), _bauds(data, code & 0x0F))),
    0x70: lambda data, _code: Wait(data.number(1, "seconds")),
    0x71: lambda data, _code: _timings(data),
}  # fmt: skip

_RESPONSES: dict[int, Callable[[Octets], Response]] = {
    0x20: lambda data: Identified(data.number(1, "standard"), data.number(1, "version"), data.number(1, "revision"),
                                  _read_features(data)),
    **dict.fromkeys((*range(0x30, 0x3A), 0x3E, 0x3F), lambda data: TableData(*_read_table_data(data))),
    0x50: lambda data: LoggedOn(_optional(data, "idle time")),
    0x53: lambda data: Authenticated(data.take(data.number(1, "authentication length"), "authentication")),
    **dict.fromkeys(range(0x60, 0x6C), lambda data: Negotiated(
        data.number(2, "packet size"), data.number(1, "number of packets"), _bauds(data, 1)[0] if data.left else None)),
    0x71: _timings,
}  # fmt: skip
