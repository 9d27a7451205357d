"""What messages of one conversation say about each other: which request an answer answers, which segments make a message.

For whoever looks on: `hes decode`, and the frames that are kept. A client's own session needs none of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_masking import masked
from connectors.protocols.c12.c1222_segments import Limits, Segments
from connectors.protocols.c12.decode import View, decode_c1222, services_of
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.titles import ApTitle
from connectors.protocols.c12.tree import Node

_Key = tuple[ApTitle | None, ApTitle | None, int | None]
_FIRST_RESPONSE_AFTER = 0x20


class Conversation:
    """The requests of the last messages, and segments that wait. Bounded; it never raises on what messages hold."""

    def __init__(self, view: View | None = None, *, most: int = 1024, limits: Limits | None = None) -> None:
        self._view = view or View()
        self._most = most
        self._asked: OrderedDict[_Key, tuple[bytes, ...]] = OrderedDict()
        self._segments = Segments(limits, base=self._view.base)

    def learn(self, octets: bytes) -> None:
        """Remember what a message asks. Where answers are looked at before their requests, learn all messages first."""
        apdu = _apdu(octets)
        if apdu is None or apdu.called_invocation is not None:
            return
        services = services_of(octets, self._view)
        if services and services[0] and services[0][0] >= _FIRST_RESPONSE_AFTER:
            self._asked[self._key(apdu.calling, apdu.called, apdu.calling_invocation)] = services
            if len(self._asked) > self._most:
                self._asked.popitem(last=False)

    def requests(self, octets: bytes) -> tuple[bytes, ...]:
        """The services that a message answers, as far as they are known; some answer under the request's own id."""
        apdu = _apdu(octets)
        if apdu is None:
            return ()
        answers = apdu.calling_invocation if apdu.called_invocation is None else apdu.called_invocation
        return self._asked.get(self._key(apdu.called, apdu.calling, answers), ())

    def node(self, octets: bytes, now: float = 0.0) -> Node:
        """A message in fields, its responses by what they answer. The last segment of a message has the whole one below it,
        whose places count from its own beginning.
        """
        self.learn(octets)
        found = decode_c1222(octets, replace(self._view, requests=self.requests(octets)))
        self._segments.expire(now)
        try:
            whole = self._segments.take(octets, now)
        except C12Error as error:
            if found.find("error") is None:
                found = replace(found, children=(*found.children, Node("error", f"{error.code}: {error.detail}")))
            return found
        if whole is None or whole is octets:
            return found
        self.learn(whole)
        below = decode_c1222(whole, replace(self._view, requests=self.requests(whole)))
        return replace(found, children=(*found.children, replace(below, name="message in segments")))

    def masked(self, octets: bytes) -> bytes:
        """A message as it may be kept: what it answers is known."""
        self.learn(octets)
        return masked(octets, self.requests(octets))

    def _key(self, calling: ApTitle | None, called: ApTitle | None, invocation: int | None) -> _Key:
        base = self._view.base
        return calling and calling.absolute(base), called and called.absolute(base), invocation


def _apdu(octets: bytes) -> Apdu | None:
    try:
        return acse.decode(octets)
    except C12Error:
        return None
