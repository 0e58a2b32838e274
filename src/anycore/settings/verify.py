"""What settings must fulfil beyond the type of each: cores that exist, listeners that can be opened and are safe.

Nothing is bound and no plugin is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from anycore.cores import core_names
from anycore.discovery.address import RegistryAddress
from anycore.settings.authentication import check_authentication
from anycore.settings.enrolment import check_enrolment
from anycore.settings.keys import of_section
from anycore.settings.origins import Origin, default
from anycore.settings.problems import did_you_mean
from anycore.settings.process import check_process
from anycore.settings.sessions import check_sessions
from anycore.settings.store import check_store_url
from anycore.settings.tables import ListenSettings, Settings
from anycore.settings.urls import ListenAddress
from anycore.settings.values import shown

_TLS: Final = ("certificate", "key", "client_ca", "crl")
_MODE: Final = re.compile(r"0?[0-7]{3}\Z")


def verify(settings: Settings, origins: Mapping[str, Origin] | None = None) -> list[str]:
    """Return all that is wrong with settings whose types are right, one sentence each.

    Args:
        settings: The settings.
        origins: Where each came from, by path; for messages.
    """
    found = origins or {}
    problems: list[str] = []
    core = settings.server.core
    if core not in core_names():
        place = found.get("server.core", default("server.core")).place
        problems.append(f"{place}: there is no core {core!r}; {did_you_mean(core, core_names())}")
    _check_stdio(settings, found, problems)
    _check_discovery(settings, found, problems)
    check_process(settings, found, problems)
    check_authentication(settings, found, problems)
    check_sessions(settings, found, problems)
    check_enrolment(settings, found, problems)
    check_store_url(settings, found, problems)
    taken: dict[ListenAddress, int] = {}
    for index, listener in enumerate(settings.listen):
        checked = _Listener(listener, index, found, problems)
        address = checked.address
        if address is not None and (address.port or address.path):
            bound = ListenAddress("", address.host, address.port, address.path)
            if taken.setdefault(bound, index) != index:
                checked.refuse("url", f"listen[{taken[bound]}] has that address already; give this one another port")
    return problems


def _check_stdio(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """The core stdio and the listeners that are standard input and output need each other."""
    alone = settings.server.core == "stdio"
    for index, listener in enumerate(settings.listen):
        path = f"listen[{index}].url"
        place = origins.get(path, default(path)).place
        given = listener.url.startswith("stdio+")
        if alone and not given:
            wanted = origins.get("server.core", default("")).assign(of_section("listen")["url"], "stdio+http:")
            problems.append(f"{place}: the core stdio serves standard input and output; write {wanted}, or stdio+rpyc:")
        elif given and not alone:
            cure = origins.get(path, default("")).assign(of_section("server")["core"], "stdio")
            problems.append(f"{place}: only the core stdio serves {listener.url}; write {cure}")
        elif given and index:
            problems.append(f"{place}: standard input and output are one connection; remove all listeners but one")
    if alone and not settings.listen:
        problems.append("the core stdio needs a listener that says what is spoken; write stdio+http: or stdio+rpyc:")


def _check_discovery(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Registries name services at a TCP port, and over TCP nobody answers a broadcast."""
    discovery = settings.discovery
    if not discovery.register:
        return

    def refuse(name: str, reason: str) -> None:
        path = f"discovery.{name}"
        problems.append(f"{origins.get(path, default(path)).place}: {reason}")

    if not any(listener.url.startswith(("rpyc://", "rpycs://")) for listener in settings.listen):
        refuse("register", "registries name RPyC services at a TCP port; add one with --listen rpyc://127.0.0.1:18812")
    if discovery.registry_mode == "tcp" and not discovery.registry:
        refuse("registry_mode", "there is no broadcast over TCP; name a registry with --registry HOST")
    for text in discovery.registry:
        try:
            RegistryAddress.parse(text)
        except ValueError as error:
            refuse("registry", str(error))


class _Listener:
    """The checks of one listener; `address` is None when its URL is wrong."""

    def __init__(
        self, listener: ListenSettings, index: int, origins: Mapping[str, Origin], problems: list[str]
    ) -> None:
        self.listener = listener
        self.index = index
        self.origins = origins
        self.problems = problems
        self.address: ListenAddress | None = None
        try:
            self.address = listener.address
        except ValueError as error:
            self.refuse("url", f"{shown(listener.url)}: {error}")
        if not _MODE.match(listener.mode):
            given = origins.get(f"listen[{index}].mode", default(""))
            cure = given.assign(of_section("listen")["mode"], "660")
            self.refuse("mode", f"expected three octal digits, got {shown(listener.mode)}; write e.g. {cure}")
        if self.address is not None:
            self._check_reach(self.address)
            self._check_certificate(self.address)
            self._check_clients()
        self._check_files()

    def refuse(self, name: str, reason: str) -> None:
        path = f"listen[{self.index}].{name}"
        self.problems.append(f"{self.origins.get(path, default(path)).place}: {reason}")

    def _assign(self, name: str, value: Any) -> str:
        """Return how to set another key of this listener, in the place where its URL was given."""
        url = self.origins.get(f"listen[{self.index}].url", default(""))
        return url.assign(of_section("listen")[name], value)

    def _check_reach(self, address: ListenAddress) -> None:
        if not address.local and not address.tls and not self.listener.insecure:
            safe = ListenAddress(address.safe_scheme, address.host).with_port(address.port)
            here = ListenAddress(address.scheme, "127.0.0.1").with_port(address.port)
            self.refuse(
                "url",
                f"{self.listener.url} can be reached from other machines and is not encrypted; write {safe} and"
                f" {self._assign('certificate', 'server.pem')}, or {here} for this machine only, or"
                f" {self._assign('insecure', value=True)} if the network may read and change everything",
            )

    def _check_certificate(self, address: ListenAddress) -> None:
        listener = self.listener
        if address.tls and not listener.certificate:
            self.refuse("certificate", f"{listener.url} needs one; write {self._assign('certificate', 'server.pem')}")
        if not address.tls:
            for name in _TLS:
                if getattr(listener, name):
                    cure = f"write {address.safe_scheme}:// there, or remove this" if address.host else "remove this"
                    self.refuse(name, f"{listener.url} does not use TLS; {cure}")

    def _check_clients(self) -> None:
        listener = self.listener
        wanted = listener.client_certificate
        if wanted == "off" and listener.client_ca:
            cure = self._assign("client_certificate", "required")
            self.refuse("client_ca", f"no client certificates are asked for; write {cure}, or remove this")
        if wanted == "off" and listener.crl:
            cure = self._assign("client_certificate", "required")
            self.refuse("crl", f"no client certificates are asked for; write {cure}, or remove this")
        if wanted != "off" and not listener.client_ca:
            cure = self._assign("client_ca", "ca.pem")
            self.refuse("client_certificate", f"nothing says whose certificates are accepted; write {cure}")

    def _check_files(self) -> None:
        for name in _TLS:
            file = getattr(self.listener, name)
            if file and not Path(file).is_file():
                self.refuse(name, f"there is no file {file}; write the path of a PEM file")
