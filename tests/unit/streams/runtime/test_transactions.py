"""What cannot be encoded, or not now: nothing of it is begun, so that the next attempt begins at the beginning."""

from __future__ import annotations

from typing import Any, cast

import pytest

from schemas.codec import CodecError
from schemas.records import CommandIntent, Record
from schemas.registry import RegistryError
from streams.runtime.transactions import Out, Transactions
from tests.unit.streams.fake_producer import FakeProducer
from tests.unit.streams.fakes import CODEC, fake_runtime

OUTS = [Out("hes.intents", name, CommandIntent(meter_id=name)) for name in ("m1", "m2")]


@pytest.mark.parametrize(
    "error",
    [RegistryError("away", retry=True), CodecError("avro-value", "no")],
    ids=["the-registry-is-away", "no-such-value"],
)
def test_what_cannot_be_encoded_leaves_no_transaction_open(error: Exception) -> None:
    runtime, _, _ = fake_runtime()
    failing = [None, error]

    def encode(record: Record) -> bytes:
        if failing and (failure := failing.pop(0)) is not None:
            raise failure
        return CODEC.encode(record)

    producer = FakeProducer()
    transactions = Transactions(runtime, cast("Any", producer), encode)
    with pytest.raises(type(error)):
        transactions.write(OUTS)
    assert (producer.in_transaction, producer.taken) == (False, [])
    transactions.write(OUTS)
    assert [key for _, key, _ in producer.taken] == ["m1", "m2"]
