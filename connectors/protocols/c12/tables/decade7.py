"""Decade 7: history and event logs (C12.19, tables 70 to 76)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import LIST_STATUS, LTIME, TABLE_IDB, U8, U16, U32
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record, when
from connectors.protocols.c12.tables.types import binary, set_of

_LIMITS = (
    field("LOG_FLAGS", bits(
        8, "EVENT_NUMBER_FLAG 0", "HIST_DATE_TIME_FLAG 1", "HIST_SEQ_NBR_FLAG 2", "HIST_INHIBIT_OVF_FLAG 3",
        "EVENT_INHIBIT_OVF_FLAG 4")),
    field("NBR_STD_EVENTS", U8),
    field("NBR_MFG_EVENTS", U8),
    field("HIST_DATA_LENGTH", U8),
    field("EVENT_DATA_LENGTH", U8),
    field("NBR_HISTORY_ENTRIES", U16),
    field("NBR_EVENT_ENTRIES", U16),
)  # fmt: skip

_MONITORED = (
    field("STD_EVENTS_MONITORED_FLAGS", set_of("ACT_LOG_TBL.NBR_STD_EVENTS")),
    field("MFG_EVENTS_MONITORED_FLAGS", set_of("ACT_LOG_TBL.NBR_MFG_EVENTS")),
    field("STD_TBLS_MONITORED_FLAGS", set_of("GEN_CONFIG_TBL.DIM_STD_TBLS_USED")),
    field("MFG_TBLS_MONITORED_FLAGS", set_of("GEN_CONFIG_TBL.DIM_MFG_TBLS_USED")),
    field("STD_PROC_MONITORED_FLAGS", set_of("GEN_CONFIG_TBL.DIM_STD_PROC_USED")),
    field("MFG_PROC_MONITORED_FLAGS", set_of("GEN_CONFIG_TBL.DIM_MFG_PROC_USED")),
)

_LIST = (
    field("LIST_STATUS", LIST_STATUS),
    field("NBR_VALID_ENTRIES", U16),
    field("LAST_ENTRY_ELEMENT", U16),
    field("LAST_ENTRY_SEQ_NBR", U32),
    field("NBR_UNREAD_ENTRIES", U16),
)

_HISTORY = record(
    when("ACT_LOG_TBL.HIST_DATE_TIME_FLAG", field("HISTORY_TIME", LTIME)),
    when("ACT_LOG_TBL.EVENT_NUMBER_FLAG", field("EVENT_NUMBER", U16)),
    when("ACT_LOG_TBL.HIST_SEQ_NBR_FLAG", field("HISTORY_SEQ_NBR", U16)),
    field("USER_ID", U16),
    field("HISTORY_CODE", TABLE_IDB),
    field("HISTORY_ARGUMENT", binary("ACT_LOG_TBL.HIST_DATA_LENGTH")),
)

_EVENT = record(
    field("EVENT_TIME", LTIME),
    when("ACT_LOG_TBL.EVENT_NUMBER_FLAG", field("EVENT_NUMBER", U16)),
    field("EVENT_SEQ_NBR", U16),
    field("USER_ID", U16),
    field("EVENT_CODE", TABLE_IDB),
    field("EVENT_ARGUMENT", binary("ACT_LOG_TBL.EVENT_DATA_LENGTH")),
)

DECADE = (
    table(70, "DIM_LOG_TBL", "Log dimension limits", *_LIMITS, extensible=True),
    table(71, "ACT_LOG_TBL", "Actual log limits", *_LIMITS, extensible=True),
    table(
        72, "EVENTS_ID_TBL", "Events identification",
        field("STD_EVENTS_SUPPORTED", set_of("ACT_LOG_TBL.NBR_STD_EVENTS")),
        field("MFG_EVENTS_SUPPORTED", set_of("ACT_LOG_TBL.NBR_MFG_EVENTS")),
    ),
    table(73, "HISTORY_LOG_CTRL_TBL", "History log control", *_MONITORED),
    table(74, "HISTORY_LOG_DATA_TBL", "History log", *_LIST,
          field("ENTRIES", array("ACT_LOG_TBL.NBR_HISTORY_ENTRIES", _HISTORY))),
    table(75, "EVENT_LOG_CTRL_TBL", "Event log control", *_MONITORED),
    table(76, "EVENT_LOG_DATA_TBL", "Event log", *_LIST,
          field("ENTRIES", array("ACT_LOG_TBL.NBR_EVENT_ENTRIES", _EVENT))),
)  # fmt: skip
