"""The steps of a call, in one expression each for the two ways a method runs. Everything that a call passes is in this file."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from typing import TYPE_CHECKING, Any

from anycore.kernel.call import ANONYMOUS, Call, Mode, Outcome, _current
from anycore.kernel.policy import AccessPolicy, decide
from anycore.kernel.registry import Registry
from anycore.wire.faults import (
    ACCESS_DENIED,
    APPLICATION_ERROR,
    DEADLINE_EXCEEDED,
    METHOD_NOT_FOUND,
    Fault,
)

if TYPE_CHECKING:
    from anycore.kernel.method import Method
    from anycore.kernel.policy import Decision

_log = logging.getLogger("anycore.kernel")
_now = time.perf_counter_ns


class Kernel:
    """Turns calls into outcomes.

    Args:
        registry: The plugins; a new, empty registry when left out.
        debug: Whether faults of failing methods carry the traceback to the peer.
    """

    def __init__(self, registry: Registry | None = None, *, debug: bool = False) -> None:
        self.registry = registry if registry is not None else Registry()
        self.debug = debug
        self._policies: tuple[AccessPolicy, ...] = ()
        self._policies_of: object = None

    def mode(self, name: str) -> Mode:
        """Tell where a call of this name runs. A call that will fail is answered inline."""
        method = self.registry.methods.get(name)
        return Mode.QUICK if method is None else method.mode

    def handle(self, call: Call) -> Outcome:
        """Take a call through all steps, in the calling thread.

        Args:
            call: A call of a method that is not `async def`.
        """
        started = _now()
        try:
            outcome = Outcome(self._invoke(self._bind(self._resolve(self._authorise(self._authenticate(call))))))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises becomes a fault
            outcome = self._failure(call, error)
        return self._record(call, outcome, started)

    async def handle_async(self, call: Call) -> Outcome:
        """Take a call through all steps, on the running event loop.

        Args:
            call: A call of a method of any mode; one that blocks will block the loop.
        """
        started = _now()
        try:
            outcome = Outcome(await self._await(self._bind(self._resolve(self._authorise(self._authenticate(call))))))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises becomes a fault
            outcome = self._failure(call, error)
        return self._record(call, outcome, started)

    def decide(self, call: Call, name: str | None = None) -> Decision:
        """Ask the policy whether the caller of a call may call a method.

        Args:
            call: The call that asks; its identity and peer are those judged.
            name: The method's full name; the call's own when left out.
        """
        entries = self.registry.entries
        if self._policies_of is not entries:
            self._policies, self._policies_of = self.registry.plugins_with(AccessPolicy), entries  # type: ignore[type-abstract]
        return decide(self._policies, call.identity, call.peer, call.name if name is None else name)

    def visible(self, call: Call) -> list[Method]:
        """Return the methods that the caller of a call may call, by name."""
        methods = self.registry.methods
        return [
            methods[name] for name in sorted(methods) if name == methods[name].name and self.decide(call, name).allowed
        ]

    def _authenticate(self, call: Call) -> Call:
        call.identity = ANONYMOUS
        return call

    def _authorise(self, call: Call) -> Call:
        decision = self.decide(call)
        if not decision.allowed:
            _log.warning("call %d: %s denied to %s (%s): %s", call.number, call.name, call.identity.name, call.peer,
                         decision.reason)  # fmt: skip
            raise Fault(ACCESS_DENIED, f"{call.identity.name} at {call.peer} may not call {call.name}")
        return call

    def _resolve(self, call: Call) -> Call:
        call.method = self.registry.methods.get(call.name)
        if call.method is None:
            message = f"there is no method {call.name!r}; system.listMethods names those there are"
            raise Fault(METHOD_NOT_FOUND, message)
        call.method.statistics.begin()
        return call

    def _bind(self, call: Call) -> Call:
        method = call.method
        assert method is not None
        call.args, call.kwargs = method.signature.bind(call.name, call.args, call.kwargs)
        if method.call_parameter:
            call.kwargs[method.call_parameter] = call
        return call

    def _invoke(self, call: Call) -> Any:
        token = _current.set(call)
        try:
            return call.method.function(*call.args, **call.kwargs)  # type: ignore[union-attr,arg-type]
        finally:
            _current.reset(token)

    async def _await(self, call: Call) -> Any:
        token = _current.set(call)
        try:
            result = call.method.function(*call.args, **call.kwargs)  # type: ignore[union-attr,arg-type]
            if call.method.mode is not Mode.ASYNC:  # type: ignore[union-attr]
                return result
            async with asyncio.timeout(call.remaining()) as timer:
                return await result
        except TimeoutError:
            if timer.expired():
                message = (
                    f"{call.name}: the call did not finish within its deadline; ask for more time or for less work"
                )
                raise Fault(DEADLINE_EXCEEDED, message) from None
            raise
        finally:
            _current.reset(token)

    def _failure(self, call: Call, error: BaseException) -> Outcome:
        if isinstance(error, Fault):
            return Outcome(fault=error)
        _log.error("call %d: %s from %s failed", call.number, call.name, call.peer, exc_info=error)
        message = f"{call.name}: {type(error).__name__}: {error}"
        data = "".join(traceback.format_exception(error)) if self.debug else None
        return Outcome(fault=Fault(APPLICATION_ERROR, f"{message}\n{data}" if data else message, data))

    @staticmethod
    def _record(call: Call, outcome: Outcome, started: int) -> Outcome:
        if call.method is not None:
            call.method.statistics.end(_now() - started, failed=outcome.fault is not None)
        return outcome
