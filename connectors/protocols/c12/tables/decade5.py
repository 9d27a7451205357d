"""Decade 5: clock, time zone and calendar (C12.19, tables 50 to 56)."""

from __future__ import annotations

from connectors.protocols.c12.tables.builtin import DATE, I16, LTIME, RDATE, TIME, U8, U16
from connectors.protocols.c12.tables.declarations import table
from connectors.protocols.c12.tables.layouts import array, bits, field, record, when

_LIMITS = (
    field("TIME_FUNC_FLAG1", bits(
        8, "TOU_SELF_READ_FLAG 0", "SEASON_SELF_READ_FLAG 1", "SEASON_DEMAND_RESET_FLAG 2", "SEASON_CHNG_ARMED_FLAG 3",
        "SORT_DATES_FLAG 4", "ANCHOR_DATE_FLAG 5")),
    field("TIME_FUNC_FLAG2", bits(
        8, "CAP_DST_AUTO_FLAG 0", "SEPARATE_WEEKDAYS_FLAG 1", "SEPARATE_SUM_DEMANDS_FLAG 2", "SORT_TIER_SWITCHES_FLAG 3",
        "CAP_TM_ZN_OFFSET_FLAG 4")),
    field("CALENDAR_FLAGS", bits(8, "NBR_SEASONS 0..3", "NBR_SPECIAL_SCHED 4..7")),
    field("NBR_NON_RECURR_DATES", U8),
    field("NBR_RECURR_DATES", U8),
    field("NBR_TIER_SWITCHES", U16),
    field("CALENDAR_TBL_SIZE", U16),
)  # fmt: skip

TIME_DATE_QUAL = bits(
    8, "DAY_OF_WEEK 0..2", "DST_FLAG 3", "GMT_FLAG 4", "TM_ZN_APPLIED_FLAG 5", "DST_APPLIED_FLAG 6", "DST_SUPPORTED_FLAG 7"
)

_ACTION = bits(8, "CALENDAR_CTRL 0..4", "DEMAND_RESET_FLAG 5", "SELF_READ_FLAG 6")
DST_ON, DST_OFF = 1, 2
"""CALENDAR_CTRL of the days on which daylight saving begins and ends."""

_TIER_SWITCH = bits(
    16, "NEW_TIER 0..2", "SUMMATION_SWITCH_FLAG 3", "DEMANDS_SWITCH_FLAG 4", "SWITCH_MIN 5..10", "SWITCH_HOUR 11..15"
)

_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
_SCHEDULE = record(
    field("SATURDAY_SCHEDULE", U8),
    field("SUNDAY_SCHEDULE", U8),
    when(
        "ACT_TIME_TOU_TBL.SEPARATE_WEEKDAYS_FLAG",
        *(field(f"{day}_SCHEDULE", U8) for day in _WEEKDAYS),
        otherwise=(field("WEEKDAY_SCHEDULE", U8),),
    ),
    field("SPECIAL_SCHEDULE", array("ACT_TIME_TOU_TBL.NBR_SPECIAL_SCHED", U8)),
)

_TIERS = ("TIER_DRIVE 6..7", "SPECIAL_SCHD_ACTIVE 8..11", "SEASON 12..15")

DECADE = (
    table(50, "DIM_TIME_TOU_TBL", "Time and TOU dimension limits", *_LIMITS, extensible=True),
    table(51, "ACT_TIME_TOU_TBL", "Actual time and TOU limits", *_LIMITS, extensible=True),
    table(52, "CLOCK_TBL", "Clock", field("CLOCK_CALENDAR", LTIME), field("TIME_DATE_QUAL", TIME_DATE_QUAL)),
    table(
        53, "TIME_OFFSET_TBL", "Time offset",
        field("DST_TIME_EFF", TIME),
        field("DST_TIME_AMT", U8),
        when("ACT_TIME_TOU_TBL.CAP_TM_ZN_OFFSET_FLAG", field("TIME_ZONE_OFFSET", I16)),
        extensible=True,
    ),
    table(
        54, "CALENDAR_TBL", "Calendar",
        when("ACT_TIME_TOU_TBL.ANCHOR_DATE_FLAG", field("ANCHOR_DATE", DATE)),
        field("NON_RECURR_DATES", array("ACT_TIME_TOU_TBL.NBR_NON_RECURR_DATES", record(
            field("NON_RECURR_DATE", DATE), field("CALENDAR_ACTION", _ACTION)))),
        field("RECURR_DATES", array("ACT_TIME_TOU_TBL.NBR_RECURR_DATES", record(
            field("RECURR_DATE", RDATE), field("CALENDAR_ACTION", _ACTION)))),
        field("TIER_SWITCHES", array("ACT_TIME_TOU_TBL.NBR_TIER_SWITCHES", record(
            field("TIER_SWITCH", _TIER_SWITCH), field("DAY_SCH_NUM", U8)))),
        field("DAILY_SCHEDULE_ID_MATRIX", array("ACT_TIME_TOU_TBL.NBR_SEASONS", _SCHEDULE)),
        extensible=True,
    ),
    table(
        55, "CLOCK_STATE_TBL", "Clock state",
        field("CLOCK_CALENDAR", LTIME),
        field("TIME_DATE_QUAL", TIME_DATE_QUAL),
        when(
            "ACT_TIME_TOU_TBL.SEPARATE_SUM_DEMANDS_FLAG",
            field("STATUS", bits(16, "CURR_SUMM_TIER 0..2", "CURR_DEMAND_TIER 3..5", *_TIERS)),
            otherwise=(field("STATUS", bits(16, "CURR_TIER 0..2", *_TIERS)),),
        ),
    ),
    table(
        56, "TIME_REMAIN_TBL", "Time remaining",
        when(
            "ACT_TIME_TOU_TBL.SEPARATE_SUM_DEMANDS_FLAG",
            field("SUMM_TIER_TIME_REMAIN", U16),
            field("DEMAND_TIER_TIME_REMAIN", U16),
            otherwise=(field("TIER_TIME_REMAIN", U16),),
        ),
        field("SELF_READ_DAYS_REMAIN", U8),
    ),
)  # fmt: skip
