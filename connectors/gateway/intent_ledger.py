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


class IntentLedger:
    """See `intents.Ledger`."""

    def __init__(self, runtime: Runtime, bad: BadRecords) -> None:
        self._runtime = runtime
        self._bad = bad
        self._topic = FencedTopic(runtime, TOPIC, "intents")

    def open(self, partition: int) -> Opened:
        """See `intents.Ledger`. What proves nothing any more is forgotten on the way."""
        intents: dict[Action, CommandIntent] = {}

        def note(message: Message) -> None:
            if message.value() is not None and (intent := self._read(message)) is not None:
                intents[intent.meter_id, intent.digest] = intent
            elif message.value() is None:
                intents.pop(_action_of(message.key() or b""), None)

        writer = self._topic.open(partition, note)
        now = self._runtime.clock.now_ms()
        old = {action: intent for action, intent in intents.items() if now >= intent.expires}
        if old:
            self._topic.write(writer, [(_key(action), None) for action in old])
        return Opened(partition, {action: intents[action] for action in intents if action not in old}, writer)

    def write(self, opened: Opened, intents: Sequence[CommandIntent]) -> None:
        """See `intents.Ledger`."""
        self._topic.write(opened.writer, [(_key((item.meter_id, item.digest)), item) for item in intents])

    def close(self, opened: Opened) -> None:
        """See `intents.Ledger`."""
        self._topic.close(opened.writer)

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
