"""The names of the plugins that come with Anycore."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import anycore.services
from anycore.kernel.plugin import Plugin


def test_they_are_listed() -> None:
    found = set()
    for module in pkgutil.iter_modules(anycore.services.__path__, "anycore.services."):
        for one in vars(import_module(module.name)).values():
            if isinstance(one, type) and issubclass(one, Plugin) and one.__module__ == module.name:
                found.add(one.name)
    assert found == set(anycore.services.NAMES)
