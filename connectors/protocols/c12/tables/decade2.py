"""Decade 2: registers (C12.19, tables 20 to 28)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import LIST_STATUS, NI1, NI2, STIME, TIME, U8, U16
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record, when
from connectors.protocols.c12.tables.types import set_of

_REGS = (
    field("REG_FUNC1_FLAGS", bits(
        8, "SEASON_INFO_FIELD_FLAG 0", "DATE_TIME_FIELD_FLAG 1", "DEMAND_RESET_CTR_FLAG 2", "DEMAND_RESET_LOCK_FLAG 3",
        "CUM_DEMAND_FLAG 4", "CONT_CUM_DEMAND_FLAG 5", "TIME_REMAINING_FLAG 6")),
    field("REG_FUNC2_FLAGS", bits(
        8, "SELF_READ_INHIBIT_OVERFLOW_FLAG 0", "SELF_READ_SEQ_NBR_FLAG 1", "DAILY_SELF_READ_FLAG 2",
        "WEEKLY_SELF_READ_FLAG 3", "SELF_READ_DEMAND_RESET 4..5")),
    field("NBR_SELF_READS", U8),
    field("NBR_SUMMATIONS", U8),
    field("NBR_DEMANDS", U8),
    field("NBR_COIN_VALUES", U8),
    field("NBR_OCCUR", U8),
    field("NBR_TIERS", U8),
    field("NBR_PRESENT_DEMANDS", U8),
    field("NBR_PRESENT_VALUES", U8),
)  # fmt: skip

_DEMANDS = record(
    when("ACT_REGS_TBL.DATE_TIME_FIELD_FLAG", field("EVENT_TIME", array("ACT_REGS_TBL.NBR_OCCUR", STIME))),
    when("ACT_REGS_TBL.CUM_DEMAND_FLAG", field("CUM_DEMAND", NI1)),
    when("ACT_REGS_TBL.CONT_CUM_DEMAND_FLAG", field("CONT_CUM_DEMAND", NI1)),
    field("DEMAND", array("ACT_REGS_TBL.NBR_OCCUR", NI2)),
)

_BLOCK = record(
    field("SUMMATIONS", array("ACT_REGS_TBL.NBR_SUMMATIONS", NI1)),
    field("DEMANDS", array("ACT_REGS_TBL.NBR_DEMANDS", _DEMANDS)),
    field(
        "COINCIDENTS",
        array("ACT_REGS_TBL.NBR_COIN_VALUES", record(field("COINCIDENT_VALUES", array("ACT_REGS_TBL.NBR_OCCUR", NI2)))),
    ),
)

_DATA = (
    when("ACT_REGS_TBL.DEMAND_RESET_CTR_FLAG", field("NBR_DEMAND_RESETS", U8)),
    field("TOT_DATA_BLOCK", _BLOCK),
    field("TIER_DATA_BLOCK", array("ACT_REGS_TBL.NBR_TIERS", _BLOCK)),
)

_INFO = (
    when("ACT_REGS_TBL.DATE_TIME_FIELD_FLAG", field("END_DATE_TIME", STIME)),
    when("ACT_REGS_TBL.SEASON_INFO_FIELD_FLAG", field("SEASON", U8)),
)

_SELF_READ = record(
    when("ACT_REGS_TBL.SELF_READ_SEQ_NBR_FLAG", field("SELF_READ_SEQ_NBR", U16)),
    *_INFO,
    *_DATA,
)

DECADE = (
    table(20, "DIM_REGS_TBL", "Register dimension limits", *_REGS, extensible=True),
    table(21, "ACT_REGS_TBL", "Actual register limits", *_REGS, extensible=True),
    table(
        22, "DATA_SELECTION_TBL", "Data selection",
        field("SUMMATION_SELECT", array("ACT_REGS_TBL.NBR_SUMMATIONS", U8)),
        field("DEMAND_SELECT", array("ACT_REGS_TBL.NBR_DEMANDS", U8)),
        field("MIN_OR_MAX_FLAGS", set_of("(ACT_REGS_TBL.NBR_DEMANDS + 7) / 8")),
        field("COINCIDENT_SELECT", array("ACT_REGS_TBL.NBR_COIN_VALUES", U8)),
        field("COIN_DEMAND_ASSOC", array("ACT_REGS_TBL.NBR_COIN_VALUES", U8)),
    ),
    table(23, "CURRENT_REG_DATA_TBL", "Current registers", *_DATA),
    table(24, "PREVIOUS_SEASON_DATA_TBL", "Registers at the end of the season", *_INFO, *_DATA),
    table(25, "PREVIOUS_DEMAND_RESET_DATA_TBL", "Registers at the demand reset", *_INFO, *_DATA),
    table(
        26, "SELF_READ_DATA_TBL", "Self reads",
        field("LIST_STATUS", LIST_STATUS),
        field("NBR_VALID_ENTRIES", U8),
        field("LAST_ENTRY_ELEMENT", U8),
        field("LAST_ENTRY_SEQ_NBR", U16),
        field("NBR_UNREAD_ENTRIES", U8),
        field("SELF_READS_ENTRIES", array("ACT_REGS_TBL.NBR_SELF_READS", _SELF_READ)),
    ),
    table(
        27, "PRESENT_REGISTER_SELECT_TBL", "Present register selection",
        field("PRESENT_DEMAND_SELECT", array("ACT_REGS_TBL.NBR_PRESENT_DEMANDS", U8)),
        field("PRESENT_VALUE_SELECT", array("ACT_REGS_TBL.NBR_PRESENT_VALUES", U8)),
    ),
    table(
        28, "PRESENT_REGISTER_DATA_TBL", "Present registers",
        field("PRESENT_DEMAND", array("ACT_REGS_TBL.NBR_PRESENT_DEMANDS", record(
            when("ACT_REGS_TBL.TIME_REMAINING_FLAG", field("TIME_REMAINING", TIME)), field("DEMAND_VALUE", NI2)))),
        field("PRESENT_VALUE", array("ACT_REGS_TBL.NBR_PRESENT_VALUES", NI1)),
    ),
)  # fmt: skip
