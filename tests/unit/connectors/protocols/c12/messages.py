"""Messages that tests of C12.22 share: titles, keys, and one of every kind that the standard has."""

from __future__ import annotations

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_security import KeyLookup, Seal, keyring, seal
from connectors.protocols.c12.c1222_services import (
    END_DEVICE,
    Deregister,
    Register,
    Registered,
    Request,
    Resolve,
    Resolved,
    Response,
    Trace,
    Traced,
    encode_request,
    encode_response,
)
from connectors.protocols.c12.epsem import Body, Mode, Respond
from connectors.protocols.c12.requests import (
    Disconnect,
    Identify,
    Logoff,
    Logon,
    ReadDefault,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Security,
    Terminate,
    Wait,
    WriteFull,
    WriteIndex,
    WriteOffset,
)
from connectors.protocols.c12.responses import (
    DEVICE_CLASS,
    RESPONSES,
    SECURITY_MECHANISM,
    SESSION_CONTROL,
    Done,
    Feature,
    Identified,
    LoggedOn,
    Refused,
    TableData,
)
from connectors.protocols.c12.titles import C1222_CONTEXT, C1222_SECURITY, ApTitle, title

METER, HES = title("1.3.6.1.4.1.33507.1919.7.0"), title("1.3.6.1.4.1.33507.1")
METER_RELATIVE, HES_RELATIVE = title(".123.8437"), title(".123.4")
SERIAL = title("1.3.6.1.4.1.33507.88.12345678")
KEY, KEY_ID = bytes.fromhex("0102030405060708") * 2, 2
IV = bytes.fromhex("48f3d061")
PASSWORD = b"SECRET PASSWORD OF 20"[:20]
CIPHERED = Seal(Mode.CIPHERED, KEY, KEY_ID, IV)
AUTHENTICATED = Seal(Mode.AUTHENTICATED, KEY, KEY_ID, IV)
KEYS: KeyLookup = keyring({("*", KEY_ID): KEY})

REQUESTS: dict[str, Request] = {
    "identify": Identify(),
    "terminate": Terminate(),
    "disconnect": Disconnect(),
    "register": Register(END_DEVICE, 0xB0, b"TEMP", METER, SERIAL, b"\x0a\x00\x00\x01\x04\x81", 86_400),
    "register with a pattern": Register(END_DEVICE, 0, b"TEMP", ApTitle(b"", 0x80), SERIAL, b"", 0, b"\x01\x02"),
    "deregister": Deregister(METER_RELATIVE),
    "resolve": Resolve(METER),
    "trace": Trace((METER, METER_RELATIVE)),
    "full read": ReadFull(2048 + 5),
    "default read": ReadDefault(),
    "index read": ReadIndex(23, (1, 2, 3), 4),
    "offset read": ReadOffset(64, 70_000, 1024),
    "full write": WriteFull(52, bytes(range(40))),
    "index write": WriteIndex(3, (1,), b"\x07"),
    "offset write": WriteOffset(64, 3, b"\x01\x02\x03"),
    "procedure": WriteFull(7, bytes.fromhex("0a000101020304")),
    "logon": Logon(2, b"head-end", 60),
    "security": Security(PASSWORD, 2),
    "logoff": Logoff(),
    "wait": Wait(30),
}
RESPONSES_OK: dict[str, tuple[Request, Response]] = {
    "identify": (
        Identify(),
        Identified(3, 1, 0, (Feature(SECURITY_MECHANISM, C1222_SECURITY.encode()), Feature(SESSION_CONTROL, b"\x81"),
                             Feature(DEVICE_CLASS, b"\x80\x04TEMP"))),
    ),
    "register": (REQUESTS["register"], Registered(METER, 30, 86_400, 0x31)),
    "resolve": (REQUESTS["resolve"], Resolved(b"\x0a\x00\x00\x01\x04\x81")),
    "trace": (REQUESTS["trace"], Traced((HES, METER))),
    "read": (ReadFull(1), TableData(b"EE  A3R     ")),
    "logon": (REQUESTS["logon"], LoggedOn(60)),
    "write": (REQUESTS["full write"], Done()),
}  # fmt: skip
REFUSALS = {f"{code:02X} {meaning.name}": Refused(code) for code, meaning in RESPONSES.items() if code}


def request(
    *requests: Request,
    seal_with: Seal | None = None,
    respond: Respond = Respond.ALWAYS,
    called: ApTitle = METER,
    calling: ApTitle = HES,
    invocation: int = 7,
    qualifier: int | None = None,
    ed_class: bytes | None = None,
) -> bytes:
    """A request's octets."""
    apdu = Apdu(called, calling, invocation, qualifier=qualifier, context=C1222_CONTEXT)
    return seal(apdu, Body(tuple(encode_request(one) for one in requests), ed_class), seal_with, respond=respond)


def response(*responses: Response, seal_with: Seal | None = None, to: int | None = 7, invocation: int = 300,
             calling: ApTitle = METER) -> bytes:  # fmt: skip
    """An answer's octets."""
    apdu = Apdu(HES, calling, invocation, to)
    return seal(apdu, Body(tuple(encode_response(one) for one in responses)), seal_with)


def notification(*requests: Request, seal_with: Seal | None = None, invocation: int = 8) -> bytes:
    """What a meter sends unasked."""
    apdu = Apdu(HES, METER, invocation, qualifier=acse.NOTIFICATION | acse.URGENT)
    return seal(apdu, Body(tuple(encode_request(one) for one in requests), b"TEMP"), seal_with, respond=Respond.NEVER)
