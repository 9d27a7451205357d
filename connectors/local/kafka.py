"""Apache Kafka: one node, broker and controller in one process (KRaft), for this machine only."""

from __future__ import annotations

import logging
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from connectors.local.errors import LocalError
from connectors.local.part import Part, Ports, Site
from connectors.local.ports import HOST, answers
from connectors.local.process import Command

NAME = "kafka"
PORT, CONTROLLER_PORT = "kafka", "kafka-controller"
LOGGING = Path(__file__).with_name("log4j2.properties")

FIXED = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # Topics are declared in topology.yaml: a misspelt name must fail, not be created.
    "auto.create.topics.enable": "false",
    # One node cannot hold the three replicas that are the defaults of Kafka's own topics.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker is believed dead, and taken back, after three seconds instead of nine. With one second a busy machine
    # was enough: partitions had no leader for as long as their broker waited for a processor.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def properties(ports: Ports, folder: Path) -> str:
    """server.properties for these ports with the log in `folder`."""
    listener, controller = f"PLAINTEXT://{HOST}:{ports[PORT]}", f"{HOST}:{ports[CONTROLLER_PORT]}"
    varying = {
        "listeners": f"{listener},CONTROLLER://{controller}",
        "advertised.listeners": listener,
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(folder),
    }
    return "".join(f"{name}={value}\n" for name, value in (FIXED | varying).items())


def prepare(site: Site, ports: Ports) -> None:
    """Write the configuration, and format the log folder where there is none."""
    folder = site.home.data(NAME)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "log").exists():
        _format(site, ports, folder)
    (folder / "server.properties").write_text(properties(ports, folder / "log"))


def command(site: Site, ports: Ports) -> Command:  # noqa: ARG001 - the ports are in the file that prepare() wrote
    """The broker."""
    configuration = str(site.home.data(NAME) / "server.properties")
    return Command([*_java(site), "kafka.Kafka", configuration])


def ready(ports: Ports) -> bool:
    """Whether a broker is registered and its metadata can be read."""
    if not answers(ports[PORT]):
        return False
    from confluent_kafka import KafkaException  # noqa: PLC0415 - loading librdkafka takes longer than the look at the port
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

    quiet = logging.getLogger("connectors.local.kafka.client")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    try:
        return bool(AdminClient({"bootstrap.servers": address(ports)}, logger=quiet).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def address(ports: Ports) -> str:
    """The bootstrap server."""
    return f"{HOST}:{ports[PORT]}"


def _format(site: Site, ports: Ports, folder: Path) -> None:
    """Format beside the final folder and move it there, so that a kill in between leaves nothing half formatted."""
    draft, configuration = folder / "log.new", folder / "format.properties"
    shutil.rmtree(draft, ignore_errors=True)
    configuration.write_text(properties(ports, draft))
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
    argv = [*_java(site), "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(configuration)]
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        argv, env=Command(argv).full_environ(), capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LocalError(
            f"Kafka could not format {folder}: {' '.join(said)}", "check the disk, or set HES_HOME to another folder"
        )
    configuration.unlink()
    draft.rename(folder / "log")


def _java(site: Site) -> list[str]:
    return [*site.jvm(NAME, "192m"), f"-Dlog4j2.configurationFile={LOGGING}", "-cp", site.artifacts.kafka_classpath]


KAFKA = Part(NAME, "Kafka", (PORT, CONTROLLER_PORT), prepare, command, ready, address)
