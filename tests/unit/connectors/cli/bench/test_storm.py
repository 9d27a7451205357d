"""What `hes bench storm` plans, and what it makes of when things came."""

from __future__ import annotations

from dataclasses import replace

from connectors.cli.bench.storm_figures import Told, row_of
from connectors.cli.bench.storm_load import Gasp, Options, meters_of, number_of, pushes_of
from connectors.cli.bench.storm_sockets import Arrived, stages
from schemas.records import OutageEvent, OutageScope

OPTIONS = Options(alarms=300, seconds=3.0, transformers=10, feeders=2, source="sockets")


def test_each_meter_pushes_once_under_a_number_of_its_own_within_the_time() -> None:
    names = meters_of(OPTIONS)
    gasps = pushes_of(names, OPTIONS)
    assert [gasp.at_ms for gasp in gasps] == sorted(gasp.at_ms for gasp in gasps)
    assert gasps[-1].at_ms - gasps[0].at_ms <= 3_000
    assert len({gasp.meter for gasp in gasps}) == len({gasp.number for gasp in gasps}) == 300
    known = {name: number_of(n, one, len(some), OPTIONS) for n, some in enumerate(names) for one, name in enumerate(some)}
    assert all(known[gasp.meter] == gasp.number for gasp in gasps)
    assert not set(known.values()) & {number_of(0, one, 50, replace(OPTIONS, name="1")) for one in range(500)}


def outage(alarms: tuple[str, ...], revision: int = 1) -> OutageEvent:
    return OutageEvent(
        id=f"o/{revision}", outage_id="o", revision=revision, alarms=alarms, transformer="TR-0-00000", feeder="FD-0-000",
        scope=OutageScope.TRANSFORMER,
    )  # fmt: skip


def test_times_are_from_the_plan_and_from_the_sending_and_each_stage_has_its_own() -> None:
    gasps = [Gasp(10_000, "a", "m1"), Gasp(10_100, "b", "m2"), Gasp(10_200, "c", "m3")]
    sent = [10.010, 10.105, 10.201]
    told = Told({"a": [10.3], "b": [10.3], "c": [10.5, 10.6]}, [outage(("a", "b")), outage(("c",), 2)])
    row = row_of(gasps, sent, told, replace(OPTIONS, alarms=3))
    assert (row["alarms"], row["told"], row["told_twice"], row["outages_a_transformer"]) == (3, 3, 1, 1.0)
    assert (row["p50_ms"], row["longest_ms"], row["p99_sent_ms"], row["first_p99_ms"]) == (300, 300, 299, 300)
    arrived = {"a": Arrived(10_020, 10_060), "b": Arrived(10_110, 10_130), "c": Arrived(10_205, 10_230)}
    assert stages(gasps, sent, arrived, told) == {
        "gateway_p50_ms": 5, "gateway_p99_ms": 10, "split_p50_ms": 25, "split_p99_ms": 40, "oms_p50_ms": 240,
        "oms_p99_ms": 270,
    }  # fmt: skip
