"""Services as processes under a test's control, as they are or with a signal armed at one stage of their work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tests.integration.gateway_bench import GatewayProcess


class ServiceProcess(GatewayProcess):
    """Any service. `module` runs it where it is not to be run as it is."""

    room = "streams"
    name = ""
    ready = ""
    module = ""

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait for what it logs when it works."""
        given = {
            "HES_KAFKA__BOOTSTRAP": self.cluster.kafka,
            "HES_KAFKA__GROUP_SUFFIX": self.suffix,
            "HES_KAFKA__SESSION_TIMEOUT_S": "6",
            "HES_REGISTRY__URL": self.cluster.registry,
            "HES_HEALTH__PORT": "-1",
        }
        where = f"{self.room}.{self.name}.service"
        code = f"import {where} as s, streams.runtime.settings as t, sys; sys.exit(s.main(t.Settings()))"
        run = ("-m", self.module) if self.module else ("-c", code)
        self.log = []
        self.process = subprocess.Popen(
            [sys.executable, *run], stderr=subprocess.PIPE, text=True, env=os.environ | given | self.settings
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        if wait:
            self.wait_for(self.ready)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)


@dataclass
class FollowUpProcess(ServiceProcess):
    """Begins with what comes from now on, and what follows alarms of other tests, a quarter of an hour later, does not use
    up its budget. With a policy file of the test, or the standard one.
    """

    name, ready = "followup", "leading"

    def __post_init__(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.skip_old("hes-followup", "hes.alarms", "hes.readings.registers", "hes.command-acks", said=str(now_ms))
        given = self.settings.get("HES_FOLLOWUP__POLICY_FILE")
        standard = files("streams.followup") / "standard.yaml"
        text = (Path(given) if given else standard).read_text(encoding="utf-8")
        assert "  all: 300" in text
        file = self.home / "roomy.yaml"
        file.write_text(text.replace("  all: 300", "  all: 1000000"))
        self.settings = self.settings | {"HES_FOLLOWUP__POLICY_FILE": str(file)}


class StagedProcess(ServiceProcess):
    """A service that sends itself a signal at a stage; see `staged`."""

    def armed(self, stage: str, number: signal.Signals) -> None:
        """To be called before it is started."""
        self.settings = self.settings | {"HES_TEST_STAGE": stage, "HES_TEST_SIGNAL": number.name}

    def stopped(self) -> None:
        """Wait until the signal has come."""
        assert self.process is not None
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if self.settings["HES_TEST_SIGNAL"] == "SIGKILL":
            assert os.WIFSIGNALED(status), self.log[-5:]
            assert os.WTERMSIG(status) == signal.SIGKILL
            self.process.returncode = -signal.SIGKILL
        else:
            assert os.WIFSTOPPED(status), self.log[-5:]


@contextmanager
def stopped_at_the_end(*processes: ServiceProcess) -> Iterator[None]:
    """Started one after the other, and killed in the end."""
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.kill)
            process.start()
        yield
