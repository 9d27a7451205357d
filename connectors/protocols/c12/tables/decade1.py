"""Decade 1: what the sources of data are (C12.19, tables 10 to 16)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import NI1, U8, U16
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record, when
from connectors.protocols.c12.tables.types import binary

_LIMITS = (
    field("SOURCE_FLAGS", bits(
        8, "PF_EXCLUDE_FLAG 0", "RESET_EXCLUDE_FLAG 1", "BLOCK_DEMAND_FLAG 2", "SLIDING_DEMAND_FLAG 3",
        "THERMAL_DEMAND_FLAG 4", "SET1_PRESENT_FLAG 5", "SET2_PRESENT_FLAG 6", "CONVERSION_ALG_FLAG 7")),
    field("NBR_UOM_ENTRIES", U8),
    field("NBR_DEMAND_CTRL_ENTRIES", U8),
    field("DATA_CTRL_LENGTH", U8),
    field("NBR_DATA_CTRL_ENTRIES", U8),
    field("NBR_CONSTANTS_ENTRIES", U8),
    field("CONSTANTS_SELECTOR", U8),
    field("NBR_SOURCES", U8),
)  # fmt: skip

UOM_ENTRY = bits(
    32, "ID_CODE 0..7", "TIME_BASE 8..10", "MULTIPLIER 11..13", "Q1_ACCOUNTABILITY 14", "Q2_ACCOUNTABILITY 15",
    "Q3_ACCOUNTABILITY 16", "Q4_ACCOUNTABILITY 17", "NET_FLOW_ACCOUNTABILITY 18", "SEGMENTATION 19..21", "HARMONIC 22",
    "ID_RESOURCE 23..27", "NFS 31",
)  # fmt: skip

_INTERVAL = record(
    when(
        "ACT_SOURCES_LIM_TBL.SLIDING_DEMAND_FLAG",
        field("SUB_INT", U8),
        field("INT_MULTIPLIER", U8),
        otherwise=(field("INT_LENGTH", U16),),
    )
)

_RATIOS = record(field("SET_FLAGS", bits(8, "SET_APPLIED_FLAG 0")), field("RATIO_F1", NI1), field("RATIO_P1", NI1))

_CONSTANTS = record(
    field("MULTIPLIER", NI1),
    field("OFFSET", NI1),
    when("ACT_SOURCES_LIM_TBL.SET1_PRESENT_FLAG", field("SET1_CONSTANTS", _RATIOS)),
    when("ACT_SOURCES_LIM_TBL.SET2_PRESENT_FLAG", field("SET2_CONSTANTS", _RATIOS)),
)

_SOURCE_LINK = bits(
    8, "UOM_ENTRY_FLAG 0", "DEMAND_CTRL_FLAG 1", "DATA_CTRL_FLAG 2", "CONSTANTS_FLAG 3", "PULSE_ENGR_FLAG 4",
    "CONSTANT_TO_BE_APPLIED 5",
)  # fmt: skip

DECADE = (
    table(10, "DIM_SOURCES_LIM_TBL", "Data source dimension limits", *_LIMITS, extensible=True),
    table(11, "ACT_SOURCES_LIM_TBL", "Actual data source limits", *_LIMITS, extensible=True),
    table(
        12, "UOM_ENTRY_TBL", "Units of measure",
        field("UOM_ENTRY", array("ACT_SOURCES_LIM_TBL.NBR_UOM_ENTRIES", UOM_ENTRY)),
    ),
    table(
        13, "DEMAND_CONTROL_TBL", "Demand control",
        when("ACT_SOURCES_LIM_TBL.RESET_EXCLUDE_FLAG", field("RESET_EXCLUSION", U8)),
        when(
            "ACT_SOURCES_LIM_TBL.PF_EXCLUDE_FLAG",
            field("P_FAIL_RECOGNTN_TM", U8),
            field("P_FAIL_EXCLUSION", U8),
            field("COLD_LOAD_PICKUP", U8),
        ),
        field("INTERVAL_VALUE", array("ACT_SOURCES_LIM_TBL.NBR_DEMAND_CTRL_ENTRIES", _INTERVAL)),
    ),
    table(
        14, "DATA_CONTROL_TBL", "Data control",
        field("SOURCES_ID", array("ACT_SOURCES_LIM_TBL.NBR_DATA_CTRL_ENTRIES",
                                  binary("ACT_SOURCES_LIM_TBL.DATA_CTRL_LENGTH"))),
    ),
    table(
        15, "CONSTANTS_TBL", "Constants",
        when(
            "ACT_SOURCES_LIM_TBL.CONSTANTS_SELECTOR >= 2",  # 2 is electricity; GE KV meters say 3 and mean the same
            field("SELECTION", array("ACT_SOURCES_LIM_TBL.NBR_CONSTANTS_ENTRIES", _CONSTANTS)),
        ),
        extensible=True,
    ),
    table(
        16, "SOURCES_TBL", "Source definition",
        field("SOURCES_LINK", array("ACT_SOURCES_LIM_TBL.NBR_SOURCES", _SOURCE_LINK)),
    ),
)  # fmt: skip
