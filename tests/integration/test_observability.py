"""What is watched, by those who watch: Prometheus runs every query of the dashboard on the metrics of a running system,
promtool the alert rules, and an OTLP collector takes the spans.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from connectors.cli.demo.play import play
from connectors.cli.demo.stage import Scale, Stage
from connectors.local.home import Home
from connectors.local.ports import free_port
from streams.runtime import metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "helm" / "hes" / "files" / "dashboards" / "hes.json"
RULES = ROOT / "helm" / "hes" / "files" / "alerts.yaml"
QUIET = (
    "hes_schedules", "hes_gaps", "hes_commands", "hes_followup", "hes_firmware",
    "hes_retries", "hes_delivery_failures", "hes_dead_letters", "refused_total", 'code!=""',
)  # fmt: skip
"""Of services that the demo does not run, and of trouble that a good run has not: these queries may find nothing."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is absent: apt-get install prometheus")
    return found


def queries() -> dict[str, str]:
    """Each query of the dashboard by its panel's title and its letter."""
    board = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']}/{target['refId']}": target["expr"].replace("$__rate_interval", "30s")
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {item.key: item.value.string_value for item in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        spans.extend((names["service.name"], span) for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is http.server's
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    """A Prometheus that scrapes a stage."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        targets = [
            {"targets": [f"127.0.0.1:{child.health_port}"], "labels": {"service": name}}
            for name, child in stage.services.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "hes", "static_configs": targets}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._url = f"127.0.0.1:{free_port()}"
        argv = [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        with (folder / "prometheus.log").open("w") as log:
            self._process = subprocess.Popen([*argv, f"--web.listen-address={self._url}"], stderr=log, stdout=log)

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.mark.usefixtures("jvm")
@pytest.mark.timeout(300)
def test_dashboard_and_traces_of_a_running_system(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("prometheus")
    monkeypatch.setenv("HES_TRACING__ENDPOINT", collector.url)
    monkeypatch.setenv("HES_TRACING__SAMPLE", "1")
    watching: list[Prometheus] = []
    scale = Scale(20, 5, ("--push-every", "3", "--outage-every", "4"))
    with Stage(scale, lambda _: None, home=Home.of(tmp_path / "home")) as stage:

        def between(_passed: float) -> None:
            stage.check()
            if not watching:
                watching.append(Prometheus(stage, tmp_path))

        try:
            summary = play(stage, 25, between=between)
            assert summary.reconciled, summary
            found = {name: watching[0].ask("query", query=query)["result"] for name, query in queries().items()}
            assert not watching[0].ask("rules")["groups"][0].get("lastError")
        finally:
            for each in watching:
                each.stop()
    silent = {query for name, query in queries().items() if not found[name]}
    assert not {query for query in silent if not any(name in query for name in QUIET)}
    _traces_lead_from_job_to_row(collector.spans)


def _traces_lead_from_job_to_row(spans: list[tuple[str, Span]]) -> None:
    """A read's readings are a child of its job, and what split and ClickHouse did with them are theirs."""
    by_parent: dict[bytes, list[tuple[str, Span]]] = defaultdict(list)
    for service, span in spans:
        by_parent[span.parent_span_id].append((service, span))
    readings = [span for service, span in spans if (service, span.name) == ("hes-gateway", "IntervalReadings send")]
    assert readings
    complete = [
        span for span in readings
        if {(service, child.name) for service, child in by_parent[span.span_id]}
        >= {("hes-split", "hes.events.bulk process"), ("hes-clickhouse", "hes.readings.intervals process")}
    ]  # fmt: skip
    assert complete
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for _, span in spans)


def test_every_metric_of_the_dashboard_and_the_alerts_is_one_of_ours() -> None:
    ours = {
        value._name for value in vars(metrics).values() if hasattr(value, "_name")
    }  # the client has no public name for it
    text = " ".join(queries().values()) + RULES.read_text()
    used = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"\bhes_[a-z_]+", text)}
    assert used <= ours, used - ours


def test_each_alert_fires_where_all_is_wrong_and_none_where_nothing_is(tmp_path: Path) -> None:
    promtool = tool("promtool")
    worlds = yaml.safe_load((ROOT / "tests" / "integration" / "alerts.yaml").read_text().replace("RULES", str(RULES)))
    alerts = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    firing = 'count by (alertname) (count by (alertname) (ALERTS{alertstate="firing"}))'
    all_of_them = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts]
    worlds["tests"][0]["promql_expr_test"] = [{"expr": firing, "eval_time": "59m", "exp_samples": all_of_them}]
    file = tmp_path / "alerts.yaml"
    file.write_text(yaml.safe_dump(worlds))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
