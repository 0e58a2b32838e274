"""What the table `[authentication]` must fulfil. Whether a password file can be read is seen when the server starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anycore.identity.proxy import Proxies
from anycore.identity.settings import AuthenticationSettings
from anycore.settings.origins import default
from anycore.settings.problems import did_you_mean
from anycore.settings.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anycore.settings.origins import Origin
    from anycore.settings.tables import Settings

AUTHENTICATORS: Final = (
    "certificate",
    "session",
    "token",
    "password",
    "unix",
    "proxy",
    "machine",
    "plugin",
    "anonymous",
)
"""The names that `chain` may have."""
_FIELD: Final = re.compile(r"[A-Za-z0-9-]+\Z")
_FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")
_REALM: Final = re.compile(r"[ !#-\[\]-~]+\Z")  # what needs no escape within quotes (RFC 9110 section 5.6.4)


def check_authentication(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Add what is wrong with the table `[authentication]` to the problems.

    Args:
        settings: All settings.
        origins: Where each came from, by path.
        problems: What is wrong so far.
    """
    table = settings.authentication

    def refuse(name: str, reason: str) -> None:
        path = f"authentication.{name}"
        problems.append(f"{origins.get(path, default(path)).place}: {reason}")

    for name in table.chain:
        if name not in AUTHENTICATORS:
            refuse("chain", f"nothing is called {shown(name)}; {did_you_mean(name, AUTHENTICATORS)}")
    if len(set(table.chain)) != len(table.chain):
        refuse("chain", "a name stands there twice; remove one of them")
    if "anonymous" in table.chain[:-1]:
        refuse("chain", "anonymous is the end of the chain: whoever comes to it gets in; write it last")
    usual = table.chain == AuthenticationSettings().chain
    if not usual and "password" in table.chain and not table.password_file:
        refuse(
            "chain", "password needs users; make a file with `anycore passwd FILE USER`, and name it in password_file"
        )
    if table.password_file and not Path(table.password_file).is_file():
        refuse("password_file", f"there is no file {table.password_file}; make it with `anycore passwd FILE USER`")
    if table.password_file and "password" not in table.chain:
        refuse("password_file", "nobody reads it, as password is not in the chain; add it there, or remove this")
    if table.machine_password and not table.machine_password.startswith("$argon2id$"):
        refuse("machine_password", "this is no argon2id hash; copy one from a password file made with `anycore passwd`")
    if not _REALM.match(table.realm):
        refuse("realm", f"{shown(table.realm)} cannot be sent; use printable ASCII without quotes and backslashes")
    _check_proxies(settings, refuse)
    for index, listener in enumerate(settings.listen):
        path = f"listen[{index}].authenticator"
        if not listener.authenticator:
            continue
        place = origins.get(path, default(path)).place
        if not _FUNCTION.match(listener.authenticator):
            problems.append(f"{place}: expected module:name of a function, got {shown(listener.authenticator)}")
        elif not listener.url.startswith(("rpyc://", "unix+rpyc://")):
            problems.append(f"{place}: {listener.url} has no place for it; it is for rpyc:// and unix+rpyc://")


def _check_proxies(settings: Settings, refuse: Callable[[str, str], None]) -> None:
    table = settings.authentication
    fields = {name: getattr(table, name) for name in ("proxy_user", "proxy_groups", "proxy_dn")}
    for name, field in (("proxy_address", table.proxy_address), *fields.items()):
        if field and not _FIELD.match(field):
            refuse(name, f"{shown(field)} is no name of a header field; use letters, digits and hyphens")
    try:
        Proxies(table.proxies)
    except ValueError as error:
        refuse("proxies", f"{error}; write addresses, networks such as 192.0.2.0/24, or unix")
    if "proxy" in table.chain:
        if not table.proxies:
            refuse("chain", "proxy believes proxies that are listed; list them in proxies")
        if not (table.proxy_user or table.proxy_dn):
            refuse("chain", "proxy needs a header field with the caller's name; set proxy_user or proxy_dn")
    elif any(fields.values()):
        first = next(name for name, field in fields.items() if field)
        refuse(first, "nobody asks proxies, as proxy is not in the chain; add it there, or remove this")
    if table.proxy_address != AuthenticationSettings().proxy_address and not table.proxies:
        refuse("proxy_address", "no proxy is believed; list yours in proxies, or remove this")
