"""topology.yaml: the file that ships, and every way in which a file may break the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import RECORDS
from schemas.topology import Service, Topic, TopologyError, load, parse
from schemas.topology_draw import mermaid
from schemas.topology_export import Acl, acls, kafka_gitops, strimzi, strimzi_yaml

ROOT = Path(__file__).parents[3]

GOOD = """\
settings:
  hes:
    data-partitions: 4
    compatibility: FULL_TRANSITIVE
topics:
  hes.meters:
    partitions: 4
    replication: 3
    configs: {cleanup.policy: compact, min.insync.replicas: 2, preallocate: false, retention.ms: -1}
    hes: {kind: data, key: meter id, values: [Meter, Alarm], about: the meters}
  hes.audit:
    partitions: 1
    replication: 3
    hes: {kind: control, key: subject, values: [AuditEntry]}
services:
  mover:
    principal: "User:hes-mover"
    group-id: hes-mover
    consumes: [hes.meters]
    produces: [hes.audit]
    hes: {dead-letters: hes.audit, about: moves}
"""


def test_good_file() -> None:
    topology = parse(GOOD)
    assert topology.data_partitions == 4
    assert topology.compatibility == "FULL_TRANSITIVE"
    configs = {"cleanup.policy": "compact", "min.insync.replicas": "2", "preallocate": "false", "retention.ms": "-1"}
    assert topology.topics == {
        "hes.meters": Topic("hes.meters", 4, 3, configs, "data", "meter id", ("Meter", "Alarm"), "the meters"),
        "hes.audit": Topic("hes.audit", 1, 3, {}, "control", "subject", ("AuditEntry",), ""),
    }
    assert topology.services == {
        "mover": Service("mover", "User:hes-mover", "hes-mover", ("hes.meters",), ("hes.audit",), "hes.audit", "moves")
    }
    assert (topology.writers("hes.audit"), topology.readers("hes.audit")) == (("mover",), ())
    assert topology.warnings == ("no service writes hes.meters", "no service reads hes.audit")


BROKEN = [
    # what is replaced, by what, the line and key, and a part of what is said
    ("data-partitions: 4", "data-partitions: 0", "3: settings > hes > data-partitions", "a whole number from 1"),
    ("data-partitions: 4", "data-partitions: true", "3: settings > hes > data-partitions", "a whole number from 1"),
    ("    data-partitions: 4\n", "", "2: settings > hes", "has no data-partitions; add it"),
    ("FULL_TRANSITIVE", "BACKWARD", "4: settings > hes > compatibility", "must be FULL_TRANSITIVE"),
    ("settings:\n  hes:", "settings:\n  dlq: 1\n  hes:", "2: settings > dlq", "is not known here; settings takes hes"),
    ("topics:", "topic:", "5: topic", "the document takes settings, topics, services"),
    ("partitions: 4\n    repl", "partitions: 5\n    repl", "7: topics > hes.meters > partitions", "set 4"),
    (
        "partitions: 4\n    repl",
        "partitions: '4'\n    repl",
        "7: topics > hes.meters > partitions",
        "is '4'; write a whole number",
    ),
    ("partitions: 1", "partitions: 4", "12: topics > hes.audit > partitions", "kind control has 1 (one total order); set 1"),
    ("replication: 3\n    hes", "replicas: 3\n    hes", "13: topics > hes.audit > replicas", "is not known here"),
    ("replication: 3\n    hes", "replication: -1\n    hes", "13: topics > hes.audit > replication", "a whole number from 1"),
    ("cleanup.policy", "cleanup.polizy", "9: topics > hes.meters > configs > cleanup.polizy", "no topic setting of Kafka's"),
    (
        "cleanup.policy: compact",
        "cleanup.policy: [compact]",
        "9: topics > hes.meters > configs > cleanup.policy",
        "write a number",
    ),
    ("replicas: 2", "replicas: 4", "9: topics > hes.meters > configs > min.insync.replicas", "write 1 to 3"),
    ("kind: data", "kind: date", "10: topics > hes.meters > hes > kind", "write data (keyed by meter) or control"),
    ("key: meter id, ", "", "10: topics > hes.meters > hes", "has no key; add it"),
    ("key: meter id", "key: ''", "10: topics > hes.meters > hes > key", "write a text"),
    (
        "[Meter, Alarm]",
        "[Meter, Alarms]",
        "10: topics > hes.meters > hes > values",
        "'Alarms' is no record; write one or more of Meter",
    ),
    ("[Meter, Alarm]", "[Meter, Meter]", "10: topics > hes.meters > hes > values", "'Meter' stands twice"),
    ("[Meter, Alarm]", "[]", "10: topics > hes.meters > hes > values", "write a list of names"),
    ("[Meter, Alarm]", "Meter", "10: topics > hes.meters > hes > values", "write a list of names"),
    ("about: the meters", "about: the, meters", "10: topics > hes.meters > hes > meters", "takes kind, key, values, about"),
    ("  hes.audit:\n", "  hes_Audit:\n", "11: topics > hes_Audit", "is no name here; use a-z 0-9 -"),
    ("  hes.audit:\n", "  hes.meters:\n", "11: topics > hes.meters", "stands twice"),
    (
        '"User:hes-mover"',
        "hes-mover",
        "17: services > mover > principal",
        "write User: and the name, such as User:hes-mover",
    ),
    ("    group-id: hes-mover\n", "", "16: services > mover", "has no group-id; add it"),
    ("[hes.meters]", "[hes.metres]", "19: services > mover > consumes", "'hes.metres' is no topic of this file"),
    ("produces: [hes.audit]", "produces: [oms.x]", "20: services > mover > produces", "'oms.x' is no topic of this file"),
    ("produces: [hes.audit]", "produces: hes.audit", "20: services > mover > produces", "write a list of names"),
    (
        "dead-letters: hes.audit",
        "dead-letters: hes.meters",
        "21: services > mover > hes > dead-letters",
        "add it to produces",
    ),
    ("  mover:", "  mover.one:", "16: services > mover.one", "is no name here"),
    ("hes: {dead-letters", "type: application\n    hes: {dead-letters", "21: services > mover > type", "is not known here"),
    (GOOD[GOOD.index("services:") :], "services: {}", "15: services", "at least one name"),
    (GOOD[GOOD.index("services:") :], "", "1: the document", "has no services; add it"),
    (GOOD, "", "1: the document", "must be a mapping with settings, topics, services"),
    (GOOD, "- a", "1: the document", "must be a mapping with settings, topics, services"),
    ("settings:", "settings: [", "3", "not YAML"),
    ("key: meter id", "key: !!python/object:os.system x", "10", "not YAML: could not determine a constructor"),
]


@pytest.mark.parametrize(("old", "new", "where", "says"), BROKEN, ids=[f"{case[2]}={case[1][:24]!r}" for case in BROKEN])
def test_broken_file_names_line_key_and_mend(old: str, new: str, where: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(TopologyError) as caught:
        parse(GOOD.replace(old, new, 1), "t.yaml")
    assert any(problem.startswith(f"t.yaml:{where}:") and says in problem for problem in caught.value.problems), str(
        caught.value
    )


def test_every_problem_is_told_at_once_in_order() -> None:
    text = GOOD.replace("Alarm]", "Alarms]").replace("partitions: 1", "partitions: 2").replace("[hes.meters]", "[no]")
    with pytest.raises(TopologyError) as caught:
        parse(text)
    assert [problem.split(":")[1] for problem in caught.value.problems] == ["10", "12", "19"]


def test_services_do_not_share_a_group_or_a_principal() -> None:
    again = GOOD[GOOD.index("  mover:") :].replace("mover:", "shaker:", 1)
    with pytest.raises(TopologyError) as caught:
        parse(GOOD + again)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "services > shaker > principal",
        "services > shaker > group-id",
    ]


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.text(max_size=4), st.just("hes.audit")
)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_document_loads_or_has_problems(data: st.DataObject) -> None:
    """The good file with one node replaced by anything: never another exception, never a topology of wrong types."""
    document = yaml.safe_load(GOOD)
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(
        st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SCALARS, inner, max_size=2))
    )
    try:
        topology = parse(yaml.safe_dump(document))
    except TopologyError as error:
        assert error.problems  # noqa: PT017 - either outcome is right; this holds the one to what it says
    else:
        assert all(isinstance(value, str) for topic in topology.topics.values() for value in topic.configs.values())


# Where the file is found.


def test_the_file_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HES_TOPOLOGY", raising=False)
    topology = load()
    assert topology == parse((ROOT / "topology.yaml").read_text())
    assert {record for topic in topology.topics.values() for record in topic.values} == set(RECORDS)
    assert len({topic.partitions for topic in topology.topics.values() if topic.kind == "data"}) == 1
    for service in topology.services.values():
        assert service.dead_letters == "hes.dead-letters"
        assert service.group_id == f"hes-{service.name}"


def test_the_environment_names_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    monkeypatch.setenv("HES_TOPOLOGY", str(tmp_path / "mine.yaml"))
    assert set(load().services) == {"mover"}
    assert "split" in load(ROOT / "topology.yaml").services


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["absent", "not-text"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "t.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TopologyError, match=r"t\.yaml cannot be read .*name a file that exists by HES_TOPOLOGY"):
        load(path)


# Fewer brokers.


@pytest.mark.parametrize(("replication", "insync"), [(1, "1"), (2, "2"), (5, "2"), (None, "2")], ids=str)
def test_replicated_never_asks_for_more_in_sync_than_there_are(replication: int | None, insync: str) -> None:
    topic = parse(GOOD).topics["hes.meters"].replicated(replication)
    assert (topic.replication, topic.configs["min.insync.replicas"]) == (replication or 3, insync)


# Pictures and exports.


def test_mermaid() -> None:
    assert mermaid(parse(GOOD)).splitlines()[:6] == [
        "flowchart LR",
        '    s_mover["mover"]:::service',
        '    t_hes_2e_meters[("hes.meters<br/>Meter, Alarm")]:::data',
        '    t_hes_2e_audit[("hes.audit<br/>AuditEntry")]:::control',
        "    t_hes_2e_meters --> s_mover",
        "    s_mover -.-> t_hes_2e_audit",
    ]


def test_mermaid_leaves_out_what_nobody_uses_yet() -> None:
    spare = "  hes.spare:\n    partitions: 1\n    replication: 3\n    hes: {kind: control, key: id, values: [Control]}\n"
    unused = parse(GOOD.replace("services:", f"{spare}services:"))
    assert "hes.spare" not in mermaid(unused)
    assert "hes.spare" in mermaid(unused, everything=True)
    topology = load(ROOT / "topology.yaml")
    edges = mermaid(topology).count("> s_") + mermaid(topology).count("> t_")
    assert edges == sum(len(service.consumes) + len(service.produces) for service in topology.services.values())


def test_acls_follow_from_the_row() -> None:
    assert acls(parse(GOOD).services["mover"]) == (
        Acl("topic", "hes.meters", ("Describe", "Read")),
        Acl("topic", "hes.audit", ("Describe", "Write")),
        Acl("group", "hes-mover", ("Read",)),
        Acl("cluster", "", ("IdempotentWrite",)),
    )


def test_acls_of_one_that_only_writes() -> None:
    service = parse(GOOD.replace("consumes: [hes.meters]", "consumes: []")).services["mover"]
    assert [acl.resource for acl in acls(service)] == ["topic", "cluster"]


def test_kafka_gitops_has_its_keys_and_none_of_ours() -> None:
    exported = yaml.safe_load(kafka_gitops(parse(GOOD)))
    assert exported["topics"]["hes.meters"] == {
        "partitions": 4,
        "replication": 3,
        "configs": {"cleanup.policy": "compact", "min.insync.replicas": 2, "preallocate": False, "retention.ms": -1},
    }
    assert exported["services"]["mover"] == {
        "type": "application",
        "principal": "User:hes-mover",
        "group-id": "hes-mover",
        "produces": ["hes.audit"],
        "consumes": ["hes.meters"],
    }
    assert set(exported) == {"topics", "services"}


def test_strimzi() -> None:
    meters, _, mover = strimzi(parse(GOOD), "main", api="kafka.strimzi.io/v1beta2")
    assert meters == {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaTopic",
        "metadata": {"name": "hes.meters", "labels": {"strimzi.io/cluster": "main"}},
        "spec": {
            "topicName": "hes.meters",
            "partitions": 4,
            "replicas": 3,
            "config": {"cleanup.policy": "compact", "min.insync.replicas": 2, "preallocate": False, "retention.ms": -1},
        },
    }
    assert mover["metadata"]["name"] == "hes-mover"
    assert mover["spec"]["authentication"] == {"type": "scram-sha-512"}
    assert mover["spec"]["authorization"]["type"] == "simple"
    topic = {"type": "topic", "name": "hes.meters", "patternType": "literal"}
    assert mover["spec"]["authorization"]["acls"][0] == {"resource": topic, "operations": ["Describe", "Read"]}
    assert mover["spec"]["authorization"]["acls"][-1] == {"resource": {"type": "cluster"}, "operations": ["IdempotentWrite"]}


def test_strimzi_yaml_is_a_stream_of_the_same() -> None:
    topology = load(ROOT / "topology.yaml")
    assert list(yaml.safe_load_all(strimzi_yaml(topology, "main"))) == strimzi(topology, "main")
    assert len(strimzi(topology, "main")) == len(topology.topics) + len(topology.services)


def test_a_service_that_reads_what_it_writes_may_fence_who_wrote_it_before() -> None:
    services = load(Path(__file__).parents[3] / "topology.yaml").services
    fencing = Acl("transactionalId", "hes-gateway", ("Describe", "Write"), "prefix")
    assert fencing in acls(services["gateway"])
    assert all(acl.resource != "transactionalId" for acl in acls(services["split"]))
