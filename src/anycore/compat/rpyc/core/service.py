"""`rpyc.core.service`: services, which here make their connections as RPyC's do: by `_connect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.compat.rpyc.core.protocol import Connection
from anycore.compat.rpyc.lib import hybridmethod
from anycore.rpyc import master, service, slave
from anycore.rpyc.connecting import attach_service
from anycore.rpyc.master import FakeSlaveService as _FakeSlave
from anycore.rpyc.master import ModuleNamespace
from anycore.rpyc.slave import Slave

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.compat.rpyc.core.channel import Channel

__all__ = [
    "ClassicClient", "ClassicService", "Connection", "FakeSlaveService", "MasterService", "ModuleNamespace", "Service", "Slave",
    "SlaveService", "VoidService", "connect_service",
]  # fmt: skip


class Service(service.Service):
    """Base of services; see `anycore.rpyc.service.Service`.

    Attributes:
        _protocol: The class of its connections.
    """

    _protocol: type[Connection] = Connection

    @hybridmethod
    def _connect(self, channel: Channel, config: Mapping[str, Any] | None = None) -> Connection:
        """Make a connection over a channel whose root is this service, or a new instance where it is called on the class."""
        root = self() if isinstance(self, type) else self
        return _opened(root, root._protocol, channel, config)  # noqa: SLF001 - RPyC's name


class VoidService(Service):
    """A service that offers nothing: what clients have by default."""


class SlaveService(slave.SlaveService, Service):
    """A service that lets the other side do anything in this process; see `anycore.rpyc.slave.SlaveService`."""


class FakeSlaveService(_FakeSlave, VoidService):
    """A service with the names of a slave's parts, and nothing behind them."""


class MasterService(master.MasterService, Service):
    """A service that adds to the connection what makes use of a slave; see `anycore.rpyc.master.MasterService`."""


class ClassicService(MasterService, SlaveService):
    """Master and slave at once."""


class ClassicClient(MasterService, FakeSlaveService):
    """A master that the other side can do nothing with."""


def connect_service(root: Any, channel: Channel, config: Mapping[str, Any] | None = None) -> Connection:
    """Make a connection over a channel for a service of whatever making.

    Args:
        root: A service, a class of such, which is instantiated, or any object. One of ours makes its connection itself, for a program may have its own
            way of doing so; of one derived from the original's classes, only the two hooks are called.
        channel: The channel.
        config: Keys of the configuration that differ from the defaults.
    """
    cls = root if isinstance(root, type) else type(root)
    if issubclass(cls, Service):
        made: Connection = root._connect(channel, config)  # noqa: SLF001 - RPyC's name
        return made
    return _opened(root() if isinstance(root, type) else root, Connection, channel, config)


def _opened(root: Any, kind: type[Connection], channel: Channel, config: Mapping[str, Any] | None) -> Connection:
    made = kind(root, channel, config)
    attach_service(made, root)
    told = getattr(root, "on_connect", None)
    if told is not None:
        try:
            told(made)
        except BaseException:
            made.close()
            raise
    return made
