"""The chart: what it renders, what it refuses, and that it and topology.yaml are one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.topology import Topology, load, parse
from schemas.topology_export import strimzi
from streams.runtime.settings import Settings
from tests.integration import chart_settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "hes"

Docs = list[dict[str, Any]]
Render = Callable[..., Docs]

FULL = {
    "image": {"repository": "somewhere/hes", "tag": "1.2.3", "pullSecrets": ["pull"]},
    "settings": {
        "kafka": {"bootstrap": "a:9093,b:9094", "security_protocol": "SASL_SSL"},
        "registry": {"url": "https://registry"},
        "clickhouse": {"database": "meters", "batch_wait_s": 0.5},
        "gateway": {"max_connections": 1000000, "discover": False, "key_file": "/etc/hes/keys/store.json"},
    },
    "kafkaCa": {"secret": "hes-cluster-ca-cert"},
    "relay": {"secret": "hes-relay"},
    "secretEnv": {"HES_REGISTRY__URL": {"secret": "hes-registry", "key": "url"}},
    "topologyJob": {"secretEnv": {"HES_KAFKA__SASL_USERNAME": {"secret": "kafka-admin", "key": "user"}}},
    "monitoring": {"podMonitor": True, "rules": True, "dashboards": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "defaults": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]},
    "services": {
        "gateway": {
            "secretFiles": {"/etc/hes/keys": "hes-keys"},
            "service": {"annotations": {"a": "b"}},
            "podAnnotations": {"c": "d"},
        },
        "clickhouse": {
            "secretEnv": {"HES_CLICKHOUSE__URL": {"secret": "hes-clickhouse", "key": "url"}},
            "env": {"HES_LOG__LEVEL": "debug"},
        },
        "fraud": {"enabled": False},
    },
}
"""Every optional part of the chart at once."""


@pytest.fixture(scope="session")
def helm() -> str:
    """The helm command; the test skips where there is none."""
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is absent: CONTRIBUTING.md says how to install it")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def render(helm: str, tmp_path: Path) -> Render:
    """Renders the chart (or a packaged one) with values, as a list of documents, hooks included."""

    def rendered(values: Any = None, chart: Path = CHART) -> Docs:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        done = run(helm, "template", "hes", str(chart), "--values", str(file))
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


def of_kind(documents: Docs, kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    only: dict[str, Any]
    [only] = workload["spec"]["template"]["spec"]["containers"]
    return only


def environment(documents: Docs, workload: dict[str, Any]) -> dict[str, str]:
    """The variables that a container has; one from a Secret as the Secret's name and key."""
    found: dict[str, str] = {}
    for source in container(workload).get("envFrom", []):
        found |= of_kind(documents, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container(workload)["env"]:
        source = variable.get("valueFrom", {})
        secret, own = source.get("secretKeyRef"), source.get("fieldRef")
        found[variable["name"]] = (
            f"{secret['name']}/{secret['key']}" if secret else f"pod/{own['fieldPath']}" if own else variable["value"]
        )
    return found


def by_name(documents: Docs) -> dict[tuple[str, str], dict[str, Any]]:
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def strimzi_of(documents: Docs) -> dict[tuple[str, str], dict[str, Any]]:
    return by_name([document for document in documents if document["apiVersion"].startswith("kafka.strimzi.io/")])


# The chart and the repository are one; no helm needed.


def test_chart_has_the_repositorys_topology() -> None:
    """A copy, since what packages and deploys charts does not follow a link out of the chart everywhere."""
    copy = CHART / "files" / "topology.yaml"
    assert not copy.is_symlink()
    assert copy.read_text() == (ROOT / "topology.yaml").read_text(), "cp topology.yaml helm/hes/files/topology.yaml"


def test_values_schema_knows_exactly_the_settings_there_are() -> None:
    schema = json.loads(chart_settings.FILE.read_text())
    assert schema["properties"]["settings"] == chart_settings.settings_schema(), "python -m tests.integration.chart_settings"


def test_chart_and_project_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'\nversion = "{chart["appVersion"]}"\n' in (ROOT / "pyproject.toml").read_text()


# What helm makes of it.


@pytest.mark.parametrize("values", [{}, FULL], ids=["defaults", "everything"])
def test_lint(helm: str, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run(helm, "lint", "--strict", str(CHART), "--values", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_topics_and_users_are_those_of_topology_yaml(render: Render) -> None:
    assert strimzi_of(render()) == by_name(strimzi(load(ROOT / "topology.yaml"), "hes"))


def test_topics_of_a_small_cluster(render: Render) -> None:
    ships = load(ROOT / "topology.yaml")
    small = Topology(
        ships.data_partitions,
        ships.compatibility,
        {name: topic.replicated(1) for name, topic in ships.topics.items()},
        ships.services,
    )
    values = {"strimzi": {"replication": 1, "cluster": "small", "apiVersion": "kafka.strimzi.io/v1beta2"}}
    assert strimzi_of(render(values)) == by_name(strimzi(small, "small", api="kafka.strimzi.io/v1beta2"))


def test_packaged_chart_renders_the_same(helm: str, render: Render, tmp_path: Path) -> None:
    done = run(helm, "package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    [package] = tmp_path.glob("hes-*.tgz")
    assert render(FULL, package) == render(FULL)


def test_one_workload_a_service(render: Render) -> None:
    deployments = of_kind(render(), "Deployment")
    services = load(ROOT / "topology.yaml").services
    assert {name: container(deployment)["args"] for name, deployment in deployments.items()} == {
        f"hes-{name}": ["run", name] for name in services
    }
    assert set(of_kind(render(), "PodDisruptionBudget")) == set(of_kind(render(), "NetworkPolicy")) == set(deployments)


def test_service_that_is_switched_off(render: Render) -> None:
    assert [name for kind, name in by_name(render(FULL)) if name == "hes-fraud" and kind != "KafkaUser"] == []


@pytest.mark.parametrize("values", [{}, FULL], ids=["defaults", "everything"])
def test_pods_are_harmless_and_probed(render: Render, values: dict[str, Any]) -> None:
    for deployment in of_kind(render(values), "Deployment").values():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        assert pod["terminationGracePeriodSeconds"] >= 60
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert only["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
        assert only["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
        assert {"name": "http", "containerPort": 8080} in only["ports"]
        assert only["resources"]["requests"]["memory"]
        assert only["resources"]["limits"]["memory"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in only["volumeMounts"]} == volumes
        assert only["workingDir"] in {mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")}


@pytest.mark.parametrize("values", [{}, FULL], ids=["defaults", "everything"])
def test_every_variable_is_a_setting(render: Render, values: dict[str, Any]) -> None:
    documents = render(values)
    workloads = [*of_kind(documents, "Deployment").values(), *of_kind(documents, "Job").values()]
    for workload in workloads:
        for variable in environment(documents, workload).keys() - {"HES_HOME"}:
            section, _, field = variable.removeprefix("HES_").lower().partition("__")
            assert section in Settings.model_fields, variable
            if field:
                model: Any = Settings.model_fields[section].annotation
                assert field in model.model_fields, variable


def test_settings_arrive_as_they_were_given(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = render(FULL)
    for name, value in environment(documents, of_kind(documents, "Deployment")["hes-gateway"]).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.environment == "production"
    assert (settings.health.host, settings.health.port) == ("0.0.0.0", 8080)  # noqa: S104 - inside the pod
    assert settings.gateway.host == "0.0.0.0"  # noqa: S104 - likewise
    assert (settings.gateway.max_connections, settings.gateway.discover) == (1_000_000, False)
    assert (settings.clickhouse.database, settings.clickhouse.batch_wait_s) == ("meters", 0.5)
    assert settings.kafka.security_protocol == "SASL_SSL"
    assert settings.kafka.sasl_username == "hes-gateway"
    assert settings.kafka.sasl_password.get_secret_value() == "hes-gateway/password"
    assert settings.kafka.ca_file == "/etc/hes/kafka-ca/ca.crt"


def test_secrets_are_references_of_the_service_that_needs_them(render: Render) -> None:
    documents = render(FULL)
    deployments = of_kind(documents, "Deployment")
    having = {
        name for name, deployment in deployments.items() if "HES_CLICKHOUSE__URL" in environment(documents, deployment)
    }
    assert having == {"hes-clickhouse"}
    assert environment(documents, deployments["hes-oms"])["HES_REGISTRY__URL"] == "hes-registry/url"
    assert environment(documents, deployments["hes-clickhouse"])["HES_LOG__LEVEL"] == "debug"
    assert {"name": "hes-keys", "mountPath": "/etc/hes/keys", "readOnly": True} in container(deployments["hes-gateway"])[
        "volumeMounts"
    ]
    assert "hes-keys" not in json.dumps(deployments["hes-split"])


def test_users_of_deployments_are_those_that_strimzi_makes(render: Render) -> None:
    documents = render()
    users = {
        environment(documents, workload)["HES_KAFKA__SASL_USERNAME"]
        for workload in of_kind(documents, "Deployment").values()
    }
    assert users == set(of_kind(documents, "KafkaUser"))


def test_meters_reach_the_gateway_over_tcp_and_udp(render: Render) -> None:
    [service] = of_kind(render(), "Service").values()
    assert service["metadata"]["name"] == "hes-gateway"
    assert {(port["port"], port["protocol"]) for port in service["spec"]["ports"]} == {(4059, "TCP"), (4059, "UDP")}
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert (
        service["spec"]["selector"].items()
        <= of_kind(render(), "Deployment")["hes-gateway"]["spec"]["template"]["metadata"]["labels"].items()
    )


def test_gateway_pods_hand_meters_over_that_dialled_in(render: Render) -> None:
    documents = render(FULL)
    deployments = of_kind(documents, "Deployment")
    given = environment(documents, deployments["hes-gateway"])
    assert {name: value for name, value in given.items() if "RELAY" in name} == {
        "HES_GATEWAY__RELAY_PORT": "4060",
        "HES_GATEWAY__RELAY_HOST": "pod/status.podIP",
        "HES_GATEWAY__RELAY_SECRET": "hes-relay/secret",
    }
    assert {"name": "relay", "containerPort": 4060} in container(deployments["hes-gateway"])["ports"]
    opened = of_kind(documents, "NetworkPolicy")["hes-gateway"]["spec"]["ingress"]
    [relay] = [rule for rule in opened if {"port": "relay"} in rule["ports"]]
    # To the gateway's pods alone; the rule for meters opens its own ports only.
    assert relay["from"] == [{"podSelector": deployments["hes-gateway"]["spec"]["selector"]}]
    assert all("RELAY" not in name for name in environment(documents, deployments["hes-split"]))
    [service] = of_kind(documents, "Service").values()
    assert 4060 not in {port["port"] for port in service["spec"]["ports"]}


def test_without_a_secret_nothing_is_handed_over(render: Render) -> None:
    documents = render()
    gateway = of_kind(documents, "Deployment")["hes-gateway"]
    assert not any("RELAY" in name for name in environment(documents, gateway))
    assert "relay" not in json.dumps(of_kind(documents, "NetworkPolicy")["hes-gateway"])


def test_network_policies_open_what_is_configured(render: Render) -> None:
    policies = of_kind(render(FULL), "NetworkPolicy")
    assert policies["hes-gateway"]["spec"]["egress"] == [{}]
    [_dns, others] = policies["hes-clickhouse"]["spec"]["egress"]
    assert {port["port"] for port in others["ports"]} == {9093, 9094, 443, 9000, 8123}
    assert policies["hes-oms"]["spec"]["ingress"][0]["from"] == FULL["networkPolicy"]["metricsFrom"]  # type: ignore[index]  # nested


@pytest.mark.parametrize(
    ("strimzi_values", "args"),
    [
        ({"enabled": True}, ["topology", "apply", "--only", "schemas"]),
        ({"enabled": False}, ["topology", "apply"]),
        ({"enabled": False, "replication": 1}, ["topology", "apply", "--replication", "1"]),
    ],
    ids=["strimzi-makes-topics", "job-makes-topics", "small-cluster"],
)
def test_topology_is_applied_before_services_change(render: Render, strimzi_values: dict[str, Any], args: list[str]) -> None:
    documents = render({"strimzi": strimzi_values})
    [job] = of_kind(documents, "Job").values()
    assert container(job)["args"] == args
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert bool(strimzi_of(documents)) is strimzi_values["enabled"]
    # What a hook uses must be there before it: a hook too, of a lower weight.
    [used] = [volume["configMap"]["name"] for volume in job["spec"]["template"]["spec"]["volumes"] if "configMap" in volume]
    file = of_kind(documents, "ConfigMap")[used]
    assert file["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(file["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
        job["metadata"]["annotations"]["helm.sh/hook-weight"]
    )
    assert parse(file["data"]["topology.yaml"]) == load(ROOT / "topology.yaml")


def test_a_changed_setting_restarts_the_pods(render: Render) -> None:
    def annotations(values: dict[str, Any]) -> str:
        return str(
            of_kind(render(values), "Deployment")["hes-split"]["spec"]["template"]["metadata"]["annotations"]["hes/settings"]
        )

    assert annotations({}) == annotations({})
    assert annotations({}) != annotations({"settings": {"log": {"level": "debug"}}})


REFUSED = {
    "unknown-key": {"imagee": {}},
    "unknown-section": {"settings": {"kafak": {}}},
    "unknown-setting": {"settings": {"kafka": {"bootstrp": "a:1"}}},
    "setting-of-wrong-type": {"settings": {"gateway": {"tcp_port": "many"}}},
    "setting-out-of-range": {"settings": {"gateway": {"tcp_port": 70_000}}},
    "setting-not-in-enum": {"settings": {"kafka": {"security_protocol": "TLS"}}},
    "secret-among-settings": {"settings": {"kafka": {"sasl_password": "sesame"}}},
    "chart-s-own-setting": {"settings": {"health": {"port": 1}}},
    "relay-among-settings": {"settings": {"gateway": {"relay_port": 4060}}},
    "relay-at-the-port-of-the-probes": {"relay": {"port": 8080}},
    "relay-secret-by-value": {"relay": {"secretValue": "sesame-sesame-sesame"}},
    "negative-replicas": {"services": {"split": {"replicas": -1}}},
    "text-replicas": {"defaults": {"replicas": "two"}},
    "unknown-service-key": {"services": {"split": {"replica": 1}}},
    "unknown-service": {"services": {"splitter": {"replicas": 1}}},
    "no-image": {"image": {"repository": ""}},
    "pull-policy": {"image": {"pullPolicy": "Sometimes"}},
    "port-protocol": {"services": {"gateway": {"ports": [{"name": "a", "port": 1, "protocol": "SCTP"}]}}},
    "port-of-the-probes": {"services": {"gateway": {"ports": [{"name": "a", "port": 8080, "protocol": "TCP"}]}}},
    "secret-by-value": {"services": {"split": {"secretEnv": {"HES_CLICKHOUSE__URL": "clickhouse://u:p@h"}}}},
    "grace-too-short": {"defaults": {"terminationGracePeriodSeconds": 1}},
    "memory": {"defaults": {"resources": {"limits": {"memory": "lots"}}}},
    "strimzi-version": {"strimzi": {"apiVersion": "kafka.strimzi.io/v1alpha1"}},
    "egress": {"services": {"oms": {"egress": "all"}}},
    "environment": {"environment": "Production!"},
}


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused(helm: str, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run(helm, "template", "hes", str(CHART), "--values", str(file))
    assert done.returncode != 0
    assert "schema" in done.stderr or "is no service of topology.yaml; it has" in done.stderr, done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
@pytest.mark.parametrize("values", [{}, FULL], ids=["defaults", "everything"])
def test_kubernetes_own_schemas(render: Render, values: dict[str, Any], version: str) -> None:
    """Strictly: a field that Kubernetes does not know is an error too."""
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    own = [
        document
        for document in render(values)
        if document["apiVersion"].partition("/")[0] not in {"kafka.strimzi.io", "monitoring.coreos.com"}
    ]
    assert len(own) > 10
    for document in own:
        kubernetes.validate(document, version, strict=True)
