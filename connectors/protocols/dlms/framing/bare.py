"""APDUs that lie bare on the stream: their end follows from their own lengths (IEC 62056-5-3, 9.5, A-XDR).

LLC octets (E6 E7 00) may stand before one, as where a reader has taken the HDLC frame off and left them.

Nothing protects them: a wrong octet in a length makes the rest of the stream unreadable until something recognisable comes.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.errors import DecodeError, DlmsError, FramingError
from connectors.protocols.dlms.framing.hdlc import LLC_FROM_SERVER, LLC_TO_SERVER
from connectors.protocols.dlms.framing.items import RAW, SERVICE_CIPHERED, Apdu, Item, Limits, Taken

_PATIENCE = 16
"""An unfinished APDU is walked again on each arrival until this many times `max_apdu` octets were walked; then only each
time it has doubled. So a peer that sends octet by octet cannot make the walk quadratic."""

_Step = Callable[[bytes, int, int], int]
"""(data, at, limit) to the index after the field; raises DecodeError "dlms-truncated" where octets are missing."""


def _octets(data: bytes, at: int, limit: int) -> int:
    size, at = axdr.read_length(data, at)
    if size > limit:
        raise FramingError("frame-oversized", f"a bare APDU announces {size} octets, the limit is {limit}")
    return _have(data, at + size)


def _fixed(size: int) -> _Step:
    return lambda data, at, _: _have(data, at + size)


def _have(data: bytes, end: int) -> int:
    if end > len(data):
        raise DecodeError("dlms-truncated", f"{end - len(data)} octets are missing")
    return end


def _time(data: bytes, at: int, limit: int) -> int:
    """The date-time of a data-notification: an octet-string of 0 or 12, which some meters write with its tag 09."""
    _have(data, at + 2)
    return _octets(data, at + (data[at : at + 2] == b"\x09\x0c"), limit)


def _optional(step: _Step) -> _Step:
    def walk(data: bytes, at: int, limit: int) -> int:
        _have(data, at + 1)
        return step(data, at + 1, limit) if data[at] else at + 1

    return walk


def _key_info(data: bytes, at: int, limit: int) -> int:
    """Key-info of general-ciphering: identified (0), wrapped (1) or agreed (2) key."""
    _have(data, at + 1)
    if data[at] > 2:
        raise FramingError("frame-malformed", f"general-ciphering with a key-info of choice {data[at]}: 0 to 2 exist")
    steps: tuple[_Step, ...] = ((_fixed(1),), (_fixed(1), _octets), (_octets, _octets))[data[at]]
    at += 1
    for step in steps:
        at = step(data, at, limit)
    return at


def _data(data: bytes, at: int, _: int) -> int:
    return axdr.skip(data, at, more=True)


def _last_data(data: bytes, at: int, _: int) -> int:
    return axdr.skip(data, at)


_SHAPES: dict[int, tuple[_Step, ...]] = {
    0x0F: (_fixed(4), _time, _data),  # long-invoke-id-and-priority, date-time, body
    0xC2: (_optional(_octets), _fixed(9), _data),  # time, class + OBIS + attribute, value
    0xDB: (_octets, _octets),  # system title, ciphered service
    0xDC: (_octets, _octets),
    # transaction id, originator, recipient, date-time, other information, key info, ciphered service
    0xDD: (_octets, _octets, _octets, _octets, _octets, _optional(_key_info), _octets),
    0xDF: (_octets, _octets, _octets, _octets, _octets, _octets, _octets),  # as above, content, signature
    0xE0: (_fixed(5), _octets),  # control, block number, block number acknowledged, block
} | dict.fromkeys(SERVICE_CIPHERED, (_octets,))


def measure(data: bytes, at: int, limit: int, *, ended: bool = False) -> int:
    """The index after the APDU that starts at `at`. Unless the stream has `ended`, octets that are still to come may decide
    what those at hand mean.

    Raises DecodeError "dlms-truncated" where octets are missing, other DlmsErrors where no APDU starts at `at`.
    """
    shape = _SHAPES.get(data[at]) if at < len(data) else ()
    if shape is None:
        raise FramingError("frame-garbage", f"{data[at]:#04x} begins no push: link frame and APDU are both unknown")
    end = at + 1
    for step in shape:
        end = (_last_data if ended and step is _data else step)(data, end, limit)
    return end


def _llc(data: bytes, at: int) -> int:
    """Octets of the LLC that starts at `at`; as many as there are, while it may become one."""
    head = data[at : at + len(LLC_FROM_SERVER)]
    return len(head) if LLC_FROM_SERVER.startswith(head) or LLC_TO_SERVER.startswith(head) else 0


class BareReader:
    """Bare APDUs: each is its own frame."""

    transport = RAW
    held = 0

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._walked = 0
        self._wait_for = 0
        self._ended = False

    def read(self, data: bytes, at: int) -> Taken | None:
        """See `items.Reader`."""
        start, at = at, at + _llc(data, at)
        have = len(data) - at
        if not have:
            return None
        if have < self._wait_for and have <= self._limits.max_apdu:
            return None
        try:
            end = self._measure(data, at)
        except DlmsError as error:
            if error.code == "dlms-truncated" and have <= self._limits.max_apdu:
                self._walked += have
                if self._walked > _PATIENCE * self._limits.max_apdu:
                    self._wait_for = 2 * have
                return None
            self._begin()
            if error.code == "dlms-truncated":
                raise self._oversized() from None
            raise
        self._begin()
        if end - at > self._limits.max_apdu:
            raise self._oversized()
        return Taken(end, (Apdu(data[at:end], (data[start:end],), RAW),))

    def _measure(self, data: bytes, at: int) -> int:
        """As `measure`; what lies beyond the limit has no say in errors, and they count from the APDU's first octet."""
        limit = self._limits.max_apdu
        try:
            return measure(data, at, limit, ended=self._ended)
        except DlmsError:
            if not at and len(data) <= limit + 1:
                raise
            return at + measure(data[at : at + limit + 1], 0, limit, ended=self._ended)

    def _oversized(self) -> FramingError:
        return FramingError("frame-oversized", f"a bare APDU does not end within {self._limits.max_apdu} octets")

    def _begin(self) -> None:
        self._walked = self._wait_for = 0

    def end(self) -> None:
        """Nothing more will come: what is there is to be judged as it is."""
        self._begin()
        self._ended = True

    def lost(self) -> list[Item]:
        """Nothing is held between APDUs."""
        return []

    def close(self) -> list[Item]:
        """Nothing is held between APDUs."""
        self._ended = False
        return []
