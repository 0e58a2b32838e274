"""Puts one question to several registries at once, within one time. What is asked and what answers mean is in `client`."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from anycore.discovery.address import RegistryAddress
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.rpyc_constants import MAX_LIST_DATAGRAM

T = TypeVar("T")
Decode: TypeAlias = Callable[[bytes], T]
SocketAddress: TypeAlias = Any  # (host, port) for IPv4, with flow and scope for IPv6

_CURE: Final = "check the address, the mode, and that the registry runs"


class Answers(Generic[T]):
    """What came back.

    Attributes:
        given: The answers with who gave them, in the order of their arrival.
        failures: Why others gave none.
    """

    def __init__(self) -> None:
        self.given: list[tuple[RegistryAddress, T]] = []
        self.failures: dict[RegistryAddress, str] = {}


def ask(
    kind: type[Exchange],
    registries: Sequence[RegistryAddress],
    question: bytes,
    decode: Decode[T],
    *,
    timeout: float,
    interface: str = "",
) -> Answers[T]:
    """Put a question to registries.

    Each of them is done with its first answer. Where several may answer, at a broadcast address, the first one that says
    something, that is not empty, will do; the others are waited for as long as there is time.

    Args:
        kind: `UdpExchange` or `TcpExchange`.
        registries: Who is asked. All addresses of a host name are tried.
        question: The datagram.
        decode: Reads an answer, or raises RemoteProtocolError; what it does not take is waited out.
        timeout: Seconds for all of it; host names that take their time to resolve come on top.
        interface: The own address to ask from.
    """
    answers: Answers[T] = Answers()
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for registry in registries:
            for address in _resolve(kind.kind, registry, interface, answers.failures):
                try:
                    exchange = kind(registry, address, question, selector)
                except OSError as error:  # a host name may have addresses of a family that this machine lacks
                    answers.failures[registry] = _reason(error)
                    continue
                stack.callback(exchange.close)
                with _noting(exchange, answers.failures):
                    exchange.start(interface)
        deadline = time.monotonic() + timeout
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if selector.get_map().get(key.fd) is key:  # an answer ends the exchanges with other addresses of a host
                    _receive(key.data, selector, decode, answers)
        for key in selector.get_map().values():
            answers.failures.setdefault(key.data.registry, f"no answer within {timeout:g} s; {_CURE}")
    return answers


def _receive(exchange: Exchange, selector: selectors.BaseSelector, decode: Decode[T], answers: Answers[T]) -> None:
    with _noting(exchange, answers.failures):
        data = exchange.ready()
        if data is None:
            return
        with contextlib.suppress(RemoteProtocolError):
            answer = decode(data)
            answers.given.append((exchange.registry, answer))
            if answer or not exchange.registry.is_broadcast:
                for key in list(selector.get_map().values()):
                    if key.data.registry == exchange.registry:
                        key.data.close()


@contextlib.contextmanager
def _noting(exchange: Exchange, failures: dict[RegistryAddress, str]) -> Any:
    try:
        yield
    except OSError as error:
        failures[exchange.registry] = _reason(error)
        exchange.close()


def _resolve(
    kind: socket.SocketKind, registry: RegistryAddress, interface: str, failures: dict[RegistryAddress, str]
) -> list[tuple[socket.AddressFamily, SocketAddress]]:
    try:
        family = socket.AF_UNSPEC
        if interface:
            family = socket.getaddrinfo(interface, None, type=kind)[0][0]
        found = socket.getaddrinfo(registry.host, registry.port, family, kind)
    except (OSError, UnicodeError) as error:
        failures[registry] = f"the host's name cannot be resolved ({error}); check its spelling"
        return []
    return [(entry[0], entry[4]) for entry in found]


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens there ({error.strerror}); {_CURE}"
    return error.strerror or str(error)


class Exchange(ABC):
    """One question to one address.

    Args:
        registry: Who is asked, as the user named it.
        address: Its family and socket address.
        question: The datagram.
        selector: Where it waits.
    """

    kind: ClassVar[socket.SocketKind]

    def __init__(
        self,
        registry: RegistryAddress,
        address: tuple[socket.AddressFamily, SocketAddress],
        question: bytes,
        selector: selectors.BaseSelector,
    ) -> None:
        self.registry = registry
        self._address = address[1]
        self._question = question
        self._selector = selector
        self._socket = socket.socket(address[0], self.kind)
        self._socket.setblocking(False)

    def start(self, interface: str) -> None:
        """Begin.

        Args:
            interface: The own address to ask from.

        Raises:
            OSError: It cannot be asked.
        """
        if interface:
            local = socket.getaddrinfo(interface, 0, self._socket.family, self.kind)[0][4]
            self._socket.bind(local)
        self._begin()

    def close(self) -> None:
        """End it, answered or not."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._socket)
        self._socket.close()

    @abstractmethod
    def _begin(self) -> None:
        """Send the question, or wait until that is possible."""

    @abstractmethod
    def ready(self) -> bytes | None:
        """Go on.

        Returns:
            All that has been received, when that may be the answer.

        Raises:
            OSError: It has failed.
        """


class UdpExchange(Exchange):
    """A datagram each way; several the other way from a broadcast address."""

    kind = socket.SOCK_DGRAM

    def _begin(self) -> None:
        if self.registry.is_broadcast and self._socket.family == socket.AF_INET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.sendto(self._question, self._address)
        self._selector.register(self._socket, selectors.EVENT_READ, self)

    def ready(self) -> bytes | None:
        """Take a datagram; only those from the port of registries count."""
        try:
            data, address = self._socket.recvfrom(MAX_LIST_DATAGRAM + 1)
        except BlockingIOError:
            return None
        # The address need not be the one that was asked: a host with several answers from the one that it prefers.
        return data if address[1] == self.registry.port else None


class TcpExchange(Exchange):
    """A connection: the question, then the answer, then the end."""

    kind = socket.SOCK_STREAM

    def _begin(self) -> None:
        self._received = b""
        self._asked = False
        code = self._socket.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._selector.register(self._socket, selectors.EVENT_WRITE, self)

    def ready(self) -> bytes | None:
        """Send the question, or take a piece of the answer."""
        if not self._asked:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._socket.send(self._question)  # less than the buffer of a new connection
            self._asked = True
            self._selector.modify(self._socket, selectors.EVENT_READ, self)
            return None
        try:
            piece = self._socket.recv(MAX_LIST_DATAGRAM + 1 - len(self._received))
        except BlockingIOError:
            return None
        if not piece:
            raise ConnectionResetError(
                errno.ECONNRESET, "the registry hung up without a whole answer; its log may say why"
            )
        self._received += piece
        return self._received
