"""What comes unasked, and how to answer it: notifications, registrations, requests (ANSI C12.22, 5.3.2.4.10 to 5.3.2.4.13).

A notification is a write of the log tables 71 to 76, or anything that wants no answer. Whether it may cause an action is
`Opened.may_act` and the test bit: `Message.acts` is both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_security import Opened, Seal, seal
from connectors.protocols.c12.c1222_services import (
    Deregister,
    Register,
    Request,
    Response,
    decode_request,
    encode_request,
    encode_response,
)
from connectors.protocols.c12.epsem import Body, Respond
from connectors.protocols.c12.requests import WriteFull, WriteIndex, WriteOffset
from connectors.protocols.c12.responses import Refused
from connectors.protocols.c12.titles import C1222_BASE, C1222_CONTEXT, ApTitle

LOGS = frozenset(range(71, 77))
"""The tables whose writing is a notification: history and event logs and what goes with them (C12.19, decade 7)."""

TABLE = 0x0FFF
"""Of a table id: its number and whose it is. The bits above say that the write is pending."""


class Kind(Enum):
    """What a message wants."""

    ANSWER = "answer"
    REGISTRATION = "registration"
    DEREGISTRATION = "deregistration"
    NOTIFICATION = "notification"
    ONE_WAY = "one-way"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Message:
    """An opened message that somebody sent unasked, read as far as its requests."""

    kind: Kind
    opened: Opened = field(repr=False)
    requests: tuple[Request, ...]
    test: bool
    urgent: bool
    notification: bool
    """The sender's own word for it: a bit of the calling AE qualifier."""

    @property
    def acts(self) -> bool:
        """Whether it may cause an action."""
        return self.opened.may_act and not self.test

    @property
    def writes(self) -> tuple[WriteFull | WriteIndex | WriteOffset, ...]:
        """The tables that it brings."""
        return tuple(request for request in self.requests if isinstance(request, WriteFull | WriteIndex | WriteOffset))

    @property
    def wants_answer(self) -> bool:
        """Whether an answer is asked for where all goes well."""
        return self.kind is not Kind.ANSWER and self.opened.control.respond is Respond.ALWAYS


def message_of(opened: Opened) -> Message:
    """What a message wants. The services of an answer are not read: that takes the requests. Raises DecodeError."""
    qualifier = opened.apdu.qualifier or 0
    requests = () if opened.answer else tuple(decode_request(service) for service in opened.services)
    flags = (bool(qualifier & bit) for bit in (acse.TEST, acse.URGENT, acse.NOTIFICATION))
    return Message(_kind(opened, requests), opened, requests, *flags)


def notify(
    apdu: Apdu,
    requests: Sequence[Request],
    seal_with: Seal | None = None,
    *,
    respond: Respond = Respond.NEVER,
    ed_class: bytes | None = None,
    base: ApTitle = C1222_BASE,
) -> bytes:
    """A message that nobody asked for. `apdu` says whose, for whom, under which invocation id and with which qualifier."""
    body = Body(tuple(encode_request(request) for request in requests), ed_class)
    return seal(apdu, body, seal_with, respond=respond, base=base)


def answer(asked: Opened, responses: Sequence[Response], *, invocation: int, seal_with: Seal | None = None,
           base: ApTitle = C1222_BASE) -> bytes | None:  # fmt: skip
    """The answer to a request, or None where response control wants none: NEVER, or ON_EXCEPTION and all are OK."""
    respond = asked.control.respond
    if respond is Respond.NEVER or (respond is Respond.ON_EXCEPTION and not any(isinstance(r, Refused) for r in responses)):
        return None
    back = asked.apdu
    apdu = Apdu(back.calling, back.called, invocation, back.calling_invocation, context=back.context)
    body = Body(tuple(encode_response(response) for response in responses), asked.body.ed_class)
    return seal(apdu, body, seal_with, proxy=asked.control.proxy, recovery=asked.control.recovery, base=base)


def known_context(apdu: Apdu) -> bool:
    """Whether a message is of C12.22's context, which is what one without a context is."""
    return apdu.context is None or apdu.context == C1222_CONTEXT


def _kind(opened: Opened, requests: tuple[Request, ...]) -> Kind:
    if opened.answer:
        return Kind.ANSWER
    if any(isinstance(request, Register) for request in requests):
        return Kind.REGISTRATION
    if any(isinstance(request, Deregister) for request in requests):
        return Kind.DEREGISTRATION
    writes = [r for r in requests if isinstance(r, WriteFull | WriteIndex | WriteOffset)]
    if any(write.table & TABLE in LOGS for write in writes) or (opened.apdu.qualifier or 0) & acse.NOTIFICATION:
        return Kind.NOTIFICATION
    return Kind.ONE_WAY if opened.control.respond is Respond.NEVER else Kind.REQUEST
