"""The Schema Registry as the codec needs it: a schema's id by its record, a schema by its id.

Subjects follow the record's name (RecordNameStrategy), so a record has one id on every topic. Services only look up;
`hes topology apply` registers.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from httpx2 import HTTPError

from schemas.records import RECORDS

NAMESPACE = "hes"
COMPATIBILITY = "FULL_TRANSITIVE"


class RegistryError(Exception):
    """The registry cannot be reached, or does not hold what is asked; says which and what to do."""

    def __init__(self, detail: str, *, retry: bool) -> None:
        super().__init__(detail)
        self.retry = retry
        """Whether the same call may succeed later."""


class Registry(Protocol):
    """What the codec needs of a registry."""

    def id_of(self, name: str) -> int:
        """The id under which the record `name` of this release is registered."""

    def schema_of(self, schema_id: int) -> str:
        """The schema registered under an id, as JSON text."""


@cache
def avsc(name: str) -> dict[str, Any]:
    """The Avro schema of a record, as its .avsc file states it."""
    if name not in RECORDS:
        raise KeyError(f"no record {name!r}; there are {', '.join(sorted(RECORDS))}")
    schema: dict[str, Any] = json.loads(files("schemas").joinpath(f"{name}.avsc").read_text())
    return schema


def subject(name: str) -> str:
    """The registry subject of a record."""
    return f"{NAMESPACE}.{name}"


class RemoteRegistry:
    """A Confluent-compatible registry at a URL.

    Every method raises `RegistryError` with `retry` where the registry cannot be reached or answers what it should not.
    """

    def __init__(self, url: str) -> None:
        self._url = _shown(url)
        self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 2})
        # The client leaves its sockets open when it is forgotten.
        self._close = weakref.finalize(self, self._client.close)

    def close(self) -> None:
        """Close its connections, at the latest when nobody holds it; it is of no use afterwards."""
        self._close()

    def id_of(self, name: str) -> int:
        """The id of this release's schema; `RegistryError` says to run `hes topology apply` where it is not registered."""
        number = self.registered(name)
        if number is None:
            raise RegistryError(
                f"the registry at {self._url} does not hold this release's {subject(name)}; run `hes topology apply`",
                retry=False,
            )
        return number

    def schema_of(self, schema_id: int) -> str:
        """The schema of an id, also of other releases and other systems."""
        with self._errors():
            try:
                return str(self._client.get_schema(schema_id).schema_str)
            except SchemaRegistryError as error:
                if error.http_status_code != HTTPStatus.NOT_FOUND:
                    raise
                raise RegistryError(f"schema id {schema_id} is not in the registry at {self._url}", retry=False) from error

    def registered(self, name: str) -> int | None:
        """The id of this release's schema, None where the registry does not hold it."""
        with self._errors():
            try:
                return self._client.lookup_schema(subject(name), _schema(name)).schema_id
            except SchemaRegistryError as error:
                if error.http_status_code != HTTPStatus.NOT_FOUND:
                    raise
                return None

    def register(self, name: str) -> int:
        """Register a record's schema under its subject, compatibility first; the id it has.

        `RegistryError` without `retry` where it may not follow the versions that are there.
        """
        self.set_compatibility(name)
        with self._errors():
            try:
                return int(self._client.register_schema(subject(name), _schema(name)))
            except SchemaRegistryError as error:
                if error.http_status_code != HTTPStatus.CONFLICT:
                    raise
                raise RegistryError(
                    f"{subject(name)} may not follow its versions in the registry at {self._url} ({COMPATIBILITY}): {error}",
                    retry=False,
                ) from error

    def is_compatible(self, name: str) -> bool:
        """Whether a record's schema may follow all versions registered, by its subject's level; true where none is."""
        with self._errors():
            try:
                return bool(self._client.test_compatibility_all_versions(subject(name), _schema(name)))
            except SchemaRegistryError as error:
                if error.http_status_code != HTTPStatus.NOT_FOUND:
                    raise
                return True

    def compatibility(self, name: str) -> str:
        """The compatibility level of a record's subject; empty where it has none of its own."""
        with self._errors():
            try:
                return str(self._client.get_compatibility(subject(name)))
            except SchemaRegistryError as error:
                if error.http_status_code != HTTPStatus.NOT_FOUND:
                    raise
                return ""

    def set_compatibility(self, name: str) -> None:
        """Hold a record's subject to `COMPATIBILITY`. Other subjects keep theirs: a registry may have other users."""
        with self._errors():
            self._client.set_compatibility(subject_name=subject(name), level=COMPATIBILITY)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The driver's errors as ours; 401, 403 and the like too: whatever is not plainly so may be mended meanwhile."""
        try:
            yield
        except (SchemaRegistryError, HTTPError, OSError, ValueError) as error:
            raise RegistryError(f"the registry at {self._url} did not answer as expected: {error}", retry=True) from error


class MemoryRegistry:
    """A registry in memory, ids in the order of `RECORDS`: unit tests and commands that need no broker."""

    def __init__(self) -> None:
        self._names = list(RECORDS)

    def id_of(self, name: str) -> int:
        """1 for the first record, and so on."""
        return self._names.index(name) + 1

    def schema_of(self, schema_id: int) -> str:
        """This release's schema."""
        if not 0 < schema_id <= len(self._names):
            raise RegistryError(f"schema id {schema_id} is not in this registry", retry=False)
        return json.dumps(avsc(self._names[schema_id - 1]))


def _shown(url: str) -> str:
    """The URL without the user and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _schema(name: str) -> Schema:
    return Schema(json.dumps(avsc(name)), "AVRO")
