"""The plugins of the kernel as RPyC's peers see them: `conn.root.<plugin>.<method>`, through the same door as over every other wire."""

from __future__ import annotations

import dataclasses
import enum
import operator
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.conversations.plain import plain
from anycore.identity.basic import write_basic
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Call, Credentials, Mode
from anycore.kernel.kernel import AsyncMethodError
from anycore.objects.proxy import CONTAINERS, is_proxy
from anycore.rpyc.service import Service
from anycore.wire.faults import ACCESS_DENIED, Fault
from anycore.wire.rpyc_constants import CALL, GETATTR

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from anycore.kernel.call import Peer
    from anycore.kernel.kernel import Kernel
    from anycore.kernel.method import Parameter

_get = object.__getattribute__
_NOT_THESE: Final = frozenset({"certificate", "unix", "proxy", "rpyc", "anonymous"})
"""Kinds of identities that nobody gets by signing in."""
_MAX_DEPTH: Final = 64
_AS_THEY_ARE: Final = frozenset({type(None), bool, int, float, complex, str, bytes})


class PluginRoot(Service):
    """The root that a peer gets: its attributes are the plugins.

    Args:
        kernel: Where calls go.
        peer: Who calls.
        run_coroutine: Runs a coroutine on the core's loop and waits for it.
        call_time: Seconds a call may take; 0 for no limit.
    """

    ALIASES = ("ANYCORE",)

    def __init__(
        self,
        kernel: Kernel,
        peer: Peer,
        run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any],
        call_time: float = 0.0,
    ) -> None:
        self.kernel = kernel
        self.peer = peer
        self.run_coroutine = run_coroutine
        self.call_time = call_time
        self.credentials = NO_CREDENTIALS
        self._names: dict[str, Callable[..., Any] | _Names] = {}

    def question(self, name: str, args: Any = (), kwargs: dict[str, Any] | None = None) -> Call:
        """Return a call by the peer, as far as it has said who it is.

        Args:
            name: The method's full name.
            args: Arguments by position.
            kwargs: Arguments by name.
        """
        deadline = time.monotonic() + self.call_time if self.call_time else None
        return Call(name, args, kwargs, self.peer, "rpyc", deadline, self.credentials)

    def _rpyc_getattr(self, name: str) -> Any:
        own = {
            "get_service_aliases": self.get_service_aliases,
            "get_service_name": self.get_service_name,
            "authenticate": self.authenticate,
        }
        return own[name] if name in own else self.reach(name)

    def authenticate(self, user: str = "", secret: str = "") -> str:
        """Say who calls, for all that follows on this connection. It is checked again with every call, so what is revoked ends at once.

        Args:
            user: Name of the user; empty where the secret is a token.
            secret: The password, or a token.

        Returns:
            The name of whoever that is.

        Raises:
            Fault: With `AUTHENTICATION_FAILED`.
        """
        chain = self.kernel.authentication
        presented = (local(user), local(secret))
        if chain is None or not all(isinstance(one, str) for one in presented):
            message = (
                "this server takes no credentials: every caller is anonymous" if chain is None else "give two texts"
            )
            raise AuthenticationFault(message)
        given = write_basic(*presented) if user else f"Bearer {secret}"
        credentials = Credentials(given)
        identity = chain.authenticate(self.peer, credentials)
        if identity.kind in _NOT_THESE:
            # A certificate comes first in the chain: what was presented here was not even looked at.
            message = (
                f"this connection is {identity.name}'s already, by its {identity.kind}; nobody else can sign in on it"
            )
            raise AuthenticationFault(message)
        self.credentials = credentials
        return identity.name

    def reach(self, name: str) -> Any:
        """Return what a dotted name stands for: a method, ready to be called, or the beginning of longer names.

        Of methods that the peer may not call it learns no more than of those that do not exist.

        Raises:
            AttributeError: When the name of no method that the peer may call is or begins so.
            Fault: With `AUTHENTICATION_FAILED`, when nobody knows who the peer is, and that must be known.
        """
        known = self._names.get(name)
        if known is not None and (isinstance(known, _Names) or name in self.kernel.registry.methods):
            return known
        methods = self.kernel.registry.methods
        made: Any
        if name in methods and self._may(name):
            made = _Method(self, name).call
        elif name not in methods and self._may_below(f"{name}.", methods):
            made = _Names(self, name)
        else:
            self._names.pop(name, None)
            message = f"there is no plugin or method {name[:100]!r} that you may call; system.listMethods names those there are"
            raise AttributeError(message)
        self._names[name] = made
        return made

    def _may(self, name: str) -> bool:
        try:
            self.kernel.admit(self.question(name))
        except Fault as fault:
            if fault.code == ACCESS_DENIED:
                return False
            raise
        return True

    def _may_below(self, prefix: str, methods: Iterable[str]) -> bool:
        question = self.question(prefix)
        self.kernel.identify(question)
        return any(full.startswith(prefix) and self.kernel.decide(question, full).allowed for full in methods)

    def names(self, prefix: str = "") -> list[str]:
        """Return what may follow a prefix, as far as the peer may know of it."""
        visible = self.kernel.visible(self.question("system.listMethods"))
        names = (name for method in visible for name in (method.name, *method.aliases))
        return sorted({name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)})

    def __dir__(self) -> list[str]:
        return self.names()

    def ____mode__(self, handler: int) -> Mode:
        """A look-up takes no time, unless it takes time to find out who the peer is."""
        return self.kernel.mode_of("", self.peer, self.credentials) if handler == GETATTR else Mode.BLOCKING


