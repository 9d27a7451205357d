"""Codes of what becomes of commands, beside what they may be refused for (`streams.runtime.authority.refusals`)."""

from __future__ import annotations

CODES = {
    "job-unanswered": "no result of the job came within its deadline and the grace after it",
    "command-cancelled": "an operator took the command back before all of its jobs were issued",
    "command-partial": "the command ended differently on different meters; its detail counts them",
}
