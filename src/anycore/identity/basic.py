"""User name and password as HTTP carries them: `Authorization: Basic` (RFC 7617). Whether they are right is not known here."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from anycore.kernel.authentication import AuthenticationFault

_SCHEME: Final = "basic "
MAX_USER: Final = 256
"""Characters of a user name."""
MAX_PASSWORD: Final = 4096
"""Characters of a password."""


def is_basic(authorization: str) -> bool:
    """Tell whether an `Authorization` field is of the Basic scheme, whose name may be in any case (RFC 9110 section 11.1)."""
    return authorization[:6].lower() == _SCHEME


def read_basic(authorization: str) -> tuple[str, str]:
    """Return user name and password of an `Authorization` field of the Basic scheme.

    The name ends at the first colon, so a password may have some. Text is UTF-8, or else Latin-1, which older programs send.

    Args:
        authorization: The field's value.

    Raises:
        AuthenticationFault: It is malformed, or longer than any name and password.
    """
    try:
        pair = base64.b64decode(authorization[6:].strip(" ").encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("it is not base64; two of these fields in one request look so, too") from error
    try:
        text = pair.decode()
    except UnicodeDecodeError:
        text = pair.decode("latin-1")
    user, colon, password = text.partition(":")
    if not colon:
        raise _malformed("there is no colon between user name and password")
    if not user or len(user) > MAX_USER or len(password) > MAX_PASSWORD:
        raise _malformed(
            f"a user name has 1 to {MAX_USER} characters, and a password {MAX_PASSWORD} at most; these have {len(user)} and {len(password)}"
        )
    # RFC 7617 section 2: neither may have control characters.
    if not user.isprintable():
        raise _malformed("the user name has characters that cannot be printed")
    if any(letter < " " or letter == "\x7f" for letter in password):
        raise _malformed("the password has control characters")
    return user, password


def write_basic(user: str, password: str) -> str:
    """Return the `Authorization` field for a user name and a password.

    Args:
        user: The name.
        password: The password.

    Raises:
        ValueError: The name has a colon, which would end it.
    """
    if ":" in user:
        message = f"the user name {user!r} has a colon, which HTTP cannot carry; choose another name"
        raise ValueError(message)
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _malformed(reason: str) -> AuthenticationFault:
    return AuthenticationFault(f"the Authorization field cannot be read: {reason}", kind="authentication-malformed")
