"""Requests to a C12.22 node as sessions: several services in one message, answers matched by titles and invocation ids.

A session is a generator. It yields octets to send and is sent the octets of one message that came. Three conventions: it
yields `b""` where nothing is to be sent and the next message is wanted (an answer in segments, or a stray one came); it is
sent `b""` (`CLOSED`) where the connection has ended; a `PeerError` or `FramingError` "link-timeout" is thrown into it where
nothing comes, which is how a request that is answered on exceptions only ends well. What it yields may be several messages,
where the request was cut in segments: `messages` tells them apart for datagrams. A request that is sent again is the same
octets, so that the node can tell (5.3.5).

Framing, timeouts, and what comes unasked are the driver's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from connectors.protocols.c12 import acse, ber, eax
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_security import Opened, Policy, Seal, Short, open_parts, seal
from connectors.protocols.c12.c1222_segments import Segments, cut
from connectors.protocols.c12.c1222_services import Request, Response, answered, decode_response, encode_request
from connectors.protocols.c12.epsem import Body, Mode, Respond
from connectors.protocols.c12.errors import C12Error, CipherError, DecodeError, PeerError
from connectors.protocols.c12.requests import Security
from connectors.protocols.c12.responses import Done, Refused, name_of, refused
from connectors.protocols.c12.titles import C1222_BASE, ApTitle

T = TypeVar("T")

Session: TypeAlias = Generator[bytes, bytes, T]
"""Yields octets to send, is sent messages that came, returns T."""

CLOSED = b""
"""Sent into a session in place of a message: the connection has ended."""

_MOST_STRAYS = 16
_MOST_MESSAGES = 4096


@dataclass(frozen=True, slots=True)
class Node:
    """Whom to ask, as whom, and how it is protected. Raises ValueError where the mode wants a key and there is none."""

    called: ApTitle
    calling: ApTitle
    mode: Mode = Mode.CLEAR
    key: bytes | None = field(default=None, repr=False)
    key_id: int = 0
    base: ApTitle = C1222_BASE
    context: ApTitle | None = None
    """Sent only where the node wants it."""
    ed_class: bytes | None = None
    proxy: bool = False
    largest: int = 65_535
    """Octets of one message; a longer one is sent in segments."""
    short: Short = Short.READ

    def __post_init__(self) -> None:
        if self.mode is not Mode.CLEAR and (self.key is None or len(self.key) != eax.KEY):
            raise ValueError(f"mode {self.mode.name} wants a key of {eax.KEY} octets")


class Client:
    """Asks one node. `invocation` gives ids and `iv` initialisation vectors, none of them twice under one key."""

    def __init__(
        self, node: Node, invocation: Callable[[], int], iv: Callable[[], bytes], replays: Replays | None = None
    ) -> None:
        self.node = node
        self._invocation = invocation
        self._iv = iv
        self._replays = replays
        self._policy = Policy(least=node.mode, short=node.short, base=node.base)

    def request(
        self, requests: Sequence[Request], respond: Respond = Respond.ALWAYS, *, qualifier: int = 0
    ) -> Session[tuple[Response, ...]]:
        """Ask, and return the responses in the order of the requests: fewer, where the last of them is `Refused`.

        With `ON_EXCEPTION` no answer is a good one, and nothing is returned; `NEVER` is `one_way`. Raises PeerError where
        the answer does not fit, CipherError where it is not protected as the node's mode says.
        """
        services = [encode_request(request) for request in requests]
        answers = yield from self.exchange(services, respond, qualifier=qualifier)
        return _responses(answers, requests) if answers or respond is Respond.ALWAYS else ()

    def exchange(
        self, services: Sequence[bytes], respond: Respond = Respond.ALWAYS, *, qualifier: int = 0
    ) -> Session[tuple[bytes, ...]]:
        """`request` in octets."""
        if respond is Respond.NEVER:
            raise ValueError("a request that is never answered is no session: see one_way")
        apdu, octets = self._message(services, respond, qualifier)
        try:
            opened = yield from self._answer(apdu, octets)
        except C12Error as error:
            if respond is Respond.ON_EXCEPTION and error.code == "link-timeout":
                return ()
            raise
        return opened.services

    def carry(self, session: Session[T]) -> Session[T]:
        """A session of single services, as C12.18 has them (`psem_session`): each goes in a message of its own."""
        try:
            service = next(session)
            while True:
                if not service:
                    raise PeerError("peer-unexpected", f"{self.node.called} gave its answer, and another one is waited for")
                try:
                    answers = yield from self.exchange((service,))
                except C12Error as error:
                    service = session.throw(error)
                    continue
                if len(answers) != 1:
                    raise PeerError("peer-unexpected", f"{self.node.called}: {len(answers)} responses to one request")
                service = session.send(answers[0])
        except StopIteration as ended:
            found: T = ended.value
            return found
        finally:
            session.close()

    def one_way(self, requests: Sequence[Request], *, qualifier: int = 0) -> bytes:
        """The octets of a request that is not answered."""
        return self._message([encode_request(request) for request in requests], Respond.NEVER, qualifier)[1]

    def _message(self, services: Sequence[bytes], respond: Respond, qualifier: int) -> tuple[Apdu, bytes]:
        node = self.node
        apdu = Apdu(node.called, node.calling, self._invocation(), qualifier=qualifier or None, context=node.context)
        body = Body(tuple(services), node.ed_class)
        seal_with = (
            None if node.key is None or node.mode is Mode.CLEAR else Seal(node.mode, node.key, node.key_id, self._iv())
        )
        whole = seal(apdu, body, seal_with, respond=respond, proxy=node.proxy, base=node.base)
        return apdu, b"".join(cut(whole, node.largest))

    def _answer(self, asked: Apdu, octets: bytes) -> Session[Opened]:
        """Send, and wait for the message that answers: others, and segments, are passed over."""
        segments = Segments(base=self.node.base)
        strays = 0
        came = yield octets
        for _ in range(_MOST_MESSAGES):
            if not came:
                raise PeerError(
                    "peer-closed", f"{self.node.called} closed the connection before it answered: try again", retry=True
                )
            parts = acse.split(came)
            apdu = acse.apdu_of(parts)
            if apdu.segment and (whole := segments.take(came, 0.0)) is not None:
                parts = acse.split(whole)
                apdu = acse.apdu_of(parts)
            if not apdu.segment:
                if self._matches(apdu, asked):
                    return self._open(parts, apdu)
                strays += 1
            if strays == _MOST_STRAYS:
                break
            came = yield b""
        detail = f"{self.node.called}: {strays} messages came, none answers invocation {asked.calling_invocation}: try again"
        raise PeerError("peer-unexpected", detail, retry=True)

    def _matches(self, came: Apdu, asked: Apdu) -> bool:
        """Whether it is the node's answer to this request. A node that names no title is the one that was asked."""
        node = self.node
        if came.called_invocation is None:  # seen in captures: an answer under the request's own id
            fits = came.calling_invocation == asked.calling_invocation
        else:
            fits = came.called_invocation == asked.calling_invocation
        calling = came.calling is None or came.calling.absolute(node.base) == node.called.absolute(node.base)
        called = came.called is None or came.called.absolute(node.base) == node.calling.absolute(node.base)
        return fits and calling and called

    def _open(self, parts: tuple[ber.Element, ...], apdu: Apdu) -> Opened:
        """The answer, protected as the node's mode says. A refusal in clear is told, as of nobody knows whom."""
        node = self.node

        def lookup(_title: str, key_id: int) -> bytes | None:
            return node.key if key_id == node.key_id else None

        try:
            opened = open_parts(parts, apdu, lookup, self._policy)
        except CipherError as error:
            if error.code != "c1222-policy":
                raise
            said = _refusals(open_parts(parts, apdu, lookup, replace(self._policy, least=Mode.CLEAR)))
            raise CipherError(error.code, f"{error.detail}{said}", error.title) from None
        if self._replays is not None:
            self._replays.check(opened)
        return opened


