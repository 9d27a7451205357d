"""ANSI C12 through the gateway, on a real Kafka and real sockets: jobs, registrations, notifications, and what is wrong."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.c12 import responses
from connectors.protocols.c12.c1222_security import Opened, Policy, open_
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.c1222_services import END_DEVICE, Register, Registered, decode_response
from connectors.protocols.c12.epsem import Mode, Respond
from connectors.protocols.c12.requests import WriteFull
from connectors.protocols.c12.responses import Refused
from connectors.protocols.c12.titles import title
from connectors.simulator.c12.psem_server import PsemServer
from connectors.simulator.c12.psem_server import Settings as PsemSettings
from connectors.simulator.c12.psem_tables import OctetTables
from schemas.records import (
    Alarm,
    AlarmKind,
    DeadLetter,
    Identity,
    IdentityKind,
    IntervalReadings,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Outcome,
    Protocol,
    RegisterReadings,
    SessionFrames,
    Severity,
)
from tests.integration.c12_cases import ALARMING, STRANGE, UNASKED, WRONG, meter_of, spoiled
from tests.integration.c12_rig import (
    DES,
    METERS,
    OTHER_RING,
    RING,
    RUN,
    TEMPLATES,
    TOPICS,
    Rig,
    held,
    job,
    named,
    own,
    simulated,
)
from tests.integration.c12_sockets import Lines, MessagesOnUdp
from tests.integration.gateway_bench import PATIENCE_S, Cluster, GatewayProcess, Tap, open_cluster
from tests.unit.connectors.gateway.drivers.c12_meter import (
    KEY,
    KEY_ID,
    PASSWORD,
    START,
    MessageMeter,
    Services,
    event,
    rows,
    tables,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def rig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("c12")
    folder = home / "templates" / "c12"
    folder.mkdir(parents=True)
    for name, text in TEMPLATES.items():
        (folder / f"{name}.yaml").write_text(text)
    settings = {
        "HES_GATEWAY__TEMPLATES_DIR": str(folder.parent), "HES_GATEWAY__ATTEMPTS": "1", "HES_GATEWAY__ANSWER_TIMEOUT_S": "3",
        "HES_GATEWAY__DATAGRAM_RETRY_S": "0.3", "HES_C1222__TCP_PORT": "0", "HES_C1222__UDP_PORT": "0",
    }  # fmt: skip
    cluster.put_meters(METERS)
    with ExitStack() as until:
        fleet = until.enter_context(simulated(home / "fleet", 11))
        shutil.copytree(home / "fleet" / "templates" / "c12", folder, dirs_exist_ok=True)
        gateway = GatewayProcess(cluster, home, settings)
        keys = {f"c12-{n}-{RUN}": MeterKeys(eax=RING, meter=f"c12-{n}-{RUN}") for n in (1, 2, 3, 4, 5)}
        keys |= {"ring": MeterKeys(eax=RING), "other": MeterKeys(eax=OTHER_RING)}
        keys |= {"password": MeterKeys(password=PASSWORD), "wrong": MeterKeys(password=b"wrong")}
        keys |= {"des": MeterKeys(des=bytes((DES.number,)) + DES.octets), "both": MeterKeys(eax=RING, password=PASSWORD)}
        gateway.keys(keys | {row["key_ref"]: held(row) for row in fleet})
        gateway.skip_old_jobs()
        until.callback(gateway.kill)
        gateway.start()
        lines, tap = Lines(), Tap(cluster, *TOPICS)
        until.callback(lines.close)
        until.callback(tap.close)
        rig = Rig(cluster, gateway, tap, lines, fleet)
        yield rig
        for end in rig.ends:
            end()


def stored(readings: list[IntervalReadings]) -> list[tuple[int, int, int]]:
    found = []
    for item in readings:
        ends = item.ends or tuple(item.first_end + n * item.period_s * 1000 for n in range(item.rows))
        found += list(zip(ends, item.channels[0].longs, item.channels[1].longs, strict=True))
    return sorted(found)


# -- jobs ------------------------------------------------------------------------------------------------------------------

HOUR = 3_600_000
WINDOW = (1000 * START + 5 * HOUR, 1000 * START + 9 * HOUR)
WANTED = [row for row in rows() if WINDOW[0] <= row[0] < WINDOW[1]]


def test_meters_are_read_over_tcp_and_udp_in_every_security_mode(rig: Rig) -> None:
    clear, sealed, signed = MessageMeter(), MessageMeter(mode=Mode.CIPHERED), MessageMeter(mode=Mode.AUTHENTICATED)
    signed.services.password = PASSWORD
    meters = [
        rig.on_tcp(clear),
        rig.on_tcp(sealed, template="sealed", key_ref="ring"),
        rig.on_udp(signed, template="signed", key_ref="both"),
    ]
    rig.keep(*meters)
    span: dict[str, Any] = {"from_time": WINDOW[0], "to_time": WINDOW[1]}
    jobs = [
        job(meter, operation, **(span if operation is Operation.READ_PROFILE else {}))
        for meter in meters
        for operation in (
            Operation.PING, Operation.READ_CLOCK, Operation.READ_REGISTERS, Operation.READ_PROFILE, Operation.READ_EVENT_LOG
        )
    ]  # fmt: skip
    results = rig.run(*jobs)
    assert [(item.outcome, item.code, item.detail) for item in results if item.outcome is not Outcome.DONE] == []
    ids = {name for item in results for name in item.events}
    rig.tap.until(lambda: rig.written() >= ids, "events")
    for meter in meters:
        assert stored([item for item in rig.tap.of(IntervalReadings) if item.meter_id == meter.id]) == WANTED
        found = [item for item in rig.tap.of(RegisterReadings) if item.meter_id == meter.id and item.source == "table/23"]
        assert [(one.obis, one.value, one.unit) for one in found[0].registers][:2] == [
            ("1.0.1.8.0.255", 1000, "Wh"), ("1.0.2.8.0.255", 2000, "Wh"),
        ]  # fmt: skip
        kinds = {(alarm.kind, alarm.severity) for alarm in rig.alarms(meter.id)}
        assert (AlarmKind.OUTAGE, Severity.CRITICAL) in kinds
    # Of thirty blocks the end of the newest is looked at, and then those that hold the window.
    assert clear.services.parts(64)[0] == (11 * 29, 5)
    assert sum(count for _, count in clear.services.parts(64)[1:]) == 5 * 29
    # The password was shown in every message, and is in no frame that is kept.
    frames = [frame.data for item in rig.tap.of(SessionFrames) if item.meter_id == meters[2].id for frame in item.frames]
    assert frames
    assert not [data for data in frames if PASSWORD in data]


def test_what_is_wrong_with_one_meter_has_its_own_code_and_disturbs_no_other(rig: Rig) -> None:
    sound = rig.on_tcp(MessageMeter())
    jobs, codes = [job(sound)], [""]
    for name, (make, more, code) in WRONG.items():
        meter = rig.on_tcp(make(), **more)
        rig.keep(meter)
        jobs.append(job(meter, name=name))
        codes.append(code)
    jobs.append(job(sound, Operation.READ_CLOCK))
    rig.keep(sound)
    results = rig.run(*jobs)
    assert [(item.job_id.split("-c12-")[0], item.code) for item in results] == [
        (item.id.split("-c12-")[0], code) for item, code in zip(jobs, [*codes, ""], strict=True)
    ], [item.detail for item in results]
    expected = {item.meter_id: code for item, code in zip(jobs, codes, strict=False) if code in ALARMING}
    rig.tap.until(lambda: {alarm.meter_id for alarm in rig.tap.of(Alarm)} >= set(expected), "security alarms")
    for meter_id, code in expected.items():
        assert [(alarm.kind, alarm.code) for alarm in rig.alarms(meter_id)] == [(AlarmKind.SECURITY, code)]


def test_a_long_answer_comes_in_segments_and_a_meter_with_small_answers_is_read_in_parts(rig: Rig) -> None:
    cutting = rig.on_tcp(spoiled(Mode.CIPHERED, lambda m: list(reversed(cut(m, 120)))), template="sealed", key_ref="ring")
    small = MessageMeter(Services(largest=200))
    meters = [cutting, rig.on_tcp(small)]
    rig.keep(*meters)
    assert [item.code for item in rig.run(*(job(meter, Operation.READ_PROFILE) for meter in meters))] == ["", ""]
    for meter in meters:
        rig.rows_of(meter)
        assert stored([item for item in rig.tap.of(IntervalReadings) if item.meter_id == meter.id]) == rows()
    assert sum(count for _, count in small.services.parts(64) if count <= 200) == 30 * 29


def test_the_simulated_fleet_is_read_as_its_truth_says(rig: Rig) -> None:
    home = rig.gateway.home / "fleet"
    truth = [json.loads(line) for line in (home / "truth.jsonl").read_text().splitlines()]
    expected = {(row["meter"], row["channel"], row["end"]): row["raw"] for row in truth if row["t"] == "interval"}
    ends = [end for _, _, end in expected]
    meters = [
        Meter(
            id=row["id"], endpoint=row["endpoint"], template=row["template"], key_ref=row["key_ref"],
            time_zone=row["time_zone"], protocol=Protocol(row["protocol"]), state=MeterState.NORMAL, vendor=row["vendor"],
            identities=tuple(Identity(IdentityKind(item["kind"]), item["value"]) for item in row["identities"]),
        )
        for row in rig.fleet
    ]  # fmt: skip
    rig.keep(*meters)
    operations = (Operation.READ_CLOCK, Operation.READ_REGISTERS, Operation.READ_EVENT_LOG)
    jobs = [job(meter, Operation.READ_PROFILE, from_time=min(ends), to_time=max(ends) + 1) for meter in meters]
    jobs += [job(meter, operation) for meter in meters for operation in operations]
    assert [(item.meter_id, item.code, item.detail) for item in rig.run(*jobs) if item.code] == []
    ids = {meter.id for meter in meters}
    rig.tap.until(lambda: {item.meter_id for item in rig.tap.of(IntervalReadings)} >= ids, "rows of all meters")
    found = {
        (item.meter_id, channel.obis, item.first_end + n * item.period_s * 1000): value
        for item in rig.tap.of(IntervalReadings)
        if item.meter_id in ids
        for channel in item.channels
        for n, value in enumerate(channel.longs)
    }
    assert len({meter.template for meter in meters}) > 1
    assert found == expected


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_meter_on_ipv6_by_datagrams(rig: Rig) -> None:
    served = MessageMeter()
    try:
        udp = MessagesOnUdp(served, "::1")
    except OSError as error:
        pytest.skip(f"::1 cannot be bound: {error}")
    rig.ends.append(udp.close)
    number = next(rig.numbers)
    served.own = own(number)
    meter = named(number, endpoint=f"c1222+udp://[::1]:{udp.port}")
    rig.keep(meter)
    assert [item.code for item in rig.run(job(meter))] == [""]


# -- C12.18 and C12.21 -----------------------------------------------------------------------------------------------------


def server(**more: Any) -> PsemServer:
    return PsemServer(OctetTables(tables()), PsemSettings(**more))


def psem(number: int, endpoint: str, **more: Any) -> Meter:
    return named(number, endpoint=endpoint, protocol=Protocol.C1218, identities=(), **more)


def test_meters_are_read_over_c1218_and_c1221_on_tcp_and_a_serial_port(rig: Rig) -> None:
    tcp = rig.lines.tcp(lambda: server(password=PASSWORD))
    modem = rig.lines.tcp(lambda: server(standard=2, key=DES))
    head = rig.lines.serial(server(packet_size=64, packets=2))
    meters = [
        psem(21, f"c1218://127.0.0.1:{tcp}", key_ref="password"),
        psem(22, f"tcp://127.0.0.1:{modem}", template="modem", key_ref="des"),
        psem(23, f"serial:{head}?rate=9600"),
        psem(24, f"c1218://127.0.0.1:{tcp}", key_ref="wrong"),
        psem(25, f"udp://127.0.0.1:{tcp}"),
    ]
    rig.keep(*meters)
    jobs = [job(meter, Operation.READ_PROFILE, from_time=WINDOW[0], to_time=WINDOW[1]) for meter in meters[:3]]
    jobs += [job(meter) for meter in meters]
    results = {item.job_id: item for item in rig.run(*jobs)}
    assert [results[item.id].code for item in jobs] == ["", "", "", "", "", "", "psem-response", "endpoint-unsupported"]
    for meter in meters[:3]:
        rig.rows_of(meter)
        assert stored([item for item in rig.tap.of(IntervalReadings) if item.meter_id == meter.id]) == WANTED
    rig.tap.until(lambda: any(item.job_id == jobs[0].id for item in rig.tap.of(SessionFrames)), "frames")
    frames = [frame.data for item in rig.tap.of(SessionFrames) if item.meter_id == meters[0].id for frame in item.frames]
    assert frames
    assert not [data for data in frames if PASSWORD in data]


def send(rig: Rig, message: bytes, *, wait: bool = False) -> bytes:
    """A datagram, and what it is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE_S)
        sender.sendto(message, ("127.0.0.1", rig.ports()["udp_port"]))
        return sender.recv(65_536) if wait else b""


