"""What the probe may not need: it runs where no Kafka client is."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

IMPORTED = (
    "\nimport sys\nprint('seen:', [m for m in sys.modules if m.split('.')[0] in ('confluent_kafka', 'faust', 'gurux_dlms')"
    " or m.startswith(('connectors.gateway', 'connectors.local', 'schemas.codec', 'schemas.registry'))])"
)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import connectors.cli.commands.probe", id="the-command"),
        pytest.param(
            "from connectors.cli.probe import address, access, advice, choices, driver, readings, report, trace, visit",
            id="all-that-it-imports-when-it-runs",
        ),
        pytest.param(
            "import sys\nsys.argv = ['hes', 'probe', '--help']\nfrom connectors.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass",
            id="help",
        ),
        pytest.param(
            "import sys\nsys.argv = ['hes', '--debug', 'probe', '127.0.0.1:1', '--timeout', '0.1', '-f', 'json']\n"
            "from connectors.cli.main import main\ntry:\n    main()\nexcept BaseException as error:\n    print(type(error))",
            id="run",
        ),
    ],
)
def test_no_kafka(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code + IMPORTED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().endswith("seen: []")


def test_other_commands_are_all_there() -> None:
    code = (
        "import sys, typer\nsys.argv = ['hes', '--help']\nfrom connectors.cli import commands\n"
        "from connectors.cli.main import app\ncommands.register(app)\nprint(sorted(typer.main.get_command(app).commands))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {"probe", "meters", "decode", "run", "topology"} <= set(ast.literal_eval(done.stdout))
