"""The slave: a root that lets the peer run any code here (spec/rpyc.md section 15). Who may connect to one is the server's business."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.proxy import is_proxy
from anycore.rpyc.service import Service
from anycore.rpyc.standins import stand_in

if TYPE_CHECKING:
    from types import ModuleType

    from anycore.objects.connection import Connection

OPEN: Final[dict[str, bool]] = {
    "allow_all_attrs": True,
    "allow_pickle": True,
    "allow_getattr": True,
    "allow_setattr": True,
    "allow_delattr": True,
    "allow_exposed_attrs": False,
    "import_custom_exceptions": True,
    "instantiate_custom_exceptions": True,
    "instantiate_oldstyle_exceptions": True,
}
"""Keys of a connection's configuration by which the peer may do everything."""


_TELEPORTATION: Final = "rpyc.utils.teleportation"
_NAMES: Final = {"_config": "config", "_last_traceback": "last_traceback", "_local_root": "local_root"}


class _End:
    """One end of a connection, its parts named as clients of RPyC know them.

    Args:
        conn: The connection.
    """

    __slots__ = ("_conn",)

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, _NAMES.get(name, name))

    def __repr__(self) -> str:
        return repr(self._conn)


class Slave:
    """What a master asks for: code to be run, modules, and a namespace that both keep things in.

    Attributes:
        namespace: The globals of the code that the master sends.
    """

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self._conn: Connection | None = None

    def execute(self, text: str) -> None:
        """Run statements in the namespace."""
        exec(text, self.namespace)  # noqa: S102 - that is what a slave is for

    def eval(self, text: str) -> Any:
        """Return the value of an expression in the namespace."""
        return eval(text, self.namespace)  # noqa: S307 - that is what a slave is for

    def getmodule(self, name: str | tuple[str, ...]) -> ModuleType:
        """Import a module; those that masters expect of RPyC are answered where RPyC is not installed.

        The one that puts teleported functions together is ours in any case, as RPyC's own does not know our proxies.

        Args:
            name: Its full name, or the parts of that.

        Raises:
            ImportError: When it cannot be imported.
        """
        full = ".".join(name) if isinstance(name, tuple) else name
        try:
            return import_module(full if full != _TELEPORTATION else "anycore.rpyc.teleport")
        except ModuleNotFoundError:
            found = stand_in(full)
            if found is None:
                raise
            return found

    def getconn(self) -> Any:
        """Return this side's end of the connection, under the names that RPyC has for its parts; None where there is none."""
        return None if self._conn is None else _End(self._conn)


class SlaveService(Slave, Service):
    """A service that lets the peer import, read, change and run whatever this process can.

    Whoever reaches it has this process, its files and its user's rights. Serve it to friends only.
    """

    def on_connect(self, conn: Connection) -> None:
        """Open the connection's configuration."""
        self._conn = conn
        conn.config.update(OPEN)
        super().on_connect(conn)

    def on_disconnect(self, conn: Connection) -> None:
        """Take the process's standard streams back from a master that went away with them."""
        for name in ("stdin", "stdout", "stderr"):
            current = getattr(sys, name)
            if is_proxy(current) and conn.is_local(current):
                setattr(sys, name, getattr(sys, f"__{name}__"))
        super().on_disconnect(conn)
