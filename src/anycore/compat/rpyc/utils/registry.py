"""`rpyc.utils.registry`: registries and their clients under RPyC's names and with its answers. The work is done in `anycore.discovery`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

from anycore.discovery import (
    LeaseTable,
    ListingRefusedError,
    NoAnswerError,
    RegistryAddress,
    RegistryService,
    State,
    TcpRegistryClient,
    UdpRegistryClient,
)
from anycore.discovery import RegistryServer as _Server
from anycore.wire.rpyc_constants import REGISTRY_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycore.discovery import Change
    from anycore.discovery import RegistryClient as _Client

__all__ = [
    "DEFAULT_PRUNING_TIMEOUT", "MAX_DGRAM_SIZE", "REGISTRY_PORT", "RegistryClient", "RegistryServer", "TCPRegistryClient",
    "TCPRegistryServer", "UDPRegistryClient", "UDPRegistryServer",
]  # fmt: skip

DEFAULT_PRUNING_TIMEOUT: Final = 240
"""Seconds."""
MAX_DGRAM_SIZE: Final = 1500
"""Bytes."""


class RegistryServer:
    """A registry. Use one of the two kinds; a subclass may be told of what comes and goes.

    Args:
        host: The address to bind to.
        port: Its port; 0 for a free one.
        pruning_timeout: Seconds after which a server that is silent is forgotten.
        logger: Where messages go.
        allow_listing: Whether everyone may list all services.
    """

    mode: ClassVar[str]

    def __init__(
        self,
        host: str,
        port: int,
        pruning_timeout: float | None,
        logger: logging.Logger | None,
        allow_listing: bool,
    ) -> None:
        self.pruning_timeout = DEFAULT_PRUNING_TIMEOUT if pruning_timeout is None else pruning_timeout
        self.allow_listing = allow_listing
        service = RegistryService(
            LeaseTable(lifetime=self.pruning_timeout), listing=allow_listing, on_change=self._changed
        )
        self._server = _Server(service, modes=(self.mode,), host=host, port=port)
        self.host = host
        self.port = self._server.port
        self.logger = logger or logging.getLogger(f"REGSRV/{self.mode.upper()}/{self.port}")
        self.active = False

    def _changed(self, change: Change) -> None:
        address = (change.server.host, change.server.port)
        if change.state is State.REGISTERED:
            self.on_service_added(change.name, address)
        elif change.state in (State.UNREGISTERED, State.PRUNED):
            self.on_service_removed(change.name, address)

    def on_service_added(self, name: str, addrinfo: tuple[str, Any]) -> None:
        """Called when a service has been registered that was not; for subclasses."""

    def on_service_removed(self, name: str, addrinfo: tuple[str, Any]) -> None:
        """Called when a service has been unregistered, or was silent for too long; for subclasses."""

    def start(self) -> None:
        """Serve until `close` is called by another thread, or Ctrl-C is pressed."""
        if self.active:
            raise ValueError("this registry runs already")
        self.active = True
        self.logger.debug("server started on %s:%s", self.host, self.port)
        try:
            self._server.serve()
        except KeyboardInterrupt:
            self.logger.warning("keyboard interrupt!")
        finally:
            self.active = False
            self._server.close()
            self.logger.debug("server closed")

    def close(self) -> None:
        """Stop.

        Raises:
            ValueError: When it does not run.
        """
        if not self.active:
            raise ValueError("this registry does not run, so it cannot be closed")
        self._server.stop()


class UDPRegistryServer(RegistryServer):
    """A registry that is asked by datagrams; see `RegistryServer`."""

    mode = "udp"

    def __init__(
        self,
        host: str = "0.0.0.0",  # noqa: S104 - RPyC's default; a registry is for a network
        port: int = REGISTRY_PORT,
        pruning_timeout: float | None = None,
        logger: logging.Logger | None = None,
        allow_listing: bool = False,
    ) -> None:
        super().__init__(host, port, pruning_timeout, logger, allow_listing)


class TCPRegistryServer(RegistryServer):
    """A registry that is asked over connections; see `RegistryServer`. The port is always reusable."""

    mode = "tcp"

    def __init__(
        self,
        host: str = "0.0.0.0",  # noqa: S104 - RPyC's default; a registry is for a network
        port: int = REGISTRY_PORT,
        pruning_timeout: float | None = None,
        logger: logging.Logger | None = None,
        reuse_addr: bool = True,  # noqa: ARG002 - RPyC's
        allow_listing: bool = False,
    ) -> None:
        super().__init__(host, port, pruning_timeout, logger, allow_listing)


class RegistryClient:
    """Asks a registry. One that does not answer knows nothing, as with RPyC: `()`, `False`.

    Args:
        ip: Where the registry is.
        port: Its port.
        timeout: Seconds to wait for an answer.
        logger: Where messages go.
    """

    REREGISTER_INTERVAL = 60
    _kind: ClassVar[type[_Client]]

    def __init__(self, ip: str, port: int, timeout: float, logger: logging.Logger | None = None) -> None:
        self.ip = ip
        self.port = port
        self.timeout = timeout
        self.logger = logger or logging.getLogger(f"REGCLNT/{self._kind.mode.upper()}/{port}")

    def _client(self, interface: str = "") -> _Client:
        there = [RegistryAddress(self.ip, self.port)]
        return self._kind(there, timeout=self.timeout, interface="" if interface in ("0.0.0.0", "::") else interface)  # noqa: S104 - compared

    def discover(self, name: str) -> tuple[tuple[str, Any], ...]:
        """Return who offers a service, as (host, port)."""
        try:
            return tuple((server.host, server.port) for server in self._client().discover(name))
        except NoAnswerError as error:
            self.logger.debug("%s", error)
            return ()

    def list(self, filter_host: str | None = None) -> tuple[str, ...] | None:
        """Return the names of all services, or `None` where the registry does not tell.

        Args:
            filter_host: Only those registered from this address.
        """
        try:
            return self._client().list(filter_host)
        except ListingRefusedError:
            return None
        except NoAnswerError as error:
            self.logger.debug("%s", error)
            return ()

    def register(self, aliases: Iterable[str], port: int | str, interface: str = "") -> bool:
        """Register services of this host.

        Args:
            aliases: Their names.
            port: Where they are.
            interface: The own address to do it from.

        Returns:
            Whether the registry has confirmed.
        """
        try:
            self._client(interface).register(aliases, port)
        except NoAnswerError as error:
            self.logger.warning("%s has not confirmed a registration: %s", self._client().urls, error)
            return False
        return True

    def unregister(self, port: int | str) -> None:
        """Take back what was registered at a port."""
        try:
            self._client().unregister(port)
        except NoAnswerError as error:
            self.logger.debug("%s", error)


class UDPRegistryClient(RegistryClient):
    """Asks by datagrams, by broadcast unless told otherwise.

    Args:
        ip: Where the registry is.
        port: Its port.
        timeout: Seconds to wait for an answer.
        bcast: No effect: an address with 255 in it is one of broadcasts.
        logger: Where messages go.
        ipv6: No effect: the address tells.
    """

    _kind = UdpRegistryClient

    def __init__(
        self,
        ip: str = "255.255.255.255",
        port: int = REGISTRY_PORT,
        timeout: float = 2,
        bcast: bool | None = None,  # noqa: ARG002 - RPyC's
        logger: logging.Logger | None = None,
        ipv6: bool = False,  # noqa: ARG002 - RPyC's
    ) -> None:
        super().__init__(ip, port, timeout, logger)


class TCPRegistryClient(RegistryClient):
    """Asks over connections; see `RegistryClient`."""

    _kind = TcpRegistryClient

    def __init__(
        self, ip: str, port: int = REGISTRY_PORT, timeout: float = 2, logger: logging.Logger | None = None
    ) -> None:
        super().__init__(ip, port, timeout, logger)
