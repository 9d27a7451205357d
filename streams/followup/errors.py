"""What this service says in alarms of its own."""

from __future__ import annotations

CODES = {
    "clock-drift": "a meter's clock is wrong, and the policy, or the lack of a key, leaves it to a person to set it",
    "clock-far": "a meter's clock is further off than is set without a person looking first",
    "meter-unanswered": "a meter that alarmed, or its neighbour, did not answer the ping that followed",
    "followup-storm": "more alarms than may be followed up in a minute; what is beyond the budget of the area is left out",
}
"""Codes of alarms in the code table `hes-followup`, with their meaning."""
TABLE = "hes-followup"
