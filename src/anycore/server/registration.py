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
    from collections.abc import Iterable, Sequence

    from anycore.settings.tables import DiscoverySettings, ListenSettings


class Registrations:
    """The registrations of one server: one for each RPyC listener.

    Args:
        settings: What to register, and where.
        sockets: The listeners, bound.
        plugins: The names of the plugins.

    Raises:
        StartupError: The names do not fit into a datagram.
    """

    def __init__(
        self,
        settings: DiscoverySettings,
        sockets: Sequence[tuple[ListenSettings, socket.socket]],
        plugins: Iterable[str],
    ) -> None:
        ports = [
            bound.getsockname()[1]
            for listener, bound in sockets
            if listener.address.protocol == "rpyc" and listener.address.host
        ]
        names = settings.service or (*PluginRoot.ALIASES, *sorted(plugins))
        addresses = [RegistryAddress.parse(text) for text in settings.registry or (BROADCAST,)]
        client = (TcpRegistryClient if settings.registry_mode == "tcp" else UdpRegistryClient)(addresses)
        try:
            self._registrations = [Registration(client, names, port) for port in ports]
        except LocalProtocolError as error:
            message = f"discovery.service: {error}"
            raise StartupError(message) from error

    def start(self) -> None:
        """Register, and go on doing so."""
        for registration in self._registrations:
            registration.start()

    def stop(self) -> None:
        """Take the registrations back."""
        for registration in self._registrations:
            registration.stop()
