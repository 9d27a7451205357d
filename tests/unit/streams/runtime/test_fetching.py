"""Files by URL: what is fetched, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.runtime.fetching import FetchError, fetched, shown


def test_a_file_comes_whole(tmp_path: Path) -> None:
    file = tmp_path / "a b.bin"
    file.write_bytes(bytes(200_000))
    assert b"".join(fetched(file.as_uri(), 200_000, 10)) == bytes(200_000)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("file:///nowhere/at/all", "is no file here"),
        ("file://server/share/x", "is no file here"),
        ("file:relative", "is no file here"),
        ("file:///dev/zero", "is no file here"),
        ("ftp://host/x", "a scheme that is not fetched"),
        ("gopher:x", "a scheme that is not fetched"),
        ("", "a scheme that is not fetched"),
        ("http://[", "a scheme that is not fetched"),
    ],
)
def test_what_is_not_fetched(url: str, what: str) -> None:
    with pytest.raises(FetchError, match=what):
        list(fetched(url, 10, 1))


def test_a_file_has_a_limit_in_size_and_in_time(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(200_000))
    with pytest.raises(FetchError, match="larger than 199999 octets"):
        list(fetched(file.as_uri(), 199_999, 10))
    times = iter([0.0, 5.0, 11.0])
    with pytest.raises(FetchError, match="did not come whole within 10 s"):
        list(fetched(file.as_uri(), 200_000, 10, lambda: next(times)))


def test_what_is_told_of_a_url_has_no_secret() -> None:
    assert shown("https://user:secret@host:8443/a.bin?token=secret#x") == "https://host:8443/a.bin"
