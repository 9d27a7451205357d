"""What is known of one type of ANSI C12 meter: how it is logged on to, how messages are protected, which tables are read.

A template is what `c12_schema` makes of a YAML file. It holds public facts and names of things, never a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from connectors.protocols.c12.c1222_security import Short
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.profile_channels import RULES, Rules
from connectors.protocols.c12.titles import C1222_BASE, ApTitle

LOGONS = ("SESSION", "MESSAGE", "NONE")
PROOFS = ("PASSWORD", "DES", "NONE")
ACCESSES = ("AUTO", "OFFSET", "INDEX", "FULL")


@dataclass(frozen=True, slots=True)
class LogonTemplate:
    """Who logs on, and how; the password and keys are in the key store."""

    user_id: int = 2
    user: str = ""
    proof: str = "PASSWORD"
    """PASSWORD: the security service, where the key store has a password. DES: authentication of C12.21. NONE: neither."""
    c1222: str = "SESSION"
    """C12.22: SESSION logs on once a visit, MESSAGE in every message, NONE never: the messages prove themselves."""
    idle_s: int = 60
    """C12.22: how long the session may be idle."""


@dataclass(frozen=True, slots=True)
class LineTemplate:
    """C12.18 and C12.21: what is negotiated."""

    c1221: bool = False
    """Whether the line is a modem's: timing setup, and its patience."""
    negotiate: bool = True
    packet_size: int = 1024
    packets: int = 8
    rates: tuple[int, ...] = ()
    """Rates to change a serial line to."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """C12.22: how messages are made and protected."""

    mode: Mode = Mode.CLEAR
    """Of requests, and the least of answers and of what comes unasked."""
    key_id: int = 0
    short: Short = Short.READ
    """What a secured message of 16 octets or less may do: EAX' does not protect it."""
    trust_clear: bool = False
    """Whether what comes in clear, which proves nothing, is taken for as serious as it says; mode CLEAR only."""
    rising: bool = True
    """Whether the meter's IVs rise, as times do."""
    base: ApTitle = C1222_BASE
    """What relative titles are relative to."""
    context: bool = False
    """Whether the meter wants the application context in every message."""
    ed_class: bytes | None = None
    largest: int = 65_535
    """Octets of one message to the meter; longer ones go in segments."""
    services: int = 8
    """Reads in one message."""
    answer: int = 4_096
    """Octets of tables that one answer is asked for."""


@dataclass(frozen=True, slots=True)
class ReadTemplate:
    """Which tables are read where a job names none; those that the meter's table 0 does not list are left out."""

    registers: tuple[int, ...] = (23, 28)
    profiles: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({"load": (64,)}))
    """Load profile tables by what a job calls them."""
    event_logs: tuple[int, ...] = (76, 74)
    access: str = "AUTO"
    """How a table is read in part; AUTO is as table 0 says."""


@dataclass(frozen=True, slots=True)
class RelayTemplate:
    """The service disconnect switch, where the meter has one: a control point of tables 111 and 112, and its levels.

    Which level opens it is the maker's business: there is no default that could be wrong.
    """

    point: int
    opens: int
    """The level, in percent of control, that cuts supply."""
    closes: int
    """The level that restores it."""


@dataclass(frozen=True, slots=True)
class C12Template:
    """One type of meter."""

    name: str
    vendor: str = ""
    time_zone: str = ""
    """IANA name; of meters whose record says none."""
    logon: LogonTemplate = LogonTemplate()
    line: LineTemplate = LineTemplate()
    messages: MessageTemplate = MessageTemplate()
    read: ReadTemplate = ReadTemplate()
    relay: RelayTemplate | None = None
    """None where nobody said how it is switched: commands to it are refused."""
    rules: Rules = RULES
    """How its load profile departs from the standard."""
    assumed: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Octets of tables (0, 71) that a notification is read by as long as no meter of the type was read."""
    catalog: Catalog = field(default=STANDARD, repr=False)
    """The standard's declarations and the maker's."""
