"""A file by its URL, with limits on its size and on the time: `file:`, `http:` and `https:`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx2

_REDIRECTS = 5
_CHUNK = 64 << 10
_FOLLOWS = {"http": ("http", "https"), "https": ("https",)}
"""To which schemes a redirect from one may lead."""


class FetchError(Exception):
    """What a URL names cannot be had: away, too large, too slow, or not to be fetched at all; says which."""


def fetched(url: str, limit: int, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """The octets behind a URL as they come. `FetchError`, at the latest where they are more than `limit`, or not all there
    after `seconds`.

    A redirect is followed up to 5 times, from http to http or https, from https only to https, never to a file.
    """
    until = monotonic() + seconds
    left = limit
    for piece in _file(url) if scheme_of(url) == "file" else _http(url, until, monotonic):
        left -= len(piece)
        if left < 0:
            raise FetchError(f"{shown(url)} is larger than {limit} octets")
        if monotonic() > until:
            raise FetchError(f"{shown(url)} did not come whole within {seconds:.0f} s")
        yield piece


def scheme_of(url: str) -> str:
    """The scheme of a URL; empty where it is none."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def shown(url: str) -> str:
    """A URL as it may be told: without user, password and query."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return "the URL"


def _file(url: str) -> Iterator[bytes]:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise FetchError(f"{shown(url)} is no file here; write file:/// and an absolute path")
    try:
        if not path.is_file():
            raise FetchError(f"{shown(url)} is no file here; it must be there for every gateway and service of firmware")
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece
    except OSError as error:
        raise FetchError(f"{shown(url)} cannot be read: {error.strerror}") from error


def _http(url: str, until: float, monotonic: Callable[[], float]) -> Iterator[bytes]:
    allowed: tuple[str, ...] = ("http", "https")
    try:
        for _ in range(_REDIRECTS + 1):
            scheme = scheme_of(url)
            if scheme not in allowed:
                raise FetchError(f"{shown(url)} is of a scheme that is not fetched from there; give a direct URL")
            allowed = _FOLLOWS[scheme]
            with httpx2.stream("GET", url, timeout=max(until - monotonic(), 0.001), follow_redirects=False) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                if answer.status_code != httpx2.codes.OK:
                    raise FetchError(f"{shown(url)} answers {answer.status_code}; the file must be there")
                # As it is sent: what would be unpacked could be a thousand times larger.
                yield from answer.iter_raw(_CHUNK)
                return
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise FetchError(f"{shown(url)} does not answer: {type(error).__name__}") from error
    raise FetchError(f"{shown(url)} leads from one address to the next; give a direct URL")
