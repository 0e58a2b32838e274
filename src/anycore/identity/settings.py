"""What can be set of authentication: the table `[authentication]`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_FILE = {"path": True}


class AuthenticationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[authentication]`: how the server finds out who calls.

    Args:
        chain: Who is asked who calls, in this order; the first that knows wins. Without anonymous, whoever presents nothing is refused.
        realm: What people are told they sign in to.
        certificate_name: What of a client certificate is its owner's name; the whole subject where it has no such name.
        password_file: The users and the hashes of their passwords, made with `anycore passwd`.
        cache_time: Seconds for which a password that was right is not checked again; 0 to check it with every call.
        checks: Passwords that are checked at once; each takes 64 MiB and a core while it is.
        attempts: Failed attempts of one address that cost nothing; those after them make it wait. 0 to let everybody guess.
        longest_wait: Seconds that an address or a user waits at most after failed attempts.
        machine_password: An argon2id hash of the password that every machine may use besides its own, as in a line of a password file.
        proxies: Addresses and networks of proxies that may say who called them, and from where; unix for those that come by a Unix socket.
        proxy_address: Header field in which a proxy names the caller's address; Forwarded as in RFC 7239, any other a list to which each proxy
            adds one at the end. Empty if none does.
        proxy_user: Header field in which a proxy gives the caller's name.
        proxy_groups: Header field in which a proxy gives the caller's groups, with commas between them.
        proxy_dn: Header field in which a proxy gives the subject of the caller's certificate.
    """

    chain: tuple[str, ...] = ("certificate", "session", "token", "password", "unix", "anonymous")
    realm: str = "anycore"
    certificate_name: Literal["common_name", "subject", "dns", "email", "uri"] = "common_name"
    password_file: Annotated[str, Meta(examples=["passwords"], extra=_FILE)] = ""
    cache_time: float = 300.0
    checks: int = 2
    attempts: int = 5
    longest_wait: float = 60.0
    machine_password: Annotated[str, Meta(examples=["$argon2id$..."])] = ""
    proxies: Annotated[tuple[str, ...], Meta(examples=["192.0.2.7"])] = ()
    proxy_address: Annotated[str, Meta(examples=["X-Forwarded-For", "Forwarded", "X-Real-IP"])] = "X-Forwarded-For"
    proxy_user: Annotated[str, Meta(examples=["X-Remote-User"])] = ""
    proxy_groups: Annotated[str, Meta(examples=["X-Remote-Groups"])] = ""
    proxy_dn: Annotated[str, Meta(examples=["X-SSL-Client-DN"])] = ""
