"""The pull client against jDLMS, a meter that shares no line with us, over TCP with the wrapper.

Needs a JDK and Maven; `tests/peers/jdlms` says what the meter holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.dlms.association import Association, Conformance, associate, release
from connectors.protocols.dlms.client import Span, entries_in_use, read_clock, read_profile, read_registers
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from connectors.protocols.dlms.get import Attribute, ByEntry, get
from connectors.protocols.dlms.profile import ProfileShape, Rules

pytestmark = pytest.mark.integration

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[1] / "peers" / "jdlms"
OSLO = ZoneInfo("Europe/Oslo")
QUARTER = 900_000
DAY = 1668121200000  # 2022-11-11T00:00+01:00
LOAD = "1.0.99.1.0.255"
PUBLIC, READER = 16, 1
PASSWORD = b"Passw0rd"


def build() -> Path:
    """The folder with the peer's classes and jars; built once for each version of its sources."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is absent: jDLMS needs a JDK and Maven")
    sources = sorted(path for path in PROJECT.rglob("*") if path.suffix in {".xml", ".java"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "hes" / "test-peers" / f"jdlms-{digest}"
    if not (folder / "built").exists():
        command = ["mvn", "-q", "-B", f"-Dpeer.build={folder}", "compiler:compile", "dependency:copy-dependencies"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            if "Could not transfer artifact" in done.stdout + done.stderr or "offline" in done.stdout + done.stderr:
                pytest.skip("Maven cannot reach its repository, and jDLMS is not in the local one")
            pytest.fail(f"the jDLMS peer does not build:\n{done.stdout}{done.stderr}")
        (folder / "built").touch()
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    folder, port = build(), free_port()
    classpath = os.pathsep.join((str(folder / "classes"), str(folder / "lib" / "*")))
    command = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath, "peer.Meter", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as meter:
        try:
            assert meter.stdout is not None
            assert meter.stdout.readline() == b"ready\n"
            yield port
        finally:
            assert meter.stdin is not None
            meter.stdin.close()
            try:
                meter.wait(10)
            except subprocess.TimeoutExpired:
                meter.kill()


class Line:
    """A TCP connection that runs sessions."""

    def __init__(self, port: int, client: int) -> None:
        self.client = client
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.deframer = Deframer()
        self.answers: list[bytes] = []
        self.requests = 0

    def run(self, session: Session[T]) -> T:
        try:
            apdu = next(session)
            while True:
                if apdu:
                    self.requests += 1
                    self.socket.sendall(pack(self.client, 1, apdu))
                apdu = session.send(self._receive())
        except StopIteration as ended:
            result: T = ended.value
            return result

    def _receive(self) -> bytes:
        while not self.answers:
            octets = self.socket.recv(65536)
            if not octets:
                return b""
            self.answers += [apdu for _, _, apdu in self.deframer.feed(octets)]
        return self.answers.pop(0)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


CLIENTS = pytest.mark.parametrize(
    ("client", "password"), [pytest.param(PUBLIC, None, id="none"), pytest.param(READER, PASSWORD, id="low")]
)


@CLIENTS
def test_associate_and_release(port: int, client: int, password: bytes | None) -> None:
    with Line(port, client) as line:
        link = line.run(associate(Association(password=password)))
        wanted = Conformance.GET | Conformance.SELECTIVE_ACCESS | Conformance.MULTIPLE_REFERENCES
        assert wanted | Conformance.BLOCK_TRANSFER_WITH_GET in link.conformance
        assert link.max_send_pdu == 0xFFFF
        line.run(release())


@pytest.mark.parametrize(
    ("client", "password", "code", "says"),
    [
        pytest.param(
            READER, b"wrong", "peer-association-refused", "authentication-failure: check the password", id="wrong-password"
        ),
        pytest.param(READER, None, "peer-association-refused", "association: rejected", id="no-password"),
        pytest.param(99, None, "peer-closed", "check the client address", id="unknown-client"),
    ],
)
def test_refused(port: int, client: int, password: bytes | None, code: str, says: str) -> None:
    with Line(port, client) as line, pytest.raises(PeerError) as raised:
        line.run(associate(Association(password=password)))
    assert raised.value.code == code
    assert says in raised.value.detail
    assert "wrong" not in raised.value.detail


@CLIENTS
def test_clock_and_registers(port: int, client: int, password: bytes | None) -> None:
    wanted = [
        Attribute.parse(text)
        for text in (
            "3/1.0.1.8.0.255/2",
            "3/1.0.2.8.0.255/2",
            "1/0.0.96.1.0.255/2",
            "3/1.0.3.8.0.255/2",
            "3/1.0.9.8.0.255/2",
        )
    ]
    with Line(port, client) as line:
        link = line.run(associate(Association(password=password)))
        time = line.run(read_clock(link))
        assert time is not None
        assert (time.iso, time.status) == ("2022-07-12T16:54:30+02:00", 0x80)
        before = line.requests
        found = line.run(read_registers(link, wanted))
        assert line.requests == before + 1
        line.run(release())
    assert [(r.value, r.scaler, r.unit) for r in found[:3]] == [
        (123456789, -1, "Wh"),
        (42, 0, "Wh"),
        ("HES00000042", None, ""),
    ]
    assert ["read-write-denied" in str(found[3].refusal), "object-undefined" in str(found[4].refusal)] == [True, True]


@pytest.mark.parametrize("size", [0xFFFF, 512, 100], ids=lambda n: f"pdu-{n}")
def test_load_profile(port: int, size: int) -> None:
    with Line(port, READER) as line:
        link = line.run(associate(Association(password=PASSWORD, max_receive_pdu=size)))
        whole, shape = line.run(read_profile(link, LOAD, None, Rules(OSLO)))
        asked = line.requests
        part, _ = line.run(read_profile(link, shape, Span(DAY + 40 * QUARTER, DAY + 42 * QUARTER), Rules(OSLO)))
        line.run(release())
    assert (shape.period_s, [column.scaler for column in shape.columns]) == (900, [None, None, -1, 0])
    assert (whole.rows, whole.regular) == (96, True)
    assert whole.ends.tolist() == [DAY + (i + 1) * QUARTER for i in range(96)]
    assert list(whole.channels[0].values) == [1_000_000 + 250 * i for i in range(96)]
    assert list(whole.channels[1].values) == [7 * i for i in range(96)]
    assert whole.statuses is not None
    assert whole.statuses.nonzero()[0].tolist() == [40]
    assert (asked > 4) == (size < 0xFFFF)
    assert part.ends.tolist() == [DAY + i * QUARTER for i in (40, 41, 42)]
    assert list(part.channels[1].values) == [273, 280, 287]


def test_a_known_shape_is_one_request(port: int) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        _, shape = line.run(read_profile(link, LOAD, ByEntry(1, 1), Rules(OSLO)))
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        assert isinstance(shape, ProfileShape)
        found, _ = line.run(read_profile(link, shape, ByEntry(95), Rules(OSLO)))
        line.run(release())
        assert line.requests == 3
    assert list(found.channels[0].values) == [1_023_500, 1_023_750]


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        pytest.param("3/1.0.3.8.0.255/2", "read-write-denied", id="denied"),
        pytest.param("3/1.0.9.8.0.255/2", "object-undefined", id="undefined"),
    ],
)
def test_a_refusal_leaves_the_association_open(port: int, attribute: str, says: str) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        with pytest.raises(PeerError, match=says):
            line.run(get(link, Attribute.parse(attribute)))
        assert line.run(entries_in_use(link, LOAD)) == 96


def test_range_of_the_wrong_form_is_refused_by_name(port: int) -> None:
    with Line(port, PUBLIC) as line:
        link = line.run(associate(Association()))
        with pytest.raises(PeerError, match="type-unmatched"):
            line.run(read_profile(link, LOAD, Span(DAY, DAY + QUARTER, deviation=False), Rules(OSLO)))
