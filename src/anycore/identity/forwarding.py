"""Where a request came from that a proxy has sent on: who is believed, and what the address of everybody else's requests is worth.

A proxy on this machine comes from this machine, whoever called it. So a request that came by a proxy is never one of this machine: neither by
a listed proxy, which names the caller's address in a field (`forwarded` reads it), nor by one that only shows by the fields of proxies.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.identity.forwarded import FORWARDED, named_in_forwarded, named_in_list
from anycore.identity.proxy import UNIX, Proxies
from anycore.kernel.call import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger("anycore.identity")

PROXY_FIELDS: Final = ("x-forwarded-for", FORWARDED, "x-real-ip", "via", "x-forwarded-host", "x-forwarded-proto")
"""Fields that proxies add, and hardly anybody else."""
_QUIET_SECONDS: Final = 600.0


class Forwarding:
    """Says who has sent a request: the other end of the connection, or somebody in whose name a proxy has sent it on.

    Args:
        proxies: Addresses and networks of the proxies that are believed; `unix` for those that come by a Unix socket.
        field: The field in which they name the address: `Forwarded` as in RFC 7239, any other a list of addresses with commas between them, to
            which each proxy adds one at the end, as in `X-Forwarded-For` and `X-Real-IP`. Empty if they name none.
        names: The fields in which they say who the caller is, in lower case.
        clock: Returns the time in seconds.

    Raises:
        ValueError: One of the proxies is none.
    """

    def __init__(
        self,
        proxies: Sequence[str] = (),
        field: str = "X-Forwarded-For",
        names: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._quiet_until = -_QUIET_SECONDS
        self.rules = Rules(proxies, field, names)

    def sender(self, peer: Peer, headers: dict[str, str]) -> Peer:
        """Return who has sent a request.

        Args:
            peer: The other end of the connection.
            headers: The request's header fields, names in lower case.

        Raises:
            ForwardedError: A listed proxy has sent it, and the field in which it names the address makes no sense.
        """
        rules = self.rules
        if rules.listed and not peer.proxy and peer in rules.proxies:
            return self._spoken_for(rules, peer, headers)
        if peer.local and not headers.keys().isdisjoint(rules.marks):
            return self._unlisted(rules, peer, headers)
        return peer

    def _spoken_for(self, rules: Rules, peer: Peer, headers: dict[str, str]) -> Peer:
        """Return who has sent what a listed proxy sends on. The proxy's own certificate and user are not the caller's."""
        by = peer.host or UNIX
        value = headers.get(rules.field) if rules.field else None
        if value is None:
            if rules.field:
                self._say(
                    "the proxy %s names no address in %s; let it do so, or set proxy_address to what it uses; until then, to"
                    " everything that goes by address its callers are where it is itself, and never on this machine",
                    by,
                    rules.spelled,
                )
            return Peer(peer.transport, peer.host, peer.port, peer.tls, local=False, proxy=by)
        host, port = rules.read(value, rules.proxies)
        return Peer("tcp", host, port, peer.tls, local=False, proxy=by)

    def _unlisted(self, rules: Rules, peer: Peer, headers: dict[str, str]) -> Peer:
        """Return a peer of this machine that sends on what others have sent it, without being listed as a proxy."""
        found = next(name for name in (*PROXY_FIELDS, *sorted(rules.marks)) if name in headers)
        by = peer.host or UNIX
        self._say(
            "%s has sent on a request for somebody else (it has the field %s), and is none of the proxies; so its callers do not"
            ' count as callers on this machine; if it is a proxy of yours, set proxies = ["%s"] in [authentication]',
            peer,
            found,
            by,
        )
        return msgspec.structs.replace(peer, local=False, uid=None, gid=None, pid=None)

    def _say(self, message: str, *about: object) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            _log.warning(message, *about)


class Rules:
    """Who is believed, and how fields are read. Never changed: other settings are another object, so that threads see all of it or none.

    Args:
        proxies: See `Forwarding`.
        field: Likewise.
        names: Likewise.
    """

    def __init__(self, proxies: Sequence[str], field: str, names: Sequence[str]) -> None:
        self.proxies = Proxies(proxies)
        self.listed = bool(proxies)
        self.spelled = field
        self.field = field.lower()
        self.read = named_in_forwarded if self.field == FORWARDED else named_in_list
        self.names = tuple(names)
        self.marks = frozenset({*PROXY_FIELDS, self.field} - {""})
