"""The datagrams of RPyC's registry: what is asked and what is answered. Who is registered is not known here.

Source: the registry of RPyC 4.1 to 6.0 as seen on the wire. A request is one brine value ("RPYC", command, arguments), a
reply is one brine value; over UDP each is a datagram, over TCP what comes in one piece. The host that registers is never in
the datagram: it is where that came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from anycore.wire import brine
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.rpyc_constants import MAX_DATAGRAM, MAX_LIST_DATAGRAM

Port: TypeAlias = int | str

_MAGIC: Final = "RPYC"
_DONE: Final = "OK"
_MAX_PORT: Final = 65535
_DEPTH: Final = 4
_DIGITS: Final = 6
_TUPLE_HEAD: Final = 5  # bytes, at most


class Query(msgspec.Struct, frozen=True):
    """Who offers a service? The answer is a tuple of `Server`, the one that has been there longest first.

    Args:
        name: The service, in upper case.
    """

    name: str


class ListNames(msgspec.Struct, frozen=True):
    """Which services are there? The answer is a tuple of names, or None where listing is not allowed.

    Args:
        host: Only those registered from this address; None for all.
    """

    host: str | None = None


class Register(msgspec.Struct, frozen=True):
    """The sender offers these services.

    Args:
        names: The services, in upper case.
        port: Where: a TCP port, or the path of a Unix socket.
    """

    names: tuple[str, ...]
    port: Port


class Unregister(msgspec.Struct, frozen=True):
    """The sender offers nothing any more at this port; clients do not wait for the answer.

    Args:
        port: As registered.
    """

    port: Port


class Server(msgspec.Struct, frozen=True):
    """One answer to a query: where a service is offered.

    Args:
        host: The address.
        port: A TCP port, or the path of a Unix socket.
    """

    host: str
    port: Port


Request: TypeAlias = Query | ListNames | Register | Unregister


def encode_request(request: Request) -> bytes:
    """Encode a request into a datagram.

    Raises:
        LocalProtocolError: It does not fit into one.
    """
    arguments: tuple[Any, ...]
    if isinstance(request, Query):
        command, arguments = "QUERY", (request.name,)
    elif isinstance(request, ListNames):
        command, arguments = "LIST", ((request.host,),)
    elif isinstance(request, Register):
        command, arguments = "REGISTER", (request.names, request.port)
    else:
        command, arguments = "UNREGISTER", (request.port,)
    data = brine.dump((_MAGIC, command, arguments))
    if len(data) > MAX_DATAGRAM:
        raise LocalProtocolError(
            f"{command} takes {len(data)} bytes, and a datagram has {MAX_DATAGRAM}; use fewer names"
        )
    return data


def decode_request(data: bytes) -> Request:
    """Decode a datagram of a client. Names come out in upper case, as the registry compares them.

    Raises:
        RemoteProtocolError: It is no request; the registry drops it without an answer.
    """
    value = _load(data, MAX_DATAGRAM)
    if type(value) is not tuple or len(value) != 3 or value[0] != _MAGIC or type(value[1]) is not str:
        raise _refused(value, '("RPYC", command, arguments)')
    command = value[1].upper()
    reader = _READERS.get(command)
    if reader is None:
        raise _refused(command, "QUERY, LIST, REGISTER or UNREGISTER")
    count, read = reader
    arguments = value[2]
    if type(arguments) is not tuple or len(arguments) != count:
        raise _refused(arguments, f"{count} argument(s) for {command}")
    return read(*arguments)


def encode_servers(servers: Iterable[Server], *, max_size: int = MAX_DATAGRAM) -> bytes:
    """Encode the answer to a query: as many servers as fit into so many bytes, the first ones."""
    return _encode_fitting([(server.host, server.port) for server in servers], max_size)


def encode_names(names: Iterable[str] | None, *, max_size: int = MAX_LIST_DATAGRAM) -> bytes:
    """Encode the answer to a listing: as many names as fit into so many bytes, the first ones; None for a refusal."""
    return brine.dump(None) if names is None else _encode_fitting(list(names), max_size)


def encode_done() -> bytes:
    """Encode the answer to a registration or its end."""
    return brine.dump(_DONE)


def decode_servers(data: bytes) -> tuple[Server, ...]:
    """Decode the answer to a query.

    Raises:
        RemoteProtocolError: It is none.
    """
    value = _load(data, MAX_DATAGRAM)
    if type(value) is not tuple or not all(type(item) is tuple and len(item) == 2 for item in value):
        raise _refused(value, "a tuple of (host, port)")
    return tuple(Server(_name(host), _port(port)) for host, port in value)


def decode_names(data: bytes) -> tuple[str, ...] | None:
    """Decode the answer to a listing; None when the registry does not allow it.

    Raises:
        RemoteProtocolError: It is none.
    """
    value = _load(data, MAX_LIST_DATAGRAM)
    return None if value is None else _names(value)


def decode_done(data: bytes) -> None:
    """Check the answer to a registration.

    Raises:
        RemoteProtocolError: It is none.
    """
    value = _load(data, MAX_DATAGRAM)
    if value != _DONE:
        raise _refused(value, '"OK"')


def _encode_fitting(items: list[Any], max_size: int) -> bytes:
    room = max_size - _TUPLE_HEAD
    for count, item in enumerate(items):
        room -= len(brine.dump(item))
        if room < 0:
            return brine.dump(tuple(items[:count]))
    return brine.dump(tuple(items))


def _load(data: bytes, max_size: int) -> Any:
    if len(data) > max_size:
        raise RemoteProtocolError(
            f"a registry datagram of {len(data)} bytes; at most {max_size} are taken", PARSE_ERROR
        )
    return brine.load(data, max_depth=_DEPTH, max_items=max_size, max_digits=_DIGITS)


def _name(value: Any) -> str:
    if type(value) is not str or not value:
        raise _refused(value, "a name or an address")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if type(value) is not tuple:
        raise _refused(value, "a tuple of names")
    return tuple(map(_name, value))


def _port(value: Any) -> Port:
    if type(value) is int and 0 < value <= _MAX_PORT:
        return value
    if type(value) is str and value:
        return value
    raise _refused(value, f"a port from 1 to {_MAX_PORT} or the path of a Unix socket")


def _read_query(name: Any) -> Request:
    return Query(_name(name).upper())


def _read_list(filters: Any) -> Request:
    if type(filters) is not tuple or len(filters) != 1:
        raise _refused(filters, "a tuple of one address or None")
    return ListNames(None if filters[0] is None else _name(filters[0]))


def _read_register(names: Any, port: Any) -> Request:
    return Register(tuple(name.upper() for name in _names(names)), _port(port))


def _read_unregister(port: Any) -> Request:
    return Unregister(_port(port))


_READERS: Final[dict[str, tuple[int, Callable[..., Request]]]] = {
    "QUERY": (1, _read_query),
    "LIST": (1, _read_list),
    "REGISTER": (2, _read_register),
    "UNREGISTER": (1, _read_unregister),
}


def _refused(value: Any, expected: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"in a registry datagram, {repr(value)[:80]}; {expected} was expected", PARSE_ERROR)
