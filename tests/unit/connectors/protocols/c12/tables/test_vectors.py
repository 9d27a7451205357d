"""Bit fields and limits against the packed structures of NIST's n0mcli (c1219.h, public domain): filled in by field name,
compiled for a little-endian machine, and dumped. No octet of these was made by code of ours.
"""

from __future__ import annotations

import pytest

from connectors.protocols.c12.tables.builtin import STIME
from connectors.protocols.c12.tables.config import read_config
from connectors.protocols.c12.tables.model import Model, decode_table
from connectors.protocols.c12.tables.numerals import IntFormat, NiFormat
from connectors.protocols.c12.tables.profile_blocks import Blocks
from connectors.protocols.c12.tables.profile_layout import BlockLayout
from connectors.protocols.c12.tables.times import TimeFormat
from connectors.protocols.c12.tables.units import Quantity
from connectors.protocols.c12.tables.values import Record, Value
from tests.unit.connectors.protocols.c12.tables.meters import model, table0


def flags(fields: Record) -> set[str]:
    """Names of the flags set, at any depth."""
    found = {name for name, value in fields.items() if value is True}
    for value in fields.values():
        found |= flags(value) if isinstance(value, Record) else set()
    return found


def read(number: int, octets: str, head: bytes | None = None, **known: bytes) -> Record:
    return decode_table(number, bytes.fromhex(octets), model(head, **known)).value


def test_general_configuration() -> None:
    config = read_config(bytes.fromhex("04abc901020304020014150201020101010304") + b"\x03\x80" + b"\x01\x01\x02" + b"\0\0\0")
    assert config.formats.order == "little"
    assert (config.formats.characters, config.formats.time, config.formats.integer) == (
        2, TimeFormat.MINUTES, IntFormat.SIGN_MAGNITUDE,
    )  # fmt: skip
    assert (config.formats.ni1, config.formats.ni2) == (NiFormat.INT40, NiFormat.FIXED_BCD8)
    assert (config.record.integer("DATA_ACCESS_METHOD"), config.record.integer("ID_FORM")) == (1, 1)
    names = ("MAX_PROC_PARM_LENGTH", "MAX_RESP_DATA_LEN", "STD_VERSION_NO", "STD_REVISION_NO", "DIM_MFG_STATUS_USED")
    assert [config.record.integer(name) for name in names] == [20, 21, 2, 1, 3]
    assert config.record.integer("NBR_PENDING") == 4
    assert config.tables == {0, 1, 15, 2048}
    assert config.procedures == {0, 2049}


def test_mode_and_status() -> None:
    fields = read(3, "0a40210081")
    assert flags(fields) == {
        "TEST_MODE_FLAG", "FACTORY_FLAG", "CLOCK_ERROR_FLAG", "LOW_BATTERY_FLAG", "REVERSE_ROTATION_FLAG",
    }  # fmt: skip
    assert fields.members("ED_MFG_STATUS") == {0, 7}


def test_source_limits() -> None:
    fields = read(11, "4a01020304050207")
    assert flags(fields) == {"RESET_EXCLUDE_FLAG", "SLIDING_DEMAND_FLAG", "SET2_PRESENT_FLAG"}
    names = ("UOM_ENTRIES", "DEMAND_CTRL_ENTRIES", "DATA_CTRL_ENTRIES", "CONSTANTS_ENTRIES", "SOURCES")
    assert [fields.integer(f"NBR_{name}") for name in names] == [1, 2, 4, 5, 7]
    assert (fields.integer("DATA_CTRL_LENGTH"), fields.integer("CONSTANTS_SELECTOR")) == (3, 2)


def test_unit_of_measure() -> None:
    (entry,) = read(12, "0175f689", t11=bytes((0, 1, 0, 0, 0, 0, 2, 0))).records("UOM_ENTRY")
    assert Quantity.of(entry) == Quantity(1, 5, -3, frozenset((1, 4)), net=True, segment=6, harmonic=True, standard=False)
    assert entry.integer("ID_RESOURCE") == 19


def test_source_links() -> None:
    (link,) = read(16, "15", t11=bytes((0, 0, 0, 0, 0, 0, 2, 1))).records("SOURCES_LINK")
    assert flags(link) == {"UOM_ENTRY_FLAG", "DATA_CTRL_FLAG", "PULSE_ENGR_FLAG"}


