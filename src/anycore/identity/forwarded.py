"""The fields in which proxies name the address of whoever called them: `Forwarded` (RFC 7239), and lists such as `X-Forwarded-For`.

Both are read from the end. Each proxy adds the address of its own caller there, so the last one is true if the proxy that sent the request
tells the truth, the one before it if that is the address of another proxy that does, and so on. The first that is no proxy's is the caller's;
what stands before it, the caller may have written itself. Whom to believe is `forwarding`'s business.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from anycore.identity.proxy import Proxies

FORWARDED: Final = "forwarded"
_SHOWN: Final = 100
_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PAIR: Final = re.compile(
    rf"""[ \t]*+(?:({_TCHARS})=(?:({_TCHARS})|"((?:[^"\\]|\\.)*+)")[ \t]*+)?(;|,|\Z)""", re.DOTALL
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PORT: Final = re.compile(r"[0-9]{1,5}|_[A-Za-z0-9._-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,5}")


class ForwardedError(Exception):
    """A field names no address where it should.

    Args:
        message: What it has there.
    """


def named_in_list(value: str, proxies: Proxies) -> tuple[str, int]:
    """Read a list of addresses, with commas between them; each may have a port, and one of IPv6 may be in brackets.

    Args:
        value: The value of the field; of several, all, in their order, with commas between them.
        proxies: Who is believed.

    Returns:
        The address and the port of the caller; 0 where there is no port.

    Raises:
        ForwardedError: There is no address where the caller's should be.
    """
    return _caller((_address(one.strip(" \t")) for one in _backwards(value)), proxies)


def named_in_forwarded(value: str, proxies: Proxies) -> tuple[str, int]:
    """Read `Forwarded` (RFC 7239 section 4). It is read as a whole, as a quote in it may hide what stands after it.

    Args:
        value: The value of the field; of several, all, in their order, with commas between them.
        proxies: Who is believed.

    Returns:
        The address and the port of the caller; 0 where there is no port.

    Raises:
        ForwardedError: It is not what the grammar has, or there is no address where the caller's should be: also for `unknown`, and for a name
            that stands for an address (section 6.3).
    """
    return _caller(map(_node, reversed(_elements(value))), proxies)


def _caller(found: Iterable[tuple[str, int]], proxies: Proxies) -> tuple[str, int]:
    caller = "", 0
    for caller in found:
        if not proxies.has(caller[0]):
            break
    return caller  # where all of them are proxies, the first one has called


def _backwards(value: str) -> Iterator[str]:
    end = len(value)
    while end >= 0:
        start = value.rfind(",", 0, end)
        yield value[start + 1 : end]
        end = start


def _elements(value: str) -> list[str | None]:
    """Return what each element of `Forwarded` has as `for`."""
    found: list[str | None] = [None]
    position = 0
    while True:
        pair = _PAIR.match(value, position)
        if pair is None:
            raise ForwardedError(
                f"{value[position:][:_SHOWN]!r} is nothing that Forwarded may have (RFC 7239 section 4)"
            )
        name, token, quoted, end = pair.groups()
        if name is not None and name.lower() == "for":
            if found[-1] is not None:
                raise ForwardedError("Forwarded has two addresses in one element")
            found[-1] = token if quoted is None else _ESCAPE.sub(r"\1", quoted)
        if not end:
            return found
        if end == ",":
            found.append(None)
        position = pair.end()


def _node(text: str | None) -> tuple[str, int]:
    """Read a node (RFC 7239 section 6): an address of IPv6 is in brackets."""
    if text is None:
        raise ForwardedError("Forwarded has an element without an address")
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise _no_address(text)
        return _checked(host, port[1:] if port else None, text, version=6)
    host, colon, port = text.partition(":")
    return _checked(host, port if colon else None, text, version=4)


def _address(text: str) -> tuple[str, int]:
    """Read an address as lists have them."""
    if text.startswith("[") or text.count(":") == 1:
        return _node(text)
    return _checked(text, None, text)


def _checked(host: str, port: str | None, text: str, version: int = 0) -> tuple[str, int]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise _no_address(text) from None
    if (version and address.version != version) or "%" in host or (port is not None and not _PORT.fullmatch(port)):
        raise _no_address(text)
    number = int(port) if port and _DIGITS.fullmatch(port) else 0
    return str(getattr(address, "ipv4_mapped", None) or address), number if number < 1 << 16 else 0


def _no_address(text: str) -> ForwardedError:
    return ForwardedError(f"{text[:_SHOWN]!r} is no address")
