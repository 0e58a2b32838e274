"""Puts the facade in RPyC's place, for programs that are not to be changed: from then on `import rpyc` finds it."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from typing import Final

_OURS: Final = "anycore.compat.rpyc"
_SKIPPED: Final = frozenset({f"{_OURS}.__main__", f"{_OURS}.substitute"})


def substitute() -> None:
    """Have `import rpyc`, and that of each submodule, find the facade in this process.

    To be called before anything imports RPyC: what has been imported stays as it is.
    """
    package = import_module(_OURS)
    sys.modules["rpyc"] = package
    for found in pkgutil.walk_packages(package.__path__, f"{_OURS}."):
        if found.name not in _SKIPPED:
            sys.modules[found.name.removeprefix("anycore.compat.")] = import_module(found.name)
