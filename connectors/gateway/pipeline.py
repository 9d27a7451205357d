"""From octets of a meter to what is written of them: frames, events, dead letters. No socket, no Kafka, no clock of its own.

    octets ─▶ PushStream ─▶ Assembler ─▶ Telegram ─▶ identify ─▶ events_of ─▶ Push
                 │ Refused      │ DlmsError              │ unknown, conflict
                 └──────────────┴────────────────────────┴──────────────────▶ Push with a dead letter

`conversation.Conversation` is the first half, per connection, and `Pipeline` the second, shared. The listeners and
`hes replay` take the same way. Whatever comes in ends in at least one event or one dead letter; or, where the gateway stops
before the rest has come, in its frames alone.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from hashlib import blake2b
from typing import Any

import structlog

from connectors.gateway.counters import Counters
from connectors.gateway.directory import Directory
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.identify import by_endpoint, discovered, identify, presented
from connectors.gateway.keystore import KeyStore, MeterKeys, Pending
from connectors.gateway.mapping import Event, events_of, security_alarm
from connectors.protocols.dlms.ciphering import KEY_OCTETS, Keys
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import Limits
from connectors.protocols.dlms.learnt import Shapes
from connectors.protocols.dlms.objects.security_setup import TRIES, KeyState
from connectors.protocols.dlms.push import GENERIC, reread
from connectors.protocols.dlms.telegram import Telegram
from connectors.protocols.dlms.template import PushTemplate, Template
from schemas.records import Alarm, Identity, IdentityKind, Meter, MeterState, SessionFrames
from schemas.values import value_class

_AN_HOUR = 3_600_000
_UNKNOWN = Template("generic")
_NO_KEY = (b"", b"", None)
EVENTS, INTERRUPTED = "events", "interrupted"
"""What becomes of a push that is no dead letter."""
Proved = Callable[[str, Pending], None]
"""Told the key reference of a meter that has its new keys."""


@value_class
class Letter:
    """A dead letter to be written."""

    code: str
    detail: str
    data: bytes = field(repr=False)


@value_class
class Push:
    """What one telegram, or one piece that is none, comes to."""

    endpoint: str
    received_at: int
    frames: SessionFrames
    meter_id: str = ""
    events: tuple[Event, ...] = ()
    letter: Letter | None = None
    announced: Meter | None = None
    reply: bytes = b""
    """To be sent back to the meter once Kafka has everything above."""
    replay_id: str = ""
    authenticated: bool = False
    """Whether nobody but the holder of the meter's keys can have written it."""
    waits: bool = False
    """A part of a telegram whose rest is to come: nothing is to be written, `reply` is to be sent at once."""
    cut_short: bool = False
    """Whether the gateway itself did not let it come whole."""

    def of(self, meter: Meter, *, authenticated: bool = False) -> Push:
        """The same as a push of this meter."""
        kept = self.frames
        # Field by field: dataclasses.replace takes several times as long, and every push comes by here.
        frames = SessionFrames(
            kept.id, meter.id, kept.endpoint, kept.protocol, kept.transport, kept.kind, kept.job_id, kept.started_at,
            kept.ended_at, kept.frames,
        )  # fmt: skip
        return Push(
            self.endpoint, self.received_at, frames, meter.id, self.events, self.letter, self.announced, self.reply,
            self.replay_id, authenticated, self.waits,
        )  # fmt: skip

    def stating(self, events: tuple[Event, ...]) -> Push:
        """The same with these events."""
        return Push(
            self.endpoint, self.received_at, self.frames, self.meter_id, events, self.letter, self.announced, self.reply,
            self.replay_id, self.authenticated, self.waits,
        )  # fmt: skip

    @property
    def plain(self) -> bool:
        """Whether it has events and nothing else."""
        return bool(self.events) and self.letter is None and self.announced is None

    def interrupted(self) -> Push:
        """The same, where it is not whole since the gateway stopped: its octets are kept, and nothing is wrong with them."""
        return self if self.letter is None else replace(self, letter=None, cut_short=True)

    @property
    def outcome(self) -> str:
        """What became of it: the dead letter's code, or one of those above."""
        if self.letter is not None:
            return self.letter.code
        return INTERRUPTED if self.cut_short else EVENTS


