"""The registry client against a server that answers as Confluent's does, and as a broken one does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas.records import RECORDS
from schemas.registry import COMPATIBILITY, MemoryRegistry, RegistryError, RemoteRegistry, avsc, subject

Answers = dict[tuple[str, str], tuple[int, Any]]
"""What is answered to a method and path, without the query; 404 to all else."""

ABSENT = (404, {"error_code": 40401, "message": "Subject not found."})
REGISTERED = {"subject": "hes.Alarm", "version": 1, "id": 7, "schema": json.dumps(avsc("Alarm"))}


class Server:
    """A registry of fixed answers, which keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                path = self.path.partition("?")[0]
                outer.asked.append((self.command, path, json.loads(self.rfile.read(length)) if length else None))
                status, body = outer.answers.get((self.command, path), ABSENT)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is http.server's
                """Nothing: the test reads `asked`."""

        self._clients: list[RemoteRegistry] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def client(self, user: str = "") -> RemoteRegistry:
        self._clients.append(RemoteRegistry(self.url.replace("http://", f"http://{user}")))
        return self._clients[-1]

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as running:
        yield running


def test_id_of_asks_for_exactly_this_releases_schema(server: Server) -> None:
    server.answers["POST", "/subjects/hes.Alarm"] = (200, REGISTERED)
    assert server.client().id_of("Alarm") == 7
    assert json.loads(server.asked[0][2]["schema"]) == avsc("Alarm")


def test_what_is_not_registered_says_what_to_do(server: Server) -> None:
    registry = server.client()
    with pytest.raises(RegistryError, match="hes topology apply") as caught:
        registry.id_of("Alarm")
    assert not caught.value.retry
    assert registry.registered("Alarm") is None


def test_schema_of_an_id_of_others(server: Server) -> None:
    server.answers["GET", "/schemas/ids/12"] = (200, {"schema": '"string"'})
    registry = server.client()
    assert registry.schema_of(12) == '"string"'
    with pytest.raises(RegistryError, match="schema id 13 is not in the registry") as caught:
        registry.schema_of(13)
    assert not caught.value.retry


def test_register_sets_the_subjects_level_first_and_nobody_elses(server: Server) -> None:
    server.answers["PUT", "/config/hes.Alarm"] = (200, {"compatibility": COMPATIBILITY})
    server.answers["POST", "/subjects/hes.Alarm/versions"] = (200, {"id": 7})
    assert server.client().register("Alarm") == 7
    assert [(method, path) for method, path, _ in server.asked] == [
        ("PUT", "/config/hes.Alarm"),
        ("POST", "/subjects/hes.Alarm/versions"),
    ]
    assert server.asked[0][2] == {"compatibility": "FULL_TRANSITIVE"}


def test_register_what_may_not_follow(server: Server) -> None:
    server.answers["PUT", "/config/hes.Alarm"] = (200, {"compatibility": COMPATIBILITY})
    server.answers["POST", "/subjects/hes.Alarm/versions"] = (409, {"error_code": 409, "message": "incompatible"})
    with pytest.raises(RegistryError, match=r"hes\.Alarm may not follow") as caught:
        server.client().register("Alarm")
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((200, {"is_compatible": True}), True), ((200, {"is_compatible": False}), False), (ABSENT, True)],
    ids=["may", "may-not", "first"],
)
def test_is_compatible_with_every_version(server: Server, answer: tuple[int, Any], expected: bool) -> None:
    server.answers["POST", "/compatibility/subjects/hes.Alarm/versions"] = answer
    assert server.client().is_compatible("Alarm") is expected


@pytest.mark.parametrize(
    ("answer", "expected"), [((200, {"compatibilityLevel": "NONE"}), "NONE"), (ABSENT, "")], ids=["own", "not-its-own"]
)
def test_compatibility(server: Server, answer: tuple[int, Any], expected: str) -> None:
    server.answers["GET", "/config/hes.Alarm"] = answer
    assert server.client().compatibility("Alarm") == expected


CALLS = {
    "id_of": lambda registry: registry.id_of("Alarm"),
    "schema_of": lambda registry: registry.schema_of(1),
    "register": lambda registry: registry.register("Alarm"),
    "is_compatible": lambda registry: registry.is_compatible("Alarm"),
    "compatibility": lambda registry: registry.compatibility("Alarm"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "answer",
    [(401, {"error_code": 401, "message": "no"}), (403, {}), (400, b"<html>"), (200, b"<html>")],
    ids=["unauthorized", "forbidden", "not-a-registry", "not-json"],
)
def test_other_answers_are_worth_another_try(server: Server, call: Any, answer: tuple[int, Any]) -> None:
    server.answers = dict.fromkeys(
        [
            ("POST", "/subjects/hes.Alarm"),
            ("GET", "/schemas/ids/1"),
            ("PUT", "/config/hes.Alarm"),
            ("POST", "/compatibility/subjects/hes.Alarm/versions"),
            ("GET", "/config/hes.Alarm"),
        ],
        answer,
    )
    with pytest.raises(RegistryError, match="did not answer as expected") as caught:
        call(server.client())
    assert caught.value.retry


def test_registry_that_is_away_and_its_password(server: Server) -> None:
    client = server.client("user:sesame@")
    server.stop()
    with pytest.raises(RegistryError) as caught:
        client.compatibility("Alarm")
    assert caught.value.retry
    assert server.url in str(caught.value)
    assert "sesame" not in str(caught.value) + repr(caught.value.__cause__)


def test_memory_registry_has_every_record_once() -> None:
    registry = MemoryRegistry()
    ids = {name: registry.id_of(name) for name in RECORDS}
    assert len(set(ids.values())) == len(RECORDS)
    assert {name: json.loads(registry.schema_of(number))["name"] for name, number in ids.items()} == {n: n for n in RECORDS}


@pytest.mark.parametrize("number", [-1, 0, len(RECORDS) + 1], ids=str)
def test_memory_registry_knows_no_other_id(number: int) -> None:
    with pytest.raises(RegistryError):
        MemoryRegistry().schema_of(number)


def test_names() -> None:
    assert subject("Alarm") == "hes.Alarm"
    with pytest.raises(KeyError, match="no record 'Invoice'"):
        avsc("Invoice")
