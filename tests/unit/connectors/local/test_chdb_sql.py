"""Reading statements."""

from __future__ import annotations

import pytest

from connectors.local.chdb_sql import MAX_QUERY, Insert, Plain, StatementError, identifier, parse, quoted

ARROW = b"\xff\xff\xff\xff\x08\x00\x00\x00'\"`(;"


@pytest.mark.parametrize(
    ("query", "body", "head", "kind", "data"),
    [
        pytest.param(
            b"INSERT INTO t FORMAT ArrowStream", ARROW, "INSERT INTO t ", "ArrowStream", ARROW, id="data-in-the-body"
        ),
        pytest.param(
            b"insert into t (a, `format`) format JSONEachRow ;",
            b"{}",
            "insert into t (a, `format`) ",
            "JSONEachRow",
            b"{}",
            id="lower-case",
        ),
        pytest.param(
            b"", b"INSERT INTO t FORMAT ArrowStream\n" + ARROW, "INSERT INTO t ", "ArrowStream", ARROW, id="all-in-the-body"
        ),
        pytest.param(
            b" ", b"INSERT INTO t FORMAT CSV\r\n1,2\r\n", "INSERT INTO t ", "CSV", b"1,2\r\n", id="all-in-the-body-crlf"
        ),
        pytest.param(
            b'INSERT INTO t FORMAT JSONEachRow {"a":1}',
            b"",
            "INSERT INTO t ",
            "JSONEachRow",
            b'{"a":1}',
            id="data-behind-it",
        ),
        pytest.param(
            b"INSERT INTO t SETTINGS async_insert=0 FORMAT CSV",
            b"1",
            "INSERT INTO t SETTINGS async_insert=0 ",
            "CSV",
            b"1",
            id="settings",
        ),
        pytest.param(
            b"/* FORMAT X */ INSERT INTO t -- FORMAT Y\n FORMAT CSV",
            b"",
            "/* FORMAT X */ INSERT INTO t -- FORMAT Y\n ",
            "CSV",
            b"",
            id="comments",
        ),
        pytest.param(b"INSERT INTO t (a) FORMAT CSV", b"", "INSERT INTO t (a) ", "CSV", b"", id="no-data"),
    ],
)
def test_an_insert_with_data(query: bytes, body: bytes, head: str, kind: str, data: bytes) -> None:
    assert parse(query, body) == Insert(head, kind, data)


@pytest.mark.parametrize(
    ("query", "body", "text", "verb", "kind", "reads"),
    [
        pytest.param(b"SELECT 1", b"", "SELECT 1", "SELECT", None, True, id="select"),
        pytest.param(b"", b"SELECT 1", "SELECT 1", "SELECT", None, True, id="in-the-body"),
        pytest.param(b"SELECT a FROM", b"t", "SELECT a FROM\nt", "SELECT", None, True, id="in-both"),
        pytest.param(
            b"select 1 format JSONCompact", b"", "select 1 format JSONCompact", "SELECT", "JSONCompact", True, id="format"
        ),
        pytest.param(
            b"SELECT format('{}', 'FORMAT CSV')",
            b"",
            "SELECT format('{}', 'FORMAT CSV')",
            "SELECT",
            None,
            True,
            id="function-and-string",
        ),
        pytest.param(
            b"SELECT 1;  -- the end\n", b"", "SELECT 1;  -- the end\n", "SELECT", None, True, id="ends-with-semicolon"
        ),
        pytest.param(
            b"SELECT ';', \"a;b\", `c;d` /* ; */ FROM t",
            b"",
            "SELECT ';', \"a;b\", `c;d` /* ; */ FROM t",
            "SELECT",
            None,
            True,
            id="quoted-semicolons",
        ),
        pytest.param(b"CREATE TABLE t (a Int8)", b"", "CREATE TABLE t (a Int8)", "CREATE", None, False, id="create"),
        pytest.param(
            b"INSERT INTO t VALUES (1, ';')", b"", "INSERT INTO t VALUES (1, ';')", "INSERT", None, False, id="values"
        ),
        pytest.param(
            b"INSERT INTO t VALUES", b"(1)", "INSERT INTO t VALUES\n(1)", "INSERT", None, False, id="values-in-the-body"
        ),
        pytest.param(
            b"INSERT INTO t FORMAT Values (1)",
            b"",
            "INSERT INTO t FORMAT Values (1)",
            "INSERT",
            None,
            False,
            id="format-values",
        ),
        pytest.param(
            b"INSERT INTO t SELECT * FROM u", b"", "INSERT INTO t SELECT * FROM u", "INSERT", None, False, id="insert-select"
        ),
        pytest.param(
            b"WITH x AS (SELECT 1) SELECT * FROM x",
            b"",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "WITH",
            None,
            True,
            id="with",
        ),
        pytest.param(b"", b"", "", "", None, False, id="nothing"),
    ],
)
def test_any_other_statement(query: bytes, body: bytes, text: str, verb: str, kind: str | None, reads: bool) -> None:
    statement = parse(query, body)
    assert statement == Plain(text, verb, kind)
    assert statement.reads is reads


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        pytest.param(b"SELECT 1; SELECT 2", "Multi-statements", id="two"),
        pytest.param(b"DROP TABLE a;DROP TABLE b;", "Multi-statements", id="two-that-change"),
        pytest.param(b"SELECT '" + b"x" * MAX_QUERY + b"'", "Max query size", id="too-long"),
        pytest.param(b"SELECT '\xff'", "not UTF-8", id="not-text"),
        pytest.param(b"INSERT INTO t (\xff) FORMAT CSV\n1", "not UTF-8", id="not-text-in-an-insert"),
    ],
)
def test_what_clickhouse_would_refuse(text: bytes, detail: str) -> None:
    with pytest.raises(StatementError, match=rf"^Code: 62\. DB::Exception: .*{detail}.*\(SYNTAX_ERROR\)$"):
        parse(b"", text)


def test_quoting() -> None:
    assert quoted("it's \\") == r"'it\'s \\'"
    assert identifier("a`b\\") == r"`a\`b\\`"
