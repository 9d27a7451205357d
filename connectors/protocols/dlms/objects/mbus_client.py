"""M-Bus client (class 72): the gas, water and heat meters behind an electricity meter, one object a channel (0.b.24.1.0).

Their readings stand in extended registers 0.b.24.2.e and in the profile 0.b.24.3.0 (DSMR, IDIS), their valve in the
disconnect control 0.b.24.4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.get import Attribute, get_list
from connectors.protocols.dlms.objects.reading import Fields, call, read_fields, typed, unfit, written
from connectors.protocols.dlms.objects.registers import ExtendedRegister, read_extended_register

CHANNELS = (1, 2, 3, 4)
_DECIMALS = "0123456789"
_MOST_ADDRESS = 250
_KEY = 16

MEDIA = {
    0: "other", 1: "oil", 2: "electricity", 3: "gas", 4: "heat", 5: "steam", 6: "warm water", 7: "water",
    8: "heat cost allocator", 9: "compressed air", 10: "cooling, outlet", 11: "cooling, inlet", 12: "heat, inlet",
    13: "heat and cooling", 14: "bus", 15: "unknown", 21: "hot water", 22: "cold water", 23: "hot and cold water",
    24: "pressure", 25: "a/d converter", 32: "breaker", 33: "valve", 37: "customer unit", 40: "waste water", 41: "garbage",
}  # fmt: skip
"""Device type of EN 13757-3."""

_KEY_STATES = ("none", "set", "transferred", "set and transferred", "in use")


@dataclass(frozen=True, slots=True)
class MBusDevice:
    """What is on one channel; None what the meter does not tell."""

    channel: int
    primary: int | None
    """Primary address; 0 before a device was installed."""
    identification: str
    """Eight digits as on the device, empty where none is there."""
    manufacturer: str
    """Three letters (FLAG), empty where none is there."""
    version: int | None
    type: int | None
    access_number: int | None = None
    status: int | None = None
    alarm: int | None = None
    capture_period_s: int | None = None
    key_status: int | None = None
    """0 none, 1 set, 2 transferred, 3 both, 4 in use (version 1 of the class)."""

    @property
    def present(self) -> bool:
        """Whether a device is installed on the channel."""
        return bool(self.identification.strip("0")) or bool(self.manufacturer)

    @property
    def medium(self) -> str:
        """What it measures, in words."""
        return "" if self.type is None else MEDIA.get(self.type, f"type {self.type}")

    @property
    def key_state(self) -> str:
        """The key's state in words; empty where not told."""
        known = self.key_status is not None and 0 <= self.key_status < len(_KEY_STATES)
        return _KEY_STATES[self.key_status] if known and self.key_status is not None else ""


def manufacturer_letters(number: int) -> str:
    """The FLAG letters of a manufacturer id (EN 13757-3: three letters of five bits); empty for 0."""
    letters = "".join(chr(64 + (number >> shift & 0x1F)) for shift in (10, 5, 0))
    return letters if number and letters.isalpha() else "" if not number else f"{number:04X}"


def identification_digits(number: int, *, binary: bool = False) -> str:
    """Eight digits. The standard has BCD in the number; some meters (`binary`) have the plain number, and one that is no BCD
    is that, too.
    """
    text = f"{number & 0xFFFFFFFF:08X}"
    return f"{number:08}" if binary or any(digit not in _DECIMALS for digit in text) else text


def client_of(channel: int) -> str:
    """The OBIS of a channel's M-Bus client."""
    return f"0.{channel}.24.1.0.255"


def profile_of(channel: int) -> str:
    """The OBIS of a channel's profile of readings."""
    return f"0.{channel}.24.3.0.255"


def valve_of(channel: int) -> str:
    """The OBIS of a channel's disconnect control."""
    return f"0.{channel}.24.4.0.255"


def read_mbus_device(link: Associated, channel: int, *, binary: bool = False) -> Session[MBusDevice]:
    """What is on one channel. `binary`: see `identification_digits`."""
    fields = yield from read_fields(link, 72, client_of(channel), (4, 5, 6, 7, 8, 9, 10, 11, 12, 14))
    return _device(channel, fields, binary=binary)


