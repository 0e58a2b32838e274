"""`/metrics`: what Prometheus reads, and who may."""

from __future__ import annotations

import urllib.error
import urllib.request
import xmlrpc.client
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.cli.conftest import PLUGIN, Served

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["asyncio", "threaded"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has answered two calls, one of them with a fault, and something that is no call."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "sample.py").write_text(PLUGIN)
    made = Served("sample.py", "--core", request.param, "--log-access", "access.log", cwd=folder)
    client = xmlrpc.client.ServerProxy(made.url)
    assert client.sample.add(1, 2) == 3
    with pytest.raises(xmlrpc.client.Fault):
        client.sample.add("x")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{made.url}/nowhere")
    client("close")()
    yield made
    assert made.stop() == 0


def read(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    return {
        sample.name: {
            tuple(sorted(other.labels.values())): other.value
            for family in text_string_to_metric_families(text)
            for other in family.samples
            if other.name == sample.name
        }
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_calls_durations_connections_and_incidents_are_counted(server: Served) -> None:
    found = read(server.url)
    assert found["anycore_calls_total"]["result", "sample.add"] == 1
    assert found["anycore_calls_total"]["fault", "sample.add"] == 1
    assert found["anycore_calls_total"]["result", "sample.echo"] == 0
    assert found["anycore_call_duration_seconds_count"]["sample.add",] == 2
    assert found["anycore_call_duration_seconds_bucket"]["10.0", "sample.add"] == 2
    assert 0 < found["anycore_call_duration_seconds_sum"]["sample.add",] < 10
    assert found["anycore_calls_running"]["sample.add",] == 0
    assert found["anycore_incidents_total"]["http-404",] == 1
    assert found["anycore_connections_accepted_total"][()] >= 3
    assert len(found["anycore_info"]) == 1


def test_the_buckets_of_a_method_only_grow(server: Served) -> None:
    buckets = read(server.url)["anycore_call_duration_seconds_bucket"]
    counts = [count for labels, count in buckets.items() if "sample.add" in labels]
    assert counts == sorted(counts)


def test_each_call_has_a_line_in_the_access_log(server: Served) -> None:
    text = (server.log.parent / "access.log").read_text()
    assert text.count('"method":"sample.add"') == 2
    assert '"identity":"anonymous"' in text
