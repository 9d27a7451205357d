"""`hes bench sink`: Avro bytes to acknowledged rows, and what they cost the server; beside it clickhouse-driver, where the
server speaks its protocol.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from connectors.cli.bench.measure import cpu_of
from connectors.clickhouse.bench import bench_sink
from connectors.clickhouse.store import Address, open_store
from connectors.local.home import load_state
from connectors.local.stack import LocalStack
from streams.runtime.settings import ClickHouse


def run(records: int, rows: int, channels: int, url: str, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """Lines for a server at `url`, or for a ClickHouse of the bench's own."""
    if url:
        yield from _lines(records, rows, channels, url)
        return
    with tempfile.TemporaryDirectory(prefix="hes-bench-") as folder, LocalStack(Path(folder)) as stack:
        there = stack.up(say).clickhouse
        pid = load_state(stack.home).processes["clickhouse"].pid
        yield from _lines(records, rows, channels, there, partial(cpu_of, pid))


def _lines(
    records: int, rows: int, channels: int, url: str, server_cpu: Callable[[], float] = float
) -> Iterator[dict[str, object]]:
    address = Address.of(url)
    native = address.scheme.startswith("clickhouse")
    settings = ClickHouse(url=SecretStr(url))
    store, *others = stores = [open_store(settings) for _ in range(settings.inserts)]
    try:
        peer = address if native else None
        figures = bench_sink(records, rows, channels, store, others=others, peer=peer, server_cpu=server_cpu)
    finally:
        for one in stores:
            one.close()
    what = f"{rows}x{channels} profiles to {'native' if native else 'HTTP'} ClickHouse"
    readers = {
        "sink": "hes sink, whole",
        "columns": "  Avro to columns alone",
        "fastavro": "fastavro's decoding alone",
        "driver": "clickhouse-driver alone",
    }
    for name, reader in readers.items():
        if f"{name}_seconds" in figures:
            yield {
                "workload": what,
                "reader": reader,
                "rows": (own := figures.get(f"{name}_rows", figures["rows"])),
                "rows_per_s": figures[f"{name}_rows_s"],
                "cpu_s": (cpu := figures[f"{name}_cpu_seconds"]),
                "rows_per_cpu_s": round(own / cpu) if cpu else None,
                "server_cpu_s": figures.get(f"{name}_server_cpu_seconds") or None,
            }
