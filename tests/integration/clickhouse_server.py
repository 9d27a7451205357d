"""ClickHouse for a test: Debian's server 18.16, or the embedded engine behind HTTP; own folder, free ports, ended by pid."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from connectors.local.ports import choose, free_port

# Debian puts it into /usr/sbin, upstream's packages into /usr/bin.
BINARY = shutil.which("clickhouse-server", path="/usr/bin:/usr/sbin:/usr/local/bin")

PASSWORD = "p%40ss%2Fword"
"""Of the user `default`, as it stands in a URL."""

_CONFIG = """<yandex>
    <logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog></logger>
    <listen_host>127.0.0.1</listen_host>
    <tcp_port>{tcp}</tcp_port>
    <http_port>{http}</http_port>
    <path>{folder}/data/</path>
    <tmp_path>{folder}/tmp/</tmp_path>
    <user_files_path>{folder}/files/</user_files_path>
    <users_config>{folder}/users.xml</users_config>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <mark_cache_size>100000000</mark_cache_size>
    <timezone>Europe/Oslo</timezone>
</yandex>
"""
_USERS = """<yandex>
    <profiles><default><max_memory_usage>2000000000</max_memory_usage></default></profiles>
    <quotas><default></default></quotas>
    <users>
        <default>
            <password>{password}</password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota>
        </default>
    </users>
</yandex>
"""


class Server:
    """One server on one folder; `start` and `kill` as often as a test wants."""

    def __init__(self, folder: Path, command: list[str], ports: tuple[int, ...]) -> None:
        self._folder = folder
        self._command = command
        self.ports = ports
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self._folder / "out.log").open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out)
        until = time.monotonic() + 90
        while not all(map(_answers, self.ports)):
            assert self._process.poll() is None, (self._folder / "out.log").read_text()
            assert time.monotonic() < until, "ClickHouse does not listen"
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and -9 where that does not help within ten seconds."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None


@contextmanager
def debian(folder: Path) -> Iterator[Server]:
    """Debian's server, running; its ports are the native one and HTTP's."""
    assert BINARY
    tcp, http = choose(("tcp", "http"), {}).values()
    (folder / "users.xml").write_text(_USERS.format(password=unquote(PASSWORD)))
    (folder / "config.xml").write_text(_CONFIG.format(folder=folder, tcp=tcp, http=http))
    yield from _running(Server(folder, [BINARY, f"--config-file={folder}/config.xml"], (tcp, http)))


@contextmanager
def embedded(folder: Path) -> Iterator[Server]:
    """The embedded engine, running; its port is HTTP's."""
    port = free_port()
    command = [sys.executable, "-m", "connectors.local.chdb_server", "--path", str(folder / "data"), "--port", str(port)]
    yield from _running(Server(folder, command, (port,)))


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def as_18_16(sql: str) -> str:
    """A statement, or a type, as server 18.16 knows it: no CODEC, no LowCardinality, no DateTime64, no window of tokens."""
    if "DateTime64" in sql:
        sql = sql.replace("toYYYYMM(ts)", "toYYYYMM(toDateTime(intDiv(ts, 1000), 'UTC'))")
    sql = sql.replace("DateTime64(3, 'UTC')", "Int64")
    sql = re.sub(r" CODEC\((?:[^()]|\([^()]*\))*\)", "", sql)
    sql = re.sub(r"\nSETTINGS [^\n]*", "", sql)
    return re.sub(r"LowCardinality\((\w+)\)", r"\1", sql)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
