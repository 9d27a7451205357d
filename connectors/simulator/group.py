"""Image blocks that are sent to all meters of a fleet at once: one socket hears them, each meter takes or loses them.

A meter opens what comes under its broadcast key (general-glo, suite 0, authenticated and encrypted), believes no counter
that it has heard before, and puts blocks of an image that was initiated where they belong. It answers nothing. Of so large
a share of the blocks as the fleet's configuration says each meter hears nothing, by the seed.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.image_transfer import IMAGE_LN, ImageTransfer, parameters
from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import mix

CLIENT, STATIONS = 102, 127
"""The pre-established client, and all stations."""
_HEADER, _TITLE, _HEAD, _TAG = 8, 8, 5, 12
_BROADCAST_BOTH = 0x70
_REQUEST = bytes((0xC3, 0x01))
_BLOCK = b"\x00\x12" + bytes(int(part) for part in IMAGE_LN.split(".")) + b"\x02\x01"
"""Class, object, method, and that a parameter follows."""
_CONFIRMED = 0x40
_BUFFER = 4 << 20


class Ear:
    """What one meter does with what is said to the group."""

    def __init__(self, plan: MeterPlan, image: ImageTransfer, config: FleetConfig) -> None:
        self._plan, self._image = plan, image
        self._loses = config.group_loses
        self._ciphered = config.group_security == "ciphered"
        self._draw = random.Random(mix(config.seed, plan.index, 127))  # noqa: S311 - a loss has to repeat itself from the seed, and guards nothing
        self._heard: dict[bytes, int] = {}
        self.told: Counter[str] = Counter()
        """What became of what was said: taken, lost, away, refused, key, counter, clear, none."""

    def hear(self, apdu: bytes) -> None:
        """One APDU."""
        self.told["away" if self._image.away else "lost" if self._draw.random() < self._loses else self._take(apdu)] += 1

    def _take(self, apdu: bytes) -> str:
        if self._ciphered:
            if apdu[:2] != b"\xdb\x08" or len(apdu) < 2 + _TITLE + 1 + _HEAD + _TAG:
                return "clear"
            opened = _opened(apdu, self._plan.broadcast_key, self._plan.authentication_key)
            if opened is None:
                return "key"
            title, counter, apdu = opened
            if counter <= self._heard.get(title, -1):
                return "counter"
            self._heard[title] = counter
        if apdu[:2] != _REQUEST or apdu[2] & _CONFIRMED or apdu[3 : 3 + len(_BLOCK)] != _BLOCK:
            return "none"
        try:
            number, octets = parameters(apdu[3 + len(_BLOCK) :])
        except (ValueError, IndexError):
            return "none"
        return "refused" if self._image.invoke(2, number, octets) else "taken"


@lru_cache(maxsize=16)
def _opened(apdu: bytes, key: bytes, ak: bytes) -> tuple[bytes, int, bytes] | None:
    """Whose, the counter, and what was said; None where it is not under this broadcast key. Meters of a segment have one:
    it is opened once for all of them.
    """
    title, size = apdu[2 : 2 + _TITLE], apdu[2 + _TITLE]
    content = apdu[3 + _TITLE + (size & 0x7F if size & 0x80 else 0) :]
    if len(content) < _HEAD + _TAG or content[0] != _BROADCAST_BOTH or not key:
        return None
    engine = Cipher(AES(key), GCM(title + content[1:_HEAD], content[-_TAG:], min_tag_length=_TAG)).decryptor()
    engine.authenticate_additional_data(content[:1] + ak)
    try:
        plain = engine.update(content[_HEAD:-_TAG]) + engine.finalize()
    except InvalidTag:
        return None
    return title, int.from_bytes(content[1:_HEAD], "big"), plain


class GroupListener(asyncio.DatagramProtocol):
    """The socket of all meters that hear one address."""

    def __init__(self, ears: Iterable[Ear]) -> None:
        self._ears = tuple(ears)
        self.octets = 0
        """Of datagrams that came."""
        self.datagrams = 0

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        """asyncio's: a wrapper from the pre-established client to all stations, or nothing."""
        self.datagrams += 1
        self.octets += len(data)
        source, target, size = (int.from_bytes(data[at : at + 2], "big") for at in (2, 4, 6))
        if data[:2] == b"\0\x01" and (source, target) == (CLIENT, STATIONS) and size == len(data) - _HEADER:
            for ear in self._ears:
                ear.hear(data[_HEADER:])


async def listen(address: Address, host: str, ears: Iterable[Ear]) -> tuple[asyncio.DatagramTransport, GroupListener]:
    """Hear a group on the interface that `host` names; a unicast address is one of our own. OSError."""
    heard = socket.socket(_family(address), socket.SOCK_DGRAM)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setblocking(False)
        heard.bind((address.host, address.port))
        group = ip_address(address.host)
        if group.is_multicast and isinstance(group, IPv6Address):
            heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + bytes(4))
        elif group.is_multicast:
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + socket.inet_aton(host))
        made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: GroupListener(ears), sock=heard)
    except BaseException:
        heard.close()
        raise
    return made


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET
