"""The load fleet: each meter is another, answers as a meter does, and refuses what a meter refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.protocols.dlms.association import Association, associate, release
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.client import Span, read_profile
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_shape import Rules
from connectors.protocols.dlms.security import Channel, MemoryCounter, secured
from connectors.simulator.load import PASSWORD, PROFILE, LoadFleet, meter_of
from connectors.simulator.load_session import LoadMeter, LoadSession

RULES = Rules(timezone(timedelta(hours=1)))
DAY = Span(1_772_406_001_000, 1_772_492_400_000)


def drive(session: Session[Any], meter: LoadSession, client: int) -> Any:
    try:
        request = next(session)
        while True:
            request = session.send(meter.answer(client, request))
    except StopIteration as ended:
        return ended.value


def visit(config: Association) -> Session[Profile]:
    link = yield from associate(config)
    profile, _ = yield from read_profile(link, PROFILE, DAY, RULES)
    yield from release(config)
    return profile


def plain(password: bytes | None) -> Callable[[LoadMeter], Session[Profile]]:
    return lambda _: visit(Association(password))


def gmac(ek: bytes | None = None, ak: bytes | None = None, at: int = 1) -> Callable[[LoadMeter], Session[Profile]]:
    def begin(meter: LoadMeter) -> Session[Profile]:
        keys = Keys(ek or meter.ek, ak or meter.ak)
        channel = Channel(title=b"TESTTEST", keys=keys, counter=MemoryCounter(at), peer=meter.title)
        return secured(visit(Association(hls=Hls(Mechanism.GMAC), channel=channel)), channel)

    return begin


@pytest.mark.parametrize("block", [0, 200, 1024], ids=["whole", "small-blocks", "blocks"])
@pytest.mark.parametrize(
    ("client", "begin"),
    [
        pytest.param(16, plain(None), id="none"),
        pytest.param(1, plain(PASSWORD), id="low"),
        pytest.param(1, gmac(), id="gmac"),
    ],
)
def test_what_is_read_is_what_the_meter_holds(
    client: int, begin: Callable[[LoadMeter], Session[Profile]], block: int
) -> None:
    for number in range(4):
        meter, scalers, rows = meter_of(7, number, block)
        profile = drive(begin(meter), LoadSession(meter), client)
        assert profile.ends.tolist() == [row.end_ms for row in rows]
        assert profile.statuses.tolist() == [row.status for row in rows]
        assert [channel.scaler for channel in profile.channels] == scalers
        for i, channel in enumerate(profile.channels):
            assert list(np.asarray(channel.values, object)) == [row.values[i] for row in rows]
        assert meter.released == 1


def test_rows_are_irregular_as_promised() -> None:
    rows = [row for number in range(50) for row in meter_of(7, number, 0)[2]]
    kinds = {
        "out of step": sum(row.status == 0x80 for row in rows),
        "no clock": sum(row.clock is None for row in rows),
        "no value": sum(None in row.values for row in rows),
        "wide": sum(row.wide is not None for row in rows),
    }
    assert 0.09 < sum(kinds.values()) / len(rows) < 0.11
    assert min(kinds.values()) > 0.015 * len(rows)


@pytest.mark.parametrize(
    ("client", "begin", "code"),
    [
        pytest.param(1, plain(None), "peer-association-refused", id="no-password"),
        pytest.param(1, plain(b"wrong"), "peer-association-refused", id="wrong-password"),
        pytest.param(1, gmac(ek=bytes(16)), "peer-association-refused", id="wrong-encryption-key"),
        pytest.param(1, gmac(ak=bytes(16)), "peer-association-refused", id="wrong-authentication-key"),
    ],
)
def test_refused(client: int, begin: Callable[[LoadMeter], Session[Profile]], code: str) -> None:
    meter, _, _ = meter_of(7, 0, 0)
    with pytest.raises(DlmsError) as raised:
        drive(begin(meter), LoadSession(meter), client)
    assert raised.value.code == code


def test_a_request_played_again_is_refused() -> None:
    meter, _, _ = meter_of(7, 0, 0)
    server, session = LoadSession(meter), gmac()(meter)
    request, sent = next(session), []
    for _ in range(3):
        sent.append(request)
        request = session.send(server.answer(1, request))
    assert server.answer(1, sent[-1]) == b"\xd8\x01\x06"
    session.close()


def test_a_get_before_the_association_is_refused() -> None:
    meter, _, _ = meter_of(7, 0, 0)
    assert LoadSession(meter).answer(16, b"\xc0\x01\xc1" + bytes(10)) == b"\xd8\x01\x01"


def test_nothing_secret_shows() -> None:
    meter, _, _ = meter_of(7, 0, 0)
    assert meter.ek.hex() not in repr(meter)
    assert repr(meter.ek) not in repr(meter)
    assert repr(PASSWORD) not in repr(meter)


def test_the_truth_has_a_line_a_meter(tmp_path: Path) -> None:
    fleet = LoadFleet(3)
    fleet.ports = [4059, 4060, 4061]
    fleet.write_truth(tmp_path / "truth")
    lines = (tmp_path / "truth").read_text().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["4059", "4060", "4061"]
    assert {len(line.split(" | ")) for line in lines} == {97}
