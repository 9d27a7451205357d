"""People, a gateway and a meter with a relay, and services of commands that come and go: for tests that stop them."""

from __future__ import annotations

import uuid
from pathlib import Path

from connectors.gateway.keystore import MeterKeys
from schemas.records import AuditEntry, CommandRequest, CommandState, Operation
from streams.runtime.authority.chain import Break, walk
from streams.runtime.settings import Settings
from tests.integration.commands_rig import Rig
from tests.integration.gateway_bench import Cluster, GatewayProcess
from tests.integration.relay_meters import Desk, RelayMeter, now_ms, registered
from tests.integration.service_processes import StagedProcess

S = CommandState
WAY = (S.RECEIVED, S.AWAITING_APPROVAL, S.APPROVED, S.QUEUED, S.SENT, S.DONE)
"""Of a disconnection that goes well."""


class CommandsProcess(StagedProcess):
    name, ready = "commands", "books-opened"


class Scene:
    """Everything but the services of commands."""

    def __init__(
        self, cluster: Cluster, home: Path, settings: dict[str, str] | None = None, keys: dict[str, MeterKeys] | None = None
    ) -> None:
        self.cluster, self.home = cluster, home
        self.desk = Desk.staffed(cluster, f"env-{uuid.uuid4().hex[:6]}")
        self.rig = Rig(Settings(kafka={"bootstrap": cluster.kafka}, registry={"url": cluster.registry}))
        self.gateway = GatewayProcess(cluster, home, self.desk.settings | (settings or {}))
        self.gateway.keys(keys or {})
        self.gateway.skip_old_jobs()
        self.gateway.start()
        self.gateway.wait_for("partitions-assigned")
        self._suffix = f"-{uuid.uuid4().hex[:8]}"

    def commands(self, instance: str = "one", module: str = "") -> CommandsProcess:
        """A service of commands; of one instance there is one at a time."""
        settings = self.desk.settings | {"HES_COMMANDS__TRANSACTION_TIMEOUT_S": "5", "HES_KAFKA__INSTANCE_ID": instance}
        process = CommandsProcess(self.cluster, self.home, settings, self._suffix)
        process.module = module
        return process

    def meter(self) -> tuple[str, RelayMeter]:
        """One more, by itself below its transformer and on its feeder: no daily limit holds back the next."""
        name, meter = f"m-{uuid.uuid4().hex[:8]}", RelayMeter()
        self.cluster.put_meters([registered(name, meter, feeder=f"F-{name}")])
        return name, meter

    def ask(self, meter: str, operation: Operation = Operation.DISCONNECT) -> tuple[str, bytes]:
        """Ask as alice does; the command's id, and the request as it stands."""
        value = self.desk.asks(meter, operation=operation, requested_at=now_ms())
        asked = self.desk.codec.decode(value)
        assert isinstance(asked, CommandRequest)
        self.cluster.put("hes.commands", asked.id, value)
        return asked.id, value

    def decide(self, command: str, value: bytes) -> None:
        """Approve as bob does."""
        self.cluster.put("hes.command-decisions", command, self.desk.decides(value))

    def chain(self) -> list[AuditEntry]:
        """The audit entries, which must be one sound chain from its beginning."""
        entries = self.rig.records("hes.audit", AuditEntry)
        assert [found for found in walk(entries) if isinstance(found, Break)] == []
        return entries

    def close(self) -> None:
        self.gateway.kill()
        self.rig.close()
