"""What a proxy certificate says of itself: the extension ProxyCertInfo (RFC 3820 section 3.8), read from its DER form."""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.x509 import ObjectIdentifier

PROXY_INFO: Final = ObjectIdentifier("1.3.6.1.5.5.7.1.14")
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_OID: Final = 0x06
# The languages that say how much of its owner's rights a proxy has, in DER form, without tag and length.
_INHERIT_ALL: Final = bytes.fromhex("2b06010505071501")  # 1.3.6.1.5.5.7.21.1
_LIMITED: Final = bytes.fromhex("2b060104019b5001010109")  # 1.3.6.1.4.1.3536.1.1.1.9, of Globus: all but to start jobs


class ProxyInfo(msgspec.Struct, frozen=True):
    """What a proxy certificate says of itself.

    Args:
        path_length: How many proxies may come after it; None for any number.
    """

    path_length: int | None


def read_proxy_info(der: bytes) -> ProxyInfo:
    """Read the extension.

    Args:
        der: Its value.

    Raises:
        ValueError: When it is malformed, or says that the proxy has other rights than its owner.
    """
    body, rest = _take(der, _SEQUENCE)
    if rest:
        raise ValueError("there is more than one value")
    length: int | None = None
    if body[:1] == bytes([_INTEGER]):
        number, body = _take(body, _INTEGER)
        length = int.from_bytes(number, signed=True)
        if length < 0 or len(number) > 4:
            raise ValueError(f"a path length of {length} makes no sense")
    policy, rest = _take(body, _SEQUENCE)
    if rest:
        raise ValueError("there is more than a path length and a policy")
    language, _ = _take(policy, _OID)
    if language not in (_INHERIT_ALL, _LIMITED):
        raise ValueError(
            "it gives other rights than its owner's; only those that inherit all, or are limited, are accepted"
        )
    return ProxyInfo(length)


def _take(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the first value, and what comes after it (X.690 section 8.1)."""
    if len(der) < 2 or der[0] != tag:
        raise ValueError(f"a value with the tag {tag:#04x} was expected")
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        if start > 4 or start > len(der) or start == 2:
            raise ValueError("a length is malformed")
        length = int.from_bytes(der[2:start])
    end = start + length
    if end > len(der):
        raise ValueError("it is cut off")
    return der[start:end], der[end:]
