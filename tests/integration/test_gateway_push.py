"""Pushes over real sockets into a real Kafka: what is good, what is bad, and what a meter may rely on."""

from __future__ import annotations

import json
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.ciphering import Keys, cipher
from schemas.records import (
    Alarm,
    AlarmKind,
    DeadLetter,
    Identity,
    IdentityKind,
    Meter,
    MeterState,
    RegisterReadings,
    SessionFrames,
)  # fmt: skip
from tests.integration.gateway_bench import PATIENCE_S, Cluster, GatewayProcess, Tap, open_cluster, running

pytestmark = pytest.mark.integration

EK, AK = bytes(range(16)), bytes(range(16, 32))
TOPICS = ("hes.frames", "hes.events.urgent", "hes.events.bulk", "hes.dead-letters", "hes.meters")
RUN = uuid.uuid4().hex[:8].upper()
SERIAL = f"S{RUN}"
TITLE = b"HES" + bytes.fromhex(RUN) + b"\1"
ALARMS = "0.0.97.98.0.255"


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


def known_meter(name: str, *identities: Identity, **more: Any) -> Meter:
    return Meter(id=f"{name}-{RUN}", identities=identities, state=MeterState.NORMAL, **more)


PLAIN = known_meter("plain", Identity(IdentityKind.SERIAL, SERIAL), template="idis", transformer="T1", feeder="F1")
SEALED = known_meter("sealed", Identity(IdentityKind.SYSTEM_TITLE, TITLE.hex().upper()), key_ref=f"ref-{RUN}")


