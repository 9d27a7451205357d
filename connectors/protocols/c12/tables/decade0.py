"""Decade 0: configuration and identification (C12.19, tables 0 to 8)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import STIME, TABLE_IDA, TABLE_IDB, U8
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import When, array, bits, field, record, when
from connectors.protocols.c12.tables.types import bcd, binary, set_of, text

ELECTRIC = 2
"""NAMEPLATE_TYPE of electricity meters."""


def _identity(name: str, characters: int) -> When:
    """An identification: text, or half as many octets of BCD."""
    return when("GEN_CONFIG_TBL.ID_FORM", field(name, bcd(characters // 2)), otherwise=(field(name, text(characters)),))


GEN_CONFIG = table(
    0, "GEN_CONFIG_TBL", "General configuration",
    field("FORMAT_CONTROL_1", bits(8, "DATA_ORDER 0..0", "CHAR_FORMAT 1..3", "MODEL_SELECT 4..6")),
    field("FORMAT_CONTROL_2", bits(8, "TM_FORMAT 0..2", "DATA_ACCESS_METHOD 3..4", "ID_FORM 5..5", "INT_FORMAT 6..7")),
    field("FORMAT_CONTROL_3", bits(8, "NI_FORMAT1 0..3", "NI_FORMAT2 4..7")),
    field("DEVICE_CLASS", binary(4)),
    field("NAMEPLATE_TYPE", U8),
    field("DEFAULT_SET_USED", U8),
    field("MAX_PROC_PARM_LENGTH", U8),
    field("MAX_RESP_DATA_LEN", U8),
    field("STD_VERSION_NO", U8),
    field("STD_REVISION_NO", U8),
    field("DIM_STD_TBLS_USED", U8),
    field("DIM_MFG_TBLS_USED", U8),
    field("DIM_STD_PROC_USED", U8),
    field("DIM_MFG_PROC_USED", U8),
    field("DIM_MFG_STATUS_USED", U8),
    field("NBR_PENDING", U8),
    field("STD_TBLS_USED", set_of("DIM_STD_TBLS_USED")),
    field("MFG_TBLS_USED", set_of("DIM_MFG_TBLS_USED")),
    field("STD_PROC_USED", set_of("DIM_STD_PROC_USED")),
    field("MFG_PROC_USED", set_of("DIM_MFG_PROC_USED")),
    field("STD_TBLS_WRITE", set_of("DIM_STD_TBLS_USED")),
    field("MFG_TBLS_WRITE", set_of("DIM_MFG_TBLS_USED")),
    extensible=True,
)  # fmt: skip

ED_MODE = bits(8, "METERING_FLAG 0", "TEST_MODE_FLAG 1", "METER_SHOP_MODE_FLAG 2", "FACTORY_FLAG 3")
ED_STD_STATUS1 = bits(
    16, "UNPROGRAMMED_FLAG 0", "CONFIGURATION_ERROR_FLAG 1", "SELF_CHK_ERROR_FLAG 2", "RAM_FAILURE_FLAG 3",
    "ROM_FAILURE_FLAG 4", "NONVOL_MEM_FAILURE_FLAG 5", "CLOCK_ERROR_FLAG 6", "MEASUREMENT_ERROR_FLAG 7",
    "LOW_BATTERY_FLAG 8", "LOW_LOSS_POTENTIAL_FLAG 9", "DEMAND_OVERLOAD_FLAG 10", "POWER_FAILURE_FLAG 11",
    "TAMPER_DETECT_FLAG 12", "REVERSE_ROTATION_FLAG 13",
)  # fmt: skip

_NAMEPLATE = (
    field("E_KH", text(6)),
    field("E_KT", text(6)),
    field("E_INPUT_SCALAR", U8),
    field("E_ED_CONFIG", text(5)),
    field("E_ELEMENTS", bits(16, "E_FREQ 0..2", "E_NO_OF_ELEMENTS 3..5", "E_BASE_TYPE 6..9", "E_ACCURACY_CLASS 10..15")),
    field("E_VOLTS", bits(8, "E_ELEMENTS_VOLTS 0..3", "E_ED_SUPPLY_VOLTS 4..7")),
    field("E_CLASS_MAX_AMPS", text(6)),
    field("E_TA", text(6)),
)

_PENDING = record(
    field("EVENT_SELECTOR", bits(8, "EVENT_CODE 0..3", "SELF_READ_FLAG 4", "DEMAND_RESET_FLAG 5")),
    field("EVENT_STORAGE", binary(5)),
    field("TABLE_SELECTOR", TABLE_IDA),
)

DECADE = (
    GEN_CONFIG,
    table(
        1, "GENERAL_MFG_ID_TBL", "Manufacturer identification",
        field("MANUFACTURER", text(4)),
        field("ED_MODEL", text(8)),
        field("HW_VERSION_NUMBER", U8),
        field("HW_REVISION_NUMBER", U8),
        field("FW_VERSION_NUMBER", U8),
        field("FW_REVISION_NUMBER", U8),
        _identity("MFG_SERIAL_NUMBER", 16),
    ),
    table(
        2, "DEVICE_NAMEPLATE_TBL", "Nameplate",
        when(f"GEN_CONFIG_TBL.NAMEPLATE_TYPE == {ELECTRIC}", *_NAMEPLATE),
        extensible=True,
    ),
    table(
        3, "ED_MODE_STATUS_TBL", "Mode and status",
        field("ED_MODE", ED_MODE),
        field("ED_STD_STATUS1", ED_STD_STATUS1),
        field("ED_STD_STATUS2", bits(8)),
        field("ED_MFG_STATUS", set_of("GEN_CONFIG_TBL.DIM_MFG_STATUS_USED")),
    ),
    table(
        4, "PENDING_STATUS_TBL", "Pending status",
        field("STANDARD_PENDING", set_of("GEN_CONFIG_TBL.DIM_STD_TBLS_USED")),
        field("MFG_PENDING", set_of("GEN_CONFIG_TBL.DIM_MFG_TBLS_USED")),
        field("LAST_ACTIVATION_DATE_TIME", STIME),
        field("NBR_PENDING_ACTIVATION", U8),
        field("PENDING_TABLES", array("GEN_CONFIG_TBL.NBR_PENDING", _PENDING)),
    ),
    table(5, "DEVICE_IDENT_TBL", "Device identification", _identity("IDENTIFICATION", 20)),
    table(
        6, "UTIL_INFO_TBL", "Utility information",
        field("OWNER_NAME", text(20)),
        field("UTILITY_DIV", text(20)),
        _identity("SERVICE_POINT_ID", 20),
        _identity("ELEC_ADDR", 20),
        _identity("DEVICE_ID", 20),
        _identity("UTIL_SER_NO", 20),
        _identity("CUSTOMER_ID", 20),
        field("COORDINATE_1", binary(10)),
        field("COORDINATE_2", binary(10)),
        field("COORDINATE_3", binary(10)),
        field("TARIFF_ID", text(8)),
        field("EX1_SW_VENDOR", text(4)),
        field("EX1_SW_VERSION_NUMBER", U8),
        field("EX1_SW_REVISION_NUMBER", U8),
        field("EX2_SW_VENDOR", text(4)),
        field("EX2_SW_VERSION_NUMBER", U8),
        field("EX2_SW_REVISION_NUMBER", U8),
        field("PROGRAMMER_NAME", text(10)),
        field("MISC_ID", text(30)),
    ),
    table(7, "PROC_INITIATE_TBL", "Procedure initiate", field("PROC", TABLE_IDB), field("SEQ_NBR", U8), extensible=True),
    table(
        8, "PROC_RESPONSE_TBL", "Procedure response",
        field("PROC", TABLE_IDB),
        field("SEQ_NBR", U8),
        field("RESULT_CODE", U8),
        extensible=True,
    ),
)  # fmt: skip
