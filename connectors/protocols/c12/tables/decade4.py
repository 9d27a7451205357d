"""Decade 4: what limits the security tables (C12.19, tables 40 to 45). Passwords and keys are read as asterisks."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import U8, U16
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record
from connectors.protocols.c12.tables.types import binary

_LIMITS = (
    field("NBR_PASSWORDS", U8),
    field("PASSWORD_LEN", U8),
    field("NBR_KEYS", U8),
    field("KEY_LEN", U8),
    field("NBR_PERM_USED", U16),
)

_GROUPS = bits(8, "GROUP_PERM_0 0", "GROUP_PERM_1 1", "GROUP_PERM_2 2", "GROUP_PERM_3 3", "GROUP_PERM_4 4",
               "GROUP_PERM_5 5", "GROUP_PERM_6 6", "GROUP_PERM_7 7")  # fmt: skip
_TABLE_IDC = bits(16, "TBL_PROC_NBR 0..10", "MFG_FLAG 11", "PROC_FLAG 12", "ANY_READ_FLAG 13", "ANY_WRITE_FLAG 14")
_ACCESS = record(field("ACCESS_TABLE_DEF", _TABLE_IDC), field("READ", _GROUPS), field("WRITE", _GROUPS))

DECADE = (
    table(40, "DIM_SECURITY_LIMITING_TBL", "Security dimension limits", *_LIMITS, extensible=True),
    table(41, "ACT_SECURITY_LIMITING_TBL", "Actual security limits", *_LIMITS, extensible=True),
    table(
        42, "SECURITY_TBL", "Security",
        field("SECURITY_ENTRIES", array("ACT_SECURITY_LIMITING_TBL.NBR_PASSWORDS", record(
            field("PASSWORD", binary("ACT_SECURITY_LIMITING_TBL.PASSWORD_LEN", secret=True)),
            field("ACCESS_PERMISSIONS", _GROUPS)))),
    ),
    table(43, "DEFAULT_ACCESS_CONTROL_TBL", "Default access control",
          field("TABLE_DEFAULT", _ACCESS), field("PROCEDURE_DEFAULT", _ACCESS)),
    table(44, "ACCESS_CONTROL_TBL", "Access control",
          field("ACCESS_CONTROL", array("ACT_SECURITY_LIMITING_TBL.NBR_PERM_USED", _ACCESS))),
    table(45, "KEY_TBL", "Keys",
          field("KEYS", array("ACT_SECURITY_LIMITING_TBL.NBR_KEYS",
                              binary("ACT_SECURITY_LIMITING_TBL.KEY_LEN", secret=True)))),
)  # fmt: skip
