"""What is known of a meter type, as plain values. `connectors.templates` reads them from YAML; this room only uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

ALARM_KINDS = frozenset(
    (
        "UNKNOWN", "OUTAGE", "RESTORATION", "TAMPER_COVER", "TAMPER_TERMINAL", "TAMPER_MAGNET", "TAMPER_BYPASS",
        "TAMPER_REVERSE_FLOW", "TAMPER_OTHER", "VOLTAGE", "CLOCK", "COMMUNICATION", "SECURITY", "FIRMWARE", "DEVICE",
    )
)  # fmt: skip
"""Names of the alarm kinds of the records, which this room may not import; a test proves them equal."""

SEVERITIES = frozenset(("UNKNOWN", "INFO", "WARNING", "CRITICAL"))
IDENTITY_KINDS = ("SYSTEM_TITLE", "LOGICAL_DEVICE_NAME", "SERIAL")
AUTHS = ("none", "low", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256", "hls-ecdsa")
SECURITIES = ("none", "authenticated", "encrypted", "both")
REFERENCINGS = ("ln", "sn")
CIPHERINGS = ("service", "general", "general-ciphering")
KEY_INFOS = ("identified", "wrapped", "one-pass", "static")
LAYOUTS = ("object-list", "push-setup", "list", "tagged", "positional")

QUIRKS = {
    "null-repeats": "a null in a profile row repeats the row before, where the standard says so only of compressed buffers",
    "no-deviation": "a deviation in date-times that are sent (selective access, clock) is refused: they go without",
    "no-weekday": "a day of the week in the time that is set is refused: it goes without",
    "date-time-tag": "the clock is set under the type date-time: an octet-string is refused",
    "no-lists": "requests with list are granted and then refused or answered wrongly: none are proposed",
    "no-selective-access": "selective access is granted and then not done: it is not proposed, and buffers are cut here",
    "mbus-id-binary": "the identification of M-Bus devices is a plain number, where the standard has BCD",
}
"""Named switches for what single meter types do differently, each with what it is about."""

SERIALS = ("0.0.96.1.0.255", "1.0.0.0.0.255", "0.0.96.1.1.255", "1.1.0.0.1.255", "1.1.0.0.5.255")
"""Where a serial number may stand, the likeliest first."""


def _none() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Position:
    """What stands at one place of a body that does not name its values. An empty `obis` is a place to skip."""

    obis: str
    class_id: int | None = None
    attribute: int = 2
    scaler: int | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """What one bit or code means."""

    kind: str
    severity: str = "WARNING"
    event_type: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AlarmTable:
    """The bits of an alarm register, or the codes of an event object. Bit 0 is the least significant."""

    name: str
    entries: Mapping[int, AlarmSpec]


@dataclass(frozen=True, slots=True)
class PushTemplate:
    """How a meter type pushes. Everything has a default under which the decoder recognises what it can by itself."""

    name: str = ""
    layout: str | None = None
    """One of `LAYOUTS`; None: recognise."""
    lists: Mapping[tuple[str, int], tuple[Position, ...]] = field(default_factory=_none)
    """(list identifier, number of elements) to positions; the identifier is empty for a list that carries none, "*" for
    bodies that begin with any text."""
    objects: Mapping[str, tuple[Position, ...]] = field(default_factory=_none)
    """Push setup's OBIS, or "*", to the positions of its body."""
    units: Mapping[str, tuple[int, str]] = field(default_factory=_none)
    """OBIS to (scaler, unit), for telegrams that name values but carry neither."""
    unnamed: Mapping[int, str] = field(default_factory=_none)
    """Place among the elements without a name (negative from the end) to OBIS."""
    profiles: Mapping[str, tuple[Position, ...]] = field(default_factory=_none)
    """Profile's OBIS to its capture objects, for buffers pushed without them."""
    deviation_reversed: bool = False
    """The market sends the deviation as UTC to local."""
    time_zone: str | None = None
    """IANA name of the zone that times without deviation are in, where it is not the meter's own."""
    identity_order: tuple[str, ...] = IDENTITY_KINDS
    serials: tuple[str, ...] = SERIALS
    alarms: Mapping[str, AlarmTable] = field(default_factory=_none)
    """OBIS of an alarm register or descriptor to its bits."""
    events: Mapping[str, AlarmTable] = field(default_factory=_none)
    """OBIS of an event object (0.0.96.11.x) to its codes."""
    protected: bool = False
    """Every push is ciphered with the meter's keys: one in clear is not believed, whoever it says it is from."""


@dataclass(frozen=True, slots=True)
class PullTemplate:
    """How a meter type is read."""

    transport: str = "WRAPPER"
    client: int = 16
    server: int = 1
    auth: str = "none"
    """One of `AUTHS`."""
    security: str = "none"
    """One of `SECURITIES`: how requests and answers are protected."""
    suite: int = 0
    dedicated: bool = False
    """Whether each association has a key of its own."""
    public_client: int = 16
    counter: str | None = None
    """OBIS of the invocation counter that the public client may read; None: the meter has none."""
    clock: str = "0.0.1.0.0.255"
    load_profile: str = "1.0.99.1.0.255"
    load_period_s: int = 900
    daily_profile: str | None = "1.0.99.2.0.255"
    billing_profile: str | None = None
    profiles: Mapping[str, str] = field(default_factory=_none)
    """Further profiles, such as of power quality: what they are of, to OBIS."""
    event_logs: tuple[str, ...] = ()
    alarm_registers: tuple[str, ...] = ()
    mbus_channels: tuple[int, ...] = ()
    """Channels that may have a gas, water or heat meter behind them."""
    clients: Mapping[str, int] = field(default_factory=_none)
    """What else may associate, by the market's name for it, to client address. Facts: `client` is who we are."""
    registers: tuple[str, ...] = ()
    """class/OBIS/attribute."""
    relay: str = "0.0.96.3.10.255"
    """OBIS of the disconnect control (class 70) of the supply."""
    limiter: str = "0.0.17.0.0.255"
    calendar: str = "0.0.13.0.0.255"
    settable: tuple[str, ...] = ()
    """class/OBIS/attribute that a command may set; no other is."""
    firmware: str = "1.0.0.2.0.255"
    """OBIS of the active firmware identifier (class 1), which names the version."""
    hardware: str | None = None
    """OBIS of the hardware revision (class 1), for images that are not for every one."""
    image_transfer: str = "0.0.44.0.0.255"
    """OBIS of the image transfer (class 18)."""
    restart_s: int = 60
    """How long the meter is left alone after it was told to activate an image."""
    back_s: int = 900
    """By when it must answer then with the new version; after that it is taken to be silent."""
    referencing: str = "ln"
    """One of `REFERENCINGS`: logical names, or short names as older meters have them."""
    ciphering: str = "service"
    """One of `CIPHERINGS`, the APDU around a protected one: glo- or ded- of the service; general-glo or general-ded, with
    the system title; general-ciphering, with both system titles and word of the key. `dedicated` makes ded- of glo-.
    """
    key_info: str = "identified"
    """One of `KEY_INFOS`, the key of general-ciphering: the global one, one wrapped under the master key, or one agreed on
    by an ephemeral key of the sender's (C(1e, 1s)) or by static keys (C(0e, 2s)).
    """
    signed: bool = False
    """Whether requests and answers are signed, too (general-signing)."""
    gbt_window: int = 0
    """General block transfer: blocks that the meter may stream before it waits, 1 to 63; 0 does not propose it."""
    challenge_octets: int = 0
    """Of our challenge in high level security, 8 to 64; 0 is 16, which more meters take than take more, or ECDSA's 32."""
    hdlc_physical: int | None = None
    """HDLC: the lower address, of the meter on its bus; None has the upper one alone."""
    hdlc_octets: int = 0
    """HDLC: of the meter's address, 1, 2 or 4; 0 is the shortest that fits."""
    hdlc_information: int = 128
    """HDLC: octets of information in a frame that are proposed each way; 128 is what goes without saying."""
    hdlc_window: int = 1
    """HDLC: frames in a row that are proposed each way, 1 to 7."""


def contradiction(pull: PullTemplate) -> str:
    """Why no association can be as this says, and what to change; "" where one can."""
    suited = pull.auth == "hls-ecdsa" or pull.signed or pull.key_info in ("one-pass", "static")
    encrypted, ciphered = pull.security in ("encrypted", "both"), pull.security != "none"
    wrong = (
        (suited and pull.suite == 0, "signatures and key agreement are of suites 1 and 2: set suite"),
        (pull.dedicated and not encrypted, "a dedicated key must travel encrypted: set security to both"),
        (pull.dedicated and pull.ciphering == "general-ciphering",
         "general-ciphering names its own key: leave dedicated out, or set ciphering to general"),
        (pull.ciphering != "service" and not ciphered, f"ciphering {pull.ciphering} protects nothing: set security"),
        (pull.signed and not ciphered, "signed APDUs travel in a ciphered association: set security"),
        (pull.key_info != "identified" and pull.ciphering != "general-ciphering",
         f"key_info {pull.key_info} is of general-ciphering: set ciphering to it, or leave key_info out"),
        (pull.auth == "hls-ecdsa" and 0 < pull.challenge_octets < 32, "a challenge for hls-ecdsa has 32 octets at least"),
    )  # fmt: skip
    return next((why for applies, why in wrong if applies), "")


@dataclass(frozen=True, slots=True)
class Template:
    """One file of `connectors/templates`, with what it extends folded in."""

    name: str
    extends: str | None = None
    vendor: str = ""
    protocol: str = "DLMS"
    engine: str = "own"
    push: PushTemplate = PushTemplate()
    pull: PullTemplate = PullTemplate()
    quirks: frozenset[str] = frozenset()
