"""hes.intents as the ledger of commands: what is about to be sent to which meter, and what came of it.

An intent lies in the partition of the meter's jobs, so that who owns the jobs owns the intents; see `fenced_topic`.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.fenced_topic import FencedTopic
from connectors.gateway.intents import Action, Opened
from schemas.codec import CodecError
from schemas.records import CommandIntent
from streams.runtime.service import Runtime

TOPIC = "hes.intents"
_KEPT_MS = 8 * 86_400_000
"""How long an intent is kept after its request is over: a job stands on its topic for seven days, and whoever reads it again
must know what came of it; a day more, since clocks differ.
"""
_FORGET_EVERY_S = 3_600


class IntentLedger:
    """See `intents.Ledger`."""

    def __init__(self, runtime: Runtime, bad: BadRecords) -> None:
        self._runtime = runtime
        self._bad = bad
        self._topic = FencedTopic(runtime, TOPIC, "intents")
        self._forget_at: dict[int, float] = {}
        """When to look again for what can be forgotten, by partition."""

    def open(self, partition: int) -> Opened:
        """See `intents.Ledger`. What nobody can ask for any more is forgotten on the way, and when something is written."""
        intents: dict[Action, CommandIntent] = {}

        def note(message: Message) -> None:
            if message.value() is not None and (intent := self._read(message)) is not None:
                intents[intent.meter_id, intent.digest] = intent
            elif message.value() is None:
                intents.pop(_action_of(message.key() or b""), None)

        writer = self._topic.open(partition, note)
        opened = Opened(partition, intents, writer)
        self._forget_at[partition] = 0.0
        if old := self._old(opened):
            self._write(opened, (), old)
        return opened

    def write(self, opened: Opened, intents: Sequence[CommandIntent]) -> None:
        """See `intents.Ledger`."""
        self._write(opened, intents, self._old(opened))

    def close(self, opened: Opened) -> None:
        """See `intents.Ledger`."""
        self._topic.close(opened.writer)

    def _old(self, opened: Opened) -> list[Action]:
        """What can be forgotten; looked for now and then."""
        clock = self._runtime.clock
        if clock.monotonic() < self._forget_at.get(opened.partition, 0.0):
            return []
        self._forget_at[opened.partition] = clock.monotonic() + _FORGET_EVERY_S
        before = clock.now_ms() - _KEPT_MS
        return [action for action, intent in opened.intents.items() if intent.expires <= before]

    def _write(self, opened: Opened, intents: Sequence[CommandIntent], old: Sequence[Action]) -> None:
        new: list[tuple[str, CommandIntent | None]] = [(_key((item.meter_id, item.digest)), item) for item in intents]
        self._topic.write(opened.writer, [*((_key(action), None) for action in old), *new])
        for action in old:
            del opened.intents[action]

    def _read(self, message: Message) -> CommandIntent | None:
        try:
            record = self._runtime.codec.decode(message.value())
        except CodecError as error:
            self._bad.put(error.code, str(error), message)
            return None
        if not isinstance(record, CommandIntent):
            self._bad.put("record-unexpected", f"a {type(record).__name__} on {TOPIC}", message)
            return None
        return record


def _key(action: Action) -> str:
    return f"{action[0]}|{action[1].hex()}"


def _action_of(key: bytes) -> Action:
    meter_id, _, digest = key.decode("utf-8", "replace").rpartition("|")
    try:
        return meter_id, bytes.fromhex(digest)
    except ValueError:
        return meter_id, b""
