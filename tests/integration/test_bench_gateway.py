"""`hes bench gateway` against its own fleet, in a process of its own, and jDLMS reading the same meters."""

from __future__ import annotations

import pytest

from connectors.cli.bench import gateway_c1222
from connectors.cli.bench.gateway import Options, run
from tests.integration.java_peer import peer_or_skip

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("auth", ["none", "low", "gmac"])
@pytest.mark.parametrize("block", [0, 500], ids=["whole", "blocks"])
def test_every_session_brings_what_the_meter_holds(auth: str, block: int) -> None:
    said: list[str] = []
    (row,) = run(Options(sessions=60, concurrency=8, auth=auth, meters=10, block=block), said.append)
    assert (row["reader"], row["sessions"], row["failed"]) == ("hes", 60, 0), said


@pytest.mark.parametrize("auth", ["none", "low", "gmac"])
def test_jdlms_reads_the_same_fleet(auth: str) -> None:
    """It shares no line with us: the fleet's octets, ciphering and truth stand up to somebody else's reader."""
    said: list[str] = []
    with peer_or_skip():
        ours, theirs = run(Options(sessions=40, concurrency=4, auth=auth, meters=5, peer="jdlms"), said.append)
    assert (ours["failed"], theirs["failed"]) == (0, 0), said
    assert theirs["sessions"] == 1000


def test_every_session_with_c1222_meters_brings_what_they_hold() -> None:
    said: list[str] = []
    rows = list(gateway_c1222.run(60, 8, 10, said.append))
    assert [row["security"] for row in rows] == ["clear, password", "EAX'"]
    assert [(row["sessions"], row["failed"]) for row in rows] == [(60, 0), (60, 0)], said
