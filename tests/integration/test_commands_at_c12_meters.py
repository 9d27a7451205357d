"""From a signed request to the switch of a simulated ANSI C12.22 meter, of each kind that there is: commands, gateway and
fleet as processes of their own, on a real Kafka.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.records import Identity, IdentityKind, Meter, MeterState, Operation, Protocol
from tests.integration.c12_rig import held, simulated
from tests.integration.commands_scene import WAY, S, Scene
from tests.integration.gateway_bench import open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    home = tmp_path_factory.mktemp("fleet")
    with simulated(home, 13) as rows:
        yield home, rows


@pytest.fixture(scope="module")
def scene(
    kafka: str, registry_url: str, fleet: tuple[Path, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    home, rows = fleet
    settings = {
        "HES_GATEWAY__TEMPLATES_DIR": str(home / "templates"), "HES_C1222__TCP_PORT": "0", "HES_C1222__UDP_PORT": "0",
    }  # fmt: skip
    keys = {row["key_ref"]: held(row) for row in rows}
    made = Scene(open_cluster(kafka, registry_url), tmp_path_factory.mktemp("scene"), settings, keys)
    yield made
    made.close()


def registered(row: dict[str, Any]) -> Meter:
    same = {name: row[name] for name in ("id", "endpoint", "template", "key_ref", "time_zone", "vendor")}
    identities = tuple(Identity(IdentityKind(item["kind"]), item["value"]) for item in row["identities"])
    where = {"feeder": f"F-{row['id']}", "transformer": f"T-{row['id']}", "segment": f"S-{row['id']}"}
    return Meter(identities=identities, protocol=Protocol(row["protocol"]), state=MeterState.NORMAL, **(same | where))


def test_the_switch_of_each_kind_of_c12_meter_is_opened_once_and_closed_again(
    scene: Scene, fleet: tuple[Path, list[dict[str, Any]]]
) -> None:
    home, rows = fleet
    meters = {row["template"]: registered(row) for row in rows}
    assert len(meters) > 1
    scene.cluster.put_meters(meters.values())
    commands, rig = scene.commands(), scene.rig
    try:
        commands.start()
        for meter in meters.values():
            command, value = scene.ask(meter.id)
            rig.state(command, S.AWAITING_APPROVAL)
            assert moves(home, meter.id) == []
            scene.decide(command, value)
            done = rig.state(command, S.DONE)
            assert (done.before, done.after, moves(home, meter.id)) == ("connected", "disconnected", [False])
            again, value = scene.ask(meter.id)  # a second one: it is so already, and nothing is sent
            rig.state(again, S.AWAITING_APPROVAL)
            scene.decide(again, value)
            assert "it was so before" in rig.state(again, S.DONE).detail
            back, _ = scene.ask(meter.id, Operation.RECONNECT)
            done = rig.state(back, S.DONE)
            assert (done.before, done.after, moves(home, meter.id)) == ("disconnected", "connected", [False, True])
            entries = [entry.action for entry in scene.chain() if entry.subject == command]
            assert entries == [f"command-{state.lower().replace('_', '-')}" for state in WAY]
    finally:
        commands.kill()


def moves(home: Path, meter: str) -> list[bool]:
    """What the meter's switch did, in order: whether it was closed with it."""
    lines = map(json.loads, (home / "truth.jsonl").read_text().splitlines())
    return [line["connected"] for line in lines if line["t"] == "relay" and line["meter"] == meter]
