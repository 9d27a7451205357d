"""Pushes that differ in values only: what one of them took to read is learnt, and the next is compared and filled in.

A telegram of a meter type has the octets of the one before but for its values, its time and who it is from. So a telegram is
read once with values that note whether anybody looks at them: what no decision looked at, and was only given its name, may
be anything, and all other octets (tags, lengths, names, scalers, list identifiers) have to be the same. A telegram of which
they are the same is read as the first was, by the same decisions:

    plain & mask == fixed ?  ── yes ─▶ unpack the values, give them their names
                             ── no ──▶ `read_plain`, and learn from it

What a shape says is what `read_plain` says of the same octets, always. Only data-notifications are learnt.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.apdus import DATA_NOTIFICATION
from connectors.protocols.dlms.axdr import Array, Structure, Value
from connectors.protocols.dlms.axdr_types import FORMATS, STRINGS
from connectors.protocols.dlms.cosem import MeterTime, try_datetime
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.found import Found
from connectors.protocols.dlms.layouts import read_body
from connectors.protocols.dlms.names import Descriptor
from connectors.protocols.dlms.push import GENERIC, read_plain
from connectors.protocols.dlms.telegram import Telegram, TelegramValue, scalar
from connectors.protocols.dlms.template import PushTemplate

LONGEST = 4_096
"""Octets of a telegram that is worth learning."""
_LENGTHS = 4_096
_SHAPES = 8
"""Shapes of one length under one template; the one learnt last takes the place of the first."""
_TIME = 12
_CONFIRMED = 1 << 30
_LIST_ID = ".0.2.129.255"

_Make = Callable[[Any], "TelegramValue | None"]
"""A value from what stands at its place; None where it is of another type than the one learnt from."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What telegrams of one length have in common. `octets` of a telegram as a big-endian number is `fixed` under `mask`."""

    mask: int
    fixed: int
    template: PushTemplate
    unpack: Callable[[bytes], tuple[Any, ...]]
    """Invoke id, the header's time where there is one, then the values."""
    timed: bool
    slots: tuple[tuple[int, _Make], ...]
    """Place among the telegram's values and what makes the value of its octets."""
    like: Telegram
    """The telegram that it was learnt from."""
    time: MeterTime | None
    """The body's own time, which counts where the header has none."""

    def fits(self, octets: int) -> bool:
        """Whether a telegram of the same length is read as this one was."""
        return octets & self.mask == self.fixed

    def read(self, plain: bytes, transport: str) -> Telegram | None:
        """The telegram in octets that fit; None where a text is none."""
        invoke_id, *raws = self.unpack(plain)
        time = self.time
        if self.timed:
            time = time_of(raws.pop(0), self.template.deviation_reversed) or time
        like = self.like
        values = list(like.values)
        for (place, make), raw in zip(self.slots, raws, strict=True):
            value = make(raw)
            if value is None:
                return None
            values[place] = value
        return Telegram(
            transport, "data-notification", tuple(values), like.layout, like.source, plain, None, None, None, False, time,
            bool(invoke_id & _CONFIRMED), invoke_id, like.list_id, like.unnamed,
        )  # fmt: skip


