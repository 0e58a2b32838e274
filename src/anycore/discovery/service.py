"""What a registry answers: a datagram in, a datagram out. Sockets are in `server`, leases in `registry`.

Source: RPyC 4.1 to 6.0 as seen on the wire. What is no request is not answered at all; here it is counted besides. A
registry has no authentication: whoever can send to it can register, and unregister, for the address that it sends from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from anycore.discovery.registry import Change, LeaseTable, RegistryFullError, State
from anycore.kernel.call import Peer
from anycore.kernel.incidents import Incidents
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.registry import (
    ListNames,
    Query,
    Register,
    Request,
    decode_request,
    encode_done,
    encode_names,
    encode_servers,
)
from anycore.wire.rpyc_constants import MAX_LIST_DATAGRAM

_log = logging.getLogger("anycore.discovery")
_QUIET: Final = frozenset({State.REFRESHED})


class RegistryService:
    """Answers requests from a table of leases. Not safe for threads: the server's thread owns it.

    Args:
        table: The leases.
        listing: Whether everyone may list the names of all services.
        incidents: Where wrong datagrams and refused registrations are counted.
        on_change: Called with every change of a lease, in the server's thread; refreshed ones are many.
    """

    def __init__(
        self,
        table: LeaseTable,
        *,
        listing: bool = False,
        incidents: Incidents | None = None,
        on_change: Callable[[Change], object] | None = None,
    ) -> None:
        self.table = table
        self.listing = listing
        self.incidents = incidents or Incidents()
        self._on_change = on_change

    def answer_datagram(self, data: bytes, peer: Peer) -> bytes | None:
        """Answer the bytes of a datagram.

        Args:
            data: What came.
            peer: Where from.

        Returns:
            The answer, or None for silence.
        """
        try:
            request = decode_request(data)
        except RemoteProtocolError as error:
            self.refuse(peer, "registry-datagram", error.message)
            return None
        return self.answer(request, peer)

    def answer(self, request: Request, peer: Peer, *, max_list: int = MAX_LIST_DATAGRAM) -> bytes | None:
        """Answer a request.

        Args:
            request: What is asked.
            peer: Who asks; its address is what gets registered.
            max_list: How many bytes a list of names may take.

        Returns:
            The answer, or None for silence.
        """
        self.prune()
        host = plain_host(peer.host)
        if isinstance(request, Query):
            return encode_servers(self.table.servers(request.name))
        if isinstance(request, ListNames):
            return encode_names(self.table.names(request.host) if self.listing else None, max_size=max_list)
        if isinstance(request, Register):
            try:
                self._tell(self.table.register(host, request.names, request.port))
            except RegistryFullError as error:
                self.refuse(peer, "registry-full", str(error))
                return None
        else:
            self._tell(self.table.unregister(host, request.port))
        return encode_done()

    def prune(self) -> float | None:
        """Forget what has not been registered for too long.

        Returns:
            The seconds until that is due again, or None.
        """
        self._tell(self.table.prune())
        return self.table.next_end()

    def refuse(self, peer: Peer, kind: str, message: str) -> None:
        """Count a request that gets no answer.

        Args:
            peer: Who sent it.
            kind: What it is counted by.
            message: What was wrong with it.
        """
        self.incidents.note(peer, kind, message)

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            _log.log(logging.DEBUG if change.state in _QUIET else logging.INFO, "%s", change)
            if self._on_change is not None:
                try:
                    self._on_change(change)
                except Exception:  # noqa: BLE001 - a registry outlives those who watch it
                    _log.exception("what was to be told of %s failed", change)


def plain_host(host: str) -> str:
    """Return an address as a client can connect to it: IPv4 mapped into IPv6 (RFC 4291 2.5.5.2) becomes IPv4 again.

    Args:
        host: An address in text form.
    """
    mapped = host.removeprefix("::ffff:")
    return mapped if mapped != host and "." in mapped else host
