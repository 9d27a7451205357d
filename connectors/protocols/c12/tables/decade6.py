"""Decade 6: load profile (C12.19, tables 60 to 67)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import NI1, NI2, STIME, U8, U16, U32
from connectors.protocols.c12.tables.declarations import Declaration, table
from connectors.protocols.c12.tables.layouts import Member, Type, When, array, bits, field, record, when
from connectors.protocols.c12.tables.types import integer, set_of, uint

FORMATS: dict[int, Type] = {
    1: uint(1), 2: uint(2), 4: uint(4), 8: integer(1), 16: integer(2), 32: integer(4), 64: NI1, 128: NI2,
}  # fmt: skip
"""INT_FMT_CDE to the type of an interval's values."""

CLOSURE = "(ACT_LP_TBL.CLOSURE_STATUS_FLAG and GEN_CONFIG_TBL.STD_VERSION_NO < 2)"
"""Bit 12 of LP_FLAGS brings closure statuses in the edition of 1997; in that of 2008 it is about end readings."""


def _used(number: int) -> str:
    return f"{63 + number} in GEN_CONFIG_TBL.STD_TBLS_USED"


def _dimensions(number: int) -> When:
    return when(
        _used(number),
        field(f"NBR_BLKS_SET{number}", U16),
        field(f"NBR_BLK_INTS_SET{number}", U16),
        field(f"NBR_CHNS_SET{number}", U8),
        field(f"MAX_INT_TIME_SET{number}", U8),
    )


_LIMITS = (
    field("LP_MEMORY_LEN", U32),
    field("LP_FLAGS", bits(
        16, "LP_SET1_INHIBIT_OVF_FLAG 0", "LP_SET2_INHIBIT_OVF_FLAG 1", "LP_SET3_INHIBIT_OVF_FLAG 2",
        "LP_SET4_INHIBIT_OVF_FLAG 3", "BLK_END_READ_FLAG 4", "BLK_END_PULSE_FLAG 5", "SCALAR_DIVISOR_FLAG_SET1 6",
        "SCALAR_DIVISOR_FLAG_SET2 7", "SCALAR_DIVISOR_FLAG_SET3 8", "SCALAR_DIVISOR_FLAG_SET4 9",
        "EXTENDED_INT_STATUS_FLAG 10", "SIMPLE_INT_STATUS_FLAG 11", "CLOSURE_STATUS_FLAG 12")),
    field("LP_FMATS", bits(
        8, "INV_UINT8_FLAG 0", "INV_UINT16_FLAG 1", "INV_UINT32_FLAG 2", "INV_INT8_FLAG 3", "INV_INT16_FLAG 4",
        "INV_INT32_FLAG 5", "INV_NI_FMAT1_FLAG 6", "INV_NI_FMAT2_FLAG 7")),
    _dimensions(1), _dimensions(2), _dimensions(3), _dimensions(4),
)  # fmt: skip

_SELECT = record(
    field("CHNL_FLAG", bits(8, "END_RDG_FLAG 0")),
    field("LP_SOURCE_SELECT", U8),
    field("END_BLK_RDG_SOURCE_SELECT", U8),
)


def _control(number: int) -> When:
    channels = f"ACT_LP_TBL.NBR_CHNS_SET{number}"
    return when(
        _used(number),
        field(f"LP_SEL_SET{number}", array(channels, _SELECT)),
        field(f"INT_FMT_CDE{number}", U8),
        when(
            f"ACT_LP_TBL.SCALAR_DIVISOR_FLAG_SET{number}",
            field(f"SCALARS_SET{number}", array(channels, U16)),
            field(f"DIVISOR_SET{number}", array(channels, U16)),
        ),
    )


_STATUS = record(
    field("LP_SET_STATUS_FLAGS", bits(
        8, "ORDER 0..0", "OVERFLOW_FLAG 1", "LIST_TYPE 2..2", "BLOCK_INHIBIT_OVERFLOW_FLAG 3", "INTERVAL_ORDER 4..4",
        "ACTIVE_MODE_FLAG 5", "TEST_MODE 6..6")),
    field("NBR_VALID_BLOCKS", U16),
    field("LAST_BLOCK_ELEMENT", U16),
    field("LAST_BLOCK_SEQ_NBR", U32),
    field("NBR_UNREAD_BLOCKS", U16),
    field("NBR_VALID_INT", U16),
)  # fmt: skip

_READINGS = record(
    when("ACT_LP_TBL.BLK_END_READ_FLAG", field("BLOCK_END_READ", NI1)),
    when("ACT_LP_TBL.BLK_END_PULSE_FLAG", field("BLOCK_END_PULSE", U32)),
)


def _by_format(name: str, set_number: int, channels: str) -> tuple[Member | When, ...]:
    """The array of values in the one format that table 62 chooses."""
    codes = list(FORMATS.items())
    members: tuple[Member | When, ...] = ()
    for code, kind in reversed(codes):
        members = (when(f"LP_CTRL_TBL.INT_FMT_CDE{set_number} == {code}", field(name, array(channels, kind)),
                        otherwise=members),)  # fmt: skip
    return members


def _data(number: int) -> Declaration:
    channels, intervals = f"ACT_LP_TBL.NBR_CHNS_SET{number}", f"ACT_LP_TBL.NBR_BLK_INTS_SET{number}"
    interval = record(
        when("ACT_LP_TBL.EXTENDED_INT_STATUS_FLAG", field("EXTENDED_INT_STATUS", array(f"{channels} / 2 + 1", U8))),
        *_by_format("INT_DATA", number, channels),
    )
    block = record(
        field("BLK_END_TIME", STIME),
        field("END_READINGS", array(channels, _READINGS)),
        when(CLOSURE, field("CLOSURE_STATUS", array(channels, bits(16, "STATUS 0..3", "NBR_VALID_INTERVALS 4..15")))),
        when("ACT_LP_TBL.SIMPLE_INT_STATUS_FLAG", field("SIMPLE_INT_STATUS", set_of(f"({intervals} + 7) / 8"))),
        field("LP_INT", array(intervals, interval)),
    )
    return table(
        63 + number, f"LP_DATA_SET{number}_TBL", f"Load profile data set {number}",
        field(f"LP_DATA_SET{number}", array(f"ACT_LP_TBL.NBR_BLKS_SET{number}", block)),
    )  # fmt: skip


DECADE = (
    table(60, "DIM_LP_TBL", "Load profile dimension limits", *_LIMITS, extensible=True),
    table(61, "ACT_LP_TBL", "Actual load profile limits", *_LIMITS, extensible=True),
    table(62, "LP_CTRL_TBL", "Load profile control", _control(1), _control(2), _control(3), _control(4),
          extensible=True),
    table(
        63, "LP_STATUS_TBL", "Load profile status",
        when(_used(1), field("LP_STATUS_SET1", _STATUS)),
        when(_used(2), field("LP_STATUS_SET2", _STATUS)),
        when(_used(3), field("LP_STATUS_SET3", _STATUS)),
        when(_used(4), field("LP_STATUS_SET4", _STATUS)),
        extensible=True,
    ),
    *(_data(number) for number in range(1, 5)),
)  # fmt: skip