class Pipeline:
    """What all connections share. `announce` is how many unregistered meters it tells of at most; 0 is none. `proved` hears
    of meters that push under keys that they are being given.
    """

    def __init__(
        self,
        directory: Directory,
        keys: KeyStore,
        templates: Mapping[str, Template],
        *,
        limits: Limits | None = None,
        announce: int = 0,
        proved: Proved | None = None,
    ) -> None:
        self.directory = directory
        self.limits = limits or Limits()
        self._keys = keys
        self._templates = templates
        self._generic = templates.get("generic", _UNKNOWN)
        self._serials = tuple(dict.fromkeys(name for t in (self._generic, *templates.values()) for name in t.push.serials))
        self.shapes = Shapes()
        """What was learnt of how meters push."""
        self._likeness: dict[tuple[int, int], tuple[PushTemplate, PushTemplate, bool]] = {}
        self._counters = Counters()
        self._announce = announce
        self._announced: set[str] = set()
        self._told: dict[tuple[str, str], int] = {}
        self._proved = proved
        self._opened: tuple[bytes, bytes, tuple[str, Pending] | None] = _NO_KEY
        """Of the keys that were asked for last: system title, which key, and the change that they belong to."""
        self._log = structlog.get_logger("pipeline")

    def template_of(self, meter: Meter) -> Template:
        """The template of a meter; the generic one where its own is not loaded."""
        return self._templates.get(meter.template, self._generic)

    def push_template_of(self, meter: Meter) -> PushTemplate:
        """How a meter pushes."""
        return self.template_of(meter).push

    def keys_of(self, system_title: bytes) -> Keys | None:
        """The keys of the meter with a system title: under its key reference, else under the system title itself."""
        title = system_title.hex().upper()
        meter = self.directory.find(IdentityKind.SYSTEM_TITLE, title)
        try:
            found = self._keys.get(meter.key_ref) if meter is not None and meter.key_ref else None
            found = found or self._keys.get(title)
            return None if found is None else self._made(system_title, meter, found, None)
        except (KeyStoreError, ValueError) as error:
            self._log.error("keys-unusable", system_title=title, reason=str(error))
            return None

    def new_keys_of(self, system_title: bytes) -> Keys | None:
        """The keys that the meter with a system title was sent, while it is not known whether it has them."""
        ask: Any = getattr(self._keys, "pending", None)
        title = system_title.hex().upper()
        meter = self.directory.find(IdentityKind.SYSTEM_TITLE, title)
        ref = meter.key_ref or title if meter is not None else title
        try:
            found: Pending | None = None if ask is None else ask(ref)
            if found is None or "new" not in TRIES[found.state]:
                return None
            return self._made(system_title, meter, found.keys, (ref, found))
        except (KeyStoreError, ValueError) as error:
            self._log.error("keys-unusable", system_title=title, reason=str(error))
            return None

    def _made(self, title: bytes, meter: Meter | None, found: MeterKeys, change: tuple[str, Pending] | None) -> Keys | None:
        if found.ek is None:
            return None
        suite = 0 if meter is None else self.template_of(meter).pull.suite
        if len(found.ek) == KEY_OCTETS[2]:
            suite = 2
        elif suite == 2:
            suite = 0  # the key is what the meter has
        self._opened = title, blake2b(found.ek, digest_size=4).digest(), change
        return Keys(found.ek, found.ak, broadcast=found.broadcast, kek=found.kek, suite=suite)

    def keys_changed(self) -> bool:
        """Whether the key store holds other keys than a moment ago, so that it is worth trying again."""
        return self._keys.refresh()

    def template_for(self, system_title: bytes | None, endpoint: str) -> PushTemplate | None:
        """The template to read a push by, before its meter is known for sure; None: recognise the layout."""
        if system_title is None:
            meter = by_endpoint(endpoint, self.directory)
        else:
            meter = self.directory.find(IdentityKind.SYSTEM_TITLE, system_title.hex().upper())
        return None if meter is None or meter.state is MeterState.DISCOVERED else self.push_template_of(meter)

    def telegram(self, telegram: Telegram, push: Push, sealed: bytes, *, used: PushTemplate | None) -> Push:
        """What a telegram comes to. `sealed` is its last APDU as it came, `used` the template it was read by."""
        who = identify(telegram, push.endpoint, self.directory, self.push_template_of, self._serials)
        meter = who.meter
        if meter is None:
            return self._unknown(presented(telegram, self._serials), push)
        push = push.of(meter, authenticated=telegram.authenticated)
        if who.conflict:
            alarm = security_alarm(meter, "identity-conflict", who.conflict, push.received_at, wire(push.frames))
            return replace(
                push, events=() if push.replay_id else (alarm,), letter=letter_of(push, "identity-conflict", who.conflict)
            )
        template = self.template_of(meter)
        if template.push.protected and telegram.security is None:
            detail = f"meter {meter.id} ciphers all it pushes (template {template.name}), and this came in clear"
            alarms = () if push.replay_id else self.alarm_once(meter, "push-unprotected", detail, push.received_at)
            return replace(push, events=alarms, letter=letter_of(push, "push-unprotected", detail))
        if not self._alike(used or GENERIC, template.push):
            telegram = reread(telegram, template.push, self.shapes.read)
        if telegram.authenticated and not push.replay_id:
            self._learn(telegram)
        warnings = self._counted(telegram, meter, push, sealed)
        events = events_of(telegram, meter, template, push.received_at)
        if events:
            return push.stating((*warnings, *events))
        detail = f"the telegram has a time, and no value that is named: {len(telegram.unnamed)} without a name"
        return replace(push, events=warnings, letter=letter_of(push, "telegram-empty", detail))

    def _alike(self, used: PushTemplate, own: PushTemplate) -> bool:
        """`reads_alike`, asked once of two templates, which are kept so that their ids stay theirs."""
        if used is own:
            return True
        known = self._likeness.get((id(used), id(own)))
        if known is None:
            known = self._likeness[id(used), id(own)] = used, own, reads_alike(used, own)
        return known[2]

    def failed(self, error: DlmsError, push: Push, system_title: str | None) -> Push:
        """What a telegram that cannot be read comes to. A failed authentication in the name of a meter is an alarm."""
        meter = None if system_title is None else self.directory.find(IdentityKind.SYSTEM_TITLE, system_title)
        registered = meter is not None and meter.state is not MeterState.DISCOVERED
        push = replace(push, letter=letter_of(push, error.code, error.detail))
        if meter is not None and registered:
            push = push.of(meter)
            if error.code == "cipher-authentication":
                told = () if push.replay_id else self.alarm_once(meter, error.code, error.detail, push.received_at)
                push = replace(push, events=told)
        elif error.code == "key-missing" and system_title is not None:
            announced = self._announcement((Identity(IdentityKind.SYSTEM_TITLE, system_title),), push)
            push = replace(push, announced=announced)
        return push

    def internal(self, error: Exception, push: Push) -> Push:
        """A bug of ours: the bytes are kept, the log says where. Only file, line and message: a frame's locals may be
        keys.
        """
        self._log.error("internal", endpoint=push.endpoint, traceback="".join(traceback.format_exception(error)))
        detail = f"{type(error).__name__} in this release; report it with the log, then redrive with the next"
        return replace(push, events=(), letter=letter_of(push, "internal", detail), announced=None)

    def _unknown(self, identities: tuple[Identity, ...], push: Push) -> Push:
        names = ", ".join(f"{identity.kind} {identity.value}" for identity in identities) or f"endpoint {push.endpoint}"
        letter = letter_of(push, "meter-unknown", f"no registered meter has {names}; import it, then redrive")
        return replace(push, letter=letter, announced=self._announcement(identities, push))

    def _announcement(self, identities: tuple[Identity, ...], push: Push) -> Meter | None:
        """The meter to be told of, once for a process, and not if anybody told before."""
        if push.replay_id or len(self._announced) >= self._announce:
            return None
        meter = discovered(identities, push.endpoint, push.received_at)
        if meter.id in self._announced or self.directory.get(meter.id) is not None:
            return None
        self._announced.add(meter.id)
        return meter

    def _learn(self, telegram: Telegram) -> None:
        """A meter that pushes under new keys has them; one that was found to have the old ones since said it before that."""
        title, _, change = self._opened
        if change is not None and self._proved is not None and title.hex().upper() == telegram.system_title:
            ref, pending = change
            if pending.state is not KeyState.RECOVERED:
                self._proved(ref, pending)

    def _counted(self, telegram: Telegram, meter: Meter, push: Push, sealed: bytes) -> tuple[Alarm, ...]:
        title, counter = telegram.system_title, telegram.invocation_counter
        if push.replay_id or title is None or counter is None:
            return ()
        told, key, _ = self._opened  # counters of another key begin anew
        who = bytes.fromhex(title)
        if not self._counters.replayed(who + key if told == who else who, counter, sealed):
            return ()
        detail = f"invocation counter {counter} of system title {title} is not above the last, and the telegram is another"
        return (security_alarm(meter, "counter-replayed", detail, push.received_at, counter, sealed),)

    def alarm_once(self, meter: Meter, code: str, detail: str, at: int) -> tuple[Alarm, ...]:
        """A security alarm, one a meter, code and hour: who forges telegrams must not be able to flood what is urgent."""
        hour = at // _AN_HOUR
        if self._told.get((meter.id, code)) == hour:
            return ()
        self._told[meter.id, code] = hour
        return (security_alarm(meter, code, detail, at, hour),)


def reads_alike(one: PushTemplate, other: PushTemplate) -> bool:
    """Whether two templates make the same of every telegram: what differs is at most who and what its values mean."""
    return one is other or _reading(one) == _reading(other)


def _reading(template: PushTemplate) -> tuple[object, ...]:
    named = (template.lists, template.objects, template.units, template.unnamed, template.profiles)
    return (template.layout, template.deviation_reversed, *named)


def letter_of(push: Push, code: str, detail: str) -> Letter:
    """A dead letter with all octets of a push, so that they can take the same way again."""
    return Letter(code, detail, wire(push.frames))


def wire(frames: SessionFrames) -> bytes:
    """The octets of a push as they came."""
    return b"".join(frame.data for frame in frames.frames)
