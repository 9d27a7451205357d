"""termineter's c1218 and c1219 (PyPI, BSD-3-Clause), an independent client, read our simulated meter over a pseudo-terminal.

They log on with a password, read tables whole and by offset, write them, run a procedure through tables 7 and 8, and make
fields of tables 0, 1, 3, 5, 31, 33, 34, 41, 42, 44, 45, 71 and 74 (general, display, security, log). Their octets are
written out below, by the layouts of C12.19.

What they cannot do, and is therefore not shown here:

- C12.21 (timing setup, authentication), C12.22's fields of logon, reads and writes by index, wait (it is known, and nothing
  sends it).
- Requests of more than one packet: no write longer than one packet, whatever was negotiated.
- Packets of the meter are put together by their sequence numbers alone: neither the toggle nor the bits of several packets
  are looked at, so a packet that a meter repeats is taken twice.
- An ACK that was lost: the answer's first octet is taken for a wrong ACK, and the request is sent again.
- Byte order: always lowest octet first, whatever table 0 says; numbers of tables 0 and 1 as UTF-8 or Latin 1 only.
- Every eighth table (7, 15, 23 …) and procedure of table 0's lists is passed over: only seven bits of an octet are read.
- Months of times in minutes or seconds (formats 3 and 4) are "UNKNOWN".
- Registers, load profile, clock and the units of decades 1, 2, 5 and 6 have no parser.
- Its reader of write requests takes right checksums for wrong ones (a client needs no such reader).
"""

from __future__ import annotations

import asyncio
import importlib
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from connectors.simulator.c12.psem_lines import PtyLine
from connectors.simulator.c12.psem_server import PsemServer, Settings
from connectors.simulator.c12.psem_tables import OctetTables

pytestmark = pytest.mark.integration

connection = pytest.importorskip("c1218.connection", reason="termineter (PyPI, BSD) is not installed")
T = TypeVar("T")

PASSWORD = b"00000000000000000042"
SERIAL = {
    "parity": "N", "baudrate": 9600, "bytesize": 8, "stopbits": 1, "timeout": 2.0, "writeTimeout": None, "xonxoff": False,
    "rtscts": False, "dsrdtr": False, "interCharTimeout": None,
}  # fmt: skip


def bits(*numbers: int, octets: int) -> bytes:
    """Numbers as a set, lowest bit first."""
    return sum(1 << number for number in numbers).to_bytes(octets, "little")


STANDARD_TABLES = (0, 1, 3, 5, 7, 8, 31, 33, 34, 41, 42, 44, 45, 64, 71, 74)
PROCEDURES = (3, 5, 7, 10)

TABLES: dict[int, bytes] = {
    # General configuration: lowest octet first, ISO 646; time format 3, no BCD; electricity; version 2.0; dimensions; lists
    0: bytes((0b0000_0010, 0b0000_0011, 0, 0)) + b"ACME"[:3] + bytes((2, 0, 0, 0, 2, 0, 10, 1, 2, 0, 0, 0))
    + bits(*STANDARD_TABLES, octets=10) + bits(0, 3, octets=1) + bits(*PROCEDURES, octets=2),
    1: b"ACME" + b"FOCUS-AX" + bytes((3, 1, 7, 2)) + b"  00000012345678",
    3: bytes((1,)) + struct.pack("<H", 0x0204) + bytes(2),
    5: b"METER-0815".ljust(20),
    7: bytes(8),
    8: bytes(8),
    31: struct.pack("<BHBHBHB", 0b111, 12, 1, 4, 2, 3, 1),
    32: bytes(12),
    33: bytes((0x53, 0x16, 2)) + bytes((0x54, 0x07, 2)) + struct.pack("<4H", 1, 2, 3, 4),
    34: bytes((0x22, 0x05, 3)) + struct.pack("<3H", 7, 8, 9),
    41: bytes((2, 20, 2, 8)) + struct.pack("<H", 2),
    42: PASSWORD + b"\x01" + b"reader".ljust(20) + b"\x02",
    44: struct.pack("<HBB", 5 | 0x2000, 3, 1) + struct.pack("<HBB", 3 | 0x1000 | 0x4000, 1, 2),
    45: bytes(range(8)) + bytes(range(8, 16)),
    64: bytes(range(256)) * 6,
    71: bytes((0b111, 1, 0, 4, 0)) + struct.pack("<HH", 2, 0) + bytes((0,)) + struct.pack("<H", 1),
    74: bytes((0,)) + struct.pack("<HHIH", 2, 1, 9, 2)
    + struct.pack("<IBHHHH", 28_000_000, 30, 8, 8, 2, 3) + b"\1\2\3\4"
    + struct.pack("<IBHHHH", 28_000_060, 0, 9, 9, 0x1234, 0x0800 | 5) + b"\5\6\7\x08",
}  # fmt: skip


