"""The core of a server whose connections another program serves: it starts, runs coroutines, counts, and stops."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from anycore.cores.base import Core, CoreLimits, Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import Listener
    from anycore.cores.foreign.runner import Runner


class HostedCore(Core):
    """Has no listeners; jobs reach its runner from an ASGI or WSGI application.

    Args:
        listeners: None at all.
        limits: Bounds; those of connections are the other program's to keep.
        runner: Makes what runs the jobs, with these limits.
        name: What is told to people as the core's name.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        limits: CoreLimits | None,
        runner: Callable[[CoreLimits], Runner],
        name: str,
    ) -> None:
        super().__init__(listeners, limits)
        self.name = name
        self.runner = runner(self.limits)
        self._over = threading.Event()

    def set_limits(self, limits: CoreLimits) -> None:
        """Keep other limits from now on; see `Core.set_limits`."""
        super().set_limits(limits)
        self.runner.limits = limits

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Start, and wait for the end; see `Core.run`."""
        try:
            startup()
            try:
                self._over.wait()
                self.runner.wait_quiet()
            finally:
                shutdown()
        finally:
            self.runner.close()

    def stop(self) -> None:
        """Stop; see `Core.stop`. The other program is to send no more requests."""
        self._over.set()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine where those of requests run; see `Core.run_coroutine`."""
        return self.runner.run_coroutine(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what was counted so far, connections aside."""
        return self.runner.counted
