"""What a server answers to HTTP requests: calls of its kernel, and its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.console.health import Health
from anycore.console.metrics import Metrics, MetricsPage
from anycore.console.status import StatusPage
from anycore.conversations.site import HttpSite
from anycore.kernel.version import own_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.conversations.site import Page
    from anycore.server.application import Server


def site_of(server: Server, hosts: Sequence[str] | None) -> HttpSite:
    """Return what answers requests, by the present settings.

    Args:
        server: The server.
        hosts: Host names that requests may name; see `HttpSite`.
    """
    about = {"version": own_version(), "core": server.settings.server.core}
    metrics = Metrics(server.totals, server.figures, about, server.certificates.gauges)
    pages: dict[str, Page] = {
        "/": StatusPage(server.kernel, lambda: _rows(server), server.totals),
        "/metrics": MetricsPage(server.kernel, metrics),
        "/livez": Health(),
        "/readyz": Health(lambda: "" if server.ready else "not ready"),
    }
    return HttpSite(
        server.kernel,
        limits=server.settings.limits,
        incidents=server.incidents,
        pages=pages,
        hosts=hosts,
        forwarding=server.forwarding,
    )


def _rows(server: Server) -> list[tuple[str, str]]:
    """Return the figures of the status page."""
    found = server.figures()
    rows = [
        ("core", server.core.name),
        ("connections", f"{found.connections} open, {found.accepted} so far"),
        ("requests in flight", str(found.in_flight)),
        ("refused at a limit", str(found.refused)),
        ("timed out", str(found.timed_out)),
    ]
    incidents = ", ".join(f"{kind} {count}" for kind, count in sorted(server.totals().incidents.items()))
    return [*rows, ("bad input", incidents or "none")]
