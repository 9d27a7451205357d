"""Peers of `hes bench split`: quixstreams and arroyo, in an environment of their own, since what they require and what we
require cannot be met at once. It is made once, in the cache; where that cannot be, the bench says why and goes on without.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from connectors.cli import context
from connectors.cli.bench import split_by_peers
from connectors.cli.bench.children import finish
from connectors.cli.topics import read_topic
from connectors.local.home import Home
from schemas.records import IntervalReadings
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Settings

PEERS = tuple(split_by_peers.PEERS)
REQUIRED = (
    "quixstreams==3.28.1", "sentry-arroyo==2.38.4", "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0",
    "Authlib==1.9.9", "avro==1.12.2", "cachetools==8.0.1", "certifi==2026.10.18", "cffi==2.1.1", "charset-normalizer==3.5.2",
    "confluent-kafka==2.11.1", "cryptography==50.0.2", "fastavro==1.13.1", "googleapis-common-protos==1.76.0", "h11==0.16.0",
    "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20", "joserfc==1.8.0", "jsonlines==4.0.0", "jsonpath-ng==1.16.0",
    "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "markdown-it-py==4.3.0", "mdurl==0.1.2", "orjson==3.13.0",
    "protobuf==7.36.2", "pycparser==3.12", "pydantic==2.13.5", "pydantic-settings==2.15.0", "pydantic_core==2.46.5",
    "Pygments==2.21.0", "pyrsistent==0.20.0", "python-dotenv==1.2.4", "referencing==0.37.0", "requests==2.34.2",
    "rich==15.0.0", "rocksdict==0.3.29", "rpds-py==2026.9.1", "typing-inspection==0.4.5", "typing_extensions==4.16.0",
    "urllib3==2.8.0",
)  # fmt: skip
"""The peers and all that they take along, so that every run is of the same: Apache, BSD, MIT, MPL and PSF licences."""
_MEGABYTES = 150
_FETCH_S, _PATIENCE_S = 600.0, 300.0
_DATA_PARTITIONS = 12

Say = Callable[[str], None]


def lines(
    peers: Sequence[str], settings: Settings, topics: tuple[str, str], records: int, rows: int, say: Say
) -> Iterator[dict[str, object]]:
    """A line for each peer that could be run: the records of the first of `topics`, by schema id, to a topic of its own; how
    many of them are, by key, in order and octet by octet, what we made of them on the second. `rows` are those of a record.
    """
    python = environment(say) if peers else None
    if python is None:
        return
    source, ours = topics
    admin, wanted = admin_client(settings.kafka), _values(settings, ours)
    for peer in peers:
        target = f"hes.bench.{peer}"
        _create(admin, target)
        say(f"the same split by {peer}")
        figures = _run(peer, python, settings, (source, target), records, say)
        if figures is None:
            continue
        found = _values(settings, target)
        same = sum(len(values) for key, values in found.items() if values == wanted.get(key))
        if same != records:
            say(f"{peer} wrote {sum(map(len, found.values())):,} records, of which {same:,} of {records:,} are as ours")
        yield {
            "workload": f"{rows} rows a record, one process",
            "reader": figures["peer"],
            "rows": rows * records,
            "rows_per_s": round(rows * records / figures["seconds"]),
            "cpu_s": round(figures["cpu_s"], 3),
            "rows_per_cpu_s": round(rows * records / figures["cpu_s"]),
            "records_per_s": round(records / figures["seconds"]),
            "as_ours": same,
        }


def environment(say: Say, home: Home | None = None) -> Path | None:
    """The interpreter of the peers' environment; None where it is not there and cannot be made, once `say` was told why."""
    digest = hashlib.sha256("\n".join((sys.version, *REQUIRED)).encode()).hexdigest()[:12]
    folder = (home or Home.of()).cache / "peers" / f"split-{digest}"
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return python
        why = _room(folder.parent) or _make(folder, python, say)
        if why:
            shutil.rmtree(folder, ignore_errors=True)
            say(f"{' and '.join(REQUIRED[:2])} are left out: {why}")
            return None
        made.touch()
    return python


def _room(folder: Path) -> str:
    free = shutil.disk_usage(folder).free // 2**20
    return "" if free > 2 * _MEGABYTES else f"their environment takes {_MEGABYTES} MB in {folder}, {free} MB are free"


def _make(folder: Path, python: Path, say: Say) -> str:
    """Make it; why not, where that is so."""
    say(f"making an environment for {' and '.join(REQUIRED[:2])}, once: about {_MEGABYTES} MB in {folder}")
    try:
        venv.create(folder, clear=True, with_pip=True)
    except (subprocess.SubprocessError, OSError) as error:
        return f"no environment can be made in {folder}: {error}"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input", "--no-deps"]
    try:
        done = finish([*pip, "--only-binary=:all:", "--retries=1", *REQUIRED], _FETCH_S)
    except subprocess.TimeoutExpired:
        return f"pip did not come to an end within {_FETCH_S:.0f} s"
    if not done.returncode:
        return ""
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return f"pip could not fetch them, so run this once with a network: {said[-1].strip()[:200] if said else ''}"


def _run(
    peer: str, python: Path, settings: Settings, topics: tuple[str, str], records: int, say: Say
) -> dict[str, Any] | None:
    """What a peer's process tells of itself; None where it did not come to its end, once `say` was told why."""
    schema_id = context.codec(settings).id_of(IntervalReadings)
    argv = [str(python), split_by_peers.__file__, peer, settings.kafka.bootstrap, *topics, str(records), str(schema_id)]
    try:
        ended = finish(argv, _PATIENCE_S)
    except subprocess.TimeoutExpired:
        say(f"{peer} is left out: it did not come to its end within {_PATIENCE_S:.0f} s")
        return None
    if ended.returncode:
        say(f"{peer} is left out: {ended.stderr.strip()[-300:]}")
        return None
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def _create(admin: AdminClient, topic: str) -> None:
    admin.create_topics([NewTopic(topic, _DATA_PARTITIONS, 1)])[topic].result()


def _values(settings: Settings, topic: str) -> dict[bytes, list[bytes]]:
    """A digest of each value on a topic, by key and in order."""
    found: dict[bytes, list[bytes]] = {}
    for message in read_topic(settings, topic):
        digest = hashlib.blake2b(message.value() or b"", digest_size=16).digest()
        found.setdefault(bytes(message.key() or b""), []).append(digest)
    return found
