"""Pushes arrive or come again; the truth file says what was sent; a process ends as it should."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.simulator.config import DAY_MS, Address, FleetConfig
from connectors.simulator.delivery import Outcome, Sending, confirmed_ids, send_confirmed, send_unconfirmed
from connectors.simulator.fleet import Fleet, system_ms
from connectors.simulator.ledger import Ledger, PushEntry, Truth, sha256
from connectors.simulator.truth import EXPORT, IMPORT, QUARTER_MS
from tests.unit.connectors.simulator.heads import HeadEnd, open_general_glo
from tests.unit.connectors.simulator.test_server import Session

ROOT = Path(__file__).resolve().parents[4]
CALM = FleetConfig(
    Path("unused"), meters=12, unconfirmed_share=0, noise_share=0, pace_share=0, push_every_s=0.4,
    outage_every_s=0, tamper_every_s=0, voltage_every_s=0, clock_every_s=0, confirm_timeout_s=2, backoff_s=0.01,
)  # fmt: skip


def lines(path: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["t"] == kind]


def opener(fleet: Fleet) -> Any:
    """From an APDU on the wire to the plain one, with the keys of the fleet."""
    plans = {plan.system_title: plan for plan in fleet.plans}

    def opened(message: bytes) -> bytes:
        if message[0] != 0xDB:
            return message
        plan = plans[message[2:10]]
        return open_general_glo(message, plan.encryption_key, plan.authentication_key)

    return opened


CONFIRM = bytes.fromhex("0001 0067 0001 0006 10 40000005 00")


@pytest.mark.parametrize(
    ("data", "found", "left"),
    [
        (CONFIRM, {5}, b""),
        (CONFIRM[:9], set(), CONFIRM[:9]),
        (CONFIRM + CONFIRM[:4], {5}, CONFIRM[:4]),
        (bytes.fromhex("0001 0067 0001 0005 10 00ABCDEF"), {0xABCDEF}, b""),
        (CONFIRM + bytes.fromhex("0001 0067 0001 0006 10 40000006 00"), {5, 6}, b""),
    ],
    ids=["one", "part", "one-and-a-part", "without-trailing-bytes", "two"],
)
def test_confirmations_in_a_stream(data: bytes, found: set[int], left: bytes) -> None:
    buffer = bytearray(data)
    assert confirmed_ids(buffer) == found
    assert buffer == left


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("0001 0001 0067 0006 10 40000005 00"),
        bytes.fromhex("0002 0067 0001 0006 10 40000005 00"),
        bytes.fromhex("0001 0067 0001 0006 0F 40000005 00"),
        bytes.fromhex("0001 0067 0001 FFFF 10 40000005 00"),
        bytes.fromhex("0001 0067 0001 0002 10 40"),
    ],
    ids=["ports-not-swapped", "version", "tag", "oversized", "too-short"],
)
def test_what_is_no_confirmation(data: bytes) -> None:
    with pytest.raises(ValueError, match="head-end answered"):
        confirmed_ids(bytearray(data))


async def test_nobody_listens() -> None:
    nowhere = Address("127.0.0.1", 1)
    assert await send_confirmed(nowhere, Sending(b"x", frozenset({1})), 1) == set()
    assert await send_unconfirmed(nowhere, Sending(b"x"), 1) is Outcome.NOT_CONNECTED


async def test_every_push_is_confirmed_and_written_down(tmp_path: Path) -> None:
    async with HeadEnd() as head:
        fleet = Fleet(replace(CALM, home=tmp_path, push_to=head.address))
        head.opened = opener(fleet)
        await fleet.start()
        await head.until(lambda head: len(head.answered) >= 20)
        summary = await fleet.stop()
    pushes = lines(tmp_path / "truth.jsonl", "push")
    assert summary["confirmed"] == len(pushes) == len(head.answered)
    assert summary["not_confirmed"] == 0
    assert {push["sha256"] for push in pushes} == {sha256(plain) for plain in head.answered}
    assert {digest for push in pushes for digest in push["wire"]} == {sha256(wrapped(message)) for message in head.received}
    assert len({push["push_id"] for push in pushes}) == len(pushes)
    assert all(push["confirmed"] is True and push["attempts"] == 1 for push in pushes)
    for push in pushes:
        plan = next(plan for plan in fleet.plans if plan.id == push["meter"])
        if plan.model.list_name == "":
            assert dict(map(tuple, push["values"]))[IMPORT] == plan.truth(IMPORT, push["meter_time"] - plan.drift_ms)


def wrapped(message: bytes) -> bytes:
    return bytes.fromhex("0001 0001 0067") + len(message).to_bytes(2, "big") + message


async def test_what_a_cut_connection_swallowed_comes_again_under_a_new_counter(tmp_path: Path) -> None:
    async with HeadEnd(cuts=15) as head:
        fleet = Fleet(replace(CALM, home=tmp_path, push_to=head.address))
        head.opened = opener(fleet)
        await fleet.start()
        await head.until(lambda head: len(head.answered) >= 12)
        summary = await fleet.stop()
    pushes = lines(tmp_path / "truth.jsonl", "push")
    assert summary["resent"] == 15
    assert all(push["confirmed"] is True for push in pushes)
    assert Counter(push["sha256"] for push in pushes) == Counter(sha256(plain) for plain in head.answered)
    counters: dict[bytes, list[int]] = {}
    for message in head.received:
        if message[0] == 0xDB:
            at = 12 + (message[10] & 0x7F if message[10] & 0x80 else 0)
            counters.setdefault(message[2:10], []).append(int.from_bytes(message[at : at + 4], "big"))
    assert counters
    assert all(used == sorted(set(used)) for used in counters.values())


async def test_a_head_end_that_stays_away_is_written_down(tmp_path: Path) -> None:
    called = asyncio.Event()

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        writer.close()

    silent = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    address = Address("127.0.0.1", silent.sockets[0].getsockname()[1])
    fleet = Fleet(replace(CALM, home=tmp_path, push_to=address, drain_s=0.2, push_every_s=0.1))
    await fleet.start()
    await called.wait()
    summary = await fleet.stop()
    silent.close()
    pushes = lines(tmp_path / "truth.jsonl", "push")
    assert summary["not_confirmed"] == len(pushes) > 0
    assert all(push["confirmed"] is False for push in pushes)


async def test_pairs_drips_and_noise_do_not_disturb_the_good_ones(tmp_path: Path) -> None:
    async with HeadEnd() as head:
        quiet: dict[str, Any] = {"outage_every_s": 0.3, "outage_lasts_s": 0.3, "tamper_every_s": 0.3, "voltage_every_s": 0.3}
        config = replace(CALM, home=tmp_path, push_to=head.address, pace_share=1, **quiet)
        fleet = Fleet(config)
        head.opened = opener(fleet)
        await fleet.start()
        await head.until(lambda head: len(head.answered) >= 60)
        summary = await fleet.stop()
    pushes = lines(tmp_path / "truth.jsonl", "push")
    assert summary["confirmed"] == len(pushes)
    assert {"registers", "outage", "tamper", "voltage"} <= {push["what"] for push in pushes}
    assert sorted(push["sha256"] for push in pushes) == sorted(sha256(plain) for plain in head.answered)
    assert len({(push["meter"], push["meter_time"]) for push in pushes}) == len(pushes)


async def test_the_files_of_a_fleet(tmp_path: Path) -> None:
    fleet = Fleet(replace(CALM, home=tmp_path, unconfirmed_share=0.3))
    await fleet.start()
    await fleet.stop()
    meters = [json.loads(line) for line in fleet.shipment.read_text().splitlines()]
    assert fleet.shipment.stat().st_mode & 0o077 == 0
    assert [meter["id"] for meter in meters] == [plan.id for plan in fleet.plans]
    for meter, plan, port in zip(meters, fleet.plans, fleet.ports, strict=True):
        assert meter["endpoint"] == f"tcp://127.0.0.1:{port}"
        assert meter["key_ref"] == plan.key_ref
        assert bytes.fromhex(meter["secrets"]["ek"]) == plan.encryption_key
        assert meter["secrets"].keys() == {"ek", "ak", "password"}
        titles = [identity["value"] for identity in meter["identities"] if identity["kind"] == "SYSTEM_TITLE"]
        assert titles == ([plan.system_title.hex().upper()] if plan.model.ciphered else [])
    rows = lines(fleet.truth, "interval")
    start, end = fleet.window
    assert end - start == DAY_MS
    assert len(rows) == 12 * 2 * 96
    wanted = {(plan.id, channel) for plan in fleet.plans for channel in (IMPORT, EXPORT)}
    assert {(row["meter"], row["channel"]) for row in rows} == wanted
    assert {row["end"] for row in rows} == set(range(start, end, QUARTER_MS))


def test_the_window_defaults_to_the_previous_utc_day() -> None:
    assert replace(CALM).window(1_790_000_000_000) == (1_789_948_800_000 - DAY_MS, 1_789_948_800_000)
    assert replace(CALM, window_from=5, window_to=7).window(0) == (5, 7)


def test_the_truth_file_reads_back_without_what_a_kill_left_unfinished(tmp_path: Path) -> None:
    entry = PushEntry(1, "M1", "registers", 5, 4, [(IMPORT, 7)], "00", "WRAPPER", 2, True, ["aa", "bb"])
    path = tmp_path / "truth.jsonl"
    with Ledger(path) as ledger:
        ledger.write_push(entry)
    with path.open("a") as file:
        file.write('{"t":"interval","meter":"M1","channel":"1.0.1.8.0.255","end":900000,"raw":12}\n{"t":"inter')
    truth = Truth.read(path)
    assert truth.pushes == (entry,)
    assert truth.intervals == {("M1", IMPORT, 900_000): 12}


def ports_in(shipment: Path) -> list[int]:
    """Where each meter of a shipment file listens."""
    endpoints = [str(json.loads(line)["endpoint"]) for line in shipment.read_text().splitlines()]
    return [int(endpoint.rpartition(":")[2]) for endpoint in endpoints]


async def test_a_process_ends_on_sigterm_with_a_summary(tmp_path: Path) -> None:
    async with HeadEnd() as head:
        fleet = Fleet(replace(CALM, home=tmp_path / "unused"))  # the same seed: the same keys
        head.opened = opener(fleet)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "connectors.simulator", "--meters", "12", "--home", str(tmp_path),
            "--push-to", f"127.0.0.1:{head.address.port}", "--push-every", "0.5", "--unconfirmed-share", "0",
            "--noise-share", "0",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert ready["ready"] is True
        assert ready["meters"] == 12
        there: Any = SimpleNamespace(ports=ports_in(Path(ready["shipment"])))
        start, end = ready["window"]
        async with Session(there, fleet.plans[3]) as session:
            rows = await session.rows(start, end - 1000)
        await head.until(lambda head: len(head.answered) >= 10)
        process.send_signal(signal.SIGTERM)
        rest, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    summary = json.loads(rest)
    held = [line for line in lines(tmp_path / "truth.jsonl", "interval") if line["meter"] == fleet.plans[3].id]
    assert [row[2] for row in rows] == [line["raw"] for line in held if line["channel"] == IMPORT]
    assert [row[3] for row in rows] == [line["raw"] for line in held if line["channel"] == EXPORT]
    pushes = lines(tmp_path / "truth.jsonl", "push")
    assert summary["pushes"] == summary["confirmed"] == len(pushes) == len(head.answered)
    assert all(abs(push["sent_at"] - system_ms()) < 120_000 for push in pushes)
    assert ready["window"] == summary["window"]


async def test_a_wrong_option_is_a_usage_error() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.simulator", "--home", "unused", "--push-to", "nowhere",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"--push-to" in errors