def read_mbus_devices(
    link: Associated, channels: Sequence[int] = CHANNELS, *, binary: bool = False
) -> Session[tuple[MBusDevice, ...]]:
    """What is on each of the channels that the meter has, empty ones included (`MBusDevice.present`)."""
    found = []
    for channel in channels:
        try:
            found.append((yield from read_mbus_device(link, channel, binary=binary)))
        except PeerError as error:
            if error.code != "peer-access":
                raise
    return tuple(found)


def read_mbus_values(
    link: Associated, channel: int, registers: Sequence[int] = (1, 2, 3, 4), *, deviation_reversed: bool = False
) -> Session[tuple[ExtendedRegister, ...]]:
    """The last readings of a channel (0.b.24.2.e, e of `registers`); those that the meter lacks are left out."""
    names = [f"0.{channel}.24.2.{e}.255" for e in registers]
    answers = yield from get_list(link, [Attribute(4, name, 2) for name in names])
    found = []
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, PeerError):
            found.append((yield from read_extended_register(link, name, deviation_reversed=deviation_reversed)))
    return tuple(found)


def install(link: Associated, channel: int, primary: int = 0) -> Session[None]:
    """Assign a primary address to the device that answers at address 0, or 0 for the next free one."""
    yield from _act(link, channel, 1, _address(channel, primary))


def deinstall(link: Associated, channel: int) -> Session[None]:
    """Take the device off the channel, and forget its key."""
    yield from _act(link, channel, 2)


def capture(link: Associated, channel: int) -> Session[None]:
    """Have the meter read the device now. The values follow when the device has answered, for wireless ones hours later."""
    yield from _act(link, channel, 3)


def reset_alarm(link: Associated, channel: int) -> Session[None]:
    """Reset the device's alarm state."""
    yield from _act(link, channel, 4)


def synchronise_clock(link: Associated, channel: int) -> Session[None]:
    """Have the meter set the device's clock by its own."""
    yield from _act(link, channel, 5)


def set_key(link: Associated, channel: int, key: bytes) -> Session[None]:
    """Give the meter the device's key: in clear within the association, so one that ciphers. b"" takes the key away."""
    if len(key) not in (0, _KEY):
        raise unfit(f"72/{client_of(channel)}/7", f"a key of {len(key)} octets: it has {_KEY}, or none to take it away")
    yield from _act(link, channel, 7, written(typed(axdr.OCTET_STRING, key), f"72/{client_of(channel)}/7"))


def transfer_key(link: Associated, channel: int, encrypted: bytes) -> Session[None]:
    """Have the meter give the device a new key, `encrypted` with the device's default key (EN 13757-3)."""
    subject = f"72/{client_of(channel)}/8"
    if not encrypted:
        raise unfit(subject, "no key to transfer: give the new key, encrypted with the device's default key")
    yield from _act(link, channel, 8, written(typed(axdr.OCTET_STRING, encrypted), subject))


def _act(link: Associated, channel: int, method: int, parameter: bytes | None = None) -> Session[None]:
    if parameter is None:
        yield from call(link, 72, client_of(channel), method)
    else:
        yield from call(link, 72, client_of(channel), method, parameter)


def _address(channel: int, primary: int) -> bytes:
    subject = f"72/{client_of(channel)}/1"
    if not 0 <= primary <= _MOST_ADDRESS:
        raise unfit(subject, f"primary address {primary}: 1 to {_MOST_ADDRESS}, or 0 for the next free one")
    return written(typed(axdr.UINT8, primary), subject)


def _device(channel: int, fields: Fields, *, binary: bool) -> MBusDevice:
    identification, maker = fields.integer(6), fields.integer(7)
    return MBusDevice(
        channel,
        fields.integer(5),
        "" if identification is None else identification_digits(identification, binary=binary),
        "" if maker is None else manufacturer_letters(maker & 0xFFFF),
        fields.integer(8),
        fields.integer(9),
        fields.integer(10),
        fields.integer(11),
        fields.integer(12),
        fields.integer(4),
        fields.integer(14),
    )
