"""Settings that were read again take effect in a running server: all that can, or, where one is wrong, none.

Whatever can say no is asked first (`_PREPARE`); what it returns is done when nobody has. What cannot change while the server runs stays as
it was, and is named.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.kernel.registry import PluginRefusedError
from anycore.server.errors import StartupError
from anycore.server.logs import configure
from anycore.server.tls import tls_context
from anycore.settings.keys import SECTIONS
from anycore.settings.problems import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycore.server.application import Server
    from anycore.settings.tables import Settings

_log = logging.getLogger("anycore.server")

TOPIC: Final = "anycore.reload"
"""The topic on which the processes of a server are told to read their settings again."""
_RELOAD_SECONDS: Final = 60.0
_FIXED: Final = frozenset({"server", "sessions", "groups", "discovery", "process", "prefork", "log"})
"""Tables that are looked at only when the server starts, but for the keys in `_LIVE`."""
_LIVE: Final = frozenset({"server.plugins", "server.debug", "log.level"})
_FIXED_LIMITS: Final = frozenset({"workers", "backlog", "handshakes"})
_FIXED_LISTEN: Final = frozenset({"url", "mode", "socket_name"})
_IGNORED: Final = frozenset({"client", "process.take_over", "process.daemonize"})


class Reloaded(msgspec.Struct):
    """What came of reading the settings again.

    Args:
        changed: The settings that took effect.
        later: Those that take effect with a restart.
        plugins: The plugins that were added, swapped or removed.
        problems: What is wrong; if there is anything, all is as it was.
    """

    changed: list[str] = []
    later: list[str] = []
    plugins: list[str] = []
    problems: list[str] = []


def reload(server: Server) -> Reloaded:
    """Read the settings again, let them take effect, and load certificates and plugins again, in all processes of a server.

    Args:
        server: The server, seen from the process that was started.
    """
    done = reload_here(server)
    if done.problems:
        return done
    if server.core.several:
        for answer in server.core.ask(TOPIC, timeout=_RELOAD_SECONDS):
            problems = [answer.error] if answer.error else answer.value
            done.problems += [f"worker {answer.worker}: {problem}" for problem in problems]
    if not done.plugins:
        done.plugins = server.reloading.reload(everything=True)
    return done


def reload_here(server: Server) -> Reloaded:
    """Let the settings take effect, and load certificates again, in this process alone."""
    try:
        wanted = server.reread()
        old = server.settings
        new, later = _keep_fixed(old, wanted)
        changed = sorted(path for path in differing(old, new) if path.partition(".")[0] not in _IGNORED)
        commits = [prepare(server, new) for prepare in server.preparers]
        plugins = _exchange_plugins(server, old, new)
    except (ConfigurationError, StartupError, PluginRefusedError) as error:
        _log.error("reload: the configuration is refused, the one before stays in force: %s", error)
        return Reloaded(problems=str(error).splitlines())
    for commit in commits:
        commit()
    server.settings = new
    server.certificates.reload()
    if changed:
        _log.info("reload: these settings took effect: %s", ", ".join(changed))
    if later:
        _log.warning("reload: %s: takes effect with a restart: anycore ctl restart", ", ".join(later))
    return Reloaded(changed, later, plugins)


def _keep_fixed(old: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """Return the settings that can be in force now, and the paths of those that cannot."""
    later: list[str] = []
    replaced: dict[str, Any] = {}
    for path in differing(old, wanted):
        section, _, name = path.partition(".")
        if section in _IGNORED or path in _IGNORED:
            continue
        if section in _FIXED and path not in _LIVE:
            later.append(path)
            replaced[section] = msgspec.structs.replace(
                replaced.get(section, getattr(wanted, section)), **{name: getattr(getattr(old, section), name)}
            )
        elif section == "limits" and name in _FIXED_LIMITS:
            later.append(path)
            limits = replaced.get("core_limits", wanted.core_limits)
            replaced["core_limits"] = msgspec.structs.replace(limits, **{name: getattr(old.core_limits, name)})
        elif section.startswith("listen") and (not name or name in _FIXED_LISTEN):
            later.append(path)
            replaced["listen"] = old.listen  # one that is elsewhere is another listener, with certificates of its own
    return msgspec.structs.replace(wanted, **replaced), later


def differing(old: Settings, new: Settings) -> list[str]:
    """Return the paths of settings that differ, such as `limits.idle_time`, `listen[0].hosts`, `plugin.thermostat`.

    Args:
        old: One.
        new: The other.
    """
    return [path for path, before, after in _pairs(old, new) if before != after]


def _pairs(old: Settings, new: Settings) -> Iterator[tuple[str, Any, Any]]:
    for section in SECTIONS:
        if section.plain:
            yield from _fields(section.name, getattr(old, section.name), getattr(new, section.name))
    yield from _fields("limits", old.limits, new.limits)
    yield from _fields("limits", old.core_limits, new.core_limits)
    if len(old.listen) != len(new.listen):
        yield "listen", len(old.listen), len(new.listen)
    else:
        for index, (before, after) in enumerate(zip(old.listen, new.listen, strict=True)):
            yield from _fields(f"listen[{index}]", before, after)
    for name in sorted({*old.plugin, *new.plugin}):
        yield f"plugin.{name}", old.plugin.get(name), new.plugin.get(name)


def _fields(section: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    for name in old.__struct_fields__:
        yield f"{section}.{name}", getattr(old, name), getattr(new, name)


def _exchange_plugins(server: Server, old: Settings, new: Settings) -> list[str]:
    if (old.server.plugins, old.plugin) == (new.server.plugins, new.plugin):
        return []
    return server.plugins.reconfigure(new.server.plugins, new.plugin)


# What can say no. Each returns what is to be done when nobody has.


def prepare_listeners(server: Server, new: Settings) -> Callable[[], None]:
    """Make TLS contexts and sites; connections that are open go on with theirs."""
    with server.core.changing():  # a process that is forked meanwhile would wait for ever for the locks of OpenSSL
        contexts = [tls_context(settings) for settings in new.listen]

    def commit() -> None:
        server.settings = new
        server.renew_listeners(contexts)

    return commit


def prepare_core(server: Server, new: Settings) -> Callable[[], None]:
    """Hand the core its limits."""
    return lambda: server.core.set_limits(new.core_limits)


def prepare_debugging(server: Server, new: Settings) -> Callable[[], None]:
    """Set the level of the log, and whether callers see tracebacks."""
    same = (server.settings.log, server.settings.server.debug) == (new.log, new.server.debug)

    def commit() -> None:
        server.kernel.debug = new.server.debug
        configure(new.log)

    return (lambda: None) if same else commit
