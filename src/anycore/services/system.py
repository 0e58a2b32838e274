"""The `system` plugin: what can be called and how, several calls in one, what this server is and how it fares."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.kernel.call import Call, Several
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import AsyncMethodError
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.statistics import Counts, merged, summary_of
from anycore.kernel.tally import Tally, Totals
from anycore.kernel.version import own_version
from anycore.services.openrpc import document
from anycore.services.xmlrpc_types import signature_of
from anycore.wire.faults import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anycore.kernel.kernel import Kernel
    from anycore.kernel.method import Method

_MULTICALL = "system.multicall"
_NOTHING = Counts()


class Multicall(msgspec.Struct, rename={"method_name": "methodName"}):
    """One call of a `system.multicall`."""

    method_name: str
    params: list[Any] = []


class System(Plugin):
    """Introspection (the XML-RPC `system.` methods, OpenRPC), multicall, properties and statistics.

    Args:
        kernel: The kernel it speaks of.
        run_coroutine: Runs a coroutine on the core's loop and waits for it.
        totals: Returns what all processes of the server have counted; when left out, what the kernel's methods have counted here is told.
    """

    def __init__(
        self,
        kernel: Kernel,
        run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any],
        totals: Callable[[], Totals] | None = None,
    ) -> None:
        self._kernel = kernel
        self._totals = totals or Tally(kernel.registry, Incidents()).totals
        self._run_coroutine = run_coroutine
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    @exposed(name="listMethods", quick=True)
    def list_methods(self, call: Call) -> list[str]:
        """Return the names of the methods that the caller may call."""
        return sorted(name for method in self._kernel.visible(call) for name in (method.name, *method.aliases))

    @exposed(name="methodHelp", quick=True)
    def method_help(self, name: str, call: Call) -> str:
        """Return the documentation of a method; an empty string when it has none."""
        return self._method(name, call).doc

    @exposed(name="methodSignature", quick=True)
    def method_signature(self, name: str, call: Call) -> list[list[str]]:
        """Return the signatures of a method: for each, the XML-RPC type of the result, then those of the parameters."""
        return signature_of(self._method(name, call).signature)

    @exposed
    def multicall(self, calls: list[Multicall], call: Call) -> list[Any]:
        """Make several calls, one after the other; return a list of one value or a fault struct for each."""
        if len(calls) > 1000:
            message = f"{_MULTICALL}: {len(calls)} calls were given; send at most 1000 at once"
            raise Fault(INVALID_PARAMS, message)
        return Several(self._one(part, call) for part in calls)

    def _one(self, part: Multicall, call: Call) -> Any:
        if part.method_name == _MULTICALL:
            return {"faultCode": INVALID_REQUEST, "faultString": f"{_MULTICALL} may not call itself"}
        inner = Call(part.method_name, part.params, None, call.peer, call.wire, call.deadline, identity=call.identity)
        try:
            outcome = self._kernel.handle(inner)
        except AsyncMethodError:
            outcome = self._run_coroutine(self._kernel.handle_async(inner))
        if outcome.fault is not None:
            return {"faultCode": outcome.fault.code, "faultString": outcome.fault.message}
        return [outcome.value]

    @exposed(name="getCapabilities", quick=True)
    def get_capabilities(self) -> dict[str, dict[str, Any]]:
        """Return which specifications the server follows."""
        return {
            "xmlrpc": {"specUrl": "http://www.xmlrpc.com/spec", "specVersion": 1},
            "faults_interop": {
                "specUrl": "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php",
                "specVersion": 20010516,
            },
            "introspection": {"specUrl": "http://xmlrpc-c.sourceforge.net/introspection.html", "specVersion": 1},
            "system.multicall": {"specUrl": "http://www.xmlrpc.com/discuss/msgReader$1208", "specVersion": 1},
            "nil": {"specUrl": "http://www.ontosys.com/xml-rpc/extensions.php", "specVersion": 20010518},
            "json-rpc": {"specUrl": "https://www.jsonrpc.org/specification", "specVersion": 2},
            "openrpc": {"specUrl": "https://spec.open-rpc.org", "specVersion": 1},
        }

    @exposed(aliases=("rpc.discover",))
    def discover(self, call: Call) -> dict[str, Any]:
        """Return the OpenRPC document of the methods that the caller may call."""
        return document(self._kernel.visible(call), own_version())

    @exposed
    def properties(self, call: Call) -> dict[str, Any]:
        """Return what this server is: its version, machine, times, and the plugins of which the caller may call something."""
        machine = platform.uname()
        return {
            "version": own_version(),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "host": machine.node,
            "operating_system": machine.system,
            "kernel": machine.release,
            "hardware": machine.machine,
            "plugins": sorted({method.plugin for method in self._kernel.visible(call)}),
            "uptime": int(time.monotonic() - self._clock),
            "start_time": self._started,
            "server_time": datetime.now(UTC),
        }

    @exposed
    def statistics(self, call: Call) -> dict[str, dict[str, Any]]:
        """Return figures of every method and plugin that the caller may call; times in seconds."""
        figures: dict[str, list[Method]] = {}
        for method in self._kernel.visible(call):
            figures.setdefault(method.plugin, []).append(method)
            figures[method.name] = [method]
        totals = self._totals()
        return {name: _figures(methods, totals) for name, methods in sorted(figures.items())}

    def _method(self, name: str, call: Call) -> Method:
        method = self._kernel.registry.methods.get(name)
        if method is None or not self._kernel.decide(call, name).allowed:
            message = f"there is no method {name!r}; system.listMethods names those there are"
            raise Fault(METHOD_NOT_FOUND, message)
        return method


def _figures(methods: list[Method], totals: Totals) -> dict[str, Any]:
    counts = merged(totals.methods.get(method.name, _NOTHING) for method in methods)
    running = sum(totals.running.get(method.name, 0) for method in methods)
    return msgspec.structs.asdict(summary_of(counts, running))
