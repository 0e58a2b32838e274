"""What a plugin's author writes: `Plugin`, `exposed`, roles. How plugins are found lives in `dialects`, how they are kept in `registry`."""

from __future__ import annotations

import abc
import logging
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anycore.store import Store

_F = TypeVar("_F", bound="Callable[..., Any]")
_MARK = "__anycore_exposed__"


class Exposure(msgspec.Struct, frozen=True):
    """How a method is exposed; `exposed` attaches one to the function.

    Args:
        name: The last part of the method's name; None for the function's own.
        quick: Whether the method runs inline, without a worker thread.
        aliases: Further full names, as in `system.listMethods`.
        types: Types by parameter name, with `return` for the result, in place of annotations.
    """

    name: str | None = None
    quick: bool = False
    aliases: tuple[str, ...] = ()
    types: dict[str, Any] | None = None


@overload
def exposed(function: _F, /) -> _F: ...
@overload
def exposed(
    *,
    name: str | None = None,
    quick: bool = False,
    aliases: tuple[str, ...] = (),
    types: Mapping[str, Any] | None = None,
) -> Callable[[_F], _F]: ...
def exposed(
    function: _F | None = None,
    /,
    *,
    name: str | None = None,
    quick: bool = False,
    aliases: tuple[str, ...] = (),
    types: Mapping[str, Any] | None = None,
) -> _F | Callable[[_F], _F]:
    """Expose a method of a plugin to callers. Use it bare, or with arguments.

    A plain `def` runs in a worker thread where the core has an event loop, an `async def` on the loop.

    Args:
        function: The method.
        name: Answer to this name instead of the function's own.
        quick: The method neither waits nor computes for long (well under a millisecond): run it inline, which is fastest.
        aliases: Further full names that the method answers to.
        types: Types by parameter name, and `return`, for functions without annotations.

    Raises:
        TypeError: When an argument is not of these types, or what is decorated is no function.
    """
    given: Any = aliases  # many authors run no type checker, and text is a sequence of texts
    if isinstance(given, str) or not all(isinstance(alias, str) for alias in given):
        message = (
            f"@exposed(aliases={aliases!r}): expected a tuple of full names, as in aliases=('system.listMethods',)"
        )
        raise TypeError(message)
    given = name
    if given is not None and not isinstance(given, str):
        message = f"@exposed(name={name!r}): expected the last part of the method's name as text"
        raise TypeError(message)
    exposure = Exposure(name, quick, tuple(aliases), dict(types) if types is not None else None)

    def mark(target: _F) -> _F:
        try:
            setattr(target, _MARK, exposure)
        except AttributeError as error:
            message = f"@exposed cannot mark {target!r}; put it on a function, next to `def`"
            raise TypeError(message) from error
        return target

    return mark if function is None else mark(function)


def exposure_of(function: object) -> Exposure | None:
    """Return how a function is exposed, or None when it is not."""
    found = getattr(function, _MARK, None)
    return found if isinstance(found, Exposure) else None


class Role(abc.ABC):  # noqa: B024 - each role brings its own abstract methods
    """Base of roles: what a plugin can do for the server besides answering calls. Inherit from a role to take it on."""


class Plugin:
    """Base of plugins: a named group of methods that callers may call over any wire.

    Attributes:
        name: The first part of its methods' names; the class's name in snake case unless set.
        order: Plugins of one role are asked in this order, then by name.
        Settings: A `msgspec.Struct` or dataclass for the table `[plugin.NAME]` of the configuration, or None.
        settings: An instance of `Settings`, set before `start` is called.
        open_store: Opens the plugin's part of the server's store, for `store`; set by the server before `start` is called.
    """

    name: ClassVar[str] = ""
    order: ClassVar[int] = 500
    Settings: ClassVar[type | None] = None
    settings: Any = None
    open_store: Callable[[], Store] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = snake_case(cls.__name__)

    @property
    def log(self) -> logging.Logger:
        """The plugin's logger, `anycore.plugin.NAME`."""
        return logging.getLogger(f"anycore.plugin.{self.name}")

    @cached_property
    def store(self) -> Store:
        """What the plugin keeps, and nobody else sees: its part of the server's store, opened when it is first asked for.

        Outside of a server it is in memory, so that a plugin can be tested by itself.

        Raises:
            StoreError: When the store cannot be opened.
        """
        if self.open_store is not None:
            return self.open_store()
        from anycore.store.memory import MemoryStore

        return MemoryStore()

    def start(self) -> Any:
        """Make ready; called once before the first call. May be `async def`. An exception refuses the plugin."""

    def stop(self) -> Any:
        """Clean up; called once after the last call. May be `async def`."""


def snake_case(name: str) -> str:
    """Turn a class name into the plugin's name: `HTTPProbe` becomes `http_probe`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
