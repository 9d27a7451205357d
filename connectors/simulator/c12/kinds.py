"""What sorts of ANSI C12 meters there are: formats, protection, and what they write at all."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.c12.epsem import Mode


@dataclass(frozen=True, slots=True)
class C12Kind:
    """One sort of meter. Table 0 and the limits of each decade say the same of it."""

    manufacturer: str
    """Of table 1, four characters."""
    model: str
    """Likewise, eight."""
    device_class: bytes
    """Four octets."""
    mode: Mode = Mode.CIPHERED
    """How its messages are protected, and at least those that it takes."""
    key_id: int = 0
    session: bool = False
    """Whether a client must log on with the password; else the messages prove themselves."""
    relative: bool = True
    """Whether its application title is written relative to C12.22's base."""
    seconds: bool = True
    """Times count seconds (format 4 of table 0), or minutes (3)."""
    local: bool = False
    """Its clock keeps local standard time, else UTC."""
    number: int = 4
    """Octets of a number of NI_FMAT1, whole and signed: 4, 6 or 8."""
    interval: int = 2
    """Octets of an interval's value, whole and without sign."""
    extended: bool = True
    """Each interval has a status of its own."""
    simple: bool = False
    """Each block has a bit an interval that says whether it is valid."""
    largest: int = 65_535
    """Octets of one message; longer answers go in segments."""
