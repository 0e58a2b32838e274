"""What a client presents to show who it is: a name and a password, or a token. What a server makes of it is in `identity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.identity.basic import write_basic

if TYPE_CHECKING:
    from collections.abc import Mapping

NEITHER = "give either credentials=(name, password) or token=, not both"


def authorization(credentials: tuple[str, str] | None = None, token: str = "") -> str:
    """Return the value of an `Authorization` field (RFC 7617 section 2, RFC 6750 section 2.1); empty without credentials.

    Args:
        credentials: Name and password.
        token: A bearer token.

    Raises:
        ValueError: Both are given, or one of them cannot be sent.
    """
    if credentials is not None and token:
        raise ValueError(NEITHER)
    if credentials is not None:
        return write_basic(*credentials)
    if not token:
        return ""
    if not token.isascii() or not token.isprintable() or " " in token:
        # Its value is not shown: it may be a token with a line break at its end.
        message = "the token cannot be sent: it has spaces or characters other than printable ASCII; remove them"
        raise ValueError(message)
    return f"Bearer {token}"


def with_authorization(headers: Mapping[str, str] | None, value: str) -> Mapping[str, str] | None:
    """Return header fields with an `Authorization` field among them, where there is one.

    Args:
        headers: The fields, or None.
        value: What `authorization` returned.
    """
    return {"Authorization": value, **(headers or {})} if value else headers