def opened(message: bytes) -> Opened:
    return open_(message, lambda _title, key_id: KEY if key_id == KEY_ID else None, Policy())


def test_a_meter_registers_by_its_serial_number_and_is_known_by_its_title_from_then_on(rig: Rig) -> None:
    meter = meter_of(5, Mode.AUTHENTICATED)
    asked = Register(END_DEVICE, 0, b"TEST", own(5), title(f"1.3.6.1.4.1.33507.{RUN}.5"), b"", 600)
    answer = opened(send(rig, meter.notify([asked], respond=Respond.ALWAYS, qualifier=0), wait=True))
    assert answer.mode is Mode.AUTHENTICATED
    assert decode_response(answer.services[0], asked.code) == Registered(own(5), 0, 600, 1)
    rig.tap.until(lambda: any(isinstance(r, Meter) and r.id == METERS[4].id and len(r.identities) == 2
                              for _, r in rig.tap.seen), "the meter with its title")  # fmt: skip
    # The title is the meter's: its last gasp is an outage, at once, and once.
    gasp = meter.notify([WriteFull(76, tables()[76][:11] + event(START + 9000, 1))])
    with socket.create_connection(("127.0.0.1", rig.ports()["tcp_port"])) as connection:
        connection.sendall(gasp)
        rig.tap.until(lambda: any(a.kind is AlarmKind.OUTAGE for a in rig.alarms(METERS[4].id)), "the outage")
    (outage,) = [a for a in rig.alarms(METERS[4].id) if a.kind is AlarmKind.OUTAGE]
    assert (outage.severity, outage.occurred_at) == (Severity.CRITICAL, 1000 * (START + 9000))
    left = opened(send(rig, meter.deregister(), wait=True))
    assert left.services == (b"\0",)
    rig.tap.until(lambda: {"registered", "deregistered"} <= {a.code for a in rig.alarms(METERS[4].id)}, "the end")


