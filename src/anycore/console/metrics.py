"""`/metrics`: the figures in the text format of Prometheus, added up over the processes of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from anycore.conversations.base import NO_JOBS, Job
from anycore.conversations.exchange import ExchangeJob
from anycore.conversations.identifying import fail
from anycore.kernel.call import Call, Mode
from anycore.kernel.statistics import histogram
from anycore.wire.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from anycore.conversations.exchange import Exchange
    from anycore.cores.base import Figures
    from anycore.kernel.kernel import Kernel
    from anycore.kernel.tally import Totals

PERMISSION: Final = "system.statistics"
"""Who may call this method may read the metrics."""
EDGES: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper edges of the buckets of durations, in seconds."""


class Metrics:
    """A collector for `prometheus_client`; what it gives is made anew each time.

    Args:
        totals: Returns the calls and incidents of all processes.
        figures: Returns the connections of all processes.
        about: Labels of `anycore_info`, such as the version.
        gauges: Returns further gauges: name, help, and the values by their labels.
    """

    def __init__(
        self,
        totals: Callable[[], Totals],
        figures: Callable[[], Figures],
        about: dict[str, str],
        gauges: Callable[[], Iterable[tuple[str, str, Sequence[tuple[dict[str, str], float]]]]] = tuple,
    ) -> None:
        self._totals = totals
        self._figures = figures
        self._about = about
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("anycore", "What this server is.", value=self._about)
        yield from _calls(self._totals())
        figures = self._figures()
        yield GaugeMetricFamily("anycore_connections", "Open connections.", value=figures.connections)
        yield GaugeMetricFamily("anycore_jobs_in_flight", "Jobs that run or wait.", value=figures.in_flight)
        for name, text, value in (
            ("anycore_connections_accepted", "Connections accepted.", figures.accepted),
            ("anycore_refused", "Connections and jobs refused at a limit.", figures.refused),
            ("anycore_timed_out", "Connections ended because something took too long.", figures.timed_out),
        ):
            yield CounterMetricFamily(name, text, value=value)
        for name, text, values in self._gauges():
            family = GaugeMetricFamily(name, text, labels=list(values[0][0]) if values else [])
            for labels, number in values:
                family.add_metric(list(labels.values()), number)
            yield family


def _calls(totals: Totals) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    calls = CounterMetricFamily("anycore_calls", "Calls that ended.", labels=["method", "outcome"])
    duration = HistogramMetricFamily("anycore_call_duration_seconds", "How long calls took.", labels=["method"])
    running = GaugeMetricFamily("anycore_calls_running", "Calls under way.", labels=["method"])
    for name, counts in sorted(totals.methods.items()):
        calls.add_metric([name, "result"], counts.count - counts.errors)
        calls.add_metric([name, "fault"], counts.errors)
        running.add_metric([name], totals.running.get(name, 0))
        if counts.count:
            found = zip(map(repr, EDGES), histogram(counts, EDGES), strict=True)
            duration.add_metric([name], [*found, ("+Inf", counts.count)], sum_value=counts.total_ns / 1e9)
    incidents = CounterMetricFamily("anycore_incidents", "Bad input and refusals, by kind.", labels=["kind"])
    for kind, number in sorted(totals.incidents.items()):
        incidents.add_metric([kind], number)
    yield from (calls, duration, running, incidents)


class MetricsPage:
    """Answers `GET /metrics` to those who may call `system.statistics`.

    Args:
        kernel: Knows who may.
        metrics: What is answered.
    """

    def __init__(self, kernel: Kernel, metrics: Metrics) -> None:
        self.kernel = kernel
        self.metrics = metrics

    def open(self, exchange: Exchange) -> Sequence[Job]:
        """Begin the answer; see `Page.open`."""
        return (_MetricsJob(exchange, self),)


class _MetricsJob(ExchangeJob):
    __slots__ = ("page",)

    def __init__(self, exchange: Exchange, page: MetricsPage) -> None:
        super().__init__(exchange)
        self.mode = Mode.BLOCKING
        self.page = page

    def run(self) -> None:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        page, exchange = self.page, self.exchange
        call = Call(PERMISSION, peer=exchange.peer, wire="http", credentials=exchange.credentials)
        try:
            page.kernel.admit(call)
        except Fault as fault:
            fail(exchange, fault, call, page.kernel.authentication)
            return
        registry = CollectorRegistry(auto_describe=False)
        registry.register(page.metrics)
        exchange.reply(200, generate_latest(registry), CONTENT_TYPE_LATEST, (("Cache-Control", "no-store"),))

    def settle(self) -> Sequence[Job]:
        return NO_JOBS
