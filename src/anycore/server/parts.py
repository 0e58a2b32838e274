"""What a server runs beside its plugins and its core, from start to stop. Each part is made here, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from anycore.server.overdue import Overdue
from anycore.server.settled import Settled

if TYPE_CHECKING:
    from anycore.server.application import Server
    from anycore.settings.tables import Settings


class Part(Protocol):
    """Something that runs while the server does."""

    def start(self) -> None:
        """Begin; called once, after the plugins have started and before the server says that it is ready.

        Raises:
            StartupError: It cannot; the server does not start then.
        """

    def stop(self) -> None:
        """End; called once, before the plugins stop, if `start` came to its end."""


def parts_of(server: Server, settings: Settings) -> list[Part]:
    """Return the parts of a server, in the order in which they start. They stop in the reverse order.

    Args:
        server: The server.
        settings: Its settings.
    """
    found: list[Part] = [server.certificates, server.access, Overdue(settings.limits.call_time)]
    if server.core.number != 0:  # the others are for the whole server, and one process has them
        return found
    if settings.server.reload:
        from anycore.server.reloader import Reloader

        found.append(Reloader(server.reloading))
    if settings.log.performance_interval:
        from anycore.server.logs.performance import PerformanceLog

        found.append(PerformanceLog(server.totals, settings.log.performance_interval))
    if settings.discovery.register:
        from anycore.server.registration import Registrations

        found.append(
            Registrations(settings.discovery, server.listening, server.kernel.registry, lambda: server.retiring)
        )
    found.append(Settled())  # last, when all the others are there
    return found