@pytest.mark.parametrize("name", UNASKED)
def test_what_meters_tell_unasked(rig: Rig, name: str) -> None:
    number, make, letters, alarms = UNASKED[name]
    meter_id = METERS[number - 1].id
    rig.tap.look(0.05)
    before = len(rig.tap.seen)
    for message in make():
        send(rig, message)

    def seen(kind: type[Any]) -> list[Any]:
        return [record for _, record in rig.tap.seen[before:] if isinstance(record, kind) and record.meter_id == meter_id]

    def codes() -> list[str]:
        return [letter.code for letter in seen(DeadLetter)]

    def found() -> set[tuple[str, str]]:
        return {(alarm.kind.value, alarm.severity.value) for alarm in seen(Alarm)}

    rig.tap.until(lambda: codes() == letters and found() >= alarms, f"{letters} and {alarms}")
    assert found() == alarms


@pytest.mark.parametrize("name", STRANGE)
def test_what_nobody_can_make_sense_of(rig: Rig, name: str) -> None:
    make, code = STRANGE[name]
    rig.tap.look(0.05)
    before = len(rig.tap.seen)
    with socket.create_connection(("127.0.0.1", rig.ports()["tcp_port"])) as connection:
        connection.sendall(b"".join(make()))
    rig.tap.until(lambda: [r.code for _, r in rig.tap.seen[before:] if isinstance(r, DeadLetter)] == [code], code)
    if name == "title-unknown":
        rig.tap.until(lambda: any(isinstance(r, Meter) and r.state is MeterState.DISCOVERED and r.protocol is Protocol.C1222
                                  for _, r in rig.tap.seen[before:]), "that it was discovered")  # fmt: skip


