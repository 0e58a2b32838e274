"""The registry of RPyC's services: who offers what, where. Server, clients, and what keeps a server registered.

    table = LeaseTable()
    with RegistryServer(RegistryService(table, listing=True), host="127.0.0.1") as server:
        server.start()
        client = UdpRegistryClient(["127.0.0.1"])
        client.register(["ECHO"], 18861)
        client.discover("echo")

Wire-compatible both ways with the registry of RPyC 4.1 to 6.0; the datagrams are in `anycore.wire.registry`.
"""

from __future__ import annotations

from anycore.discovery.address import DEFAULT_PORT, RegistryAddress
from anycore.discovery.client import (
    ListingRefusedError,
    NoAnswerError,
    RegistryClient,
    TcpRegistryClient,
    UdpRegistryClient,
)
from anycore.discovery.registration import Registration
from anycore.discovery.registry import Change, Lease, LeaseTable, RegistryFullError, State
from anycore.discovery.server import RegistryServer
from anycore.discovery.service import RegistryService
from anycore.wire.registry import Server

__all__ = [
    "DEFAULT_PORT",
    "Change",
    "Lease",
    "LeaseTable",
    "ListingRefusedError",
    "NoAnswerError",
    "Registration",
    "RegistryAddress",
    "RegistryClient",
    "RegistryFullError",
    "RegistryServer",
    "RegistryService",
    "Server",
    "State",
    "TcpRegistryClient",
    "UdpRegistryClient",
]
