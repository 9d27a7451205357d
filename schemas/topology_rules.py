"""The rules of topology.yaml, as one reading that collects every problem with its line, its key and the mend."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from schemas.records import RECORDS
from schemas.registry import COMPATIBILITY

Path = tuple[str, ...]

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
# What Kafka takes and Kubernetes takes too, since Strimzi's resources bear these names.
TOPIC_NAME = re.compile(rf"(?=.{{1,249}}$){_LABEL}(\.{_LABEL})*")
SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
PRINCIPAL = re.compile(rf"User:{_LABEL}(\.{_LABEL})*")
KAFKA_CONFIGS = frozenset(
    {
        "cleanup.policy",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "delete.retention.ms",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "index.interval.bytes",
        "local.retention.bytes",
        "local.retention.ms",
        "max.compaction.lag.ms",
        "max.message.bytes",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "message.timestamp.type",
        "min.cleanable.dirty.ratio",
        "min.compaction.lag.ms",
        "min.insync.replicas",
        "preallocate",
        "remote.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "retention.bytes",
        "retention.ms",
        "segment.bytes",
        "segment.index.bytes",
        "segment.jitter.ms",
        "segment.ms",
        "unclean.leader.election.enable",
    }
)
"""What Kafka 4 lets a topic set, but for the throttles, which belong to a reassignment and not to a topology."""


def read(text: str) -> tuple[dict[str, Any], list[str]]:
    """The document, with every optional key filled in, and its problems as `line: key: what is wrong; the mend`.

    The document is only good where there are no problems.
    """
    rules = _Rules()
    try:
        document = rules.plain(_compose(text), ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or type(error).__name__
        return {}, [f"{mark.line + 1 if mark else 1}: not YAML: {what}; mend the indentation or quoting there"]
    rules.document(document)
    return document, [f"{line}: {message}" for line, message in sorted(rules.problems, key=lambda problem: problem[0])]


def _compose(text: str) -> yaml.Node | None:
    loader = yaml.SafeLoader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _key(path: Path) -> str:
    return " > ".join(path) or "the document"


class _Rules:
    """One reading: the problems met so far, and the line of every key."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[Path, int] = {}
        self._scalars = yaml.SafeLoader("")

    def fail(self, path: Path, message: str) -> None:
        """Note a problem at a key, or at its nearest parent that has a line."""
        at = path
        while at and at not in self._lines:
            at = at[:-1]
        self.problems.append((self._lines.get(at, 1), f"{_key(path)}: {message}"))

    def plain(self, node: yaml.Node | None, path: Path) -> Any:
        """A YAML node as dicts, lists and scalars; a key that stands twice is a problem, not an override."""
        if node is None:
            return None
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key_node, value in node.value:
                key = str(key_node.value)
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                if key in found:
                    self.fail((*path, key), "stands twice; keep one of them")
                found[key] = self.plain(value, (*path, key))
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, str(index))) for index, item in enumerate(node.value)]
        return self._scalars.construct_object(node, deep=True)

    def document(self, document: Any) -> None:
        """Settings first, since topics are held against them, and services last, since they name topics."""
        parts = self._keys(document, (), ("settings", "topics", "services"))
        settings = self._keys(parts.get("settings"), ("settings",), ("hes",))
        ours = self._keys(settings.get("hes"), ("settings", "hes"), ("data-partitions", "compatibility"))
        partitions = self._count(ours, ("settings", "hes", "data-partitions"))
        if ours.get("compatibility") != COMPATIBILITY:
            self.fail(
                ("settings", "hes", "compatibility"), f"must be {COMPATIBILITY}: records are evolved by its rules; set it"
            )
        topics = self._entries(parts.get("topics"), ("topics",), TOPIC_NAME, "a-z 0-9 - in parts parted by dots")
        for name, topic in topics.items():
            self._topic(topic, ("topics", name), partitions)
        services = self._entries(parts.get("services"), ("services",), SERVICE_NAME, "1 to 40 of a-z 0-9 -, a letter first")
        for name, service in services.items():
            self._service(service, ("services", name), topics)
        for key in ("principal", "group-id"):
            self._unique(services, key)

    def _topic(self, topic: Any, path: Path, data_partitions: int) -> None:
        known = self._keys(topic, path, ("partitions", "replication", "hes"), ("configs",))
        replication = self._count(known, (*path, "replication"))
        partitions = self._count(known, (*path, "partitions"))
        known["configs"] = self._configs(known.get("configs", {}), (*path, "configs"), replication)
        ours = self._keys(known.get("hes"), (*path, "hes"), ("kind", "key", "values"), ("about",))
        kind = ours.get("kind")
        wanted = {"data": data_partitions, "control": 1}.get(str(kind))
        if wanted is None:
            self.fail((*path, "hes", "kind"), f"is {kind!r}; write data (keyed by meter) or control (one partition)")
        elif partitions and wanted and partitions != wanted:
            why = {
                "data": "settings > hes > data-partitions: one worker owns a meter everywhere",
                "control": "one total order",
            }
            message = f"is {partitions}, but a topic of kind {kind} has {wanted} ({why[str(kind)]}); set {wanted}"
            self.fail((*path, "partitions"), message)
        self._text(ours, (*path, "hes", "key"))
        self._about(ours, path)
        for record in self._names(ours, (*path, "hes", "values"), empty=False):
            if record not in RECORDS:
                self.fail((*path, "hes", "values"), f"{record!r} is no record; write one or more of {', '.join(RECORDS)}")

    def _configs(self, configs: Any, path: Path, replication: int) -> dict[str, str]:
        if not isinstance(configs, dict):
            self.fail(path, "must be a mapping of Kafka's topic settings; write {retention.ms: 604800000} or the like")
            return {}
        texts: dict[str, str] = {}
        for key, value in configs.items():
            if key not in KAFKA_CONFIGS:
                self.fail((*path, key), "is no topic setting of Kafka's; mend its spelling or remove it")
            elif not isinstance(value, str | int | float):
                self.fail((*path, key), f"is {value!r}; write a number, a text, true or false")
            else:
                texts[key] = str(value).lower() if isinstance(value, bool) else str(value)
        insync = texts.get("min.insync.replicas", "1")
        if not insync.isdigit() or not 1 <= int(insync) <= max(replication, 1):
            self.fail((*path, "min.insync.replicas"), f"is {insync}; write 1 to {replication or 1}, the topic's replication")
        return texts

    def _service(self, service: Any, path: Path, topics: dict[str, Any]) -> None:
        known = self._keys(service, path, ("principal", "group-id", "consumes", "produces"), ("hes",))
        principal = self._text(known, (*path, "principal"))
        if principal and not PRINCIPAL.fullmatch(principal):
            self.fail((*path, "principal"), f"is {principal!r}; write User: and the name, such as User:hes-{path[-1]}")
        self._text(known, (*path, "group-id"))
        named = {key: self._names(known, (*path, key)) for key in ("consumes", "produces")}
        for key, names in named.items():
            for name in names:
                if name not in topics:
                    self.fail((*path, key), f"{name!r} is no topic of this file; add it under topics or mend its spelling")
        if not any(named.values()):
            self.fail(path, "neither consumes nor produces; name its topics or remove it")
        ours = self._keys(known.setdefault("hes", {}), (*path, "hes"), (), ("dead-letters", "about"))
        dead = ours.setdefault("dead-letters", "")
        if dead and dead not in named["produces"]:
            self.fail((*path, "hes", "dead-letters"), f"is {dead!r}, which the service does not produce; add it to produces")
        self._about(ours, path)

    def _keys(self, value: Any, path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
        """A mapping with exactly these keys; an empty one where it is no mapping, which is noted."""
        if not isinstance(value, dict):
            if path and value is None and path not in self._lines:
                return {}  # its absence is noted already
            self.fail(path, f"must be a mapping with {', '.join(required + optional)}")
            return {}
        known = required + optional
        for key in value:
            if key not in known:
                self.fail((*path, key), f"is not known here; {_key(path)} takes {', '.join(known)}")
        for key in required:
            if key not in value:
                self.fail(path, f"has no {key}; add it")
        return value

    def _entries(self, value: Any, path: Path, names: re.Pattern[str], rule: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            if path in self._lines:
                self.fail(path, "must be a mapping of at least one name to what it is")
            return {}
        for name in value:
            if not names.fullmatch(name):
                self.fail((*path, name), f"is no name here; use {rule}")
        return value

    def _value(self, known: dict[str, Any], path: Path, accept: Callable[[Any], bool], wanted: str) -> Any:
        """A value that is there (its absence is noted elsewhere) and accepted, else None."""
        value = known.get(path[-1])
        if path[-1] in known and not accept(value):
            self.fail(path, f"is {value!r}; write {wanted}")
            return None
        return value

    def _count(self, known: dict[str, Any], path: Path) -> int:
        def accept(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value >= 1

        return self._value(known, path, accept, "a whole number from 1") or 0

    def _text(self, known: dict[str, Any], path: Path) -> str:
        return self._value(known, path, lambda value: isinstance(value, str) and value.strip() != "", "a text") or ""

    def _about(self, ours: dict[str, Any], path: Path) -> None:
        ours.setdefault("about", "")
        self._value(ours, (*path, "hes", "about"), lambda value: isinstance(value, str), "a text")

    def _names(self, known: dict[str, Any], path: Path, *, empty: bool = True) -> list[str]:
        def accept(value: Any) -> bool:
            return isinstance(value, list) and all(isinstance(item, str) for item in value) and (empty or bool(value))

        names: list[str] = self._value(known, path, accept, "a list of names") or []
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.fail(path, f"{name!r} stands twice; keep one of them")
        return names

    def _unique(self, services: dict[str, Any], key: str) -> None:
        seen: dict[Any, str] = {}
        for name, service in services.items():
            value = service.get(key) if isinstance(service, dict) else None
            if isinstance(value, str) and seen.setdefault(value, name) != name:
                self.fail(("services", name, key), f"is that of {seen[value]} too; give each service its own")
