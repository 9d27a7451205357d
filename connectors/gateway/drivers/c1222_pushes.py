"""From a C12.22 message that nobody asked for to what is written of it, and what the meter is answered once Kafka has it.

message ─▶ whose? (calling title, else serial number, else address) ─▶ opened by its keys, as its template asks, once
    ├─ registration, deregistration ─▶ an event, the meter's title; answered with its place
    ├─ writes of tables ─▶ alarms and readings; answered where an answer is asked for
    └─ anything else, and all that fails ─▶ a dead letter; a failed proof in a meter's name is an alarm, too
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from connectors.gateway.drivers.c12_keys import ring
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c1222_notices import notice_events
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.identify import by_endpoint, discovered
from connectors.gateway.keystore import KeyStore
from connectors.gateway.mapping import own_alarm
from connectors.gateway.pipeline import Pipeline, Push, letter_of
from connectors.protocols.c12 import acse, epsem
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_messages import Kind, Message, answer, message_of
from connectors.protocols.c12.c1222_security import KeyLookup, Opened, Policy, Seal, open_
from connectors.protocols.c12.c1222_services import (
    Deregister,
    Register,
    Registered,
    Request,
    Response,
    decode_request,
)
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error, CipherError
from connectors.protocols.c12.responses import ISC, SNS, UAT, Done, Refused
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, title
from connectors.templates.c12_template import C12Template
from schemas.records import Alarm, Identity, IdentityKind, Meter, MeterState, Protocol

CODE_TABLE = "c1222"
"""Code table of what meters do in their network: "registered", "deregistered"."""

_ALARMING = frozenset(("c1222-authentication", "c1222-replay", "c1222-policy"))
_KEYS_MAY_HAVE_CHANGED = frozenset(("c1222-key-missing", "c1222-authentication"))
_REPEATED_MS, _MOST_LET = 120_000, 100_000
"""How long a meter may repeat a message, and how many messages are remembered for it."""
_AGAIN = ("c1222-replay", "a message came again, octet for octet: what it states is written again, under the same ids")
_DIRECT = 0x01
"""Of a registration's answer: direct messaging available."""


@dataclass(frozen=True, slots=True)
class PushTools:
    """What all conversations share."""

    pipeline: Pipeline
    keys: KeyStore
    templates: Mapping[str, C12Template]
    known: Known
    numbers: Numbers
    windows: Windows
    period_s: int
    """By when meters register again."""
    announce: int
    """How many unregistered meters are told of at most."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A message, opened, and whose it is."""

    message: Message
    meter: Meter
    template: C12Template
    push: Push
    octets: bytes

    @property
    def opened(self) -> Opened:
        return self.message.opened

    @property
    def proven(self) -> bool:
        return self.opened.mode is not Mode.CLEAR and not self.opened.short


