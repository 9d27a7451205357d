"""Files by HTTP from a server on a socket: limits, redirects, and servers that answer badly."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from streams.runtime.fetching import FetchError, fetched

pytestmark = pytest.mark.integration
IMAGE = bytes(range(256)) * 1000
BOMB = gzip.compress(bytes(10_000_000))


class Handler(BaseHTTPRequestHandler):
    """Answers by what the path says."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/image":
            self._answer(200, IMAGE)
        elif path == "/bomb":
            self._answer(200, BOMB, ("content-encoding", "gzip"))
        elif path.startswith("/to/"):
            self._answer(302, b"", ("location", path.removeprefix("/to/")))
        elif path == "/loop":
            self._answer(301, b"", ("location", "/loop"))
        elif path == "/cut":
            self._answer(200, IMAGE[:100], length=len(IMAGE))
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(65_536))
            except OSError:
                return
        else:
            self._answer(404, b"nothing here")

    def _answer(self, status: int, body: bytes, header: tuple[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body) if length is None else length))
        if header is not None:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/image", "/to//image", "/to//to//image"], ids=["straight", "once", "twice"])
def test_a_file_comes_whole(server: str, path: str) -> None:
    assert b"".join(fetched(server + path, len(IMAGE), 20)) == IMAGE


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/image", "larger than 255999 octets"),
        ("/endless", "larger than 255999 octets"),
        ("/nothing?token=secret", r"/nothing answers 404"),
        ("/loop", "from one address to the next"),
        ("/cut", "does not answer: RemoteProtocolError"),
        ("/to/file:///etc/passwd", "of a scheme that is not fetched from there"),
        ("/to/ftp://127.0.0.1/x", "of a scheme that is not fetched from there"),
    ],
)
def test_what_does_not_come(server: str, path: str, what: str) -> None:
    with pytest.raises(FetchError, match=what) as error:
        list(fetched(server + path, len(IMAGE) - 1, 20))
    assert "secret" not in str(error.value)


def test_nothing_is_unpacked(server: str) -> None:
    assert b"".join(fetched(f"{server}/bomb", 50_000, 20)) == BOMB


def test_nobody_is_there() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        port = made.server_port
    with pytest.raises(FetchError, match="does not answer: ConnectError"):
        list(fetched(f"http://127.0.0.1:{port}/image", 10, 20))