class Shapes:
    """All that was learnt, to be shared by connections. On one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], _Kin] = {}

    def read(self, plain: bytes, transport: str, template: PushTemplate | None = None) -> Telegram:
        """`push.read_plain` of the same arguments: the same telegram, the same errors."""
        template = template or GENERIC
        kin = self._known.get((id(template), len(plain)))
        if kin is not None:
            octets = int.from_bytes(plain)
            for shape in kin.shapes:
                if shape.fits(octets) and (telegram := shape.read(plain, transport)) is not None:
                    return telegram
        telegram = read_plain(plain, transport, template)
        if plain[0] == DATA_NOTIFICATION and len(plain) <= LONGEST:
            self._missed(telegram, template)
        return telegram

    def _missed(self, telegram: Telegram, template: PushTemplate) -> None:
        """Learn from the second, fourth, eighth … telegram that no shape fits: what never repeats costs little."""
        key = id(template), len(telegram.plain)
        kin = self._known.get(key)
        if kin is None:
            if len(self._known) >= _LENGTHS:
                self._known.clear()
            kin = self._known[key] = _Kin(template, 0, ())
        kin.missed += 1
        if kin.missed > 1 and not kin.missed & (kin.missed - 1) and (shape := learn(telegram, template)) is not None:
            kin.shapes = (*kin.shapes, shape)[-_SHAPES:]


@dataclass(slots=True)
class _Kin:
    """Shapes of one length under one template, which is kept so that its id stays its own."""

    template: PushTemplate
    missed: int
    shapes: tuple[Shape, ...]


def learn(telegram: Telegram, template: PushTemplate) -> Shape | None:
    """The shape of a data-notification as `read_plain` reads it under `template`; None where too much of it hangs on what
    its values are.
    """
    plain = telegram.plain
    header = _header(plain)
    if header is None or telegram.profiles:
        return None
    time_at, body_at = header
    spots: list[Any] = []
    try:
        body, end = _spotted(plain, body_at, spots)
        if end != len(plain):
            return None
        found = read_body(body, template, tagged_time=plain[5] == axdr.OCTET_STRING, found=_Recorder)
        found.leftovers()
    except (_UnlearnableError, DlmsError):
        return None
    assert isinstance(found, _Recorder)  # noqa: S101 - it was asked for
    named = [(spot, place, make) for place, spot, make in found.given if not vars(spot)["looked"]]
    named.sort(key=lambda one: vars(one[0])["at"])
    loose = [(1, 4, "I")] if time_at is None else [(1, 4, "I"), (time_at, _TIME, f"{_TIME}s")]
    loose += [(vars(spot)["at"], vars(spot)["size"], vars(spot)["form"]) for spot, _, _ in named]
    mask, form, at = bytearray(b"\xff") * len(plain), ">", 0
    for start, size, kind in loose:
        mask[start : start + size] = bytes(size)
        form += f"{start - at}x{kind}"
        at = start + size
    number = int.from_bytes(mask)
    shape = Shape(
        mask=number,
        fixed=int.from_bytes(plain) & number,
        template=template,
        unpack=struct.Struct(f"{form}{len(plain) - at}x").unpack,
        timed=time_at is not None,
        slots=tuple((place, make) for _, place, make in named),
        like=telegram,
        time=found.time,
    )
    return shape if _holds(shape, loose) else None


def _header(plain: bytes) -> tuple[int | None, int] | None:
    """Where a data-notification's time and its body begin; None where its header is of a rarer form."""
    head = plain[5:7]
    if head[:1] == b"\x00":
        return None, 6
    if head[:1] == bytes((_TIME,)):
        return 6, 6 + _TIME
    return (7, 7 + _TIME) if head == bytes((axdr.OCTET_STRING, _TIME)) else None


def _holds(shape: Shape, loose: Sequence[tuple[int, int, str]]) -> bool:
    """Whether the shape reads as `read_plain` does what it was learnt from, and that with other octets where any may be."""
    like = shape.like
    for octet in (None, 0x00, 0x09, 0x41, 0xFF):
        other = bytearray(like.plain)
        if octet is not None:
            for at, size, _ in loose:
                other[at : at + size] = bytes((octet,)) * size
        plain = bytes(other)
        try:
            if shape.read(plain, like.transport) not in (None, read_plain(plain, like.transport, shape.template)):
                return False
        except DlmsError:
            return False
    return True


class _UnlearnableError(Exception):
    """How a telegram is decoded hangs on what its values are."""


def _spotted(data: bytes, at: int, spots: list[Any]) -> tuple[Value, int]:
    """`axdr.decode` of data that is known to be good, with values that note whether they are looked at."""
    tag = data[at]
    if tag in (axdr.STRUCTURE, axdr.ARRAY):
        count, at = axdr.read_length(data, at + 1)
        first = bytes(data[at : at + 3])
        swapped = tag == axdr.STRUCTURE and count > 1 and first[:1] == bytes((axdr.UINT32,))
        if (tag == axdr.ARRAY and first == b"\x02\x02\x00") or (swapped and first[1:2] == bytes((axdr.OCTET_STRING,))):
            raise _UnlearnableError  # names without tags, or with tag and length swapped
        items = []
        for _ in range(count):
            item, at = _spotted(data, at, spots)
            items.append(item)
        if swapped:
            vars(items[0])["looked"] = True  # another number could be taken for a name
        return (Structure(items) if tag == axdr.STRUCTURE else Array(items)), at
    value, end = axdr.decode(data, at)
    if type(value) is int and tag in FORMATS:
        return _spot(value, at + 1, end, FORMATS[tag][1], tag), end
    if type(value) in (bytes, str) and tag in STRINGS:
        size, start = axdr.read_length(data, at + 1)
        return _spot(value, start, end, f"{size}s", tag), end
    return value, end


