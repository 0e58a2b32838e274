"""The steps of a call, in one expression each for the two ways a method runs. Everything that a call passes is in this file."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from anycore.kernel.call import ANONYMOUS, UNIDENTIFIED, Call, Mode, Outcome, _current
from anycore.kernel.denials import Denials
from anycore.kernel.door import Door
from anycore.kernel.policy import Decision
from anycore.kernel.registry import Registry
from anycore.wire.faults import (
    ACCESS_DENIED,
    APPLICATION_ERROR,
    DEADLINE_EXCEEDED,
    METHOD_NOT_FOUND,
    Fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.authentication import Chain
    from anycore.kernel.call import Credentials, Identity, Peer
    from anycore.kernel.incidents import Incidents
    from anycore.kernel.method import Method

_log = logging.getLogger("anycore.kernel")
_now = time.perf_counter_ns
_monotonic = time.monotonic
_ASYNC = Mode.ASYNC
_NAME_SHOWN = 100  # characters of a name that a peer sent; it may have sent megabytes


class AsyncMethodError(Exception):
    """The method is `async def` and can only be called through `Kernel.handle_async`. Nothing was called or counted.

    It can become so between the time when a job is made for a call and the time when it runs, by a swap of its plugin.
    """


class Kernel:
    """Turns calls into outcomes.

    Args:
        registry: The plugins; a new, empty registry when left out.
        debug: Whether faults of failing methods carry the traceback to the peer.
        authentication: Finds out who calls; everybody is anonymous when left out.
        incidents: Where denials are counted and logged; its own when left out.

    Attributes:
        door: Who may call what.
        observers: Told of each call that has ended, with its outcome and how long it took, in nanoseconds. They raise nothing, and take no time.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        debug: bool = False,
        authentication: Chain | None = None,
        incidents: Incidents | None = None,
    ) -> None:
        self.registry = registry if registry is not None else Registry()
        self.debug = debug
        self.authentication = authentication
        self.observers: tuple[Callable[[Call, Outcome, int], None], ...] = ()
        self.door = Door(self.registry)
        self._denials = Denials(incidents)

    def mode(self, call: Call) -> Mode:
        """Tell where a call runs: where its method does, but in a thread while it takes time to find out who calls.

        A call that will fail is answered inline.
        """
        if call.identity is UNIDENTIFIED:
            return self.mode_of(call.name, call.peer, call.credentials)
        method = self.registry.methods.get(call.name)
        return Mode.QUICK if method is None else method.mode

    def mode_of(self, name: str, peer: Peer, credentials: Credentials) -> Mode:
        """Tell where a call of a method would run that has not been made yet; see `mode`.

        Args:
            name: The method's full name or an alias.
            peer: Who would call.
            credentials: What it has presented.
        """
        chain = self.authentication
        if chain is not None and not chain.quick(peer, credentials):
            return Mode.BLOCKING
        method = self.registry.methods.get(name)
        return Mode.QUICK if method is None else method.mode

    def handle(self, call: Call) -> Outcome:
        """Take a call through all steps, in the calling thread.

        Args:
            call: A call of a method that is not `async def`.

        Raises:
            AsyncMethodError: It is one.
        """
        started = _now()
        try:
            outcome = Outcome(self._invoke(self._bind(self._resolve(self._authorise(self._authenticate(call))))))
        except AsyncMethodError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises becomes a fault
            outcome = self._failure(call, error, started)
        return self._record(call, outcome, started)

    async def handle_async(self, call: Call) -> Outcome:
        """Take a call through all steps, on the running event loop.

        Args:
            call: A call of a method of any mode; one that blocks will block the loop.
        """
        started = _now()
        try:
            outcome = Outcome(
                await self._await(self._bind(self._resolve(self._authorise(self._authenticate(call)), awaits=True)))
            )
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises becomes a fault
            outcome = self._failure(call, error, started)
        return self._record(call, outcome, started)

    def decide(self, call: Call, name: str | None = None) -> Decision:
        """Ask the policy whether the caller of a call may call a method.

        Args:
            call: The call that asks; its identity and peer are those judged. Who it is, is found out first where that is not known.
            name: The method's full name or an alias; the call's own when left out.
        """
        if call.identity is UNIDENTIFIED:
            try:
                self.identify(call)
            except Fault as fault:
                return Decision(allowed=False, reason=fault.message)
        return self.door.decide(call.identity, call.peer, call.name if name is None else name)

    def admit(self, call: Call) -> None:
        """Let a caller through the door, for something that is no call, as a page: find out who it is, and whether it may call the method.

        Args:
            call: The call that it would be.

        Raises:
            Fault: Nobody knows who it is, or it may not.
        """
        self._authorise(self._authenticate(call))

    def identify(self, call: Call) -> Identity:
        """Return who makes a call, once that is found out.

        Args:
            call: The call.

        Raises:
            Fault: Nobody knows, and it must be known.
        """
        if call.identity is UNIDENTIFIED:
            chain = self.authentication
            call.identity = ANONYMOUS if chain is None else chain.authenticate(call.peer, call.credentials)
        return call.identity

    def visible(self, call: Call) -> list[Method]:
        """Return the methods that the caller of a call may call, by name."""
        methods = self.registry.methods
        return [
            methods[name] for name in sorted(methods) if name == methods[name].name and self.decide(call, name).allowed
        ]

    def _authenticate(self, call: Call) -> Call:
        if call.identity is UNIDENTIFIED:
            # First, what the address alone decides: those who are denied anyway cost no check of a password.
            denial = self.door.admit(call.peer, call.name)
            if denial is not None:
                self._deny(call, denial)
            self.identify(call)
        return call

    def _authorise(self, call: Call) -> Call:
        decision = self.door.decide(call.identity, call.peer, call.name)
        if not decision.allowed:
            self._deny(call, decision)
        return call

    def _deny(self, call: Call, decision: Decision) -> NoReturn:
        name = repr(call.name[:_NAME_SHOWN])
        who = "a caller" if call.identity is UNIDENTIFIED else call.identity.name
        self._denials.note(call.peer, f"call {call.id}: {name} denied to {who}: {decision.reason}")
        raise Fault(ACCESS_DENIED, f"{who} at {call.peer} may not call {name}")

    def _resolve(self, call: Call, *, awaits: bool = False) -> Call:
        registry, name = self.registry, call.name
        while True:
            methods = registry.methods
            method = methods.get(name)
            if method is None:
                message = f"there is no method {name[:_NAME_SHOWN]!r}; system.listMethods names those there are"
                raise Fault(METHOD_NOT_FOUND, message)
            if method.mode is _ASYNC and not awaits:
                raise AsyncMethodError(name)
            method.statistics.begin()
            if registry.methods is methods:
                call.method = method
                return call
            # Swapped before it was counted as running: nobody waits for it any more, so it may be stopped already.
            method.statistics.withdraw()

    def _bind(self, call: Call) -> Call:
        method = call.method
        assert method is not None
        call.args, call.kwargs = method.signature.bind(call.name, call.args, call.kwargs)
        if method.call_parameter:
            call.args = method.signature.give_call(call, call.args, call.kwargs)
        deadline = call.deadline
        if deadline is not None and deadline <= _monotonic():
            call.check_deadline()  # it waited too long for a thread: nobody waits for the answer
        return call

    def _invoke(self, call: Call) -> Any:
        token = _current.set(call)
        try:
            return call.method.function(*call.args, **call.kwargs)  # type: ignore[union-attr,arg-type]
        finally:
            _current.reset(token)

    async def _await(self, call: Call) -> Any:
        if call.method.mode is not _ASYNC:  # type: ignore[union-attr]
            return self._invoke(call)
        token = _current.set(call)
        timer = asyncio.timeout(call.remaining())
        try:
            async with timer:
                return await call.method.function(*call.args, **call.kwargs)  # type: ignore[union-attr,arg-type]
        except TimeoutError:
            if timer.expired():
                message = (
                    f"{call.name}: the call did not finish within its deadline; ask for more time or for less work"
                )
                raise Fault(DEADLINE_EXCEEDED, message) from None
            raise
        finally:
            _current.reset(token)

    def _failure(self, call: Call, error: BaseException, started: int) -> Outcome:
        if isinstance(error, Fault) and _is_sound(error):
            return Outcome(fault=error)
        if _ends_more_than_the_call(error):
            self._record(call, Outcome(fault=Fault(APPLICATION_ERROR, f"{call.name} was interrupted")), started)
            raise error
        _log.error("call %s: %s from %s failed", call.id, call.name, call.peer, exc_info=error)
        message = f"{call.name}: {_told(error)}"
        data = "".join(traceback.format_exception(error)) if self.debug else None
        return Outcome(fault=Fault(APPLICATION_ERROR, f"{message}\n{data}" if data else message, data))

    def _record(self, call: Call, outcome: Outcome, started: int) -> Outcome:
        method = call.method
        took = _now() - started
        if method is not None:
            method.statistics.end(took, failed=outcome.fault is not None)
        for observer in self.observers:
            observer(call, outcome, took)
        return outcome


def _is_sound(fault: Fault) -> bool:
    """Tell whether a fault has what it must have: a subclass may have an `__init__` of its own."""
    return isinstance(getattr(fault, "code", None), int) and isinstance(getattr(fault, "message", None), str)


def _ends_more_than_the_call(error: BaseException) -> bool:
    """Tell whether an exception is meant for the process or the task, rather than raised by the method for its own reasons."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    if isinstance(error, asyncio.CancelledError):
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs here: some other loop's, that the method ran by itself
            return False
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def _told(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:  # noqa: BLE001 - the exception is the plugin's own, and so is what it raises when asked for its text
        return f"{kind}, whose text cannot be had"
