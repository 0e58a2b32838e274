"""The built-in types whose proxies need no question to the peer: both sides know their routines (spec/rpyc.md section 7)."""

from __future__ import annotations

import types
from typing import Final

from anycore.objects.inspection import routines_of
from anycore.objects.proxy import Proxy, make_class

_TYPES: Final[dict[str, type]] = {
    "BaseException": BaseException, "Exception": Exception, "NoneType": type(None), "bool": bool,
    "builtin_function_or_method": types.BuiltinFunctionType, "bytearray": bytearray, "bytes": bytes, "code": types.CodeType,
    "complex": complex, "dict": dict, "float": float, "frame": types.FrameType, "frozenset": frozenset,
    "function": types.FunctionType, "generator": types.GeneratorType, "int": int, "list": list, "list_iterator": type(iter([])),
    "mappingproxy": types.MappingProxyType, "memoryview": memoryview, "method": types.MethodType,
    "method-wrapper": types.MethodWrapperType, "module": types.ModuleType, "object": object, "range_iterator": type(iter(range(0))),
    "set": set, "set_iterator": type(iter(set())), "slice": slice, "str": str, "traceback": types.TracebackType, "tuple": tuple,
    "tuple_iterator": type(iter(())), "type": type, "wrapper_descriptor": types.WrapperDescriptorType,
}  # fmt: skip


def builtin_classes() -> dict[str, type[Proxy]]:
    """Make the proxy classes of the built-in types, by name pack."""
    return {f"builtins.{name}": make_class(f"builtins.{name}", routines_of(cls)) for name, cls in _TYPES.items()}
