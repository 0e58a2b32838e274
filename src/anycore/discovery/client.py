"""Clients of a registry, over UDP and TCP: discover, list, register, unregister. Several registries may be given.

A registration carries no host: the registry takes the address that it comes from. On a machine with several, give the one
to be found at as `interface`, and the client sends from there. Behind NAT the registry sees the address of the router;
then the registry has to be on the same side as the server.

Source: RPyC 4.1 to 6.0 as seen on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, TypeVar

from anycore.clients.errors import TransportError
from anycore.discovery.address import BROADCAST, RegistryAddress
from anycore.discovery.asking import Answers, Exchange, TcpExchange, UdpExchange, ask
from anycore.wire.registry import (
    ListNames,
    Port,
    Query,
    Register,
    Request,
    Server,
    Unregister,
    decode_done,
    decode_names,
    decode_servers,
    encode_request,
)

T = TypeVar("T")


class NoAnswerError(TransportError):
    """None of the registries has answered. A registry is silent, too, about a request that it refuses."""


class ListingRefusedError(Exception):
    """The registry does not list its services; that is off unless its operator allows it. Discovery by name works."""


class RegistryClient:
    """What both clients do. Safe for threads: every question has sockets of its own.

    Args:
        registries: Where the registries are, as in `RegistryAddress.parse`. All are asked at the same time, and what they
            answer is put together.
        timeout: Seconds to wait for answers.
        interface: The own address to ask from, and thus to register; the system chooses one when left out.
    """

    mode: ClassVar[str]
    _exchange: ClassVar[type[Exchange]]

    def __init__(
        self, registries: Iterable[str | RegistryAddress], *, timeout: float = 2.0, interface: str = ""
    ) -> None:
        self.registries: Sequence[RegistryAddress] = tuple(
            RegistryAddress.parse(one) if isinstance(one, str) else one for one in registries
        )
        if not self.registries:
            raise ValueError("no registry was given; give the address of at least one")
        self.timeout = timeout
        self.interface = interface

    def discover(self, name: str) -> tuple[Server, ...]:
        """Return who offers a service, each once, the one that has been there longest first; none when nobody does.

        Args:
            name: The service, in upper or lower case.

        Raises:
            NoAnswerError: No registry has answered.
        """
        answers = self._ask(Query(name.upper()), decode_servers)
        return tuple(dict.fromkeys(server for _, servers in answers.given for server in servers))

    def list(self, host: str | None = None) -> tuple[str, ...]:
        """Return the names of all services.

        Args:
            host: Only those registered from this address; None for all.

        Raises:
            ListingRefusedError: No registry that has answered allows it.
            NoAnswerError: No registry has answered.
        """
        given = [names for _, names in self._ask(ListNames(host), decode_names).given]
        allowed = [names for names in given if names is not None]
        if not allowed:
            raise ListingRefusedError(
                f"{self.urls}: the registry does not list its services; start it with --listing, or look them up by name"
            )
        return tuple(dict.fromkeys(name for names in allowed for name in names))

    def register(self, names: Iterable[str], port: Port) -> tuple[RegistryAddress, ...]:
        """Register services at this host, for as long as the registry keeps them; see `Registration` for longer.

        Args:
            names: The services, in upper or lower case.
            port: A TCP port, or the path of a Unix socket.

        Returns:
            The registries that have confirmed, at least one.

        Raises:
            NoAnswerError: No registry has.
            LocalProtocolError: The names do not fit into a datagram.
        """
        return self._confirmed(Register(tuple(name.upper() for name in names), port))

    def unregister(self, port: Port) -> tuple[RegistryAddress, ...]:
        """Take back all that this host has registered at a port.

        Args:
            port: As registered.

        Returns:
            The registries that have confirmed, at least one.

        Raises:
            NoAnswerError: No registry has.
        """
        return self._confirmed(Unregister(port))

    @property
    def urls(self) -> str:
        """Where the registries are, for people."""
        return ", ".join(f"{self.mode}://{registry}" for registry in self.registries)

    def _confirmed(self, request: Request) -> tuple[RegistryAddress, ...]:
        answers = self._ask(request, _decode_confirmation)
        return tuple(dict.fromkeys(registry for registry, _ in answers.given))

    def _ask(self, request: Request, decode: Callable[[bytes], T]) -> Answers[T]:
        question = encode_request(request)
        answers = ask(self._exchange, self.registries, question, decode, timeout=self.timeout, interface=self.interface)
        if not answers.given:
            reasons = [f"{registry}: {reason}" for registry, reason in answers.failures.items()]
            message = answers.failures[self.registries[0]] if len(reasons) == 1 else "no answer; " + "; ".join(reasons)
            raise NoAnswerError(message, self.urls)
        return answers


class UdpRegistryClient(RegistryClient):
    """Asks registries by datagrams, by broadcast when none is given.

    Broadcasts reach the local network only, and those to 255.255.255.255 leave by one interface: that of `interface`, else
    of the default route. Of a broadcast the first answer that says something counts; when nothing is said, all of the
    time is waited. IPv6 has no broadcast: give addresses, or a multicast group such as ff02::1.

    Args:
        registries: As in `RegistryClient`.
        timeout: Seconds to wait for answers.
        interface: The own address to ask from.
    """

    mode = "udp"
    _exchange = UdpExchange

    def __init__(
        self,
        registries: Iterable[str | RegistryAddress] = (BROADCAST,),
        *,
        timeout: float = 2.0,
        interface: str = "",
    ) -> None:
        super().__init__(registries, timeout=timeout, interface=interface)


class TcpRegistryClient(RegistryClient):
    """Asks registries over connections of one question each.

    Args:
        registries: As in `RegistryClient`.
        timeout: Seconds to wait for answers.
        interface: The own address to ask from.
    """

    mode = "tcp"
    _exchange = TcpExchange


def _decode_confirmation(data: bytes) -> bool:
    decode_done(data)
    return True
