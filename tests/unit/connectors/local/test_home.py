"""Folders, state and lock of a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.local.errors import LocalError
from connectors.local.home import Home, Running, State, load_state, save_state

USER = Path("~").expanduser()


@pytest.mark.parametrize(
    ("environ", "platform", "root", "cache"),
    [
        pytest.param({}, "linux", USER / ".local/share/hes", USER / ".cache/hes", id="linux"),
        pytest.param(
            {"XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"}, "linux", Path("/d/hes"), Path("/c/hes"), id="linux-xdg"
        ),
        pytest.param({}, "darwin", USER / "Library/Application Support/hes", USER / "Library/Caches/hes", id="macos"),
        pytest.param({"HES_HOME": "/h"}, "linux", Path("/h"), USER / ".cache/hes", id="home-set"),
        pytest.param({"HES_HOME": "/h", "HES_CACHE": "/k"}, "linux", Path("/h"), Path("/k"), id="both-set"),
        pytest.param({"HES_HOME": ""}, "linux", USER / ".local/share/hes", USER / ".cache/hes", id="set-to-nothing"),
    ],
)
def test_folders(environ: dict[str, str], platform: str, root: Path, cache: Path) -> None:
    assert Home.of(None, environ, platform) == Home(root, cache)


def test_an_argument_outranks_the_environment() -> None:
    assert Home.of(Path("/mine"), {"HES_HOME": "/h"}, "linux").root == Path("/mine")


@pytest.mark.parametrize("character", [",", ";", "?", "#", "\n"])
def test_a_folder_that_kafka_or_h2_would_misread_is_refused(character: str) -> None:
    with pytest.raises(LocalError, match="set HES_HOME"):
        Home.of(Path(f"/a{character}b"), {}, "linux")


def test_state_comes_back(tmp_path: Path) -> None:
    home = Home.of(tmp_path)
    state = State({"kafka": 20_001}, {"kafka": Running(77, "boot/1")})
    save_state(home, state)
    assert load_state(home) == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut-off"),
        pytest.param("[]", id="another-shape"),
        pytest.param('{"ports": {"kafka": "x"}, "processes": {}}', id="port-not-a-number"),
        pytest.param('{"ports": {}, "processes": {"kafka": {"pid": 5}}}', id="process-without-birth"),
        pytest.param('{"ports": {"kafka": 0}, "processes": {"kafka": {"pid": 1, "born": ""}}}', id="port-0-and-pid-1"),
    ],
)
def test_a_damaged_state_is_none(tmp_path: Path, text: str) -> None:
    home = Home.of(tmp_path)
    home.state_file.write_text(text)
    assert load_state(home) == State()


def test_the_lock_excludes_and_is_given_back(tmp_path: Path) -> None:
    home = Home.of(tmp_path)
    with home.lock(), pytest.raises(LocalError, match="another command"), home.lock(wait_s=0):
        pass
    with home.lock(wait_s=0):
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="set HES_HOME"), Home.of(tmp_path / "file" / "home").lock():
        pass
