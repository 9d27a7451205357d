"""Finding Java and Maven."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.local.errors import LocalError
from connectors.local.java import Java, find_java, find_maven, install_command


def jdk(folder: Path, release: str | None, says: str = "") -> Path:
    """A folder that looks like a JDK; `says` is what its program prints for -version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)
    if release is not None:
        (folder / "release").write_text(release)
    return program


@pytest.mark.parametrize(
    ("release", "says", "version", "major"),
    [
        pytest.param('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.15"\n', "", "17.0.15", 17, id="17"),
        pytest.param('JAVA_VERSION="21"\n', "", "21", 21, id="21-without-minor"),
        pytest.param(None, 'openjdk version "25-ea" 2025-09-16', "25-ea", 25, id="no-release-file"),
    ],
)
def test_a_java_new_enough(tmp_path: Path, release: str | None, says: str, version: str, major: int) -> None:
    program = jdk(tmp_path, release, says)
    found = find_java({"JAVA_HOME": str(tmp_path)})
    assert found == Java(program, version)
    assert found.major == major


@pytest.mark.parametrize(
    ("release", "says", "named"),
    [
        pytest.param('JAVA_VERSION="11.0.2"\n', "", "Java 11.0.2", id="11"),
        pytest.param('JAVA_VERSION="1.8.0_402"\n', "", "Java 1.8.0_402", id="8"),
        pytest.param(None, "not a java", "a version unknown", id="not-a-java"),
    ],
)
def test_a_java_too_old_is_named_with_what_to_do(tmp_path: Path, release: str | None, says: str, named: str) -> None:
    jdk(tmp_path, release, says)
    with pytest.raises(LocalError, match=named) as raised:
        find_java({"JAVA_HOME": str(tmp_path)})
    assert install_command() in raised.value.mend


def test_java_is_found_on_the_path(tmp_path: Path) -> None:
    program = jdk(tmp_path, 'JAVA_VERSION="17.0.1"\n')
    assert find_java({"PATH": str(program.parent)}).program == program


@pytest.mark.parametrize("find", [find_java, find_maven], ids=["java", "maven"])
def test_a_missing_program_is_named_with_its_install_command(tmp_path: Path, find: object) -> None:
    assert callable(find)
    with pytest.raises(LocalError) as raised:
        find({"PATH": str(tmp_path)})
    assert raised.value.mend == f"run: {install_command()}"
