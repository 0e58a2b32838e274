"""Where a registry is, and how people write that. Nothing is resolved or connected here."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from anycore.wire.rpyc_constants import REGISTRY_PORT

DEFAULT_PORT: Final = REGISTRY_PORT
"""Where registries listen unless told otherwise, both with UDP and TCP."""
BROADCAST: Final = "255.255.255.255"
"""Every machine of the local network; the registry of it answers. UDP only."""

_ADDRESS: Final = re.compile(r"(?:\[(?P<bracketed>[^\[\]\s]+)\]|(?P<plain>[^:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")


class RegistryAddress(msgspec.Struct, frozen=True):
    """Where a registry is.

    Args:
        host: A name, an IPv4 or an IPv6 address; for UDP also a broadcast or multicast address.
        port: Its port.
    """

    host: str = BROADCAST
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str, port: int = DEFAULT_PORT) -> RegistryAddress:
        """Read an address as people write it: `host`, `host:port`, `fe80::1` or `[fe80::1]:port`.

        Args:
            text: The address.
            port: The port when the text has none.

        Raises:
            ValueError: It is none of these.
        """
        if text.count(":") > 1 and "[" not in text:
            return cls(text, port)
        found = _ADDRESS.fullmatch(text)
        number = int(found["port"] or port) if found else 0
        if found is None or not 0 < number < 65536:
            raise ValueError(f"{text!r} is no address of a registry; write HOST, HOST:PORT or [IPV6]:PORT")
        return cls(found["bracketed"] or found["plain"], number)

    @property
    def is_broadcast(self) -> bool:
        """Whether several registries may answer: a host with 255 among its parts, or an address of a multicast group."""
        if "255" in self.host.split("."):
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_multicast
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