class Procedures(OctetTables):
    """Table 7 starts a procedure, table 8 says how it went: completed, with the parameters as its answer."""

    def __init__(self) -> None:
        super().__init__(dict(TABLES), writable={5, 7})
        self.written = self._run

    def _run(self, table: int) -> None:
        if table == 7:
            request = self.octets[7]
            self.octets[8] = request[:3] + b"\x00" + request[3:]

    def write(self, table: int, offset: int, data: bytes) -> None:
        if table == 7:
            self.octets.pop(7, None)  # a procedure's request is as long as its parameters
        super().write(table, offset, data)


class BadLine(PsemServer):
    """A meter whose answer with `data` is altered on the line, once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Procedures(), SETTINGS)
        self.data = data
        self.times = 0

    def receive(self, data: bytes, now: float) -> bytes:
        octets = super().receive(data, now)
        if self.data not in octets:
            return octets
        self.times += 1
        return octets[:-1] + bytes((octets[-1] ^ 1,)) if self.times == 1 else octets


SETTINGS = Settings(password=PASSWORD, open_tables=(0, 1))


@pytest_asyncio.fixture
async def line() -> AsyncIterator[PtyLine]:
    """A meter on a pseudo-terminal."""
    line = PtyLine(PsemServer(Procedures(), SETTINGS))
    yield line
    line.close()


async def with_client(line: PtyLine, work: Callable[[Any], T], **settings: int) -> T:
    """What `work` makes of termineter's connection, in a thread of its own: it waits as serial ports do."""

    def run() -> T:
        client = connection.Connection(line.path, c1218_settings=settings, serial_settings=SERIAL)
        try:
            assert client.start()
            return work(client)
        finally:
            client.close()

    return await asyncio.to_thread(run)


def logged_on(work: Callable[[Any], T]) -> Callable[[Any], T]:
    def run(client: Any) -> T:
        assert client.login("tester", 2, PASSWORD.decode())
        return work(client)

    return run


async def test_general_tables(line: PtyLine) -> None:
    access = importlib.import_module("c1219.access.general")
    found = await with_client(line, logged_on(access.C1219GeneralAccess))
    assert (found.manufacturer, found.ed_model, found.mfg_serial_no) == ("ACME", "FOCUS-AX", "00000012345678")
    assert (found.hw_version_no, found.hw_revision_no, found.fw_version_no, found.fw_revision_no) == (3, 1, 7, 2)
    assert (found.nameplate_type, found.char_format) == ("Electric", "ISO/IEC 646 (7-bit)")
    assert (found.std_version_no, found.std_revision_no) == (2, 0)
    assert (found.ed_mode, found.std_status, found.device_id) == (1, 0x0204, "METER-0815")
    assert found.std_tbls_used == [table for table in STANDARD_TABLES if table % 8 != 7]  # see the top of this file
    assert (found.mfg_tbls_used, found.std_proc_used) == ([0, 3], [3, 5, 10])


async def test_security_tables(line: PtyLine) -> None:
    access = importlib.import_module("c1219.access.security")
    found = await with_client(line, logged_on(access.C1219SecurityAccess))
    assert [entry["password"] for entry in found.passwords.values()] == [PASSWORD, b"reader".ljust(20)]
    assert found.table_permissions == {
        5: {"idx": 5, "mfg": False, "anyread": True, "anywrite": False, "read": 3, "write": 1}
    }
    assert list(found.procedure_permissions) == [3]
    assert found.keys == {0: bytes(range(8)), 1: bytes(range(8, 16))}


async def test_display_tables(line: PtyLine) -> None:
    access = importlib.import_module("c1219.access.local_display")
    found = await with_client(line, logged_on(access.C1219LocalDisplayAccess))
    assert [tuple(entry) for entry in found.pri_disp_list] == [(3, 5, 6, 1, 2), (4, 5, 7, 0, 2)]
    assert found.pri_disp_sources == (1, 2, 3, 4)


