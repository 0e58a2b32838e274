from __future__ import annotations

import abc
import types

from anycore.dialects.native import plugin_classes
from anycore.kernel.plugin import Plugin


def module_of(name: str, **members: object) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(members)
    return module


def made(name: str, module: str, *bases: type) -> type:
    return type(name, bases or (Plugin,), {"__module__": module})


def test_plugins_are_the_classes_that_a_module_defines() -> None:
    mine, second = made("Mine", "here"), made("Second", "here")
    module = module_of(
        "here", second=second, Mine=mine, Plugin=Plugin, Other=made("Other", "elsewhere"), Near=made("Near", "hereafter"),
        _Base=made("Base", "here"), Text=str, number=5,
    )  # fmt: skip

    assert plugin_classes(module) == [second, mine]


def test_a_class_of_two_names_is_one_plugin() -> None:
    mine = made("Mine", "here")

    assert plugin_classes(module_of("here", Mine=mine, Also=mine)) == [mine]


def test_a_package_may_define_its_plugins_in_its_modules() -> None:
    inner = made("Inner", "here.inner.deep")

    assert plugin_classes(module_of("here", Inner=inner)) == [inner]


def test_an_abstract_class_is_no_plugin() -> None:
    class Abstract(Plugin, abc.ABC):
        @abc.abstractmethod
        def missing(self) -> None: ...

    Abstract.__module__ = "here"

    assert plugin_classes(module_of("here", Abstract=Abstract)) == []
