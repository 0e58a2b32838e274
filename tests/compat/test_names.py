"""The facade has the original's public names; those that it lacks are listed here, each with the reason."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from importlib import import_module
from typing import Any

import pytest

BORROWED = "what the original's module has imported for its own use"
WIRE = "a detail of the original's codec; ours is in anycore.wire.brine"
WINDOWS = "Windows only"

ABSENT: dict[str, dict[str, str]] = {
    "rpyc.core.netref": {
        "NetrefClass": "a descriptor of the original's class factory; nobody else can use it",
        "builtin_classes_cache": "a cache of the original's",
        "builtin_id_pack_cache": "a cache of the original's",
        "maxint": BORROWED,
    },
    "rpyc.core.brine": dict.fromkeys(
        ["C16", "F8", "I1", "I4", "I8I8", "IMM_INTS", "IMM_INTS_LOADER", "register", "simple_types"], WIRE
    ),
    "rpyc.core.protocol": {"UNBOUND_THREAD_ID": "a detail of the original's bind_threads", "maxint": BORROWED},
    "rpyc.core.vinegar": {
        "REMOTE_LINE": "part of the text of remote tracebacks",
        "REMOTE_LINE_START": "part of the text of remote tracebacks",
        "REMOTE_LINE_END": "part of the text of remote tracebacks",
    },
    "rpyc.core.stream": {
        "NamedPipeStream": WINDOWS,
        "Win32PipeStream": WINDOWS,
        "ClosedFile": "what the original puts in place of a closed socket; `closed` tells",
        "retry_errnos": BORROWED,
        "STREAM_CHUNK": BORROWED,
        "maxint": BORROWED,
    },
    "rpyc.utils.classic": {"STREAM_CHUNK": BORROWED},
    "rpyc.utils.helpers": {"HANDLE_BUFFITER": BORROWED, "HANDLE_CALL": BORROWED},
    "rpyc.utils.teleportation": {
        "is_py_gte38": BORROWED,
        "is_py_gte310": BORROWED,
        "is_py_gte311": BORROWED,
        "CODEOBJ_MAGIC": "a detail of how functions travel",
        "CODE_HAVEARG_SIZE": "a detail of the original's look for globals",
        "decode_codeobj": "a detail of the original's look for globals",
    },
    "rpyc.utils.zerodeploy": {"local": "plumbum's; ssh is run without it"},
}
SUBMODULES = [
    "version",
    "core",
    "core.protocol",
    "core.service",
    "core.netref",
    "core.async_",
    "core.vinegar",
    "core.brine",
    "core.channel",
    "core.stream",
    "core.consts",
    "lib",
    "lib.compat",
    "lib.colls",
    "utils",
    "utils.server",
    "utils.classic",
    "utils.registry",
    "utils.authenticators",
    "utils.factory",
    "utils.helpers",
    "utils.teleportation",
    "utils.zerodeploy",
]


def own_names(module: types.ModuleType) -> set[str]:
    """Return the public names that a module defines itself, or that a package shows."""
    package = hasattr(module, "__path__")
    found = set()
    for name, value in vars(module).items():
        where = getattr(value, "__module__", module.__name__)
        foreign = isinstance(value, types.ModuleType) and not (package and value.__name__.startswith("rpyc"))
        if name.startswith("_") or foreign or (where != module.__name__ and not package):
            continue
        if package and isinstance(where, str) and not where.startswith("rpyc") and callable(value):
            continue
        if name.startswith("TAG_"):
            continue  # numbers of the wire
        found.add(name)
    return found


@pytest.mark.parametrize("name", ["rpyc", *(f"rpyc.{one}" for one in SUBMODULES)])
def test_public_names(name: str) -> None:
    theirs, ours = import_module(name), import_module(f"anycore.compat.{name}")
    missing = {one for one in own_names(theirs) if not hasattr(ours, one)}
    told = {one for one in ABSENT.get(name, {}) if one in vars(theirs)}
    assert missing - told == set()
    assert {one for one in told if hasattr(ours, one)} == set(), "listed as absent, and there"


FUNCTIONS = [
    (module, name)
    for module in ("rpyc.utils.factory", "rpyc.utils.classic", "rpyc.lib", "rpyc.utils.helpers")
    for name, value in sorted(vars(import_module(module)).items())
    if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_") and name.isidentifier()
]
OURS = {"spawn": "takes the function by itself", "classpartial": "likewise", "async": "a keyword"}


@pytest.mark.parametrize(("module", "name"), FUNCTIONS, ids=str)
def test_signatures(module: str, name: str) -> None:
    """Whatever can be passed to the original, by position or by name, can be passed to ours."""
    if name in OURS:
        return
    theirs = list(inspect.signature(getattr(import_module(module), name)).parameters.values())
    ours = list(inspect.signature(getattr(import_module(f"anycore.compat.{module}"), name)).parameters.values())
    assert [one.name for one in theirs] == [one.name for one in ours][: len(theirs)]
    for their, our in zip(theirs, ours, strict=False):
        assert (their.default is their.empty) == (our.default is our.empty), their
        plain = isinstance(their.default, int | float | str | type(None))
        assert not plain or their.default == our.default, their


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


CLASSES: dict[str, tuple[str, set[str]]] = {
    "Connection": ("rpyc.core.protocol", {"closed"}),  # an attribute of instances
    "Service": ("rpyc.core.service", set()),
    "SlaveService": ("rpyc.core.service", set()),
    "ModuleNamespace": ("rpyc.core.service", set()),
    "AsyncResult": ("rpyc.core.async_", set()),
    "Channel": ("rpyc.core.channel", {"FRAME_HEADER", "FLUSHER"}),
    "SocketStream": ("rpyc.core.stream", {"MAX_IO_CHUNK"}),
    "PipeStream": ("rpyc.core.stream", {"MAX_IO_CHUNK"}),
    "Server": ("rpyc.utils.server", set()),
    "ThreadedServer": ("rpyc.utils.server", set()),
    "ThreadPoolServer": ("rpyc.utils.server", set()),
    "ForkingServer": ("rpyc.utils.server", set()),
    "OneShotServer": ("rpyc.utils.server", set()),
    "UDPRegistryClient": ("rpyc.utils.registry", set()),
    "UDPRegistryServer": (
        "rpyc.utils.registry",
        {"TIMEOUT", "cmd_query", "cmd_list", "cmd_register", "cmd_unregister"},
    ),
    "BgServingThread": ("rpyc.utils.helpers", {"SERVE_INTERVAL", "SLEEP_INTERVAL"}),
    "DeployedServer": ("rpyc.utils.zerodeploy", set()),
    "MultiServerDeployment": ("rpyc.utils.zerodeploy", set()),
    "Timeout": ("rpyc.lib", set()),
}


@pytest.mark.parametrize("name", CLASSES)
def test_members(name: str) -> None:
    """Ours have the original's public members; the absent ones are parts of its way of doing things, slots are instances'."""
    module, absent = CLASSES[name]
    theirs: Any = getattr(import_module(module), name)
    ours: Any = getattr(import_module(f"anycore.compat.{module}"), name)
    slots = {one for cls in theirs.__mro__ for one in vars(cls).get("__slots__", ())}
    assert {one for one in public(theirs) - slots if not hasattr(ours, one)} == absent


def test_gevent_is_refused_in_words() -> None:
    from anycore.compat.rpyc.utils.server import GeventServer

    with pytest.raises(ImportError, match="use ThreadedServer"):
        GeventServer(object)


@pytest.mark.parametrize("command", ["rpyc_classic", "rpyc_registry"])
def test_commands_go_on_as_ours(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"anycore.compat.rpyc.cli.{command}", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "--mode" in done.stdout or "serve" in done.stdout
