"""ClickHouse's HTTP interface, as far as we use it, in front of the embedded engine: one client for both.

    python -m connectors.local.chdb_server --path FOLDER --port PORT

`GET /ping`; `POST /?query=…` (or the statement in the body) with `database`, `default_format`, `param_…` and any setting as
URL parameters; `GET /?query=…` for what only reads. Errors as ClickHouse gives them: a status, the header
`X-ClickHouse-Exception-Code`, and "Code: …" as text. Not here: sessions, compression, progress, users.

It listens on 127.0.0.1, takes connections of its own user's processes only (the engine can read that user's files), and no
request that a web page made.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connectors.local.chdb_engine import Answer, Engine, EngineError
from connectors.local.chdb_http import from_a_web_page, media_type, owner_of, request_of, status_of
from connectors.local.chdb_sql import StatementError

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024 * 1024
MAX_CONNECTIONS = 64
IDLE_S = 300.0
FINISH_WITHIN_S = 10.0
END_WITHIN_S = 13


class Server(ThreadingHTTPServer):
    """The listener; a thread a connection, a limited number of them."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), Handler, bind_and_activate=False)
        self.engine: Engine | None = None
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, once there is room; until then others wait in the kernel's queue."""
        self._slots.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the signature is socketserver's
        """Only processes of our own user."""
        return owner_of(client_address) in (None, 0, os.getuid())

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - likewise
        """A client that went away is no error of ours; anything else is one line."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            _say(f"{type(error).__name__}: {error}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = "(chdb)"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = 65_536

    def do_GET(self) -> None:
        """`/ping`, `/` and statements that read."""
        path = urlsplit(self.path)
        if path.path in ("/ping", "/replicas_status") or (path.path == "/" and not path.query):
            self._send(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
        else:
            self._run(b"", reading_only=True)

    def do_POST(self) -> None:
        """A statement, with or without data."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            self._refuse(
                StatementError(381, "HTTP_LENGTH_REQUIRED", "The request has no Content-Length, which this server needs")
            )
        elif int(length) > MAX_BODY:
            self.close_connection = True
            detail = f"The request has {int(length)} bytes, and this server takes {MAX_BODY}: send fewer rows at a time"
            self._refuse(StatementError(66, "QUERY_IS_TOO_LARGE", detail))
        else:
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.wfile.flush()
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True  # cut off: nothing of it is run
            else:
                self._run(body, reading_only=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is http.server's
        """Requests are not logged."""

    def _run(self, body: bytes, *, reading_only: bool) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        try:
            if from_a_web_page(headers, self.server.server_port):
                raise StatementError(497, "ACCESS_DENIED", "A web page sent this request, and none may")  # noqa: TRY301 - one way out
            if path != "/":
                raise StatementError(48, "NOT_IMPLEMENTED", f"There is no handle {path[:200]}")  # noqa: TRY301 - likewise
            assert self.server.engine  # noqa: S101 - set before the first connection is accepted
            answer = self.server.engine.run(request_of(self.path, headers, body, reading_only=reading_only))
        except (EngineError, StatementError) as error:
            self._refuse(error)
        except ValueError as error:
            self._refuse(StatementError(36, "BAD_ARGUMENTS", f"The URL cannot be read: {error}"))
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        summary = {"read_rows": str(answer.read_rows), "written_rows": str(answer.written_rows)}
        headers = {
            "Content-Type": media_type(answer.format),
            "X-ClickHouse-Format": answer.format,
            "X-ClickHouse-Summary": json.dumps(summary),
        }
        self._send(200, answer.body, headers)

    def _refuse(self, error: EngineError | StatementError) -> None:
        _say(str(error)[:500])
        headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(error.code)}
        self._send(status_of(error.code), f"{error}\n".encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def serve(path: Path, port: int) -> int:
    """Serve until SIGTERM or SIGINT, then let what runs finish; the exit code."""
    # The kernel may give the signal to one of the engine's threads, which wakes nobody: what this thread waits for is the
    # octet that Python's own handler writes, whichever thread it runs in.
    asked, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server = Server(port)
    except OSError as error:
        _say(f"cannot listen on {HOST}:{port}: {error.strerror}")
        return 1
    with server:
        try:
            server.engine = Engine(path)
        except Exception as error:  # noqa: BLE001 - whatever the engine says, it cannot start
            _say(f"cannot open the data in {path}: {error}")
            return 1
        server.server_activate()
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
        asked.recv(1)
        # However the engine ends: killed, it loses nothing, since what an INSERT has answered for outlives a kill.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_WITHIN_S)
        server.shutdown()
        with contextlib.suppress(OSError):
            server.socket.shutdown(socket.SHUT_RDWR)
        return 0 if server.engine.close(FINISH_WITHIN_S) else 1


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m connectors.local.chdb_server", description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="the data folder; one process at a time can have it")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    given = parser.parse_args()
    code = serve(given.path, given.port)
    os._exit(code)  # threads that wait for idle clients, or for the engine, must not hold the end up


if __name__ == "__main__":
    main()
