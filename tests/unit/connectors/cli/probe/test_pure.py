"""What the probe may not need."""

from __future__ import annotations

import subprocess
import sys


def test_no_kafka() -> None:
    """Beyond what every command prints with, nothing of the probe imports a Kafka client, or the gateway."""
    code = (
        "import sys, types\n"
        "output = sys.modules['connectors.cli.output'] = types.ModuleType('output')\n"
        "output.Format = output.chosen = output.emit = output.say = None\n"
        "from connectors.cli.probe import address, access, advice, choices, driver, readings, report, trace, visit\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('confluent_kafka', 'faust', 'gurux_dlms')"
        " or m.startswith(('connectors.gateway', 'connectors.local'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
