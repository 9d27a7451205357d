"""What Maven is asked for, and what is made of its output."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from connectors.local.artifacts import POM, Artifacts, cause, ensure, find, transfer
from connectors.local.errors import LocalError

NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


def test_everything_in_the_pom_is_pinned() -> None:
    pom = ElementTree.parse(POM).getroot()  # noqa: S314 - our own file
    properties = {entry.tag.removeprefix(NAMESPACE): entry.text or "" for entry in pom.find(f"{NAMESPACE}properties") or ()}
    pinned = [*pom.iter(f"{NAMESPACE}dependency"), *pom.iter(f"{NAMESPACE}plugin")]
    assert len(pinned) == 5
    for entry in pinned:
        version = entry.findtext(f"{NAMESPACE}version") or ""
        if reference := re.fullmatch(r"\$\{(.+)\}", version):
            version = properties[reference[1]]
        assert re.fullmatch(r"\d+(\.\d+)+(\.Final)?", version), ElementTree.tostring(entry)
    assert re.fullmatch(r"[0-9a-f]{64}", properties["apicurio.sha256"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param(
            "[INFO] Downloading from central: https://host/m2/org/k/kafka_2.13-4.3.1.jar",
            "downloading kafka_2.13-4.3.1.jar",
            id="begun",
        ),
        pytest.param(
            "Downloaded from central: https://host/m2/io/a/app-all.tar.gz (142 MB at 5.1 MB/s)",
            "downloaded app-all.tar.gz (142 MB)",
            id="done",
        ),
        pytest.param("[INFO] Downloading from central: https://host/m2/x.pom", None, id="not-worth-telling"),
        pytest.param("[INFO] BUILD SUCCESS", None, id="something-else"),
    ],
)
def test_transfer(line: str, told: str | None) -> None:
    assert transfer(line) == told


@pytest.mark.parametrize(
    ("said", "found"),
    [
        pytest.param(["[INFO] x", "[ERROR] ", "[ERROR] No route", "[ERROR] more"], "No route", id="first-error"),
        pytest.param(["Unrecognized option", ""], "Unrecognized option", id="no-error-line"),
        pytest.param([], "it said nothing", id="silent"),
    ],
)
def test_cause(said: list[str], found: str) -> None:
    assert cause(said) == found


def fake_maven(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `mvn` is this script; `$into` is the folder it was told."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "mvn"
    program.write_text(f'#!/bin/sh\nfor a in "$@"; do case $a in -Dinto=*) into=${{a#-Dinto=}};; esac; done\n{script}\n')
    program.chmod(0o755)
    java = folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("")
    (folder / "jdk" / "release").write_text('JAVA_VERSION="17.0.1"\n')
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "JAVA_HOME": str(folder / "jdk")}


GOOD = "mkdir -p $into/kafka $into/registry; touch $into/kafka/b.jar $into/kafka/a.jar $into/registry/app-runner.jar"


def test_fetched_once(tmp_path: Path) -> None:
    environ, cache = fake_maven(tmp_path, f"{GOOD}; echo Downloaded from c: h/a.jar '(1 kB at 2 kB/s)'"), tmp_path / "cache"
    assert find(cache) is None
    told: list[str] = []
    installed = ensure(cache, told.append, environ)
    assert "downloaded a.jar (1 kB)" in told
    assert installed == find(cache) == ensure(cache, pytest.fail, environ)
    assert [Path(jar).name for jar in installed.kafka_classpath.split(os.pathsep)] == ["a.jar", "b.jar"]
    assert installed.registry_jar.name == "app-runner.jar"


@pytest.mark.parametrize(
    ("script", "what", "mend"),
    [
        pytest.param("echo '[ERROR] Could not resolve host'; exit 1", "Could not resolve host", "network", id="network"),
        pytest.param(
            "echo '[ERROR] Rule 0: RequireFileChecksum failed with message:'; exit 1", "Checksum", "pinned", id="checksum"
        ),
        pytest.param("echo '[ERROR] No space left on device'; exit 1", "No space left", "MB of disk", id="disk"),
        pytest.param(f"{GOOD}; echo '[ERROR] late'; exit 1", "late", "network", id="failed-after-copying"),
    ],
)
def test_a_failed_fetch_explains_and_leaves_nothing(tmp_path: Path, script: str, what: str, mend: str) -> None:
    environ, cache = fake_maven(tmp_path, script), tmp_path / "cache"
    with pytest.raises(LocalError) as raised:
        ensure(cache, lambda _: None, environ)
    assert what in raised.value.what
    assert mend in raised.value.mend
    assert find(cache) is None
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_missing_maven_is_named_before_anything_is_made(tmp_path: Path) -> None:
    environ = fake_maven(tmp_path, "exit 0") | {"PATH": str(tmp_path / "jdk")}
    with pytest.raises(LocalError, match="no mvn found"):
        ensure(tmp_path / "cache", lambda _: None, environ)
    assert not (tmp_path / "cache").exists()


def test_archives_are_kept_apart_by_java() -> None:
    installed = Artifacts(Path("/x"))
    assert installed.archive("kafka", "17.0.1") != installed.archive("kafka", "21")
