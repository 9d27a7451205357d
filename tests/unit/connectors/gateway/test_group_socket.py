"""The way to a group, on sockets of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connectors.gateway.group_socket import UdpSender
from streams.runtime.group_settings import Group


@contextmanager
def listening(host: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as heard:
        try:
            heard.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        heard.settimeout(30)
        yield heard


@pytest.mark.parametrize(("host", "written"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["v4", "v6"])
def test_a_datagram_arrives(host: str, written: str) -> None:
    with listening(host) as heard:
        sender = UdpSender(Group(address=f"udp://{written}:{heard.getsockname()[1]}"))
        assert sender.send(b"block")
        assert heard.recv(100) == b"block"
        sender.close()


@pytest.mark.parametrize(
    ("address", "interface", "level", "option"),
    [
        pytest.param("239.192.0.7", "127.0.0.1", socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, id="multicast"),
        pytest.param("10.255.255.255", "", socket.IPPROTO_IP, socket.IP_TTL, id="directed-broadcast"),
        pytest.param("[ff15::7]", "lo", socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, id="v6-multicast"),
        pytest.param("[2001:db8::1]", "", socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, id="v6"),
    ],
)
def test_how_far_it_goes(address: str, interface: str, level: int, option: int) -> None:
    try:
        sender = UdpSender(Group(address=f"udp://{address}:4059", interface=interface, hops=5))
    except OSError:
        pytest.skip("this machine has no such interface")
    made = sender._socket
    assert made.getsockopt(level, option) == 5
    assert bool(made.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)) == (address == "10.255.255.255")
    sender.close()


@pytest.mark.parametrize(("address", "interface"), [("239.192.0.7", "no address"), ("[ff15::7]", "no-such-one")])
def test_an_interface_that_is_not_there(address: str, interface: str) -> None:
    with pytest.raises(OSError, match=r"illegal|interface"):
        UdpSender(Group(address=f"udp://{address}:4059", interface=interface))


class _Full:
    """A socket whose buffer is full."""

    def sendto(self, *_: object) -> None:
        raise BlockingIOError

    def close(self) -> None:
        return


def test_a_full_buffer_is_tried_again() -> None:
    sender = UdpSender(Group(address="udp://127.0.0.1:4059"))
    sender._socket.close()
    sender._socket = _Full()  # type: ignore[assignment]  # all that is asked of it
    assert not sender.send(b"block")
