"""How fast the sink is from encoded Avro to rows that ClickHouse has acknowledged, without Kafka in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from queue import SimpleQueue
from typing import Any

from confluent_kafka import Message

from connectors.clickhouse.columns import Columns
from connectors.clickhouse.interval_batch import IntervalBatch
from connectors.clickhouse.service import prepare
from connectors.clickhouse.sink import Sink
from connectors.clickhouse.store import Address, Store
from schemas.avro_columns import ColumnReader
from schemas.codec import Codec
from schemas.records import Cause, Channel, IntervalReadings
from schemas.registry import MemoryRegistry, avsc
from streams.runtime.settings import ClickHouse

_DATABASE, _TOPIC = "hes_bench", "hes.readings.intervals"
_PERIOD_S = 900
_FIRST_END = 1_767_225_600_000 + _PERIOD_S * 1000  # 2026-01-01
_OBIS = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.3.8.0.255", "1.0.4.8.0.255")


def bench_sink(
    records: int,
    rows_per_record: int,
    channels: int,
    store: Store,
    *,
    others: Sequence[Store] = (),
    batch_records: int = 0,
    peer: Address | None = None,
    server_cpu: Callable[[], float] = float,
) -> dict[str, float | int]:
    """Store load profiles in a database of its own, which is dropped before and after; batches go to `store` and `others` at
    once, as the service has it, after the first, which is not counted: it makes connections and warms the server up.
    `batch_records` 0 takes about what the service takes.

    Gives `rows`, and of the whole (`sink_`, of `sink_rows`), of columns made of Avro alone (`columns_`), and of fastavro's
    decoding alone (`fastavro_`) the seconds, this process's CPU seconds and the rows a second. With a native server as
    `peer`, `driver_` is the insert of the same columns by clickhouse-driver itself: no Avro, no columns. `server_cpu`
    tells the CPU seconds of the server so far: `sink_server_cpu_seconds` are those of the inserts, and of merges meanwhile.
    """
    codec, database = Codec(MemoryRegistry()), _DATABASE
    readings = profiles(records, rows_per_record, channels)
    messages = [
        Message(topic=_TOPIC, partition=0, offset=offset, key=reading.meter_id.encode(), value=codec.encode(reading))
        for offset, reading in enumerate(readings)
    ]
    rows, octets = records * rows_per_record * channels, sum(len(message.value() or b"") for message in messages)
    size = batch_records or max(1, min(records, records * ClickHouse().batch_octets // octets))
    batches = [messages[at : at + size] for at in range(0, records, size)]
    store.execute(f"DROP DATABASE IF EXISTS {database}")
    prepare(store, database)
    try:
        figures: dict[str, float | int] = {"rows": rows, "records": records, "avro_bytes": octets}
        first, *rest = batches
        timed = rows - (rows // records * len(first) if rest else 0)
        sinks: SimpleQueue[Sink] = SimpleQueue()
        for one in (store, *others):
            sinks.put(Sink(one, codec, _NoLetters(), database))

        def handle(batch: Sequence[Message]) -> None:
            sink = sinks.get()
            sink.handle(batch)
            sinks.put(sink)

        if rest:
            handle(first)
        before = server_cpu()
        figures |= _timed("sink", timed, rest or [first], handle, threads=1 + len(others))
        figures |= {"sink_rows": timed, "sink_server_cpu_seconds": round(server_cpu() - before, 3)}
        stored = store.query(f"SELECT count() FROM {database}.intervals").rows[0][0]  # noqa: S608 - a name from the code
        if stored != rows:
            raise AssertionError(f"{rows} rows were sent and {stored} are stored")
        reader = ColumnReader(codec.id_of(IntervalReadings), avsc(IntervalReadings.__name__))

        def columns_of(batch: Sequence[Message]) -> Columns:
            return IntervalBatch(reader.read([message.value() for message in batch])).columns(range(len(batch)), "intervals")

        figures |= _timed("columns", rows, batches, columns_of)
        figures |= _timed("fastavro", rows, batches, lambda batch: [codec.decode(message.value()) for message in batch])
        if peer is not None:
            from connectors.clickhouse.native import plain_insert  # noqa: PLC0415 - clickhouse-driver is an extra

            made = [columns_of(batch) for batch in batches]
            figures |= _timed("driver", rows, made, lambda columns: plain_insert(peer, f"{database}.intervals", columns))
    finally:
        store.execute(f"DROP DATABASE IF EXISTS {database}")
    return figures


def profiles(records: int, rows: int, channels: int) -> list[IntervalReadings]:
    """Days of cumulative registers of as many meters, the same in every run."""
    steps = random.Random(3)  # noqa: S311 - figures, not secrets
    readings = []
    for number in range(records):
        columns = [
            Channel(
                obis=_OBIS[channel % len(_OBIS)].replace("1.0", f"1.{channel // len(_OBIS)}", 1),
                unit="Wh",
                scaler=0,
                longs=tuple(accumulate(steps.choices(range(500), k=rows), initial=steps.randrange(10**7)))[1:],
            )
            for channel in range(channels)
        ]
        readings.append(
            IntervalReadings(
                id=f"{number:032x}",
                meter_id=f"BENCH{number:08d}",
                source="7/1.0.99.1.0.255/2",
                first_end=_FIRST_END,
                period_s=_PERIOD_S,
                rows=rows,
                channels=tuple(columns),
                read_at=_FIRST_END + rows * _PERIOD_S * 1000,
                cause=Cause.SCHEDULED,
            )
        )
    return readings


def _timed(name: str, rows: int, batches: Sequence[Any], action: Callable[[Any], Any], threads: int = 1) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(action, batches):
            pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {f"{name}_seconds": round(wall, 3), f"{name}_cpu_seconds": round(cpu, 3), f"{name}_rows_s": round(rows / wall)}


class _NoLetters:
    """Nothing here is poison; if something is, the figures are of no use."""

    def put_message(self, code: str, detail: str, message: Message) -> str:
        raise AssertionError(f"{code} at {message.offset()}: {detail}")

    def passed(self, count: int) -> None:
        pass
