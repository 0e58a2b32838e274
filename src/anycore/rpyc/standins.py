"""Modules that real RPyC clients ask a classic server for by name, for machines that do not have them (spec/rpyc.md section 20).

Each holds what those clients use of it, and no more.
"""

from __future__ import annotations

import pickle
import sysconfig
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.exceptions import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def stand_in(name: str) -> ModuleType | None:
    """Return what is used in place of a module, always the same one; None when there is none.

    Args:
        name: The module's full name.
    """
    make = _MAKERS.get(name)
    return make() if make is not None else None


def _module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name, "A stand-in by Anycore, as the real module is not installed here.")
    vars(made).update(members)
    return made


def _compat() -> ModuleType:
    return _module("rpyc.lib.compat", pickle=pickle, is_py_3k=True, is_py_gte38=True)


def _rpyc() -> ModuleType:
    from anycore.rpyc import connecting
    from anycore.rpyc.service import Service, VoidService

    return _module(
        "rpyc",
        __version__=VERSION,
        classic=stand_in("rpyc.utils.classic"),
        lib=stand_in("rpyc.lib"),
        utils=stand_in("rpyc.utils"),
        connect=connecting.connect,
        unix_connect=connecting.unix_connect,
        ssl_connect=connecting.ssl_connect,
        Service=Service,
        VoidService=VoidService,
    )


def get_python_lib(plat_specific: bool = False, standard_lib: bool = False, prefix: str | None = None) -> str:
    """Return the directory that modules are installed to, as `distutils` did.

    Args:
        plat_specific: Whether that for modules in machine code is meant.
        standard_lib: Whether that of the standard library is meant.
        prefix: Below which directory; that of this Python when left out.
    """
    kind = "lib" if standard_lib else "site"
    path = {"site": ("purelib", "platlib"), "lib": ("stdlib", "platstdlib")}[kind][bool(plat_specific)]
    if prefix is None:
        return sysconfig.get_path(path)
    return sysconfig.get_path(path, vars={"base": prefix, "platbase": prefix, "installed_base": prefix})


_MAKERS: Final[dict[str, Callable[[], ModuleType]]] = {
    "rpyc": _rpyc,
    "rpyc.lib": lambda: _module("rpyc.lib", compat=stand_in("rpyc.lib.compat")),
    "rpyc.lib.compat": _compat,
    "rpyc.utils": lambda: _module(
        "rpyc.utils", classic=stand_in("rpyc.utils.classic"), teleportation=stand_in("rpyc.utils.teleportation")
    ),
    "rpyc.utils.classic": lambda: import_module(
        "anycore.rpyc.classic"
    ),  # it imports the slave, which imports this module
    "rpyc.utils.teleportation": lambda: import_module("anycore.rpyc.teleport"),
    "distutils.sysconfig": lambda: _module("distutils.sysconfig", get_python_lib=get_python_lib),
}
