"""One target under coverage-guided fuzzing: `python -m tests.fuzz.follow TARGET [libFuzzer's options and folders]`.

Needs atheris, which is no dependency of the project: `pip install atheris`. What raises, hangs or takes too much memory is
written by libFuzzer as an artifact, and ends the run.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

_FOLLOWED = ["connectors.protocols", "connectors.gateway", "connectors.cli.telegrams", "schemas"]


def main(arguments: list[str]) -> None:
    """Run until libFuzzer ends."""
    atheris: Any = import_module("atheris")
    name = arguments[1]
    with atheris.instrument_imports(include=_FOLLOWED):
        run = import_module("tests.fuzz.targets").TARGETS[name].run
    with tempfile.TemporaryDirectory() as folder:
        # libFuzzer merges in further processes, which it starts by the program's name
        again = Path(folder) / "again"
        again.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", "tests.fuzz.follow", name])} "$@"\n')
        again.chmod(0o700)
        atheris.Setup([str(again), *arguments[2:]], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
