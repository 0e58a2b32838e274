"""The master: the side of a classic connection that has the other side, a slave, do what it wants (spec/rpyc.md section 15)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from anycore.objects.connection import Connection
from anycore.rpyc.service import Service, VoidService
from anycore.rpyc.slave import SlaveService
from anycore.rpyc.teleport import teleport_function
from anycore.wire.rpyc_constants import CALLATTR, GETATTR

if TYPE_CHECKING:
    from collections.abc import Callable


class ModuleNamespace:
    """The other side's modules, by attribute or by item: `modules.os.path`, `modules["os.path"]`. Each is asked for once.

    Args:
        getmodule: Imports a module there.
    """

    def __init__(self, getmodule: Callable[[str], Any], known: dict[str, Any] | None = None) -> None:
        self._getmodule = getmodule
        self._known = known if known is not None else {}

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a module; it may still fail when it is imported."""
        try:
            return self["importlib.util"].find_spec(name) is not None
        except (ImportError, ValueError):
            return False

    def __getitem__(self, name: str | tuple[str, ...]) -> Any:
        full = ".".join(name) if isinstance(name, tuple) else name
        found = self._known.get(full)
        if found is None:
            found = self._known[full] = self._getmodule(full)
        return found

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except ImportError as error:
            message = f"the other side has no module {name!r}: {error}"
            raise AttributeError(message) from None

    def __repr__(self) -> str:
        return f"<modules of the other side: {', '.join(sorted(self._known)) or 'none so far'}>"


class ClassicConnection(Connection):
    """A connection to a slave, as type checkers see it: what a `MasterService` adds. No instances are made.

    Attributes:
        modules: The other side's modules.
        builtins: Its built-in functions and types.
        builtin: The same, by an older name.
        eval: Returns the value there of an expression in the namespace.
        execute: Runs statements there in the namespace.
        namespace: The namespace there.
        teleport: Defines a function of this side there; see `teleport_function`.
        proc: The process of the other side, where it was started for this connection.
    """

    modules: ModuleNamespace
    builtins: Any
    builtin: Any
    eval: Callable[[str], Any]
    execute: Callable[[str], None]
    namespace: Any
    teleport: Callable[..., Callable[..., Any]]
    proc: Any


_WANTED = ("getmodule", "eval", "execute", "namespace")


class MasterService(Service):
    """A service that offers nothing, and adds to the connection what makes use of a slave: see `ClassicConnection`."""

    def on_connect(self, conn: Connection) -> None:
        """Ask the slave for its parts, all in one go."""
        super().on_connect(conn)
        root, timeout = conn.root, conn.config["sync_request_timeout"]
        asked = [conn.async_request(GETATTR, root, name, timeout=timeout) for name in _WANTED]
        builtins = conn.async_request(CALLATTR, root, "getmodule", ("builtins",), (), timeout=timeout)
        parts = {name: result.value for name, result in zip(_WANTED, asked, strict=True)}
        install(conn, parts, builtins.value)


def install(conn: Any, parts: dict[str, Any], builtins: Any) -> None:
    """Add to a connection what makes use of a slave.

    Args:
        conn: The connection.
        parts: The slave's `getmodule`, `eval`, `execute` and `namespace`.
        builtins: Its module `builtins`.
    """
    conn.teleport = partial(teleport_function, conn)
    conn.modules = ModuleNamespace(parts["getmodule"], {"builtins": builtins})
    conn.builtins = conn.builtin = builtins
    conn.eval, conn.execute, conn.namespace = parts["eval"], parts["execute"], parts["namespace"]


class ClassicService(MasterService, SlaveService):
    """Master and slave at once: each side may do everything with the other. Both sides must have it, or one of its halves."""


class FakeSlaveService(VoidService):
    """A service that has the names of a slave's parts and offers nothing, for peers that insist on a slave."""

    exposed_namespace = None
    exposed_execute = None
    exposed_eval = None
    exposed_getmodule = None
    exposed_getconn = None


class ClassicClient(MasterService, FakeSlaveService):
    """A master that the other side can do nothing with."""
