"""What can be asked of a running server at its control socket. How it is asked lives in `control`, how people ask in `anycore.cli.ctl`."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.kernel.debugging import ALL
from anycore.kernel.version import own_version
from anycore.server.process.control import ControlError
from anycore.wire.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.server.process.control import Command, Line
    from anycore.server.process.service import Service


def commands(service: Service) -> Mapping[str, Command]:
    """Return the commands of a server, by name.

    Args:
        service: The server.
    """
    asked = _Commands(service)
    return {
        "status": asked.status,
        "workers": asked.workers,
        "reload": asked.reload,
        "debug": asked.debug,
        "stop": asked.stop,
        "restart": asked.restart,
        "handover": asked.hand_over,
    }


class _Commands:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._server = service.server
        self._began = time.time()

    def status(self, _line: Line, _request: dict[str, Any]) -> dict[str, Any]:
        server = self._server
        return {
            "pid": os.getpid(),
            "version": own_version(),
            "core": server.core.name,
            "state": "serving" if server.ready else "finishing",
            "uptime": round(time.time() - self._began, 1),
            "listeners": server.urls,
            "plugins": server.plugins.names(),
            "debug": [part for part, on in server.debugging.parts.items() if on],
            "figures": msgspec.to_builtins(server.figures()),
        }

    def workers(self, _line: Line, _request: dict[str, Any]) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(process) for process in self._server.core.processes()]

    def reload(self, _line: Line, _request: dict[str, Any]) -> dict[str, Any]:
        done = self._server.reload_now()
        if done.problems:
            raise ControlError("\n".join(done.problems))
        return {"changed": done.changed, "later": done.later, "plugins": done.plugins}

    def debug(self, _line: Line, request: dict[str, Any]) -> dict[str, Any]:
        part, wanted = request.get("part", ALL), request.get("on")
        if wanted is not None:
            try:
                self._server.debugging.set(str(part), on=bool(wanted))
            except Fault as fault:
                raise ControlError(fault.message) from fault
        return {"debug": self._server.debugging.parts}

    def stop(self, _line: Line, _request: dict[str, Any]) -> dict[str, Any]:
        threading.Timer(0, self._server.stop).start()
        return {"pid": os.getpid()}

    def restart(self, _line: Line, _request: dict[str, Any]) -> dict[str, Any]:
        return {"pid": self._service.restart(), "replaced": os.getpid()}

    def hand_over(self, line: Line, _request: dict[str, Any]) -> dict[str, Any]:
        return {"pid": self._service.hand_over(line)}