class _Names:
    """A plugin, or the beginning of names within one."""

    def __init__(self, root: PluginRoot, prefix: str) -> None:
        self._root = root
        self._prefix = prefix

    def _rpyc_getattr(self, name: str) -> Any:
        return self._root.reach(f"{self._prefix}.{name}")

    def __dir__(self) -> list[str]:
        return self._root.names(f"{self._prefix}.")

    def __repr__(self) -> str:
        return f"<plugin {self._prefix}>"

    def ____mode__(self, handler: int) -> Mode:
        return self._root.____mode__(handler)


class _Method:
    """A method for one peer. What the peer gets is the bound method `call`, whose kind it knows without asking."""

    __slots__ = ("_name", "_root")

    def __init__(self, root: PluginRoot, name: str) -> None:
        self._root = root
        self._name = name

    def call(self, *args: Any, **kwargs: Any) -> Any:
        root, name = self._root, self._name
        kernel = root.kernel
        if kwargs or not _AS_THEY_ARE.issuperset(map(type, args)):
            method = kernel.registry.methods.get(name)
            if method is not None:
                args, kwargs = _localised(method.signature.parameters, args, kwargs)
        call = root.question(name, args, kwargs or None)
        try:
            outcome = kernel.handle(call)
        except AsyncMethodError:
            outcome = root.run_coroutine(kernel.handle_async(call))
        return presentable(outcome.unwrap())

    def ____mode__(self, handler: int) -> Mode:
        if handler != CALL:
            return Mode.BLOCKING
        root = self._root
        mode = root.kernel.mode_of(self._name, root.peer, root.credentials)
        return mode if mode is Mode.QUICK else Mode.BLOCKING


DOTTED: Final = frozenset(f"{cls.__module__}.{cls.__qualname__}" for cls in (PluginRoot, _Names))
"""What peers see as the type of the root, and of the beginnings of names below it."""


def presentable(value: Any) -> Any:
    """Return a result as the peer can use it: records and the like as the other wires would carry them, all else as it is.

    A peer gets what is not plain by reference, and may read of it what is exposed; of a dataclass or a `msgspec.Struct`, that would
    be nothing.

    Args:
        value: What a method returned.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in (list, tuple, set, frozenset):
        items = [presentable(item) for item in value]
        return value if all(map(operator.is_, items, value)) else kind(items)
    if kind is dict:
        values = {key: presentable(item) for key, item in value.items()}
        return value if all(map(operator.is_, values.values(), value.values())) else values
    if isinstance(value, (msgspec.Struct, enum.Enum)) or (dataclasses.is_dataclass(value) and kind is not type):
        return plain(value)
    return value


def _localised(
    parameters: Sequence[Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Fetch by value the containers of the peer that are to be checked against an annotation."""
    if not any(map(is_proxy, args)) and not any(map(is_proxy, kwargs.values())):
        return args, kwargs
    wanted = {parameter.name for parameter in parameters if parameter.annotation is not Any}
    places = [parameter.name for parameter in parameters]
    positional = tuple(
        local(value) if index >= len(places) or places[index] in wanted else value for index, value in enumerate(args)
    )
    return positional, {name: local(value) if name in wanted else value for name, value in kwargs.items()}


def local(value: Any, depth: int = 0) -> Any:
    """Return a copy by value of the peer's built-in containers, and anything else as it is.

    Args:
        value: A proxy or a value.
        depth: How deep it lies within others.

    Raises:
        ValueError: When containers nest deeper than 64 levels.
    """
    if not is_proxy(value) and type(value) is not tuple:
        return value
    if depth > _MAX_DEPTH:
        message = f"an argument nests deeper than {_MAX_DEPTH} levels, or contains itself"
        raise ValueError(message)
    if type(value) is tuple:
        return tuple([local(item, depth + 1) for item in value])
    name = _get(value, "____id_pack__")[0]
    if name not in CONTAINERS:
        return value
    if name == "builtins.dict":
        return {local(key, depth + 1): local(value[key], depth + 1) for key in list(value)}
    items = [local(item, depth + 1) for item in value]
    return {"builtins.tuple": tuple, "builtins.set": set, "builtins.frozenset": frozenset}.get(name, list)(items)