def test_register_limits() -> None:
    fields = read(21, "52220102030405060708")
    assert flags(fields) == {"DATE_TIME_FIELD_FLAG", "CUM_DEMAND_FLAG", "TIME_REMAINING_FLAG", "SELF_READ_SEQ_NBR_FLAG"}
    names = ("SELF_READS", "SUMMATIONS", "DEMANDS", "COIN_VALUES", "OCCUR", "TIERS", "PRESENT_DEMANDS", "PRESENT_VALUES")
    assert [fields.integer(f"NBR_{name}") for name in names] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert fields.integer("SELF_READ_DEMAND_RESET") == 2


def test_clock() -> None:
    fields = read(52, "4081ba012a6b", table0(tm=3))
    assert fields.time("CLOCK_CALENDAR").seconds == 29_000_000 * 60 + 42
    assert flags(fields) == {"DST_FLAG", "TM_ZN_APPLIED_FLAG", "DST_APPLIED_FLAG"}
    assert fields.integer("DAY_OF_WEEK") == 3


def test_load_profile_limits() -> None:
    fields = read(61, "40e20100620e8223006000040f2c011800013c", table0(tables=(61, 64, 65)))
    assert flags(fields) == {
        "LP_SET2_INHIBIT_OVF_FLAG", "BLK_END_PULSE_FLAG", "SCALAR_DIVISOR_FLAG_SET1", "SCALAR_DIVISOR_FLAG_SET4",
        "EXTENDED_INT_STATUS_FLAG", "SIMPLE_INT_STATUS_FLAG", "INV_UINT16_FLAG", "INV_NI_FMAT2_FLAG",
    }  # fmt: skip
    assert fields.integer("LP_MEMORY_LEN") == 123_456
    names = ("NBR_BLKS", "NBR_BLK_INTS", "NBR_CHNS", "MAX_INT_TIME")
    assert [[fields.integer(f"{name}_SET{n}") for name in names] for n in (1, 2)] == [[35, 96, 4, 15], [300, 24, 1, 60]]


def test_load_profile_selection_and_status() -> None:
    head = table0(tables=(61, 62, 63, 64))
    limits = bytes(7) + bytes.fromhex("0500040001") + b"\x0f"
    (select,) = read(62, "01050602", head, t61=limits).records("LP_SEL_SET1")
    assert select == {"CHNL_FLAG": {"END_RDG_FLAG": True}, "LP_SOURCE_SELECT": 5, "END_BLK_RDG_SOURCE_SELECT": 6}
    status = read(63, "352c0111007011010002012d00", head)
    expected: dict[str, Value] = {
        "ORDER": 1, "OVERFLOW_FLAG": False, "LIST_TYPE": 1, "BLOCK_INHIBIT_OVERFLOW_FLAG": False, "INTERVAL_ORDER": 1,
        "ACTIVE_MODE_FLAG": True, "TEST_MODE": 0, "NBR_VALID_BLOCKS": 300, "LAST_BLOCK_ELEMENT": 17,
        "LAST_BLOCK_SEQ_NBR": 70_000, "NBR_UNREAD_BLOCKS": 258, "NBR_VALID_INT": 45,
    }  # fmt: skip
    assert {name: status.find(name) for name in expected} == expected


def test_extended_status_nibbles() -> None:
    """The common status (DST, clock set back), then channels 1 to 4: partial, overflow, skipped, test mode."""
    layout = BlockLayout(
        Model.of(table0()).config.formats, 1, 1, 4, 900, 1, end_reads=False, end_pulses=False, closure=False, simple=False,
        extended=True,
    )  # fmt: skip
    size = STIME.size(Model.of(table0()).context())
    blocks = Blocks.of(layout, bytes(size) + bytes.fromhex("921450") + bytes(4))
    statuses = blocks.statuses(0)
    assert statuses is not None
    assert statuses.tolist() == [[0b1001, 2, 1, 4, 5]]


@pytest.mark.parametrize(("number", "size"), [(1, 32), (5, 20), (6, 230), (10, 8), (20, 10), (43, 8), (71, 9)])
def test_sizes_as_published(number: int, size: int) -> None:
    """Octets of the tables of fixed size in meters' published register lists."""
    model_ = model()
    assert len(decode_table(number, bytes(size), model_).rest) == 0
