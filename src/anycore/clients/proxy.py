"""Attribute access that becomes a call: `client.thermostat.set(21.5)`. What a call does is the client's."""

from __future__ import annotations

from typing import Any, Protocol


class Caller(Protocol):
    """What a proxy needs of a client."""

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, or return what does so when awaited."""


class MethodProxy:
    """A method of the server, or the first part of its dotted name.

    Args:
        caller: The client.
        name: The name so far.
    """

    __slots__ = ("_caller", "_name")

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self._name = name

    def __getattr__(self, name: str) -> MethodProxy:
        checked(name)  # first: a copy under way has no `_name` yet
        return MethodProxy(self._caller, f"{self._name}.{name}")

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        return self._caller.call(self._name, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._caller!r}>"


def checked(name: str) -> str:
    """Refuse names that Python and its tools look for on any object, as in copy.copy() and in interactive shells.

    Raises:
        AttributeError: The name starts with an underscore.
    """
    if name.startswith("_"):
        raise AttributeError(f"{name!r} is not called as an attribute; use call({name!r}, ...)")
    return name
