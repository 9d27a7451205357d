"""The way to a group: datagrams by UDP, to whoever listens there."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address
from typing import Protocol

from streams.runtime.group_settings import Group, parse_address


class Sender(Protocol):
    """The way to a group."""

    def send(self, datagram: bytes) -> bool:
        """Whether it went; False where it is to be tried again. Raises OSError."""

    def close(self) -> None:
        """No more."""


class UdpSender:
    """A socket to a group's address. Raises OSError where there is no way there."""

    def __init__(self, group: Group) -> None:
        host, port = parse_address(group.address)
        six = isinstance(host, IPv6Address)
        family = socket.AF_INET6 if six else socket.AF_INET
        self._to = socket.getaddrinfo(str(host), port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if six:
                hops = socket.IPV6_MULTICAST_HOPS if host.is_multicast else socket.IPV6_UNICAST_HOPS
                self._socket.setsockopt(socket.IPPROTO_IPV6, hops, group.hops)
                if host.is_multicast and group.interface:
                    index = socket.if_nametoindex(group.interface)
                    self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            elif host.is_multicast:
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, group.hops)
                if group.interface:
                    own = socket.inet_aton(group.interface)
                    self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, group.hops)
                # A directed broadcast cannot be told by its look.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        except BaseException:
            self._socket.close()
            raise

    def send(self, datagram: bytes) -> bool:
        """See `Sender`."""
        try:
            self._socket.sendto(datagram, self._to)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """See `Sender`."""
        self._socket.close()
