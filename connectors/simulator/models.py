"""Meter types a fleet is mixed of: how each one pushes, and what its load profile looks like.

Vendors' names stand for the shape of their telegrams, as published captures and profiles show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.protocols.c12.epsem import Mode
from connectors.simulator.c12.kinds import C12Kind
from schemas.records import Network, Transport


class Layout(StrEnum):
    """How a push body says what its values are."""

    TAGGED = "tagged"  # structure of {OBIS, value, {scaler, unit}}
    OBJECT_LIST = "object-list"  # push object list first, then values by position
    DESCRIPTORS = "descriptors"  # {class, OBIS, attribute} untagged before each value
    FLAT = "flat"  # OBIS, value, OBIS, value … after a list name
    HAN_POSITIONAL = "han-positional"  # list version first, values by position, no OBIS


@dataclass(frozen=True, slots=True)
class MeterModel:
    """One vendor's meter type."""

    vendor: str
    model: str
    flag: str  # three letters of the FLAG association: system title and logical device name start with them
    template: str  # what the head-end has for it
    network: Network
    transport: Transport
    layout: Layout
    ciphered: bool  # general-glo, suite 0, authenticated and encrypted
    confirmed: bool  # data-notification with service class confirmed
    weight: int
    energy_scalers: tuple[int, ...] = (0,)  # of 1.8.0 and 2.8.0 in Wh; decided per meter
    udp: bool = False
    alarms: bool = True  # sends events of its own
    alarm_register: bool = False  # may say a tamper or a clock fault by a bit of alarm register 1 (IDIS, DSMR)
    open: bool = False  # its public client may read everything, without authentication
    pdu: int = 1024  # largest PDU it sends; long answers go in blocks
    status_obis: str = "0.0.96.10.1.255"
    time_zone: str = "Europe/Berlin"
    deviation: bool = True  # whether its date-times carry the offset
    list_name: str = ""  # first element of a flat or positional list
    c12: C12Kind | None = None  # of ANSI C12.22, and not of DLMS: transport, layout and what follows it mean nothing then


MODELS: tuple[MeterModel, ...] = (
    MeterModel(
        vendor="Iskraemeco", model="AM550", flag="ISK", template="iskra", network=Network.PLC_G3, weight=6,
        transport=Transport.WRAPPER, layout=Layout.TAGGED, ciphered=True, confirmed=True,
        pdu=512, time_zone="Europe/Ljubljana", alarm_register=True,
    ),
    MeterModel(
        vendor="Landis+Gyr", model="E450", flag="LGZ", template="landis-gyr", network=Network.PLC_PRIME, weight=5,
        transport=Transport.WRAPPER, layout=Layout.OBJECT_LIST, ciphered=True, confirmed=True,
        status_obis="0.0.96.10.2.255", time_zone="Europe/Zurich", alarm_register=True,
    ),
    MeterModel(
        vendor="Sagemcom", model="S212", flag="SAG", template="sagemcom", network=Network.NB_IOT, weight=5,
        transport=Transport.WRAPPER, layout=Layout.TAGGED, ciphered=False, confirmed=True,
        energy_scalers=(-1, 0), status_obis="0.0.96.10.2.255", time_zone="Europe/Brussels", alarm_register=True,
    ),
    MeterModel(
        vendor="Honeywell", model="AS300", flag="HON", template="generic", network=Network.ETHERNET, weight=3,
        transport=Transport.WRAPPER, layout=Layout.OBJECT_LIST, ciphered=False, confirmed=True,
        energy_scalers=(0, 2, 3), pdu=256, time_zone="Europe/London", open=True,
    ),
    MeterModel(
        vendor="Kamstrup", model="OMNIPOWER", flag="KAM", template="kamstrup-han", network=Network.RF_MESH, weight=4,
        transport=Transport.WRAPPER, layout=Layout.FLAT, ciphered=True, confirmed=True,
        energy_scalers=(1,), time_zone="Europe/Copenhagen", open=True, deviation=False, list_name="Kamstrup_V0001",
    ),
    MeterModel(
        vendor="Kaifa", model="MA304H3E", flag="KFM", template="kaifa-han", network=Network.RF_MESH, weight=3,
        transport=Transport.HDLC, layout=Layout.HAN_POSITIONAL, ciphered=False, confirmed=False,
        alarms=False, open=True, time_zone="Europe/Oslo", deviation=False, list_name="KFM_001",
    ),
    MeterModel(
        vendor="Kamstrup", model="OMNIA HAN", flag="KAM", template="kamstrup-han", network=Network.RF_MESH, weight=2,
        transport=Transport.HDLC, layout=Layout.FLAT, ciphered=True, confirmed=False,
        energy_scalers=(1,), alarms=False, open=True, time_zone="Europe/Oslo", deviation=False, list_name="Kamstrup_V0001",
    ),
    MeterModel(
        vendor="Kaifa", model="MA309M", flag="KFM", template="generic", network=Network.ETHERNET, weight=2,
        transport=Transport.MBUS, layout=Layout.TAGGED, ciphered=True, confirmed=False,
        alarms=False, open=True, time_zone="Europe/Vienna",
    ),
    MeterModel(
        vendor="EGD", model="AM375", flag="EGD", template="egd", network=Network.NB_IOT, weight=2,
        transport=Transport.RAW, layout=Layout.DESCRIPTORS, ciphered=False, confirmed=False,
        udp=True, alarms=False, time_zone="Europe/Prague",
    ),
)  # fmt: skip
"""Every type, in order: a fleet draws from the confirmed ones, and from the others by `unconfirmed_share`."""

C12_MODELS: tuple[MeterModel, ...] = (
    MeterModel(
        vendor="Itron", model="OpenWay CENTRON", flag="ITN", template="simulated-openway", network=Network.RF_MESH, weight=3,
        transport=Transport.RAW, layout=Layout.TAGGED, ciphered=True, confirmed=True, time_zone="America/New_York",
        c12=C12Kind("ITRN", "CENTRON", b"\x01\x02\x03\x04", Mode.CIPHERED, relative=True),
    ),
    MeterModel(
        vendor="Landis+Gyr", model="FOCUS AX", flag="LGF", template="simulated-focus", network=Network.NB_IOT, weight=2,
        transport=Transport.RAW, layout=Layout.TAGGED, ciphered=True, confirmed=True, time_zone="America/Denver",
        c12=C12Kind(
            "LG  ", "FOCUS AX", b"\x05\x06\x07\x08", Mode.AUTHENTICATED, key_id=1, session=True, relative=False,
            seconds=False, local=True, number=6, interval=4, extended=False, simple=True, largest=1_200,
        ),
    ),
)  # fmt: skip
"""Types of ANSI C12.22, of which `c12_share` of a fleet is."""
