"""Meters: who they are, where they are reached, and which of them something is for."""

from __future__ import annotations

from enum import StrEnum

from schemas.records.fields import Millis
from schemas.values import value_class


class IdentityKind(StrEnum):
    """What a meter may present to say who it is."""

    UNKNOWN = "UNKNOWN"
    SYSTEM_TITLE = "SYSTEM_TITLE"  # 8 octets as upper-case hex
    LOGICAL_DEVICE_NAME = "LOGICAL_DEVICE_NAME"  # COSEM 0.0.42.0.0.255
    SERIAL = "SERIAL"  # device id 1, 0.0.96.1.0.255
    AP_TITLE = "AP_TITLE"  # C12.22
    ENDPOINT = "ENDPOINT"  # host, or host:port, that it speaks from


class UtilityKind(StrEnum):
    """What the meter measures."""

    UNKNOWN = "UNKNOWN"
    ELECTRICITY = "ELECTRICITY"
    WATER = "WATER"
    GAS = "GAS"
    HEAT = "HEAT"


class Protocol(StrEnum):
    """The application protocol that a meter speaks."""

    UNKNOWN = "UNKNOWN"
    DLMS = "DLMS"
    C1218 = "C1218"
    C1222 = "C1222"


class Network(StrEnum):
    """The access network, which decides pacing and deadlines."""

    UNKNOWN = "UNKNOWN"
    NB_IOT = "NB_IOT"
    RF_MESH = "RF_MESH"
    PLC_PRIME = "PLC_PRIME"
    PLC_G3 = "PLC_G3"
    LORAWAN = "LORAWAN"
    ETHERNET = "ETHERNET"


class MeterState(StrEnum):
    """Where a meter is in its life."""

    UNKNOWN = "UNKNOWN"
    INSTALLED = "INSTALLED"
    DISCOVERED = "DISCOVERED"  # it spoke, nobody had registered it
    NORMAL = "NORMAL"
    LOST = "LOST"
    RETIRED = "RETIRED"
    EXCHANGED = "EXCHANGED"


@value_class
class Identity:
    """One identity that a meter may present."""

    kind: IdentityKind = IdentityKind.UNKNOWN
    value: str = ""


@value_class
class Meter:
    """What the head-end knows of one meter; on `hes.meters`, keyed by `id`."""

    id: str = ""
    identities: tuple[Identity, ...] = ()
    vendor: str = ""
    model: str = ""
    utility: UtilityKind = UtilityKind.UNKNOWN
    protocol: Protocol = Protocol.UNKNOWN
    network: Network = Network.UNKNOWN
    segment: str = ""  # concentrator, cell or mesh collector
    endpoint: str = ""  # where it is reached: tcp://host:port; empty where it only pushes
    template: str = ""
    key_ref: str = ""  # a name in the key store, never a key
    feeder: str = ""
    transformer: str = ""
    time_zone: str = ""  # IANA name
    life_support: bool = False
    groups: tuple[str, ...] = ()
    state: MeterState = MeterState.UNKNOWN
    exchanged_for: str = ""
    firmware: str = ""
    updated_at: Millis = 0
    hardware: str = ""  # revision
    firmware_at: Millis = 0  # when the meter itself told its firmware or hardware; 0: a file did


@value_class
class Target:
    """Which meters a command or schedule is for; what is filled is combined with AND."""

    meters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    transformers: tuple[str, ...] = ()
    feeders: tuple[str, ...] = ()
