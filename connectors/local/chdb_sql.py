"""Reading a ClickHouse statement just far enough to run it: where an INSERT's data begins, its format, how many there are.

Pure. What it does not understand it leaves to the engine, whose errors are ClickHouse's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_QUERY = 262_144
"""Bytes of a statement without its data: ClickHouse's own `max_query_size`."""

DEFAULT_FORMAT = "TabSeparated"

READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})

_TOKEN = re.compile(
    rb"""
      (?P<skip> \s+ | --[^\n]* | \#[\ !][^\n]* | /\*.*?\*/ )
    | (?P<quoted> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<other> [0-9][\w.]* | . )
    """,
    re.DOTALL | re.VERBOSE,
)


class StatementError(Exception):
    """A statement that ClickHouse would refuse and the embedded engine might not; `code` is ClickHouse's, as is the text."""

    def __init__(self, code: int, name: str, detail: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {detail}. ({name})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """A statement with what goes beside it."""

    query: bytes
    body: bytes = b""
    database: str = "default"
    default_format: str = DEFAULT_FORMAT
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values for the placeholders `{name:Type}`."""
    reading_only: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT that carries data in a format."""

    head: str
    """The statement up to FORMAT."""
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Plain:
    """Any other statement, as text."""

    text: str
    verb: str
    """Its first word, in upper case; empty for none."""
    format: str | None
    """What its FORMAT clause names, where it has one."""

    @property
    def reads(self) -> bool:
        """Whether it can change nothing, as far as its first word tells."""
        return self.verb in READING


def parse(query: bytes, body: bytes) -> Insert | Plain:
    """The statement of a request: its `query` parameter followed by its body, as ClickHouse joins them.

    `StatementError` for text that is too long, not UTF-8, or more than one statement.
    """
    if query.strip():
        if insert := _insert(query):
            head, kind, data = insert
            return Insert(head, kind, data + body)
        text = query + b"\n" + body if body else query
    else:
        if insert := _insert(body):
            return Insert(*insert)
        text = body
    return _plain(text)


def quoted(value: str) -> str:
    """A string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def identifier(name: str) -> str:
    """A quoted identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _insert(text: bytes) -> tuple[str, str, bytes] | None:
    """Head, format and data of `INSERT … FORMAT name data`; None for anything else.

    Looks no further than the words VALUES, SELECT, WITH and WATCH, so what follows may be anything.
    """
    words = _words(text[:MAX_QUERY])
    if next(words, ("", 0, 0))[0] != "INSERT":
        return None
    for word, start, end in words:
        if word in {"VALUES", "SELECT", "WITH", "WATCH"}:
            return None
        if word == "FORMAT" and (
            named := re.compile(rb"\s+([A-Za-z]\w*)(?:[ \t]*;?[ \t]*(?:\r?\n|$)|\s+|;)").match(text, end)
        ):
            kind = named[1].decode()
            return None if kind.upper() == "VALUES" else (_decoded(text[:start]), kind, text[named.end() :])
    return None


def _plain(text: bytes) -> Plain:
    verb = next(_words(text[:MAX_QUERY]), ("", 0, 0))[0]
    if verb == "INSERT":  # its values may be long, and may hold anything
        return Plain(_decoded(text), verb, None)
    if len(text) > MAX_QUERY:
        raise StatementError(62, "SYNTAX_ERROR", f"Max query size exceeded: {len(text)} bytes, {MAX_QUERY} are allowed")
    kind, before, ended = None, "", False
    for word, _start, _end in _words(text):
        if ended:
            raise StatementError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): send them one by one")
        ended = word == ";"
        if before == "FORMAT" and re.fullmatch(r"[A-Z]\w*", word):
            kind = text[_start:_end].decode()
        before = word
    return Plain(_decoded(text), verb, kind)


def _words(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Words in upper case and other marks outside parentheses, quotes and comments, each with where it stands."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token["skip"]:
            continue
        if token["other"] in (b"(", b"["):
            depth += 1
        elif token["other"] in (b")", b"]"):
            depth -= 1
        elif depth <= 0:
            yield (token["word"] or token["other"] or b"'").decode("latin-1").upper(), token.start(), token.end()


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise StatementError(
            62,
            "SYNTAX_ERROR",
            f"Syntax error: the statement is not UTF-8 at byte {error.start}; data in a binary format needs FORMAT",
        ) from None