def _spot(value: Any, at: int, end: int, form: str, tag: int) -> Any:
    spot = _WATCHED[type(value)](value)
    vars(spot).update(at=at, size=end - at, form=form, tag=tag, looked=False)
    return spot


_UNWATCHED = frozenset(
    ("__class__", "__delattr__", "__dict__", "__doc__", "__getattribute__", "__init__", "__init_subclass__", "__len__",
     "__new__", "__setattr__", "__sizeof__", "__subclasshook__")
)  # fmt: skip
"""What tells nothing of a value but its type and length."""


def _watched(base: Any) -> type:
    """A subclass of int, bytes or str that notes in `looked` whenever anything but its type and length is asked for."""

    def noting(name: str) -> Callable[..., Any]:
        method = getattr(base, name)

        def asked(self: Any, *args: Any, **more: Any) -> Any:
            vars(self)["looked"] = True
            return method(self, *args, **more)

        return asked

    def attribute(self: Any, name: str) -> Any:
        if name not in _UNWATCHED:
            vars(self)["looked"] = True
        return base.__getattribute__(self, name)

    special = {name for name in dir(base) if name.startswith("__") and callable(getattr(base, name))} - _UNWATCHED
    methods = {name: noting(name) for name in special} | {"__getattribute__": attribute}
    return type(f"Watched_{base.__name__}", (base,), methods)


_WATCHED: dict[type, type] = {base: _watched(base) for base in (int, bytes, str)}


class _Recorder(Found):
    """Notes which values are given which names, and looks at none that it need not."""

    def __init__(self, layout: str, template: PushTemplate) -> None:
        super().__init__(layout, template)
        self.given: list[tuple[int, Any, _Make]] = []
        """Place among the values, the value, and what makes the telegram's of another one."""

    def add(
        self,
        named: Descriptor,
        value: Value,
        unit: tuple[int | None, str | None] | None = None,
        time: MeterTime | None = None,
    ) -> None:
        """See `Found.add`."""
        if type(value) not in _WATCHED.values() or named.attribute == 1 or named.obis.endswith(_LIST_ID):
            super().add(named, value, unit, time)
            return
        scaler, symbol = unit or self.template.units.get(named.obis) or (None, None)
        what = TelegramValue(named.obis, None, named.attribute, named.class_id, scaler, symbol, None, time)
        make = _maker(what, vars(value)["tag"], isinstance(value, str), self.template.deviation_reversed)
        self.given.append((len(self.values), value, make))
        self.values.append(what)


def _maker(what: TelegramValue, tag: int, text: bool, reverse: bool) -> _Make:
    """What makes the value under a name of what `struct` unpacks at its place."""
    obis, attribute, class_id, scaler, unit, time = (
        what.obis, what.attribute, what.class_id, what.scaler, what.unit, what.time,
    )  # fmt: skip
    encoding = STRINGS.get(tag)

    def number(raw: int) -> TelegramValue:
        return TelegramValue(obis, raw, attribute, class_id, scaler, unit, None, time)

    def octets(raw: bytes) -> TelegramValue:
        own = time_of(raw, reverse) if time is None and len(raw) == _TIME else time
        said = scalar(raw, deviation_reversed=reverse)
        return TelegramValue(obis, said, attribute, class_id, scaler, unit, raw, own)

    def characters(raw: bytes) -> TelegramValue | None:
        try:
            said = raw.decode(encoding or "ascii")
        except UnicodeDecodeError:
            return None
        return TelegramValue(obis, scalar(said), attribute, class_id, scaler, unit, said.encode(), time)

    if encoding is None:
        return number
    return characters if text else octets


@lru_cache(maxsize=4_096)
def time_of(octets: bytes, deviation_reversed: bool) -> MeterTime | None:
    """`try_datetime`, of which the meters of a fleet ask the same."""
    return try_datetime(octets, deviation_reversed=deviation_reversed)
