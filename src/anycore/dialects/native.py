"""The native dialect: subclasses of `anycore.Plugin` in a module are its plugins."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from anycore.kernel.plugin import Plugin

if TYPE_CHECKING:
    from types import ModuleType


def plugin_classes(module: ModuleType) -> list[type[Plugin]]:
    """Return the plugin classes that a module defines itself, in the order of their definition.

    Classes whose names start with an underscore, abstract ones, and those only imported are left out.

    Args:
        module: An imported module.
    """
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Plugin)
        and value.__module__.partition(":")[0] == module.__name__
        and not name.startswith("_")
        and not inspect.isabstract(value)
    ]
