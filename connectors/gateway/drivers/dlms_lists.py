"""Requests with list that a meter grants and then hangs up on, refuses or answers wrongly: learnt, and not sent again.

    hung up in a list, or silent in one twice ──▶ suspected: none are sent ──the job ends well──▶ confirmed
                                                     └──the link ends all the same: it was the line──▶ nothing is known
    refused, or answered otherwise than one by one ──▶ proved: none are sent

What a meter answers holds for its type and firmware; what a link ended in, for that meter: lines fail, too, and far
more often by silence than by hanging up, so that a cell that was away for an hour says nothing of its meters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.drivers.dlms_shapes import Listless, Shapes
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated, Conformance
from schemas.records import Meter

_LISTS = Conformance.MULTIPLE_REFERENCES
_MEND = "it is read one by one from now on; no-lists in the quirks of its template spares finding that out"
_SILENCES = frozenset({"answer-timeout", "link-timeout"})
_WHY = {
    Listless.SUSPECTED: f"the meter ended the link, or went silent, in a request with list: {_MEND}",
    Listless.PROVED: f"the meter refused a request with list, or answered it wrongly: {_MEND}",
}


def withhold(link: Associated, shapes: Shapes, meter: Meter, now_ms: int) -> None:
    """Let an association that was just opened have no lists where the meter is known not to answer them."""
    if shapes.listless(meter, now_ms) not in (None, Listless.SILENT):
        link.conformance &= ~_LISTS


@contextmanager
def learning(link: Associated, shapes: Shapes, meter: Meter, now_ms: int) -> Iterator[None]:
    """Around a job on `link`: what becomes of its lists is remembered in `shapes`. Told in the log once."""
    granted, known = _LISTS in link.conformance, shapes.listless(meter, now_ms)
    link.in_list = False
    try:
        yield
    except Exception as error:
        code = _end_of(error)
        if code and link.in_list:
            once = code in _SILENCES and known is not Listless.SILENT
            _keep(shapes, meter, Listless.SILENT if once else Listless.SUSPECTED, now_ms)
        elif code and known is Listless.SUSPECTED:
            shapes.forget_listless(meter)
        raise
    if granted and _LISTS not in link.conformance:
        _keep(shapes, meter, Listless.PROVED, now_ms)
    elif known is Listless.SUSPECTED:
        shapes.keep_listless(meter, Listless.CONFIRMED, now_ms)
    elif known is Listless.SILENT:
        shapes.forget_listless(meter)


def _end_of(error: Exception) -> str:
    """The code of what may go better the next time; "" of all else."""
    fault = error if isinstance(error, JobError) else dlms_fault(error)
    return fault.code if fault is not None and fault.retry else ""


def _keep(shapes: Shapes, meter: Meter, how: Listless, now_ms: int) -> None:
    known = shapes.listless(meter, now_ms)
    if how is not Listless.SILENT and known in (None, Listless.SILENT):
        why = _WHY[how]
        structlog.get_logger("visit").warning("lists-not-answered", meter=meter.id, template=meter.template, reason=why)
    shapes.keep_listless(meter, how, now_ms)
