"""Decade 11: load control and prepayment (C12.19, tables 110 to 118).

Declared field by field as far as public sources show real meters: limits and status of the control points. The others are
named and kept as octets; a manufacturer's declaration can say more.
"""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import U8
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record, when
from connectors.protocols.c12.tables.types import text

_LIMITS = (
    field("LOAD_CONTROL_FLAGS", bits(16, "DURATION_SUPPORTED_FLAG 0")),
    field("NBR_OF_CONTROL_POINTS", U8),
)

_STATUS = record(
    field("CONTROL_POINT_NAME", text(20)),
    field("REQUESTED_LEVEL", U8),
    field("OUTPUT_LEVEL", U8),
    field("SENSED_LEVEL", U8),
    field("CONTROL_POINT_STATUS", bits(
        8, "LEVEL_SUPPORTED_FLAG 0", "MANUALLY_OVERRIDDEN_FLAG 1", "WAITING_TO_BE_TURNED_ON_FLAG 2")),
    when(
        "ACT_LOAD_CONTROL_TBL.DURATION_SUPPORTED_FLAG",
        field("DURATION_COUNT_DOWN", record(field("HOURS", U8), field("MINUTES", U8), field("SECONDS", U8))),
    ),
)  # fmt: skip

DECADE = (
    table(110, "DIM_LOAD_CONTROL_TBL", "Load control dimension limits", *_LIMITS, extensible=True),
    table(111, "ACT_LOAD_CONTROL_TBL", "Actual load control limits", *_LIMITS, extensible=True),
    table(112, "LOAD_CONTROL_STATUS_TBL", "Load control status",
          field("STATUS_ENTRIES", array("ACT_LOAD_CONTROL_TBL.NBR_OF_CONTROL_POINTS", _STATUS))),
    table(113, "LOAD_CONTROL_CONFIGURATION_TBL", "Load control configuration", extensible=True),
    table(114, "LOAD_CONTROL_SCHEDULE_TBL", "Load control schedule", extensible=True),
    table(115, "LOAD_CONTROL_CONDITIONS_TBL", "Load control conditions", extensible=True),
    table(116, "PREPAYMENT_STATUS_TBL", "Prepayment status", extensible=True),
    table(117, "PREPAYMENT_CONTROL_TBL", "Prepayment control", extensible=True),
    table(118, "BILLING_CONTROL_TBL", "Billing control", extensible=True),
)  # fmt: skip
