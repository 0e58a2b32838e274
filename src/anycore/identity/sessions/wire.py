"""How a session's name and secret look on the wire: in a Basic header, in cookies, in hexadecimal or base64. Nothing is kept here.

The wire is that of Clarens: HTTP Basic as a container (RFC 7617), or the cookies `clarens_username` and `clarens_password` for
clients that cannot set headers (RFC 6265).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from anycore.kernel.authentication import AuthenticationFault

if TYPE_CHECKING:
    from anycore.kernel.call import Credentials

NAME_COOKIE: Final = "clarens_username"
SECRET_COOKIE: Final = "clarens_password"  # noqa: S105 - the name of a cookie
FIRST_SECRET: Final = "BROWSER"  # noqa: S105 - the word that stands for "none yet" on this wire
SECRET_BYTES: Final = 20
PEM_START: Final = "-----BEGIN CERTIFICATE-----"

# The alphabets of hexadecimal and base64 in both its forms, which is what clients spell names in. The server signs a name with its
# private key (`rsa`): of these letters no name can be made that is a digest in the form in which certificates and
# TLS hand-shakes are signed (RFC 8017 section 9.2), so the signature is of no use for anything else.
_NAME: Final = re.compile(r"[A-Za-z0-9+/=_-]{8,128}\Z")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{40}\Z")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{27}=?\Z")
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_COOKIE: Final = re.compile(rf"(?:^|;)[ \t]*({NAME_COOKIE}|{SECRET_COOKIE})[ \t]*=([^;]*)")


class Presented(NamedTuple):
    """What a message presented as its session.

    Args:
        name: The session's name, without the white space that some clients' base64 routine puts into it.
        secret: Its secret as it was presented, or what stands in its place: PEM text, or the word for "none yet".
        by_cookie: Whether cookies said it.
    """

    name: str
    secret: str
    by_cookie: bool = False


def presented(credentials: Credentials) -> Presented | None:
    """Return what a message presented as its session; a header goes before cookies. None when there is nothing of that form.

    Args:
        credentials: What the message presented.

    Raises:
        AuthenticationFault: When its cookies contradict each other, or cannot be a session's.
    """
    if credentials.authorization:
        return _of_header(credentials.authorization)
    return _of_cookies(credentials.cookie) if "clarens_" in credentials.cookie else None


def secret_bytes(text: str) -> bytes | None:
    """Return what a secret stands for; None when it is none: 20 bytes, in hexadecimal or base64, white space anywhere.

    Args:
        text: The secret as it was presented.
    """
    text = "".join(text.split())
    if _HEX.match(text):
        return bytes.fromhex(text)
    if _BASE64.match(text):
        found = base64.b64decode(text.translate(_TO_STANDARD).rstrip("=") + "=")
        return found if len(found) == SECRET_BYTES else None
    return None


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a session: 8 to 128 letters of hexadecimal or base64."""
    return _NAME.match(text) is not None


def is_certainly_name(text: str) -> bool:
    """Tell whether a text can hardly be anything but a session's name, and no user's: 20 bytes, in hexadecimal or base64."""
    return secret_bytes(text) is not None


def cookies(name: str, secret: str, *, secure: bool) -> tuple[tuple[str, str], ...]:
    """Return the header fields that give a browser its session: out of reach for scripts, and for pages of other sites.

    Args:
        name: The session's name; with an empty secret, the cookies are taken back.
        secret: Its secret.
        secure: Whether the browser may present it over TLS only.
    """
    how = f"Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{'' if secret else '; Max-Age=0'}"
    fields = (("Set-Cookie", f"{NAME_COOKIE}={name}; {how}"), ("Set-Cookie", f"{SECRET_COOKIE}={secret}; {how}"))
    return (*fields, ("Cache-Control", "no-store"))


def _of_header(authorization: str) -> Presented | None:
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        plain = base64.b64decode("".join(coded.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    name, colon, secret = plain.partition(":")
    name = "".join(name.split())
    return Presented(name, secret) if colon and is_name(name) else None


def _of_cookies(cookie: str) -> Presented | None:
    found: dict[str, str] = {}
    for key, given in _COOKIE.findall(cookie):
        value = given.strip().strip('"')
        if found.setdefault(key, value) != value:  # somebody else has put one there (RFC 6265 section 8.6)
            raise _contradiction(f"{key} is there twice, with different values")
    name, secret = found.get(NAME_COOKIE, ""), found.get(SECRET_COOKIE, "")
    if not name and not secret:
        return None
    if not is_name(name) or not secret:
        raise _contradiction(f"{NAME_COOKIE} and {SECRET_COOKIE} are no name and secret of a session")
    return Presented(name, secret, by_cookie=True)


def _contradiction(reason: str) -> AuthenticationFault:
    message = f"the cookies are refused: {reason}; remove the cookies of this server and log in again"
    return AuthenticationFault(message, kind="authentication-malformed")
