"""Why a server cannot start or go on with what it was given; for people, with the cure."""

from __future__ import annotations


class StartupError(Exception):
    """The server cannot start. The message says what is wrong, where, and how to cure it."""
