"""Subjects: whom a rule concerns. How they are written, and which of them a caller is.

*                 everybody                        anonymous         who has not shown who it is
local             who calls from this machine      authenticated     who has
net:10.0.0.0/8    an address or a network          kind:certificate  who has shown it so
user:bob          the name of the identity         group:ops         a group
cn:alice, dns:host.example.org, email:..., ...     further names of the identity
dn:/DC=org/OU=Physics                              the subject of a certificate, and all below in its hierarchy
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anycore.kernel.call import Identity

EVERYBODY: Final = "*"
LOCAL: Final = "local"
_WORDS: Final = (EVERYBODY, "anonymous", "authenticated", LOCAL)
_FORM: Final = re.compile(r"([a-z][a-z0-9-]*):(.+)\Z", re.DOTALL)
NAMES: Final = ("cn", "dns", "email", "ip", "uri", "uuid")
"""The kinds of further names of an identity."""
_KINDS: Final = ("net", "user", "group", "dn", "kind", *NAMES)
_COMPONENT: Final = re.compile(r"/(?=[A-Za-z][A-Za-z0-9.-]*=|[0-9]+(?:\.[0-9]+)+=)")
EXAMPLES: Final = (
    '"*", "anonymous", "authenticated", "local", "net:10.0.0.0/8", "user:bob", "group:ops", "cn:alice" or "dn:/DC=org"'
)


def read_subject(text: str) -> str:
    """Return a subject as it is compared: networks with their host bits gone.

    Args:
        text: The subject as it was written.

    Raises:
        ValueError: When it is none; the message says what was expected.
    """
    if text in _WORDS:
        return text
    found = _FORM.match(text)
    if found is None or found[1] not in _KINDS:
        message = f"expected {EXAMPLES}"
        raise ValueError(message)
    kind, value = found.groups()
    if kind == "net":
        return f"net:{_network(value)}"
    if kind == "dn":
        return f"dn:{_prefix(value)}"
    return _compared(text)


def _compared(name: str) -> str:
    """Return a name as it is compared: those of hosts without regard to case (RFC 4343), and likewise mail addresses and UUIDs."""
    return name.lower() if name.startswith(("dns:", "email:", "uuid:")) else name


def _is_name(name: str) -> bool:
    """Tell whether an identity's further name is of a kind that may be one, and not, say, a group."""
    return name.partition(":")[0] in NAMES


def _network(value: str) -> IPv4Network | IPv6Network:
    try:
        found = ip_network(value, strict=False)
    except ValueError:
        message = "expected an address or a network; write e.g. net:10.0.0.0/8 or net:2001:db8::/32"
        raise ValueError(message) from None
    if isinstance(found, IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped is not None:
        return IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


def _prefix(value: str) -> str:
    if value == "/":
        return value
    if not _COMPONENT.match(value) or value.endswith("/"):
        message = "expected the beginning of a distinguished name in slash form; write e.g. dn:/DC=org/OU=Physics"
        raise ValueError(message)
    return value


def prefixes(dn: str) -> list[str]:
    """Return a distinguished name and all that it is below of, down to `/`; nothing for an empty one.

    It is cut only where a component begins, so that `/CN=host` is not the beginning of `/CN=host/www.example.org`.

    Args:
        dn: A distinguished name in slash form.
    """
    if not dn:
        return []
    cuts = [found.start() for found in _COMPONENT.finditer(dn)]
    return ["/", *(dn[:cut] for cut in cuts[1:]), dn]


def subjects_of(identity: Identity, groups: Iterable[str]) -> frozenset[str]:
    """Return the subjects that an identity is, apart from those of its address.

    Args:
        identity: The identity.
        groups: The groups it is in, besides its own.
    """
    found = {EVERYBODY, f"kind:{identity.kind}"}
    if identity.kind == "anonymous":
        found.add("anonymous")
    elif identity.kind != "unidentified":
        found |= {"authenticated", f"user:{identity.name}"}
        found.update(map(_compared, filter(_is_name, identity.names)))
        found.update(f"dn:{prefix}" for prefix in prefixes(identity.dn))
        found.update(f"group:{name}" for name in identity.groups)
        found.update(f"group:{name}" for name in groups)
    return frozenset(found)


def of_address(subject: str) -> bool:
    """Tell whether an address alone says whether a caller is a subject."""
    return subject in (EVERYBODY, LOCAL) or subject.startswith("net:")


class Networks:
    """Finds the networks that an address is in, among any number of them.

    Args:
        subjects: Subjects, of which those of networks are taken.
    """

    def __init__(self, subjects: Iterable[str]) -> None:
        self._known: dict[tuple[int, int], dict[int, str]] = {}
        for subject in subjects:
            if subject.startswith("net:"):
                network = ip_network(subject[4:])
                shift = network.max_prefixlen - network.prefixlen
                known = self._known.setdefault((network.version, shift), {})
                known[int(network.network_address) >> shift] = subject

    def __bool__(self) -> bool:
        return bool(self._known)

    def of(self, host: str) -> tuple[str, ...]:
        """Return the subjects that an address is.

        Args:
            host: The address in text form, with a zone or without; what is none is in no network.
        """
        address = parse_address(host)
        if address is None:
            return ()
        version, number = address.version, int(address)
        return tuple(
            known[number >> shift]
            for (kind, shift), known in self._known.items()
            if kind == version and number >> shift in known
        )


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return an address, one of IPv4 that was mapped into IPv6 as what it is; None for what is no address.

    Args:
        host: The address in text form.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
