"""PSEM responses as values (ANSI C12.18, 5.2; C12.22, 5.3.2): what the meter says, and what to do about its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from connectors.protocols.c12.errors import PeerError
from connectors.protocols.c12.requests import Timings

OK, ERR, SNS, ISC, ONP, IAR, BSY, DNR, DLK, RNO, ISSS, SME, UAT, NETT, NETR, RQTL, RSTL, SGNP, SGERR = range(0x13)
"""The response codes by the standard's abbreviations."""


class Meaning(NamedTuple):
    """One response code."""

    name: str
    says: str
    mend: str
    retry: bool


_NEVER, _LATER = False, True

RESPONSES: dict[int, Meaning] = {
    OK: Meaning("ok", "acknowledged", "", _NEVER),
    ERR: Meaning("err", "error", "rejected: check user, password or key, then the table and its length", _NEVER),
    SNS: Meaning("sns", "service not supported", "leave this service out in the template", _NEVER),
    ISC: Meaning("isc", "insufficient security clearance", "log on with a password or key that has the right", _NEVER),
    ONP: Meaning("onp", "operation not possible", "no such table, or not in one piece: see table 0, or read in parts",
                 _NEVER),
    IAR: Meaning("iar", "inappropriate action requested", "the table cannot be read or written so: compare the template",
                 _NEVER),
    BSY: Meaning("bsy", "device busy", "ask again later", _LATER),
    DNR: Meaning("dnr", "data not ready", "ask again later", _LATER),
    DLK: Meaning("dlk", "data locked", "another client holds the table: ask again later", _LATER),
    RNO: Meaning("rno", "renegotiate request", "identify, negotiate and log on again", _LATER),
    ISSS: Meaning("isss", "invalid service sequence state", "terminate and begin again with identify", _LATER),
    SME: Meaning("sme", "security mechanism error", "check key, key id and security mode of the meter", _NEVER),
    UAT: Meaning("uat", "unknown or invalid application title", "check the application title, or wait for its registration",
                 _NEVER),
    NETT: Meaning("nett", "network time-out", "the meter did not answer its network: ask again later", _LATER),
    NETR: Meaning("netr", "network not reachable", "the network cannot reach the meter now: ask again later", _LATER),
    RQTL: Meaning("rqtl", "request too large", "write in smaller parts", _NEVER),
    RSTL: Meaning("rstl", "response too large", "read in smaller parts", _NEVER),
    SGNP: Meaning("sgnp", "segmentation not possible", "ask for less at once", _NEVER),
    SGERR: Meaning("sgerr", "segmentation error", "the message did not arrive whole: send it again", _LATER),
}  # fmt: skip
"""Every response code of the standards. 0x20 and above are requests."""

AUTHENTICATION, AUTHENTICATION_TICKET = 0x01, 0x02
SECURITY_MECHANISM, SESSION_CONTROL, DEVICE_CLASS, DEVICE_IDENTITY = 0x04, 0x05, 0x06, 0x07
"""Kinds of features (C12.21, 5.2.2.1; C12.22, 5.3.2.4.1)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A response other than OK, with what came after its code."""

    response: int
    rest: bytes = b""


@dataclass(frozen=True, slots=True)
class Done:
    """OK. `rest` is empty but where the request is unknown, and its response therefore, too."""

    rest: bytes = b""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of an identify response, its body as on the wire."""

    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Identified:
    """Standard (0 is C12.18, 2 C12.21, 3 C12.22), its version and revision, and what the meter can do beyond."""

    standard: int
    version: int
    revision: int
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True, slots=True)
class TableData:
    """What was read. `sum` is what came as its checksum; None is the right one."""

    data: bytes
    sum: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedOn:
    """Logged on; with C12.22's idle time-out where the request had one."""

    idle_s: int | None = None


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The meter's proof."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What holds from now on. `baud` is None where the meter names none."""

    packet_size: int
    packets: int
    baud: int | None = None


Response = Refused | Done | Identified | TableData | LoggedOn | Authenticated | Negotiated | Timings


def name_of(code: int) -> str:
    """A response code as a person reads it, such as `isc (insufficient security clearance)`."""
    meaning = RESPONSES.get(code)
    return f"{meaning.name} ({meaning.says})" if meaning else f"0x{code:02X} (not in the standard)"


def refused(code: int, subject: str) -> PeerError:
    """The error for a response other than OK to `subject`, such as "table 63"."""
    meaning = RESPONSES.get(code)
    mend, retry = (meaning.mend, meaning.retry) if meaning else ("ask the vendor what it means", False)
    return PeerError("psem-response", f"{subject}: the meter answered {name_of(code)}: {mend}", retry=retry, response=code)