class Pushes:
    """Messages to pushes."""

    def __init__(self, tools: PushTools) -> None:
        self._tools = tools
        self._generic = tools.templates.get("generic", C12Template("generic"))
        bases = (C1222_BASE, *(template.messages.base for template in tools.templates.values()))
        self._bases = tuple(dict.fromkeys(bases))
        self._announced: set[str] = set()
        self._let: OrderedDict[bytes, int] = OrderedDict()

    def take(self, octets: bytes, push: Push) -> Push:
        """What a whole message comes to. `push` has its frames."""
        try:
            return self._take(octets, push)
        except Exception as error:  # noqa: BLE001 - a bug in one message must neither stop the worker nor lose the bytes
            return self._tools.pipeline.internal(error, push)

    def refused(self, error: C12Error, push: Push) -> Push:
        """What octets come to that are no message."""
        return replace(push, letter=letter_of(push, error.code, error.detail))

    def _take(self, octets: bytes, push: Push) -> Push:
        try:
            apdu = acse.decode(octets)
        except C12Error as error:
            return self.refused(error, push)
        meter = self._meter(apdu.calling, push.endpoint) or self._claimed(apdu)
        template = self._generic if meter is None else self._tools.templates.get(meter.template, self._generic)
        if meter is not None:
            push = replace(push, meter_id=meter.id, frames=replace(push.frames, meter_id=meter.id))
        try:
            opened = self._open(octets, apdu, meter, template)
            message = message_of(opened)
            if meter is None:
                return self._unregistered(message, push)
            heard = _Heard(message, meter, template, push, octets)
            heard = replace(heard, push=replace(push, authenticated=heard.proven))
            again = self._again(heard)
            said = self._said(heard)
            return said if not again or said.letter is not None else replace(said, letter=letter_of(push, *_AGAIN))
        except C12Error as error:
            if meter is None:
                return self._unknown(apdu.calling, (), push)
            return self._failed(error, meter, push)

    def _said(self, heard: _Heard) -> Push:
        message = heard.message
        if message.kind is Kind.REGISTRATION:
            return self._register(heard)
        if message.kind is Kind.DEREGISTRATION:
            return self._deregister(heard)
        if message.kind is not Kind.ANSWER and message.writes:
            return self._notified(heard)
        what = "an answer to nothing that was asked" if message.kind is Kind.ANSWER else _services(message)
        return self._letter(heard, "peer-unexpected", f"meter {heard.meter.id} sent {what}: nobody here does that", SNS)

    def _notified(self, heard: _Heard) -> Push:
        meter, push = heard.meter, heard.push
        model = self._tools.known.best(meter, heard.template, push.received_at)
        events = notice_events(heard.message, meter, heard.template, model, push.received_at)
        if not events:
            tables = ", ".join(str(write.table) for write in heard.message.writes)
            detail = f"meter {meter.id} brought tables {tables}, in which there is neither a value nor an alarm"
            return self._letter(heard, "telegram-empty", detail, None)
        responses = [Done()] * len(heard.message.requests)
        return replace(push, events=events, reply=self._answer(heard, responses))

    def _register(self, heard: _Heard) -> Push:
        meter, push = heard.meter, heard.push
        asked = next(request for request in heard.message.requests if isinstance(request, Register))
        own = _title_text(meter)
        wanted = asked.title.absolute(heard.template.messages.base) if asked.title.octets else None
        if wanted is None and own is None:
            return self._letter(
                heard, "c1222-title-unknown", f"meter {meter.id} has no title and asks for one: import it", UAT
            )
        holder = None if wanted is None else self._holder(wanted)
        if holder is not None and holder.id != meter.id:
            return self._conflict(heard, f"meter {meter.id} registers with title {wanted}, which is meter {holder.id}'s")
        if holder is None and wanted is not None and own is not None and not heard.proven:
            detail = (
                f"meter {meter.id} registers with title {wanted}, which is not its own, {own}, and does not prove itself"
            )
            return self._conflict(heard, detail)
        announced = None
        if wanted is not None and holder is None:
            others = tuple(item for item in meter.identities if item.kind is not IdentityKind.AP_TITLE)
            named = Identity(IdentityKind.AP_TITLE, wanted.text)
            announced = replace(meter, identities=(*others, named), updated_at=push.received_at)
        given = asked.title if wanted is not None else ApTitle(b"") if own is None else _absolute(own, heard.template)
        response = Registered(given, 0, min(self._tools.period_s, asked.period_s or self._tools.period_s), _DIRECT)
        event = self._event(heard, "registered", f"as {given.absolute(heard.template.messages.base)}")
        responses = [response if request is asked else Done() for request in heard.message.requests]
        return replace(push, events=(event,), announced=announced, reply=self._answer(heard, responses))

    def _deregister(self, heard: _Heard) -> Push:
        asked = next(request for request in heard.message.requests if isinstance(request, Deregister))
        wanted = asked.title.absolute(heard.template.messages.base)
        holder = self._holder(wanted)
        if holder is None or holder.id != heard.meter.id:
            return self._conflict(heard, f"meter {heard.meter.id} gives up the title {wanted}, which is not its own")
        event = self._event(heard, "deregistered", f"was {wanted}")
        return replace(heard.push, events=(event,), reply=self._answer(heard, [Done()] * len(heard.message.requests)))

    def _conflict(self, heard: _Heard, detail: str) -> Push:
        push = heard.push
        alarms = self._alarms(heard.meter, "identity-conflict", detail, push)
        return replace(self._letter(heard, "identity-conflict", detail, ISC), events=alarms)

    def _event(self, heard: _Heard, code: str, detail: str) -> Alarm:
        # Its octets make the id: the same datagram twice says it once.
        return own_alarm(heard.meter, code, detail, heard.push.received_at, heard.octets, table=CODE_TABLE, source="c1222")

    def _letter(self, heard: _Heard, code: str, detail: str, response: int | None) -> Push:
        """A dead letter; the meter is told `response`, or that all is well with None."""
        refusal: Response = Done() if response is None else Refused(response)
        reply = b""
        if heard.message.kind is not Kind.ANSWER:
            reply = self._answer(heard, [refusal] * (len(heard.message.requests) if response is None else 1))
        return replace(heard.push, letter=letter_of(heard.push, code, detail), reply=reply)

    def _answer(self, heard: _Heard, responses: Sequence[Response]) -> bytes:
        opened, numbers, base = heard.opened, self._tools.numbers, heard.template.messages.base
        seal_with = None
        if opened.mode is not Mode.CLEAR and opened.key_id is not None:
            key = self._ring(heard.meter, opened.apdu.calling).get(opened.key_id)
            seal_with = None if key is None else Seal(opened.mode, key, opened.key_id, numbers.iv())
        return answer(opened, responses, invocation=numbers.invocation(), seal_with=seal_with, base=base) or b""

    def _unregistered(self, message: Message, push: Push) -> Push:
        """What somebody says whom nobody registered; who wants to register is told so."""
        asked = _first(message.requests)
        if asked is None:
            return self._unknown(message.opened.apdu.calling, (), push)
        named = asked.title if asked.title.octets else message.opened.apdu.calling
        push = self._unknown(named, (Identity(IdentityKind.SERIAL, asked.serial.text),), push)
        reply = answer(message.opened, [Refused(UAT)], invocation=self._tools.numbers.invocation())
        return replace(push, reply=reply or b"")

    def _unknown(self, calling: ApTitle | None, others: tuple[Identity, ...], push: Push) -> Push:
        named = () if calling is None else (Identity(IdentityKind.AP_TITLE, calling.absolute(C1222_BASE).text),)
        identities = named + others
        names = ", ".join(f"{item.kind} {item.value}" for item in identities) or f"endpoint {push.endpoint}"
        detail = f"no registered meter has {names}; import it, then redrive"
        letter = letter_of(push, "c1222-title-unknown", detail)
        return replace(push, letter=letter, announced=self._announcement(identities, push))

    def _announcement(self, identities: tuple[Identity, ...], push: Push) -> Meter | None:
        """The meter to be told of, once for a process, and not if anybody told before."""
        if push.replay_id or len(self._announced) >= self._tools.announce:
            return None
        meter = replace(discovered(identities, push.endpoint, push.received_at), protocol=Protocol.C1222)
        if meter.id in self._announced or self._tools.pipeline.directory.get(meter.id) is not None:
            return None
        self._announced.add(meter.id)
        return meter

    def _failed(self, error: C12Error, meter: Meter, push: Push) -> Push:
        alarms = self._alarms(meter, error.code, error.detail, push) if error.code in _ALARMING else ()
        return replace(push, events=alarms, letter=letter_of(push, error.code, error.detail))

    def _alarms(self, meter: Meter, code: str, detail: str, push: Push) -> tuple[Alarm, ...]:
        return () if push.replay_id else self._tools.pipeline.alarm_once(meter, code, detail, push.received_at)

    def _open(self, octets: bytes, apdu: Apdu, meter: Meter | None, template: C12Template) -> Opened:
        """The message, opened; tried again where keys are missing or wrong and the key store has changed meanwhile."""
        terms = template.messages
        policy = Policy(terms.mode, terms.short, terms.base, clear_acts=terms.trust_clear)
        if meter is None:
            policy = Policy(base=terms.base, clear_acts=False)
        try:
            opened = open_(octets, self._lookup(meter, apdu.calling), policy)
        except CipherError as error:
            if error.code not in _KEYS_MAY_HAVE_CHANGED or not self._tools.pipeline.keys_changed():
                raise
            opened = open_(octets, self._lookup(meter, apdu.calling), policy)
        return opened

    def _again(self, heard: _Heard) -> bool:
        """Whether a message came before, octet for octet and a moment ago: a meter that has no answer repeats itself. Raises
        CipherError "c1222-replay" for what came longer ago, and for another message under the same numbers.
        """
        opened, at = heard.opened, heard.push.received_at
        if opened.mode is Mode.CLEAR or heard.push.replay_id:
            return False
        mark = blake2b(heard.octets, digest_size=16).digest()
        try:
            self._tools.windows.of(heard.template).check(opened)
        except CipherError:
            if at - self._let.get(mark, -_REPEATED_MS) >= _REPEATED_MS:
                raise
            return True
        self._let[mark] = at
        if len(self._let) > _MOST_LET:
            self._let.popitem(last=False)
        return False

    def _lookup(self, meter: Meter | None, calling: ApTitle | None) -> KeyLookup:
        keys = self._ring(meter, calling)
        return lambda _title, key_id: keys.get(key_id)

    def _ring(self, meter: Meter | None, calling: ApTitle | None) -> dict[int, bytes]:
        """Keys under the meter's reference, else under its title."""
        refs = ["" if meter is None else meter.key_ref, *(_texts(calling, self._bases) if calling is not None else ())]
        for ref in filter(None, refs):
            try:
                held = self._tools.keys.get(ref)
            except KeyStoreError:
                continue
            if held is not None and held.eax is not None:
                return ring(held.eax)
        return {}

    def _meter(self, calling: ApTitle | None, endpoint: str) -> Meter | None:
        """The registered meter of a title, else of an address; not of an address whose meter has another title."""
        if calling is not None and (meter := self._holder(calling)) is not None:
            return meter
        meter = by_endpoint(endpoint, self._tools.pipeline.directory)
        return None if meter is None or (calling is not None and _title_text(meter) is not None) else meter

    def _claimed(self, apdu: Apdu) -> Meter | None:
        """The registered meter whose serial number a registration tells under a title that nobody has. Whether it is the
        meter that says so is seen when the message is opened.
        """
        try:
            control, body, _ = epsem.split(apdu.information or b"")
            if control.mode is Mode.CIPHERED:
                return None
            asked = _first([decode_request(service) for service in epsem.body_of(control, body).services])
        except C12Error:
            return None
        for text in () if asked is None else _serials(asked.serial):
            if (meter := self._registered(Identity(IdentityKind.SERIAL, text))) is not None:
                return meter
        return None

    def _holder(self, named: ApTitle) -> Meter | None:
        for text in _texts(named, self._bases):
            if (meter := self._registered(Identity(IdentityKind.AP_TITLE, text))) is not None:
                return meter
        return None

    def _registered(self, identity: Identity) -> Meter | None:
        meter = self._tools.pipeline.directory.find(identity.kind, identity.value)
        return None if meter is None or meter.state is MeterState.DISCOVERED else meter


def _first(requests: Sequence[Request]) -> Register | None:
    return next((request for request in requests if isinstance(request, Register)), None)


def _serials(serial: ApTitle) -> tuple[str, ...]:
    """A serial number as the registry may have written it: an object identifier or, where it is relative, bare."""
    return serial.text, serial.text.removeprefix(".")


def _texts(named: ApTitle, bases: Sequence[ApTitle]) -> Iterator[str]:
    """A title as the registry may have written it: absolute, or relative to a base."""
    if named.relative:
        yield named.text
        for base in bases:
            yield named.absolute(base).text
        return
    text = named.text
    yield text
    for base in bases:
        if text.startswith(f"{base.text}."):
            yield text.removeprefix(base.text)


def _absolute(text: str, template: C12Template) -> ApTitle:
    return title(text).absolute(template.messages.base)


def _title_text(meter: Meter) -> str | None:
    return next((item.value for item in meter.identities if item.kind is IdentityKind.AP_TITLE), None)


def _services(message: Message) -> str:
    names = ", ".join(dict.fromkeys(type(request).__name__.lower() for request in message.requests))
    return f"{message.kind.value} with {names or 'no service'}"
