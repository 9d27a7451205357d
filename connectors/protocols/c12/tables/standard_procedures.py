"""The standard's procedures: what is written to table 7 and read from table 8 (C12.19, "Standard procedures").

Where no parameters are declared, none are given; octets that a meter adds to a response are kept.
"""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import LTIME, U8, U16
from connectors.protocols.c12.tables.decade0 import ED_MODE, ED_STD_STATUS1
from connectors.protocols.c12.tables.decade5 import TIME_DATE_QUAL
from connectors.protocols.c12.tables.declarations import ProcedureDeclaration
from connectors.protocols.c12.tables.layouts import Member, When, bits, field, record, when
from connectors.protocols.c12.tables.types import set_of

COLD_START, WARM_START, SAVE_CONFIGURATION, CLEAR_DATA = 0, 1, 2, 3
RESET_LIST_POINTERS, UPDATE_LAST_READ_ENTRY, CHANGE_ED_MODE = 4, 5, 6
CLEAR_STANDARD_STATUS, CLEAR_MANUFACTURER_STATUS, REMOTE_RESET, SET_DATE_TIME = 7, 8, 9, 10
DIRECT_LOAD_CONTROL, MODIFY_CREDIT = 21, 22

LISTS = {
    1: "event log (76)", 2: "self reads (26)", 3: "load profile set 1 (64)", 4: "load profile set 2 (65)",
    5: "load profile set 3 (66)", 6: "load profile set 4 (67)", 7: "load profile, all sets (64 to 67)",
    8: "history log (74)", 255: "all but the event log",
}  # fmt: skip
"""LIST of procedures 4 and 5."""

_RESET = bits(8, "DEMAND_RESET_FLAG 0", "SELF_READ_FLAG 1", "SEASON_CHANGE_FLAG 2", "NEW_SEASON 3..6")

_DURATION = record(field("HOURS", U8), field("MINUTES", U8), field("SECONDS", U8))

Members = tuple[Member | When, ...]


def _procedure(number: int, title: str, request: Members = (), response: Members = ()) -> ProcedureDeclaration:
    return ProcedureDeclaration(number, title, record(*request), record(*response))


PROCEDURES = {
    procedure.number: procedure
    for procedure in (
        _procedure(COLD_START, "Cold start"),
        _procedure(WARM_START, "Warm start"),
        _procedure(SAVE_CONFIGURATION, "Save configuration"),
        _procedure(CLEAR_DATA, "Clear data"),
        _procedure(RESET_LIST_POINTERS, "Reset list pointers", (field("LIST", U8),)),
        _procedure(
            UPDATE_LAST_READ_ENTRY, "Update last read entry", (field("LIST", U8), field("ENTRIES_READ", U16))
        ),
        _procedure(CHANGE_ED_MODE, "Change end device mode", (field("ED_MODE", ED_MODE),)),
        _procedure(
            CLEAR_STANDARD_STATUS, "Clear standard status flags", (),
            (field("ED_STD_STATUS1", ED_STD_STATUS1), field("ED_STD_STATUS2", bits(8))),
        ),
        _procedure(
            CLEAR_MANUFACTURER_STATUS, "Clear manufacturer status flags", (),
            (field("ED_MFG_STATUS", set_of("GEN_CONFIG_TBL.DIM_MFG_STATUS_USED")),),
        ),
        _procedure(REMOTE_RESET, "Remote reset", (field("ACTION_FLAG", _RESET),), (field("SUCCESS_FLAG", _RESET),)),
        _procedure(
            SET_DATE_TIME, "Set date and time",
            (
                field("SET_MASK", bits(8, "SET_TIME_FLAG 0", "SET_DATE_FLAG 1", "SET_TIME_DATE_QUAL 2")),
                field("DATE_TIME", LTIME),
                field("TIME_DATE_QUAL", TIME_DATE_QUAL),
            ),
            (field("DATE_TIME_BEFORE", LTIME), field("DATE_TIME_AFTER", LTIME)),
        ),
        _procedure(11, "Execute diagnostics"),
        _procedure(12, "Activate all pending tables"),
        _procedure(14, "Clear all pending tables"),
        _procedure(16, "Start load profile"),
        _procedure(17, "Stop load profile"),
        _procedure(
            DIRECT_LOAD_CONTROL, "Direct load control",
            (
                field("LEVEL", U8),
                field("CONTROL_POINTS", set_of("(ACT_LOAD_CONTROL_TBL.NBR_OF_CONTROL_POINTS + 7) / 8")),
                when("ACT_LOAD_CONTROL_TBL.DURATION_SUPPORTED_FLAG", field("DURATION", _DURATION)),
            ),
        ),
    )
}  # fmt: skip
"""Number to declaration. What is not here, modify credit (22) among them, is given as octets: see `procedures.initiate`."""
