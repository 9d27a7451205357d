"""Attributes as commands set them: the thresholds of the limiter, and what a template says may be set."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.objects.reading import like, typed, written
from connectors.protocols.dlms.put import put
from connectors.protocols.dlms.telegram import scalar

_THRESHOLDS = {"normal": 4, "emergency": 5, "over_s": 6, "under_s": 7}


class _Values:
    """Attributes with the value that each is to have. See `dlms_commands.Command`."""

    def __init__(self, values: Mapping[Attribute, str]) -> None:
        self._values = values
        self._wanted: dict[Attribute, bytes] = {}
        self._present: dict[Attribute, bytes] = {}
        self._reached = False

    def reached(self) -> bool:
        """See `dlms_commands.Command`."""
        return self._reached

    def look(self, link: Associated) -> Session[str]:
        """See `dlms_commands.Command`."""
        for attribute, text in self._values.items():
            present = self._present[attribute] = yield from get(link, attribute)
            self._wanted[attribute] = _as_present(present, text, str(attribute))
        self._reached = self._wanted == self._present
        return "; ".join(f"{attribute} {_words(present, attribute)}" for attribute, present in self._present.items())

    def wait(self, found: Found) -> float:  # noqa: ARG002 - the port's signature
        """See `dlms_commands.Command`."""
        return 0.0

    def send(self, link: Associated) -> Session[None]:
        """See `dlms_commands.Command`: what differs, in the order in which it was asked for."""
        for attribute, value in self._wanted.items():
            if value != self._present[attribute]:
                yield from put(link, attribute, value)

    def say(self) -> str:
        """See `dlms_commands.Command`."""
        return "the meter has the values that were asked for"


class Limit(_Values):
    """Thresholds of the limiter (class 71): normal, emergency (raw, as the monitored register has them), over_s, under_s."""

    def __init__(self, order: DlmsOrder) -> None:
        given = order.job.parameters
        if not given or set(given) - set(_THRESHOLDS):
            names = ", ".join(_THRESHOLDS)
            raise JobError("object-invalid", f"LIMIT has one or more of the parameters {names}, and no other")
        limiter = order.template.pull.limiter
        super().__init__({Attribute(71, limiter, _THRESHOLDS[name]): text for name, text in given.items()})


class SetParameters(_Values):
    """What the job's objects name, each with the parameter of its name; only what the template has under `settable`."""

    def __init__(self, order: DlmsOrder) -> None:
        job, template = order.job, order.template
        if set(job.objects) != set(job.parameters):
            raise JobError("object-invalid", "SET_PARAMETER has a parameter for each object, by the object's name")
        values = {}
        for text in job.objects:
            try:
                attribute = Attribute.parse(text)
            except ValueError as error:
                raise JobError("object-invalid", str(error)) from None
            if str(attribute) not in template.pull.settable:
                detail = f"the template {template.name!r} does not list {attribute} under settable: nothing was sent"
                raise JobError("object-not-settable", detail)
            values[attribute] = job.parameters[text]
        super().__init__(values)


def _as_present(present: bytes, text: str, subject: str) -> bytes:
    """A text as A-XDR data of the type that the meter has there: a number, 0x… for octets, or a text."""
    tag = present[0] if present else axdr.NULL
    if tag == axdr.OCTET_STRING:
        if not text.startswith("0x"):
            raise JobError("object-invalid", f"{subject} holds octets: 0x and hex digits are expected")
        try:
            return written(typed(tag, bytes.fromhex(text[2:])), subject)
        except ValueError:
            raise JobError("object-invalid", f"{subject}: what follows 0x is not hex") from None
    if tag in (axdr.VISIBLE_STRING, axdr.UTF8_STRING):
        return written(typed(tag, text), subject)
    try:
        number = float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise JobError("object-invalid", f"{subject} holds a number, and {text[:40]!r} is none") from None
    return like(present, number, subject)


def _words(data: bytes, attribute: Attribute) -> str:
    value = scalar(whole(data, str(attribute)))
    return "no value" if value is None else str(value)
