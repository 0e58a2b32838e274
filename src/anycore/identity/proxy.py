"""What a proxy in front says of who called it: the authenticator. It is believed if the proxy is listed, and refused from anybody else.

Where a request came from, proxies say in other fields, which are `forwarding`'s.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.call import Credentials, Peer

UNIX: Final = "unix"
"""What stands in the list of proxies for those that come by a Unix socket."""
_LONGEST: Final = 1024
_NETWORKS_REMEMBERED: Final = 4096


class ProxyHeaders(msgspec.Struct, frozen=True):
    """The fields in which a proxy says who called it; an empty name for none.

    Args:
        user: The name.
        groups: Groups, with commas or spaces between them.
        dn: The subject of the certificate that it has verified, in slash form or as RFC 2253 has it.
    """

    user: str = ""
    groups: str = ""
    dn: str = ""

    def names(self) -> tuple[str, ...]:
        """Return the fields to look for, in lower case."""
        return tuple(name.lower() for name in (self.user, self.groups, self.dn) if name)


class Proxies:
    """The proxies that are believed.

    Args:
        listed: Addresses, networks, and `unix` for those that come by a Unix socket.

    Raises:
        ValueError: One of them is none of these.
    """

    def __init__(self, listed: Sequence[str]) -> None:
        self.unix = UNIX in listed
        self._networks = [ipaddress.ip_network(one) for one in listed if one != UNIX]
        self._known: dict[str, bool] = {}

    def __contains__(self, peer: Peer) -> bool:
        """Tell whether a peer is one of them, or came by one."""
        if peer.proxy:
            return self.has(peer.proxy)
        return self.has(peer.host) if peer.host else self.unix and peer.transport == "unix"

    def has(self, host: str) -> bool:
        """Tell whether an address is one of theirs; `unix` stands for a Unix socket.

        Args:
            host: The address in text form, with a zone or without.
        """
        if host == UNIX:
            return self.unix
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _NETWORKS_REMEMBERED:
                self._known.clear()
            known = self._known[host] = self._look(host)
        return known

    def _look(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


class ProxyAuthenticator(Authenticator):
    """Knows those whom a listed proxy vouches for.

    The proxy must remove these fields from what it is sent itself: here nobody can see who wrote them.

    Args:
        proxies: Who is believed.
        headers: The fields to read.
    """

    name = "proxy"
    presented_only = True

    def __init__(self, proxies: Proxies, headers: ProxyHeaders) -> None:
        self._proxies = proxies
        self._user, self._groups, self._dn = headers.user.lower(), headers.groups.lower(), headers.dn.lower()

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        """Say who calls; see `Authenticator.authenticate`."""
        if not credentials.proxied:
            return None
        if peer not in self._proxies:
            names = ", ".join(name for name, _ in credentials.proxied)
            message = (
                f"only a proxy may say who called it, and {peer} is none that this server knows; do not send {names}"
            )
            raise AuthenticationFault(message, kind="authentication-proxy")
        said = dict(credentials.proxied)
        user, dn = said.get(self._user, ""), _slashed(said.get(self._dn, ""))
        if not (user or dn):
            return None
        name = user or dn
        if len(name) > _LONGEST or not name.isprintable():
            message = "the proxy said a name that is too long, or cannot be printed"
            raise AuthenticationFault(message, kind="authentication-proxy")
        groups = said.get(self._groups, "").replace(",", " ").split()
        return Identity(name, "proxy", frozenset(groups), dn=dn)


def _slashed(dn: str) -> str:
    """Return a subject in slash form. RFC 2253 has the parts the other way round and with commas, as in `CN=Alice,DC=org`."""
    if not dn or dn.startswith("/"):
        return dn
    parts: list[str] = []
    escaped = False
    current = ""
    for letter in dn:
        if escaped:
            current, escaped = current + letter, False
        elif letter == "\\":
            escaped = True
        elif letter == ",":
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    parts.append(current.strip())
    return "".join(f"/{part}" for part in reversed(parts) if part)
