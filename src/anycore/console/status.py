"""The status page: what this server is, what can be called and how, and how it fares."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from anycore.console.layout import HEADERS, HTML, page, table
from anycore.conversations.base import NO_JOBS, Job
from anycore.conversations.exchange import Exchange, ExchangeJob
from anycore.conversations.identifying import fail
from anycore.kernel.call import Call, Mode
from anycore.kernel.incidents import Incidents
from anycore.kernel.statistics import Counts, summary_of
from anycore.kernel.tally import Tally, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.kernel import Kernel
    from anycore.kernel.method import Method

_QUESTION = "system.properties"

_BUNDLED = "anycore"
"""The origin of plugins that come with the server."""


class StatusPage:
    """Answers `GET /` to those who may call `system.properties`; shows each the methods that it may call.

    Args:
        kernel: The kernel it speaks of.
        figures: Returns further rows of the table of properties, as `(name, value)`.
        totals: Returns what all processes of the server have counted; when left out, what the kernel's methods have counted here is shown.
    """

    def __init__(
        self,
        kernel: Kernel,
        figures: Callable[[], list[tuple[str, str]]] = list,
        totals: Callable[[], Totals] | None = None,
    ) -> None:
        self.kernel = kernel
        self.figures = figures
        self.totals = totals or Tally(kernel.registry, Incidents()).totals

    def open(self, exchange: Exchange) -> Sequence[Job]:
        """Begin the answer; see `Page.open`."""
        return (_StatusJob(exchange, self),)


class _StatusJob(ExchangeJob):
    __slots__ = ("page",)

    def __init__(self, exchange: Exchange, status: StatusPage) -> None:
        super().__init__(exchange)
        self.mode = Mode.BLOCKING
        self.page = status

    def run(self) -> None:
        exchange, kernel = self.exchange, self.page.kernel
        call = Call(_QUESTION, peer=exchange.peer, wire="http", credentials=exchange.credentials)
        outcome = kernel.handle(call)
        if outcome.fault is not None:
            fail(exchange, outcome.fault, call, kernel.authentication)
            return
        bundled = {entry.plugin.name for entry in kernel.registry.entries.values() if entry.origin == _BUNDLED}
        methods = sorted(
            kernel.visible(call), key=lambda method: method.plugin in bundled
        )  # what people have come for is first
        text = render(outcome.value, methods, self.page.figures(), self.page.totals())
        self.exchange.reply(200, text, HTML, HEADERS)

    def settle(self) -> Sequence[Job]:
        return NO_JOBS


def render(
    properties: dict[str, Any], methods: Sequence[Method], figures: list[tuple[str, str]], totals: Totals
) -> str:
    """Return the page.

    Args:
        properties: What `system.properties` returned.
        methods: The methods to show, in this order.
        figures: Further rows of the table of properties.
        totals: What was counted.
    """
    plugins: dict[str, list[Method]] = {}
    for method in methods:
        plugins.setdefault(method.plugin, []).append(method)
    rows = [(name.replace("_", " "), _shown(name, value)) for name, value in properties.items()]
    body = [table([*rows, *figures]), "<h2>Methods</h2>", _overview(methods, totals)]
    body += [_plugin(name, found) for name, found in plugins.items()]
    return page(f"Anycore on {properties['host']}", f"version {properties['version']}", "\n".join(body))


def _shown(name: str, value: Any) -> str:
    if name == "uptime":
        return str(timedelta(seconds=value))
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return ", ".join(value) if isinstance(value, list) else str(value)


def _overview(methods: Sequence[Method], totals: Totals) -> str:
    heads = ("calls", "errors", "mean", "p99", "max")
    head = "<tr><th>method</th>" + "".join(f'<th class="number">{name}</th>' for name in heads) + "</tr>"
    rows = []
    for method in methods:
        found = summary_of(totals.methods.get(method.name, Counts()))
        cells = [
            str(found.count),
            str(found.errors),
            *(_duration(t) if found.count else "" for t in (found.mean, found.p99, found.max)),
        ]
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(
            f'<tr><td><a href="#{escape(method.name)}"><code>{escape(method.name)}</code></a></td>{numbers}</tr>'
        )
    return f"<table>{head}{''.join(rows)}</table>"


def _duration(seconds: float) -> str:
    for limit, unit, factor in ((0.9995e-3, "µs", 1e6), (0.9995, "ms", 1e3)):  # what is rounded up takes the next unit
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 99.95 else f"{seconds:.0f} s"


def _plugin(name: str, methods: Sequence[Method]) -> str:
    return f"<h2>{escape(name)}</h2>\n" + "\n".join(_method(method) for method in methods)


def _method(method: Method) -> str:
    also = f'<p class="soft">also: {escape(", ".join(method.aliases))}</p>' if method.aliases else ""
    help_text = (
        f'<pre class="help">{escape(method.doc)}</pre>' if method.doc else '<p class="soft">no documentation</p>'
    )
    return (
        f'<section class="method" id="{escape(method.name)}"><h3><code>{escape(method.name + str(method.signature))}</code></h3>'
        f"{help_text}{also}</section>"
    )