def messages(octets: bytes) -> tuple[bytes, ...]:
    """The messages that a session yielded at once, apart: each is a datagram."""
    return tuple(octets[element.at : element.end] for element in ber.elements(octets))


def all_ok(responses: Sequence[Response], requests: Sequence[Request], subject: str) -> tuple[Response, ...]:
    """The responses, where there is one for each request and none is refused. Raises PeerError "psem-response"."""
    for place, response in enumerate(responses):
        if isinstance(response, Refused):
            which = f", service {place + 1} of {len(requests)}" if len(requests) > 1 else ""
            raise refused(response.response, f"{subject}{which}")
    if len(responses) != len(requests):
        detail = f"{subject}: {len(responses)} responses to {len(requests)} requests: ask for one at a time"
        raise PeerError("peer-unexpected", detail)
    return tuple(responses)


def _responses(services: Sequence[bytes], requests: Sequence[Request]) -> tuple[Response, ...]:
    """Responses in the order of the requests; a security that was not answered, where all others were, went well."""
    fits = answered([encode_request(request) for request in requests], services)
    responses = [decode_response(service, request[0]) for service, request in zip(services, fits, strict=False)]
    if len(services) == len(requests) or any(isinstance(response, Refused) for response in responses):
        return tuple(responses)
    if len(services) != sum(not isinstance(request, Security) for request in requests):
        detail = f"{len(services)} responses to {len(requests)} requests, none of them refused: ask for one at a time"
        raise PeerError("peer-unexpected", detail)
    found = iter(responses)
    return tuple(Done() if isinstance(request, Security) else next(found) for request in requests)


def _refusals(opened: Opened) -> str:
    """What a message in clear says against the request: it may be the reason, or anybody's lie."""
    try:
        found = [decode_response(service, None) for service in opened.services]
    except DecodeError:
        return ""
    said = [name_of(response.response) for response in found if isinstance(response, Refused)]
    return f"; it says in clear {', '.join(said[:4])}: check key and key id" if said else ""