def test_an_unknown_meter_that_registers_is_told_so(rig: Rig) -> None:
    answer = opened(send(rig, meter_of(78).register(), wait=True))
    assert decode_response(answer.services[0], 0x27) == Refused(responses.UAT)


def test_a_meter_that_registers_over_tcp_is_read_on_its_own_connection(rig: Rig) -> None:
    number = next(rig.numbers)
    meter = meter_of(number)
    record = named(number, endpoint="dial-in")
    other = named(next(rig.numbers), endpoint="c1222://127.0.0.1:9")
    rig.keep(record, other)
    rig.run(job(other, Operation.PING))  # once this is answered the directory has the meters, too
    with socket.create_connection(("127.0.0.1", rig.ports()["tcp_port"])) as connection:
        connection.settimeout(PATIENCE_S)
        connection.sendall(meter.register())
        assert opened(connection.recv(65_536)).services[0][:1] == b"\0"
        rig.cluster.put_jobs([job(record)], "hes.jobs.urgent")
        while not any(item.meter_id == record.id for item in rig.tap.of(JobResult)):
            connection.settimeout(0.2)
            try:
                for answer in meter.exchange(connection.recv(65_536)):
                    connection.sendall(answer)
            except TimeoutError:
                rig.tap.look(0.05)
    assert [item.code for item in rig.tap.of(JobResult) if item.meter_id == record.id] == [""]
