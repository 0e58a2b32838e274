"""Rules about attributes of objects that RPyC hands out by reference: what an attribute is called in a rule, and who is asked.

An attribute goes by the plugin whose file defines the object's class, the class, and its own name: `thermostat.Sensor.celsius`; where the
class is not of a plugin, by its module: `decimal.Decimal.real`. It goes by each class that the object's class derives from as well. A
function goes by the name of its own: `thermostat.helper`; a bound method by that of its object's class. With the prefix `exposed_` or
without makes no difference.
"""

from __future__ import annotations

from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from anycore.kernel.policy import NO_OPINION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycore.access.matcher import Matcher
    from anycore.kernel.kernel import Kernel
    from anycore.objects.connection import Connection
    from anycore.rpyc.root import PluginRoot
    from anycore.server.access import Access

_PREFIX: Final = "exposed_"
_OWN: Final = "anycore.rpyc."
"""The modules of the objects by which plugins and methods are reached: the kernel's door judges what they are asked for."""


class AttributeRules:
    """Puts the rules about attributes in force for connections.

    Args:
        kernel: The plugins, and who somebody is.
        access: The rules.
    """

    def __init__(self, kernel: Kernel, access: Access) -> None:
        self._kernel = kernel
        self._access = access
        self._known: tuple[object, dict[str, list[str]]] = (None, {})

    def apply(self, connection: Connection, root: PluginRoot) -> None:
        """Judge what the peer of a connection may reach by the rules as well, those of now and those of later.

        Where no file could ever have a rule, the connection keeps its policy as it is.

        Args:
            connection: The connection.
            root: Its root, which knows who the peer is.
        """
        if self._access.configured:
            connection.policy = connection.policy.ruled(partial(self.decide, root))

    def decide(self, root: PluginRoot, obj: Any, attribute: str) -> bool | None:
        """Tell whether rules open or close an attribute; None where they say nothing.

        Args:
            root: The root of the peer that asks.
            obj: The object.
            attribute: The name as the peer gave it.
        """
        matcher: Matcher = self._access.matcher
        if not matcher.has_attributes or type(obj).__module__.startswith(_OWN) or _is_way_to_method(obj):
            return None
        identity = self._kernel.identify(root.question(""))
        decision = matcher.decide_attribute(identity, root.peer, tuple(self._names(obj, attribute)))
        return None if decision is NO_OPINION else decision.allowed

    def _names(self, obj: Any, attribute: str) -> Iterator[str]:
        bare = attribute.removeprefix(_PREFIX)
        spellings = (bare, _PREFIX + bare)
        if attribute == "__call__":
            yield from self._of_callable(obj)
        kind = type(obj)
        classes = (*kind.__mro__, *(obj.__mro__ if issubclass(kind, type) else ()))
        for cls in classes:
            if cls is not object:
                for owner in self._owners(cls.__module__):
                    for spelling in spellings:
                        yield f"{owner}.{cls.__qualname__}.{spelling}"

    def _of_callable(self, obj: Any) -> Iterator[str]:
        """A method or function by its own name: who calls it has got hold of it in some way."""
        if isinstance(obj, MethodType):
            yield from self._names(obj.__self__, obj.__func__.__name__)
            obj = obj.__func__
        if isinstance(obj, (FunctionType, BuiltinFunctionType)):
            for owner in self._owners(str(obj.__module__)):
                yield f"{owner}.{obj.__qualname__}"

    def _owners(self, module: str) -> list[str]:
        """Return the plugins that are of a module, or the module itself where none is."""
        entries = self._kernel.registry.entries
        if self._known[0] is not entries:
            found: dict[str, list[str]] = {}
            for name, entry in entries.items():
                found.setdefault(type(entry.plugin).__module__, []).append(name)
            self._known = (entries, found)
        plugins, above = self._known[1], module
        while above:
            if above in plugins:
                return plugins[above]
            above = above.rpartition(".")[0]
        return [module]


def _is_way_to_method(obj: Any) -> bool:
    return isinstance(obj, MethodType) and type(obj.__self__).__module__.startswith(_OWN)
