"""Connecting to a service by its name, wherever a registry says it is (spec/rpyc.md section 22)."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from anycore.discovery.client import RegistryClient, UdpRegistryClient
from anycore.rpyc.connecting import connect, unix_connect
from anycore.rpyc.service import VoidService
from anycore.wire.registry import Server

if TYPE_CHECKING:
    from anycore.objects.connection import Connection

_log = logging.getLogger("anycore.discovery")


class DiscoveryError(Exception):
    """No registry knows a server of that name, or none of those that it knows can be connected to."""


def discover(
    name: str, host: str | None = None, registrar: RegistryClient | None = None, timeout: float = 2.0
) -> list[Server]:
    """Return where a service is offered, the server that has been there longest first.

    Args:
        name: The service, in upper or lower case.
        host: Only servers on this host: a name or an address.
        registrar: Knows the registries; a broadcast finds one when left out.
        timeout: Seconds to wait for answers, when `registrar` is left out.

    Raises:
        DiscoveryError: When nobody offers it.
        NoAnswerError: When no registry answers.
    """
    client = registrar if registrar is not None else UdpRegistryClient(timeout=timeout)
    found = list(client.discover(name))
    if not found:
        message = (
            f"{client.urls} knows no server of {name.upper()}; check the name, and that a server has registered it"
        )
        raise DiscoveryError(message)
    if host is None:
        return found
    addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    there = [server for server in found if server.host in addresses]
    if not there:
        elsewhere = ", ".join(sorted({server.host for server in found}))
        message = f"{client.urls} knows no server of {name.upper()} on {host}, but on {elsewhere}"
        raise DiscoveryError(message)
    return there


def list_services(
    registrar: RegistryClient | None = None, filter_host: str | None = None, timeout: float = 2.0
) -> tuple[str, ...]:
    """Return the names of all services that registries know.

    Args:
        registrar: See `discover`.
        filter_host: Only those of this address.
        timeout: See `discover`.

    Raises:
        ListingRefusedError: When no registry that has answered allows it.
        NoAnswerError: When no registry answers.
    """
    client = registrar if registrar is not None else UdpRegistryClient(timeout=timeout)
    return client.list(filter_host)


def connect_by_service(
    name: str,
    host: str | None = None,
    registrar: RegistryClient | None = None,
    timeout: float = 2.0,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
) -> Connection:
    """Connect to the first server of a service that can be connected to.

    Args:
        name: See `discover`.
        host: See `discover`.
        registrar: See `discover`.
        timeout: See `discover`.
        service: What the server may reach at this end: a class, made for this connection, or an instance.
        config: Keys of the configuration that differ from the defaults.

    Raises:
        DiscoveryError: When nobody offers it, or none that does can be connected to.
        NoAnswerError: When no registry answers.
    """
    reasons: list[str] = []
    for server in discover(name, host, registrar, timeout):
        try:
            return _connect(server, service, config)
        except (OSError, EOFError) as error:
            _log.info("%s: %s:%s cannot be connected to: %s", name, server.host, server.port, error)
            reasons.append(f"{server.host}:{server.port}: {error}")
    message = f"none of the servers of {name.upper()} can be connected to: {'; '.join(reasons)}"
    raise DiscoveryError(message)


def _connect(server: Server, service: type | object, config: dict[str, Any] | None) -> Connection:
    if isinstance(server.port, str):
        return unix_connect(server.port, service, config)
    return connect(server.host, server.port, service, config, ipv6=":" in server.host)
