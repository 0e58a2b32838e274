"""Registers the RPyC listeners of a server with registries, for clients that look for a service by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.discovery import Registration, RegistryAddress, TcpRegistryClient, UdpRegistryClient
from anycore.discovery.address import BROADCAST
from anycore.rpyc.root import PluginRoot
from anycore.server.errors import StartupError
from anycore.wire.errors import LocalProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from anycore.kernel.registry import Registry
    from anycore.settings.tables import DiscoverySettings, ListenSettings


class Registrations:
    """The registrations of one server: one for each RPyC listener, from `start` to `stop`.

    Args:
        settings: What to register, and where.
        sockets: The listeners, bound.
        registry: The plugins, whose names are registered unless the settings name others.
        replaced: Tells, when all ends, whether another server goes on at the same ports.
    """

    def __init__(
        self,
        settings: DiscoverySettings,
        sockets: Sequence[tuple[ListenSettings, socket.socket]],
        registry: Registry,
        replaced: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._replaced = replaced
        self._registry = registry
        self._ports = [
            bound.getsockname()[1]
            for listener, bound in sockets
            if listener.address.protocol == "rpyc" and listener.address.host
        ]
        self._registrations: list[Registration] = []

    def start(self) -> None:
        """Register, and go on doing so, in threads.

        Raises:
            StartupError: The names do not fit into a datagram.
        """
        settings = self._settings
        names = settings.service or (*PluginRoot.ALIASES, *sorted(self._registry.entries))
        addresses = [RegistryAddress.parse(text) for text in settings.registry or (BROADCAST,)]
        client = (TcpRegistryClient if settings.registry_mode == "tcp" else UdpRegistryClient)(addresses)
        try:
            self._registrations = [Registration(client, names, port) for port in self._ports]
        except LocalProtocolError as error:
            message = f"discovery.service: {error}"
            raise StartupError(message) from error
        for registration in self._registrations:
            registration.start()

    def stop(self) -> None:
        """Take the registrations back, unless another server goes on at the same ports."""
        for registration in self._registrations:
            registration.stop(withdraw=not self._replaced())
