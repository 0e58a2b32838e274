"""The native dialect: subclasses of `anycore.Plugin` in a module are its plugins."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from anycore.kernel.plugin import Plugin

if TYPE_CHECKING:
    from types import ModuleType


def plugin_classes(module: ModuleType) -> list[type[Plugin]]:
    """Return the plugin classes that a module defines itself, or a package in its modules, in the order of their names' appearance.

    Classes whose names start with an underscore, abstract ones, and those imported from elsewhere are left out.

    Args:
        module: An imported module.
    """
    found = {
        value: None  # each once, whatever it is called
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Plugin)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
        and not name.startswith("_")
        and not inspect.isabstract(value)
    }
    return list(found)
