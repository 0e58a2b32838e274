"""The configuration of one RPyC connection: the keys that RPyC's users know, with their defaults (spec/rpyc.md section 13)."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFE_ATTRS: Final = frozenset(
    [
        "__abs__",
        "__add__",
        "__and__",
        "__bool__",
        "__cmp__",
        "__contains__",
        "__delitem__",
        "__delslice__",
        "__div__",
        "__divmod__",
        "__doc__",
        "__enter__",
        "__eq__",
        "__exit__",
        "__float__",
        "__floordiv__",
        "__format__",
        "__ge__",
        "__getitem__",
        "__getslice__",
        "__gt__",
        "__hash__",
        "__hex__",
        "__iadd__",
        "__iand__",
        "__idiv__",
        "__ifloordiv__",
        "__ilshift__",
        "__imod__",
        "__imul__",
        "__index__",
        "__int__",
        "__invert__",
        "__ior__",
        "__ipow__",
        "__irshift__",
        "__isub__",
        "__iter__",
        "__itruediv__",
        "__ixor__",
        "__le__",
        "__len__",
        "__length_hint__",
        "__long__",
        "__lshift__",
        "__lt__",
        "__mod__",
        "__mul__",
        "__ne__",
        "__neg__",
        "__new__",
        "__next__",
        "__nonzero__",
        "__oct__",
        "__or__",
        "__pos__",
        "__pow__",
        "__radd__",
        "__rand__",
        "__rdiv__",
        "__rdivmod__",
        "__repr__",
        "__rfloordiv__",
        "__rlshift__",
        "__rmod__",
        "__rmul__",
        "__ror__",
        "__rpow__",
        "__rrshift__",
        "__rshift__",
        "__rsub__",
        "__rtruediv__",
        "__rxor__",
        "__setitem__",
        "__setslice__",
        "__str__",
        "__sub__",
        "__truediv__",
        "__xor__",
        "next",
    ]
)

BUSY_POLL_TIME: Final = 150e-6
"""Seconds to look for bytes before sleeping: about a short call of a program in Python, and a wake-up at the other end."""
MAX_BUSY_POLL_TIME: Final = 0.01
"""Seconds to look, at most: what is longer is a mistake, as a number of microseconds, and would burn a processor."""

_DEFAULTS: Final[dict[str, Any]] = {
    "allow_safe_attrs": True,
    "allow_exposed_attrs": True,
    "allow_public_attrs": False,
    "allow_all_attrs": False,
    "safe_attrs": SAFE_ATTRS,
    "exposed_prefix": "exposed_",
    "allow_getattr": True,
    "allow_setattr": False,
    "allow_delattr": False,
    "include_local_traceback": True,
    "include_local_version": True,
    "instantiate_custom_exceptions": False,
    "import_custom_exceptions": False,
    "instantiate_oldstyle_exceptions": False,
    "propagate_SystemExit_locally": False,
    "propagate_KeyboardInterrupt_locally": True,
    "log_exceptions": True,
    "allow_pickle": False,
    "connid": None,
    "credentials": None,
    "endpoints": None,
    "logger": None,
    "sync_request_timeout": 30,
    "before_closed": None,
    "close_catchall": False,
    "bind_threads": os.environ.get("RPYC_BIND_THREADS", "").lower() == "true",  # read once, as by RPyC
    # Ours, with no counterpart in RPyC:
    "max_objects": 1_000_000,
    "max_pending": 100_000,
    "close_timeout": 5.0,
    "permit": None,
}


_MAX_SHARED: Final = 64
_SIMPLE: Final = frozenset({bool, int, float, str, bytes, type(None)})
_shared: Final[dict[Any, Mapping[str, Any]]] = {}


def make_config(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a new configuration.

    A connection keeps it as a live dict, because programs written for RPyC change it while the connection lives. Keys that are
    not known are kept and mean nothing, as there.

    Args:
        given: Keys that differ from the defaults.
    """
    return {**_DEFAULTS, "safe_attrs": set(SAFE_ATTRS), **(given or {})}


def shared_config(given: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return a configuration that nobody changes, the same for all connections that are given the same: most never change theirs.

    Args:
        given: Keys that differ from the defaults.
    """
    given = given or {}
    key = None
    if _SIMPLE.issuperset(map(type, given.values())):
        key = tuple([(name, type(value), value) for name, value in given.items()])
        found = _shared.get(key)
        if found is not None:
            return found
    made = MappingProxyType({**_DEFAULTS, **given})
    if key is not None:
        if len(_shared) >= _MAX_SHARED:
            _shared.clear()
        _shared[key] = made
    return made
