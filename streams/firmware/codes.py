"""Codes of what becomes of campaigns and their meters, beside what a request or a decision may be refused for."""

from __future__ import annotations

from streams.firmware.fleet import LEFT_OUT

CODES = LEFT_OUT | {
    "image-version": "the image's manifest names another version than the campaign's request",
    "campaign-too-long": "by the plan it would not end before its request expires; the detail names what takes longest",
    "campaign-cancelled": "an operator halted the campaign",
    "campaign-paused": "an operator paused the campaign; `hes firmware resume` goes on",
    "campaign-partial": "the campaign has ended, and not every meter reports the version; its detail counts them",
    "canary-undecided": "the canary has ended and proves neither good nor bad: resume it, or halt it",
    "share-failed": "more meters failed than the campaign allows, for sure: it was halted",
    "share-silent": "more meters are silent after activation than the campaign allows, for sure: it was halted",
    "share-missing": "reads of more meters fail after activation than the campaign allows, for sure: it was halted",
    "job-unanswered": "no result of the job came within its deadline and the grace after it",
    "meter-tried": "as many jobs as the campaign allows brought nothing",
    "meter-silent": "the meter was silent for so long after activation that it was given up; somebody must go there",
}