async def test_log_tables(line: PtyLine) -> None:
    access = importlib.import_module("c1219.access.log")
    found = await with_client(line, logged_on(access.C1219LogAccess))
    assert found.logs == [
        {"Time": "UNKNOWN 28 2023 10:40:30", "Event Number": 8, "History Sequence Number": 8, "User ID": 2,
         "Procedure Number": 3, "Std vs Mfg": False, "Arguments": b"\1\2\3\4"},
        {"Time": "UNKNOWN 28 2023 11:40:0", "Event Number": 9, "History Sequence Number": 9, "User ID": 0x1234,
         "Procedure Number": 5, "Std vs Mfg": True, "Arguments": b"\5\6\7\x08"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "packets"),
    [({"pktsize": 8192, "nbrpkts": 1}, 2), ({"pktsize": 512, "nbrpkts": 4}, 4), ({"pktsize": 64, "nbrpkts": 28}, 28)],
    ids=["two large packets", "four packets", "twenty-eight packets"],
)
async def test_a_long_table_in_several_packets(line: PtyLine, settings: dict[str, int], packets: int) -> None:
    # 1,024 is the most that this meter grants, so the first asks for more than it gets, and the table is refused
    work = logged_on(lambda client: client.get_table_data(64))
    if settings["nbrpkts"] < packets:
        with pytest.raises(connection.C1218ReadTableError, match="Operation Not Possible"):
            await with_client(line, work, **settings)
        return
    assert await with_client(line, work, **settings) == TABLES[64]


async def test_tables_by_offset_and_written(line: PtyLine) -> None:
    def work(client: Any) -> list[bytes]:
        before = client.get_table_data(5)
        client.set_table_data(5, b"METER-4711".ljust(20))
        client.set_table_data(5, b"X", offset=0)
        return [before, client.get_table_data(5), client.get_table_data(64, octetcount=4, offset=0x101)]

    assert await with_client(line, logged_on(work)) == [TABLES[5], b"XETER-4711".ljust(20), b"\1\2\3\4"]


async def test_a_procedure(line: PtyLine) -> None:
    found = await with_client(line, logged_on(lambda client: client.run_procedure(10, False, b"\x17\x0b\x17")))
    assert found == (0, b"\x17\x0b\x17")


@pytest.mark.parametrize("password", ["", "00000000000000000043"], ids=["empty", "another"])
async def test_a_wrong_password(line: PtyLine, password: str) -> None:
    assert await with_client(line, lambda client: client.login("tester", 2, password)) is False


@pytest.mark.parametrize(
    ("table", "says"), [(5, "Insufficient Security Clearance"), (99, "Insufficient Security Clearance")], ids=str
)
async def test_without_a_password_only_what_is_open(line: PtyLine, table: int, says: str) -> None:
    def work(client: Any) -> bytes:
        assert client.login("tester", 2)
        assert client.get_table_data(1) == TABLES[1]
        return bytes(client.get_table_data(table))

    with pytest.raises(connection.C1218ReadTableError, match=says):
        await with_client(line, work)


async def test_a_table_that_is_not_there(line: PtyLine) -> None:
    with pytest.raises(connection.C1218ReadTableError, match="Inappropriate Action Requested"):
        await with_client(line, logged_on(lambda client: client.get_table_data(99)))


async def test_log_off_and_again(line: PtyLine) -> None:
    def work(client: Any) -> bytes:
        assert client.logoff()
        assert client.start()
        assert client.login("tester", 2, PASSWORD.decode())
        return bytes(client.get_table_data(5))

    assert await with_client(line, logged_on(work)) == TABLES[5]
    assert await with_client(line, logged_on(lambda client: client.get_table_data(5))) == TABLES[5]


async def test_an_answer_altered_on_the_line_is_refused_and_comes_again() -> None:
    meter = BadLine(TABLES[5])
    line = PtyLine(meter)
    try:
        assert await with_client(line, logged_on(lambda client: client.get_table_data(5))) == TABLES[5]
    finally:
        line.close()
    assert meter.times == 2


async def test_requests_without_a_toggle(line: PtyLine) -> None:
    def work() -> list[bytes]:
        client = connection.Connection(line.path, serial_settings=SERIAL, toggle_control=False, enable_cache=False)
        try:
            assert client.start()
            assert client.login("tester", 2, PASSWORD.decode())
            return [bytes(client.get_table_data(1)) for _ in range(3)]
        finally:
            client.close()

    assert await asyncio.to_thread(work) == [TABLES[1]] * 3