@pytest.fixture(scope="module")
def gateway(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    cluster.put_meters((PLAIN, SEALED))
    home = tmp_path_factory.mktemp("gateway")
    with running(cluster, home, {f"ref-{RUN}": MeterKeys(EK, AK)}, frame_timeout_s="2") as process:
        yield process


@pytest.fixture
def tap(cluster: Cluster, gateway: GatewayProcess) -> Iterator[Tap]:
    tap = Tap(cluster, *TOPICS)
    yield tap
    tap.close()


def wrapped(apdu: bytes) -> bytes:
    return struct.pack(">HHHH", 1, 1, 102, len(apdu)) + apdu


def named(obis: str, value: bytes) -> bytes:
    return b"\x02\x02\x09\x06" + bytes(int(group) for group in obis.split(".")) + value


def push(serial: str, *more: bytes, invoke: int = 0, confirmed: bool = True) -> bytes:
    """A data-notification of a serial number and what else is given."""
    elements = (named("0.0.96.1.0.255", b"\x09" + bytes((len(serial),)) + serial.encode()), *more)
    head = (
        b"\x0f"
        + ((0x40000000 if confirmed else 0) | invoke).to_bytes(4)
        + b"\x0c"
        + bytes.fromhex("07E7040106080000008000FF")
    )
    return head + b"\x02" + bytes((len(elements),)) + b"".join(elements)


def energy(value: int) -> bytes:
    return named("1.0.1.8.0.255", b"\x06" + value.to_bytes(4))


def answer(connection: socket.socket) -> bytes:
    """One wrapper frame."""
    data = b""
    while len(data) < 8 or len(data) < 8 + int.from_bytes(data[6:8]):
        more = connection.recv(4096)
        assert more, f"the gateway closed after {data!r}"
        data += more
    return data


def readings(tap: Tap, meter: Meter, value: int) -> list[RegisterReadings]:
    return [
        r for r in tap.of(RegisterReadings) if r.meter_id == meter.id and any(item.value == value for item in r.registers)
    ]


def test_a_push_is_readings_and_frames_in_kafka_by_the_time_it_is_acknowledged(gateway: GatewayProcess, tap: Tap) -> None:
    frame = wrapped(push(SERIAL, energy(4711), invoke=7))
    with gateway.connect() as connection:
        connection.sendall(frame)
        assert answer(connection).hex() == "00010066000100061040000007" + "00"
    tap.until(lambda: len(readings(tap, PLAIN, 4711)) == 1, "the readings")
    kept = [part for part in tap.of(SessionFrames) if part.meter_id == PLAIN.id]
    assert [item.data for item in kept[0].frames] == [frame]
    assert [topic for topic, record in tap.seen if isinstance(record, RegisterReadings)] == ["hes.events.bulk"]


def test_the_same_push_twice_is_the_same_event_twice(gateway: GatewayProcess, tap: Tap) -> None:
    frame = wrapped(push(SERIAL, energy(4712), invoke=8))
    for _ in range(2):
        with gateway.connect() as connection:
            connection.sendall(frame)
            answer(connection)
    tap.until(lambda: len(readings(tap, PLAIN, 4712)) == 2, "both")
    assert len({item.id for item in readings(tap, PLAIN, 4712)}) == 1


def test_an_alarm_goes_the_urgent_way_and_knows_its_transformer(gateway: GatewayProcess, tap: Tap) -> None:
    with gateway.connect() as connection:
        connection.sendall(wrapped(push(SERIAL, named(ALARMS, b"\x06" + (1 << 13).to_bytes(4)), invoke=9)))
        answer(connection)
    tap.until(lambda: bool(tap.of(Alarm)), "the alarm")
    (alarm,) = tap.of(Alarm)
    assert (alarm.meter_id, alarm.kind, alarm.transformer, alarm.feeder) == (PLAIN.id, AlarmKind.TAMPER_OTHER, "T1", "F1")
    assert [topic for topic, record in tap.seen if isinstance(record, Alarm)] == ["hes.events.urgent"]


def test_a_ciphered_push_over_udp(gateway: GatewayProcess, tap: Tap) -> None:
    frame = wrapped(cipher(push("x", energy(5000), energy(5001), invoke=3), Keys(EK, AK), TITLE, 10))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter:
        meter.settimeout(PATIENCE_S)
        meter.sendto(frame, ("127.0.0.1", gateway.udp_port))
        assert meter.recv(100).hex() == "0001006600010006104000000300"
    tap.until(lambda: len(readings(tap, SEALED, 5001)) == 1, "the readings")


ALTERED = bytearray(cipher(push("x", energy(1)), Keys(EK, AK), TITLE, 90))
ALTERED[-15] ^= 1
HDLC = bytes.fromhex("7EA0214151137A") + b"\0\0" + bytes(20) + b"\x12\x34\x7e"
BAD = [
    pytest.param(wrapped(push(SERIAL, energy(1)))[:-5], ["frame-truncated"], id="truncated"),
    pytest.param(b"\xdb\x08" + TITLE + b"\x84\x7f\xff\xff\xff" + bytes(30), ["frame-oversized"], id="oversized"),
    pytest.param(HDLC, ["frame-checksum", "frame-malformed"], id="wrong-checksum"),
    pytest.param(
        wrapped(cipher(push("x", energy(1)), Keys(b"\7" * 16, AK), TITLE, 91)), ["cipher-authentication"], id="wrong-key"
    ),
    pytest.param(wrapped(bytes(ALTERED)), ["cipher-authentication"], id="altered"),
    pytest.param(wrapped(cipher(push("x", energy(1)), Keys(EK, AK), b"NOKEY123", 1)), ["key-missing"], id="no-key"),
    pytest.param(wrapped(push(f"X{RUN}", energy(1), confirmed=False)), ["meter-unknown"], id="unknown-meter"),
    pytest.param(wrapped(push(SERIAL, b"\x77", confirmed=False)), ["dlms-axdr"], id="nonsense"),
    pytest.param(b"\xfe\xff" * 30, ["frame-garbage"], id="garbage"),
]


@pytest.mark.parametrize(("data", "codes"), BAD)
def test_bad_input_is_a_dead_letter_of_its_own_and_the_next_good_push_arrives(
    gateway: GatewayProcess, tap: Tap, data: bytes, codes: list[str]
) -> None:
    value = int(time.time() * 1000) & 0x7FFFFFFF
    good = wrapped(push(SERIAL, energy(value), invoke=11))
    with gateway.connect() as connection:
        connection.sendall(data)
        tap.look(0.5)
        if codes != ["frame-truncated"]:  # which would take the next octets for its own
            connection.sendall(good)
            assert answer(connection)[8:9] == b"\x10"
    with gateway.connect() as other:
        other.sendall(good)
        assert answer(other)[8:9] == b"\x10"
    tap.until(lambda: any(code in tap.letters() for code in codes), f"a dead letter {codes}")
    tap.until(lambda: bool(readings(tap, PLAIN, value)), "the good push")
    letters = [letter for letter in tap.of(DeadLetter) if letter.code in codes]
    assert all(letter.detail and letter.data and letter.endpoint.startswith("127.0.0.1:") for letter in letters)
    assert gateway.process is not None
    assert gateway.process.poll() is None
    assert not [line for line in gateway.log if line.get("level") in ("error", "critical")]


def test_an_unknown_meter_is_discovered_and_after_its_import_it_is_known(
    gateway: GatewayProcess, cluster: Cluster, tap: Tap
) -> None:
    serial = f"N{RUN}"
    frame = wrapped(push(serial, energy(1), invoke=12))
    with gateway.connect() as connection:
        for _ in range(2):
            connection.sendall(frame)
            answer(connection)
        tap.until(lambda: tap.letters().count("meter-unknown") == 2, "both dead letters")
        announced = [item for item in tap.of(Meter) if item.state is MeterState.DISCOVERED]
        assert [item.identities for item in announced] == [(Identity(IdentityKind.SERIAL, serial),)]
        meter = known_meter("new", Identity(IdentityKind.SERIAL, serial))
        cluster.put_meters((meter,))
        end = time.monotonic() + PATIENCE_S
        while not readings(tap, meter, 1):
            assert time.monotonic() < end, "the imported meter stays unknown"
            connection.sendall(frame)
            answer(connection)
            tap.look()


def test_keys_that_are_imported_later_are_used(gateway: GatewayProcess, tap: Tap) -> None:
    title = b"NEW" + bytes.fromhex(RUN) + b"\2"
    frame = wrapped(cipher(push("x", energy(1), invoke=13), Keys(EK, AK), title, 1))
    with gateway.connect() as connection:
        connection.sendall(frame)
        tap.until(lambda: "key-missing" in tap.letters(), "the dead letter")
        gateway.keys({title.hex().upper(): MeterKeys(EK, AK)})
        time.sleep(1.1)  # the key store is looked at once a second at most
        connection.sendall(frame)
        assert answer(connection)[8:9] == b"\x10"
    tap.until(lambda: "meter-unknown" in tap.letters(), "the deciphered telegram of an unregistered meter")


CAPTURES = [
    ("hdlc_iskra550", "iskra", Identity(IdentityKind.SERIAL, "84895126")),
    ("hdlc_kaifa_ma304h3e", "kaifa-han", Identity(IdentityKind.SERIAL, "6970631401753985")),
    ("hdlc_kamstrup_omnipower", "kamstrup", Identity(IdentityKind.SYSTEM_TITLE, "4B414D4501349083")),
    ("hdlc_landis_gyr_e450", "landis-gyr", Identity(IdentityKind.SYSTEM_TITLE, "4C475A677370B177")),
    ("raw_egd_example", "egd", Identity(IdentityKind.LOGICAL_DEVICE_NAME, "EGD012345")),
    ("raw_salzburg_netz", "salzburg", Identity(IdentityKind.SERIAL, "1KFM0200234804")),
]


@pytest.mark.parametrize(("name", "template", "identity"), CAPTURES, ids=[name for name, _, _ in CAPTURES])
def test_a_captured_telegram_reaches_kafka_as_what_it_says(
    gateway: GatewayProcess, cluster: Cluster, tap: Tap, captures_dir: Path, name: str, template: str, identity: Identity
) -> None:
    folder = captures_dir / "dlms-push"
    octets = {
        suffix: bytes.fromhex(file.read_text())
        for suffix in ("hex", "guek", "gak")
        if (file := folder / f"{name}.{suffix}").exists()
    }
    meter = Meter(
        id=f"{name}-{RUN}", identities=(identity,), template=template, key_ref=f"{name}-{RUN}", state=MeterState.NORMAL
    )
    if "guek" in octets:
        gateway.keys({meter.key_ref: MeterKeys(octets["guek"], octets["gak"])})
    cluster.put_meters((meter,))
    expected = json.loads((folder / f"{name}.expected.json").read_text())
    end = time.monotonic() + PATIENCE_S
    while not (mine := [item for item in tap.of(RegisterReadings) if item.meter_id == meter.id]):
        assert time.monotonic() < end, f"no readings: {tap.letters()}"
        with gateway.connect() as connection:
            connection.sendall(octets["hex"])
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
        tap.look(1.0)
    assert [(item.obis, item.value) for item in mine[0].registers] == [
        (value["obis"], value["raw"]) for value in expected["values"]
    ]


def test_a_stopped_gateway_ends_in_order_with_what_it_has_acknowledged(cluster: Cluster, tmp_path: Path, tap: Tap) -> None:
    with running(cluster, tmp_path) as gateway:
        with gateway.connect() as connection:
            for n in range(50):
                connection.sendall(wrapped(push(SERIAL, energy(900_000 + n), invoke=n)))
            answer(connection)
            assert gateway.terminate() == 0
            acknowledged = 1
            try:
                while data := connection.recv(65536):
                    acknowledged += len(data) // 14
            except OSError:
                pass
        assert [line["event"] for line in gateway.log][-1] == "stopped"
    found = {r.value for item in tap.of(RegisterReadings) for r in item.registers if isinstance(r.value, int)}
    for _ in range(10):
        tap.look()
    found = {r.value for item in tap.of(RegisterReadings) for r in item.registers if isinstance(r.value, int)}
    assert set(range(900_000, 900_000 + acknowledged)) <= found
