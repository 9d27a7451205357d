"""A follower whose thread has ended knows nothing, whatever it knew: nobody takes it for one that has caught up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.runtime import follow
from streams.runtime.errors import FatalError
from streams.runtime.follow import Follower
from tests.unit.streams.fakes import FakeMessage, fake_runtime

AWAY = KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker"))


class Topics:
    """A consumer of one partition with one record; `fails` at a step."""

    def __init__(self, fails: str) -> None:
        self._fails = fails
        self._messages: list[Any] = [FakeMessage(b"x"), FakeMessage(None)]

    def __call__(self, *_given: Any, **_more: Any) -> Topics:
        return self

    def list_topics(self, *_given: Any, **_more: Any) -> Any:
        if self._fails == "list":
            raise AWAY
        parts = type("Parts", (), {"error": None, "partitions": {0: None}})
        return type("Listed", (), {"topics": {"hes.controls": parts}})

    def assign(self, _parts: Any) -> None:
        """All of it."""

    def poll(self, _wait_s: float) -> Any:
        if self._fails == "poll":
            raise AWAY
        return self._messages.pop(0) if self._messages else None

    def consume(self, _records: int, _wait_s: float) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def fails(_messages: Any) -> None:
    raise ValueError("a bug")


def takes(_messages: Any) -> None:
    """Whatever comes."""


@pytest.mark.parametrize(
    ("step", "take"),
    [("list", takes), ("poll", takes), ("", fails)],
    ids=["before-it-read-anything", "while-it-reads", "by-whoever-takes-it"],
)
def test_one_that_has_ended_has_not_caught_up(
    step: str, take: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, _, _ = fake_runtime()
    monkeypatch.setattr(follow, "new_consumer", Topics(step))
    follower = Follower(runtime, "hes.controls", take)
    follower.start()
    with pytest.raises(FatalError, match=r"hes\.controls is followed no more"):
        follower.wait(30)
    assert not follower.caught_up
    assert not follower.reaches_end(0.0)
