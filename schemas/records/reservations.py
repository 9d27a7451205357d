"""What a gateway writes before it acts, so that neither it nor its successor does it twice: counters, intents, openings."""

from __future__ import annotations

from schemas.records.fields import Millis
from schemas.records.jobs import Operation, Outcome
from schemas.values import value_class


@value_class
class CountersSeen:
    """How far both counters of a key had come when it was last looked; they only rise while the key is the same."""

    mark: str = ""  # tells the key from others, and nothing of it; empty: nothing was seen
    meter: int = -1  # highest of the meter's own that came authenticated
    ours: int = -1  # highest of ours that the meter answered


@value_class
class CounterReservation:
    """Highest invocation counter that may have been used for a key, on `hes.counters`; it only rises."""

    meter_id: str = ""
    client: int = 0  # client SAP
    key_ref: str = ""
    reserved: int = 0
    owner: str = ""
    at: Millis = 0
    seen: CountersSeen = CountersSeen()


@value_class
class CommandIntent:
    """A command to one meter, on `hes.intents`: what is about to be sent, written before it is, and what came of it."""

    meter_id: str = ""
    digest: bytes = b""  # of the request's exact bytes; with the meter's id it names one action
    command_id: str = ""
    job_id: str = ""
    operation: Operation = Operation.UNKNOWN
    record: str = ""  # topic/partition/offset of the job
    owner: str = ""
    at: Millis | None = None  # when it was about to be sent; null: nothing was sent
    expires: Millis = 0  # from then on the request proves nothing any more, and this may be forgotten
    outcome: Outcome = Outcome.UNKNOWN  # UNKNOWN: nobody knows yet what came of it
    code: str = ""
    detail: str = ""
    before: str = ""
    after: str = ""
    settled_at: Millis | None = None


@value_class
class Opening:
    """A claim to cut one supply, on `hes.openings`: their order says which are within the cap a minute."""

    id: str = ""
    meter_id: str = ""
    digest: bytes = b""  # as of its CommandIntent
    owner: str = ""
    at: Millis = 0
    environment: str = ""  # each has a cap of its own
