"""Where the meter is, as it is written on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.cli.failure import CommandError, usage

DLMS_PORT = 4059
_ANSI = ("c1222", "c1218")
_TRANSPORTS = {"": False, "dlms": False, "tcp": False, "udp": True}
_URL = re.compile(r"(?:(?P<scheme>[A-Za-z0-9+.-]+)://)?(?P<rest>.*?)/?", re.DOTALL)
_PLACE = re.compile(r"(?:\[(?P<bracketed>[^\[\]@/\s]+)\]|(?P<host>[^\[\]:@/\s]+))(?::(?P<port>[0-9]{1,5}))?")
_MEND = "write dlms://HOST:PORT, udp://HOST:PORT or HOST:PORT; an IPv6 address in brackets, dlms://[2001:db8::7]:4059"


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port; `datagram` is UDP."""

    host: str
    port: int
    datagram: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} ({'UDP' if self.datagram else 'TCP'})"


def parse(text: str) -> Target:
    """`dlms://HOST[:PORT]`, `tcp://`, `udp://` or nothing before it; the port is 4059 where none is given.

    Raises CommandError (usage), also for ANSI meters, which this does not speak yet.
    """
    url = _URL.fullmatch(text.strip())
    scheme = (url["scheme"] or "").lower() if url else ""
    if scheme in _ANSI:
        raise usage(f"{scheme}:// comes with the ANSI gateway", "DLMS meters are probed by dlms://HOST:PORT")
    if url is None or scheme not in _TRANSPORTS:
        raise usage(f"{scheme}:// is no meter's protocol", _MEND)
    place = _PLACE.fullmatch(url["rest"])
    if place is None:
        raise _nowhere()
    port = int(place["port"] or DLMS_PORT)
    if not 0 < port < 0x10000:
        raise usage(f"there is no port {port}", "a port is 1 to 65535; DLMS meters mostly listen on 4059")
    return Target(place["bracketed"] or place["host"], port, _TRANSPORTS[scheme])


def _nowhere() -> CommandError:
    # Not repeated: it may hold a password, as in dlms://user:password@host.
    return usage("the meter's address cannot be read", _MEND)
