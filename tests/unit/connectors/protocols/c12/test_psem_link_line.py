"""Two ends of a C12.18 link on a line that loses, doubles and alters; and any octets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_link import State
from connectors.protocols.c12.psem_timing import Agreed
from tests.unit.connectors.protocols.c12.psem_links import TIMING, opened, sending, state_of
from tests.unit.connectors.protocols.c12.psem_octets import altered


class Line:
    """One direction: what is put in comes out cut, altered or not at all, as `fate` says for each write."""

    def __init__(self, fate: Callable[[], int]) -> None:
        self._fate = fate

    def carry(self, octets: bytes) -> bytes:
        fate = self._fate() if octets else 0
        if fate == 1:
            return b""
        if fate == 2:
            return altered(octets, len(octets) // 2)
        if fate == 3:
            return octets[:-1]
        if fate == 4:
            return b"\xff" + octets
        return octets


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3, 4]), max_size=30),
    st.lists(st.integers(1, 110), min_size=1, max_size=4),
)
def test_services_arrive_once_and_whole_or_the_link_raises(fates: list[int], sizes: list[int]) -> None:
    fate = iter(fates)
    line = Line(lambda: next(fate, 0))
    agreed, patient = Agreed(64, 4), replace(TIMING, retries=40, patience_s=1000, traffic_s=200)
    client, server = opened(timing=patient, agreed=agreed), opened(asks=False, timing=patient, agreed=agreed)
    now = 0.0
    for number, size in enumerate(sizes):
        request, answer = bytes((0x30, number)) * size, bytes((number, 0x30)) * (size % 80 + 1)
        to_server, to_client = line.carry(client.send(request, now)), b""
        asked: list[bytes] = []
        came: list[bytes] = []
        for _ in range(400):
            if came and state_of(server) is not State.SENDING:
                break
            if not to_server and not to_client:
                dues = [due for due in (client.deadline, server.deadline) if due is not None]
                now = min(dues)
                to_server, to_client = line.carry(client.tick(now)), line.carry(server.tick(now))
            heard = server.receive(to_server, now)
            to_server = b""
            asked += heard.apdus
            to_client += line.carry(heard.replies)
            if heard.apdus:
                to_client += line.carry(server.send(answer, now))
            got = client.receive(to_client, now)
            to_client = b""
            came += got.apdus
            to_server += line.carry(got.replies)
        assert (asked, came) == ([request], [answer])


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_comes_only_our_own_errors(pieces: list[bytes]) -> None:
    link, now = sending(), 0.0
    for piece in pieces:
        now += 0.3
        try:
            link.receive(piece, now)
            link.tick(now)
        except C12Error:
            return
