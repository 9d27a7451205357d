"""One question to a server on this machine: does it answer, and what."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from connectors.local.ports import HOST


def get(port: int, path: str, timeout_s: float = 2.0) -> tuple[int, bytes] | None:
    """Status and the first 64 KiB of the body; None where nothing answers."""
    connection = HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(65_536)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
