"""Probes and metrics over HTTP: /health/live, /health/ready, /metrics."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.runtime.clock import Clock
from streams.runtime.settings import Health


class HealthServer:
    """Alive while `progress` is called often enough, ready once `ready` is called and until `not_ready`.

    A stuck consumer looks healthy to everything but its own progress, so progress is what liveness asks for.
    """

    def __init__(self, settings: Health, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._progress = clock.monotonic()
        self._ready = False
        self._server: ThreadingHTTPServer | None = None
        self.port = settings.port

    def progress(self) -> None:
        """Note that the service moves (also when it has nothing to do)."""
        self._progress = self._clock.monotonic()

    def ready(self) -> None:
        """Note that the service does its work."""
        self._ready = True

    def not_ready(self) -> None:
        """Note that the service starts or drains."""
        self._ready = False

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        if path == "/health/live":
            still = self._clock.monotonic() - self._progress
            alive = still < self._settings.stuck_s
            return (
                (200 if alive else 503),
                "text/plain",
                f"{'alive' if alive else 'stuck'}, last progress {still:.0f} s ago\n".encode(),
            )
        if path == "/health/ready":
            return (200, "text/plain", b"ready\n") if self._ready else (503, "text/plain", b"not ready\n")
        return 404, "text/plain", b"there are /health/live, /health/ready and /metrics\n"

    def start(self) -> None:
        """Listen, on a thread of its own; `port` is then the port it has."""
        if self._settings.port < 0:
            return
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is http.server's
                """Probes are not worth a line each."""

        self._server = ThreadingHTTPServer((self._settings.host, self._settings.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
