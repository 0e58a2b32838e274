"""What goes wrong with an authority, for people to read."""

from __future__ import annotations


class AuthorityError(Exception):
    """The authority cannot do what was asked, or a file is not what it should be; the message names it, and the cure."""
