"""Push setup (class 40): what a meter sends by itself, where to, and when it tries again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.objects.patterns import DateTimePattern, read_datetime
from connectors.protocols.dlms.objects.reading import (
    Fields,
    call,
    integer,
    like,
    obis,
    octets,
    pack,
    pack_all,
    read_fields,
    structure,
    typed,
    written,
)
from connectors.protocols.dlms.put import put

PUSH = "0.0.25.9.0.255"
SERVICES = ("tcp", "udp", "ftp", "smtp", "sms", "hdlc", "m-bus", "zigbee", "dlms-gateway")
"""Transport service of a destination, by its number; 200 and above are the maker's."""
_TEXT_OF_ITEM = {0: b"", 1: b"\x02\x02\x16\x00\x00", 2: b"\x02\x02\x16\x00\x00\x01\x00"}
"""What follows the four fields of a push object, by the class's version: no restriction, no columns."""


@dataclass(frozen=True, slots=True)
class PushObject:
    """One attribute that is pushed; attribute 0 is the whole object."""

    class_id: int
    obis: str
    attribute: int
    data_index: int = 0

    def encode(self, version: int) -> bytes:
        """A push_object_definition of the class's version."""
        try:
            name = obis_bytes(self.obis)
            head = (self.class_id.to_bytes(2, "big"), self.attribute.to_bytes(1, "big", signed=True))
            index = self.data_index.to_bytes(2, "big")
        except (ValueError, OverflowError):
            raise DecodeError(
                "object-value", f"{self} is nothing that can be pushed: check class, OBIS and attribute"
            ) from None
        rest = _TEXT_OF_ITEM[version]
        count = bytes((axdr.STRUCTURE, 4 + version))
        return count + b"\x12" + head[0] + b"\x09\x06" + name + b"\x0f" + head[1] + b"\x12" + index + rest


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to: "192.0.2.1:4059" or "[2001:db8::1]:4059" in most meters; `message` 0 is A-XDR, 1 XML."""

    service: int
    address: bytes
    message: int = 0

    @property
    def service_name(self) -> str:
        """The service in a word."""
        return SERVICES[self.service] if 0 <= self.service < len(SERVICES) else f"maker's {self.service}"


@dataclass(frozen=True, slots=True)
class PushSetup:
    """As the meter has it; None what it does not tell."""

    objects: tuple[PushObject, ...]
    destination: Destination | None
    windows: tuple[tuple[DateTimePattern, DateTimePattern], ...]
    """When it may send; none is always."""
    randomise_s: int | None
    """Up to so long it waits before it sends."""
    retries: int | None
    repeat_s: tuple[int, ...]
    """The delay before a retry; or least, exponent (in hundredths) and most, in version 2."""


def read_push_setup(link: Associated, setup: str = PUSH) -> Session[PushSetup]:
    """Attributes 2 to 7."""
    fields = yield from read_fields(link, 40, setup, range(2, 8))
    objects, windows = fields.name(2), fields.name(4)
    return PushSetup(
        tuple(_object(row, objects) for row in fields.items(2)),
        _destination(fields),
        tuple(_window(row, windows) for row in fields.items(4)),
        fields.integer(5),
        fields.integer(6),
        _delays(fields),
    )


def write_push_objects(
    link: Associated, objects: Sequence[PushObject], setup: str = PUSH, *, version: int = 0
) -> Session[None]:
    """Write what is pushed. `version` is the class's, from the object list: later ones have more fields for each object."""
    attribute = Attribute(40, setup, 2)
    if version not in _TEXT_OF_ITEM:
        detail = f"{attribute}: version {version} of push setup is not known, 0 to 2 are: compare with the object list"
        raise DecodeError("object-value", detail)
    rows = b"".join(item.encode(version) for item in objects)
    yield from put(link, attribute, bytes((axdr.ARRAY,)) + axdr.encode_length(len(objects)) + rows)


def write_destination(link: Associated, destination: Destination, setup: str = PUSH) -> Session[None]:
    """Write where to."""
    attribute = Attribute(40, setup, 3)
    fields = pack(
        typed(axdr.ENUM, destination.service),
        typed(axdr.OCTET_STRING, destination.address),
        typed(axdr.ENUM, destination.message),
    )
    yield from put(link, attribute, written(fields, str(attribute)))


def write_windows(
    link: Associated, windows: Sequence[tuple[DateTimePattern, DateTimePattern]], setup: str = PUSH
) -> Session[None]:
    """Write when it may send; none is always."""
    attribute = Attribute(40, setup, 4)
    rows = [pack(*(typed(axdr.OCTET_STRING, end.encode()) for end in window)) for window in windows]
    yield from put(link, attribute, written(pack_all(rows), str(attribute)))


def write_retries(
    link: Associated,
    setup: str = PUSH,
    *,
    randomise_s: int | None = None,
    retries: int | None = None,
    repeat_s: int | None = None,
) -> Session[None]:
    """Write those that are given, in the types that the meter has. `repeat_s` is for versions 0 and 1, in which it is one
    number.
    """
    for n, value in ((5, randomise_s), (6, retries), (7, repeat_s)):
        if value is not None:
            attribute = Attribute(40, setup, n)
            present = yield from get(link, attribute)
            yield from put(link, attribute, like(present, value, str(attribute)))


def push_now(link: Associated, setup: str = PUSH) -> Session[None]:
    """Have the meter push now: a test of the way back."""
    yield from call(link, 40, setup, 1)


def _object(row: axdr.Value, subject: str) -> PushObject:
    class_id, name, attribute, data_index = structure(row, 4, subject)[:4]
    return PushObject(
        integer(class_id, subject), obis(name, subject), integer(attribute, subject), integer(data_index, subject)
    )


def _destination(fields: Fields) -> Destination | None:
    value = fields.values.get(3)
    if value is None:
        return None
    subject = fields.name(3)
    service, address, message = structure(value, 3, subject)[:3]
    return Destination(
        integer(service, subject), b"" if address is None else octets(address, subject), integer(message, subject)
    )


def _window(row: axdr.Value, subject: str) -> tuple[DateTimePattern, DateTimePattern]:
    start, end = (read_datetime(octets(part, subject), subject) for part in structure(row, 2, subject)[:2])
    return start, end


def _delays(fields: Fields) -> tuple[int, ...]:
    value = fields.values.get(7)
    if isinstance(value, axdr.Structure):
        return tuple(integer(part, fields.name(7)) for part in value)
    number = fields.integer(7)
    return () if number is None else (number,)
