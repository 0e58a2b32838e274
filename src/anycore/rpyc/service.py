"""Services: the classes whose instances peers get as their root (spec/rpyc.md section 15)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.objects.connection import Connection

T = TypeVar("T")
_MARK = "__exposed__"


class Service:
    """Base of services. Methods named `exposed_...`, or marked `@exposed` in a class marked `@service`, can be reached by peers.

    A server that is given the class makes an instance for each connection; one that is given an instance shares it.

    Attributes:
        ALIASES: Names to register under; the class's name without `Service` when empty.
    """

    ALIASES: tuple[str, ...] = ()

    def on_connect(self, conn: Connection) -> None:
        """Called before the peer's first request is served; may make requests of its own."""

    def on_disconnect(self, conn: Connection) -> None:
        """Called once when the connection has ended, however it did."""

    def _rpyc_setattr(self, name: str, value: Any) -> None:  # noqa: ARG002 - the hook's signature
        message = "access denied: attributes of a service cannot be set from afar"
        raise AttributeError(message)

    def _rpyc_delattr(self, name: str) -> None:  # noqa: ARG002 - the hook's signature
        message = "access denied: attributes of a service cannot be deleted from afar"
        raise AttributeError(message)

    @classmethod
    def get_service_aliases(cls) -> tuple[str, ...]:
        """Return the names of the service, in capitals."""
        if cls.ALIASES:
            return tuple(str(name).upper() for name in cls.ALIASES)
        name = cls.__name__.upper()
        return (name.removesuffix("SERVICE") or name,)

    @classmethod
    def get_service_name(cls) -> str:
        """Return the first of the names."""
        return cls.get_service_aliases()[0]

    exposed_get_service_aliases = get_service_aliases
    exposed_get_service_name = get_service_name


class VoidService(Service):
    """A service that offers nothing: what clients have by default."""


def exposed(target: Any) -> Any:
    """Mark a member of a service as exposed, under the prefix `exposed_`, or under another: `@exposed("prefix_")`.

    It takes effect where the class is marked with `@service`.
    """
    if isinstance(target, str):
        prefix = target

        def mark(member: T) -> T:
            return _mark(member, prefix)

        return mark
    return _mark(target, "exposed_")


def _mark(member: T, prefix: str) -> T:
    setattr(getattr(member, "fget", None) or getattr(member, "__func__", None) or member, _MARK, prefix)
    return member


def service(cls: type[T]) -> type[T]:
    """Give every member marked `@exposed` its prefixed name as well, in the class and in exposed classes within it."""
    for name, member in inspect.getmembers_static(cls):
        target = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
        prefix = vars(target).get(_MARK) if hasattr(target, "__dict__") else None
        if not isinstance(prefix, str):
            continue
        if isinstance(member, type):
            service(member)
        if not hasattr(cls, prefix + name):
            setattr(cls, prefix + name, member)
    return cls


def classpartial(cls: type[T], *args: Any, **kwargs: Any) -> Callable[[], T]:
    """Return a service class with arguments for its constructor already given."""

    class Partial(cls):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__(*args, **kwargs)

    Partial.__name__, Partial.__qualname__, Partial.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return Partial
