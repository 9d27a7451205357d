"""`hes bench pipeline` in small: what it says of a run is what ClickHouse and Kafka hold."""

from __future__ import annotations

import pytest

from connectors.cli.bench.pipeline import Options, run
from connectors.cli.failure import CommandError

pytest.importorskip("chdb", reason="chdb is in the extra `local`")
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("options", "points"),
    [
        (Options(meters=200, channels=4), 200 * 96 * 4),
        pytest.param(Options(meters=300, push=True, ciphered=True), 300 * 2, marks=pytest.mark.long),
    ],
    ids=["days of four channels", "ciphered pushes"],
)
def test_every_row_is_counted_and_every_process_told(options: Options, points: int) -> None:
    said: list[str] = []
    whole, *rows = run(options, said.append)
    assert whole["points"] == points
    octets = whole["kafka_octets_a_point"]
    assert isinstance(octets, dict)
    assert all(octets[topic] > 0 for topic in ("hes.frames", "hes.events.bulk"))
    assert isinstance(whole["disk_octets_a_point"], float)
    assert isinstance(whole["latency_ms"], dict)
    told = {str(row["what"]).strip() for row in rows}
    assert {"split", "clickhouse", "clickhouse-server", "kafka", "the meters, played"} <= told
    assert ("gateway" if options.push else "gateway-work") in told


def test_what_does_not_fit_on_the_disk_is_refused_before_anything_starts() -> None:
    said: list[str] = []
    with pytest.raises(CommandError, match="GB"):
        list(run(Options(meters=10**10), said.append))
    assert said == []
