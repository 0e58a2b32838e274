"""Units of systemd for a server with given settings (systemd.service(5), systemd.socket(5), systemd.exec(5)): text, from settings alone."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anycore.server.errors import StartupError
from anycore.settings.keys import keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anycore.settings.keys import Key
    from anycore.settings.tables import ListenSettings, Settings

_HARDENED: Final = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077"""
_HOMES: Final = ("/home", "/root", "/run/user")
_MARGIN: Final = 15
"""Seconds that systemd gives the server beyond the time that it gives its calls."""
_NOT_PASSED: Final = ("process.", "server.plugins", "listen.")


def service_unit(settings: Settings, program: Sequence[str], name: str, directory: str) -> str:
    """Return the text of the service unit.

    Args:
        settings: The settings of the server.
        program: How `anycore` is started: absolute path, and arguments if need be.
        name: The name of the unit, without its ending.
        directory: The working directory: what relative paths are relative to.
    """
    control = f"%t/{name}/control.sock"
    start = [*program, "serve", *_arguments(settings), "--control", control]
    reload = [*program, "ctl", "--control", control, "reload"]
    stop = settings.core_limits.stop_time
    lines = [
        "[Unit]",
        f"Description=Anycore server {name}",
        f"Requires={name}.socket",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={_command(start)}",
        f"ExecReload={_command(reload)}",
        f"WorkingDirectory={directory}",
        "Restart=on-failure",
        "RestartSec=1",
        "WatchdogSec=30",
        f"TimeoutStopSec={int(stop) + _MARGIN if stop else 'infinity'}",
        f"LimitNOFILE={2 * settings.core_limits.connections + 1024}",
        "",
        *_user(settings, name),
        f"RuntimeDirectory={name}",
        "RuntimeDirectoryMode=0700",
        f"StateDirectory={name}",
        "StateDirectoryMode=0700",
        f"ProtectHome={'read-only' if _uses(settings, program, directory, *_HOMES) else 'yes'}",
        f"PrivateTmp={'no' if _uses(settings, program, directory, '/tmp', '/var/tmp') else 'yes'}",  # noqa: S108 - whether it is used
        *_HARDENED.splitlines(),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def socket_unit(settings: Settings, name: str) -> str:
    """Return the text of the socket unit: systemd opens the listeners' sockets, so that the service needs no privilege for them.

    Args:
        settings: The settings of the server.
        name: The name of the unit, without its ending.

    Raises:
        StartupError: When a listener has no address that could be written into a unit.
    """
    lines = ["[Unit]", f"Description=Sockets of the Anycore server {name}", "", "[Socket]"]
    lines += [f"ListenStream={_place(listener)}" for listener in settings.listen]
    modes = {listener.mode for listener in settings.listen if listener.address.path}
    lines += [f"SocketMode={max(modes)}"] if modes else []
    names = {listener.socket_name for listener in settings.listen}
    lines += [f"FileDescriptorName={one}" for one in names if one and len(names) == 1]
    lines += [
        "BindIPv6Only=ipv6-only",
        "NoDelay=yes",
        f"Backlog={settings.core_limits.backlog}",
        "",
        "[Install]",
        "WantedBy=sockets.target",
        "",
    ]
    return "\n".join(lines)


def _place(listener: ListenSettings) -> str:
    address = listener.address
    if address.path:
        return address.path
    if address.stdio or not address.port:
        what = "standard input is no socket" if address.stdio else "port 0 is another one each time"
        message = f"{listener.url}: {what}; give the listener a port"
        raise StartupError(message)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        message = f"{listener.url}: the host name {address.host!r} has no address ({error.strerror}); correct the URL"
        raise StartupError(message) from error
    host = found[4][0]
    return f"[{host}]:{address.port}" if found[0] == socket.AF_INET6 else f"{host}:{address.port}"


def _arguments(settings: Settings) -> Iterator[str]:
    """Return the arguments of `serve` that lead to these settings: what did not come from the file."""
    if settings.file:
        yield "--config"
        yield str(Path(settings.file).resolve())
    for path, key in keys().items():
        if settings.origins.get(path, "").startswith(("option ", "environment ")) and not path.startswith(_NOT_PASSED):
            yield from _option(key, _value(settings, key))
    yield from _listen_arguments(settings)
    if settings.origins.get("server.plugins", "") == "PATHS" or "environment" in settings.origins.get(
        "server.plugins", ""
    ):
        yield from (_absolute(plugin) for plugin in settings.server.plugins)


def _value(settings: Settings, key: Key) -> object:
    for table in (
        (settings.limits, settings.core_limits) if key.section == "limits" else (getattr(settings, key.section),)
    ):
        if hasattr(table, key.name):
            return getattr(table, key.name)
    raise AttributeError(key.path)


def _option(key: Key, value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield key.option if value else f"--no-{key.option[2:]}"
        return
    for one in value if isinstance(value, tuple) else (value,):
        yield key.option
        yield _absolute(str(one)) if key.is_path else str(one)


def _listen_arguments(settings: Settings) -> Iterator[str]:
    """Return the options that make the listeners, where not all of that is in the file."""
    given: dict[str, object] = {}
    for path, place in settings.origins.items():
        if path.startswith("listen[") and place.startswith(("option ", "environment ")):
            index, _, name = path[len("listen[") :].partition("].")
            if name == "url":
                yield "--listen"
                yield settings.listen[int(index)].url
            else:
                given[name] = getattr(settings.listen[int(index)], name)
    for name, value in given.items():
        yield from _option(keys()[f"listen.{name}"], value)


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if Path(path).exists() else path


def _user(settings: Settings, name: str) -> Iterator[str]:
    process = settings.process
    files = [file for listener in settings.listen for file in (listener.certificate, listener.key) if file]
    if process.user or files:
        user = process.user or name
        yield from (
            f"# {user} must be able to read {_absolute(file)}, also when it is replaced."
            for file in dict.fromkeys(files)
        )
        yield f"User={user}"
        yield f"Group={process.group or user}"
    else:
        yield "DynamicUser=yes"


def _uses(settings: Settings, program: Sequence[str], directory: str, *places: str) -> bool:
    """Tell whether the service reads something in places that are usually none of its business."""
    used = [directory, settings.file, *program, *settings.server.plugins]
    used += [file for listener in settings.listen for file in (listener.certificate, listener.key)]
    return any(_absolute(one).startswith(places) for one in used if one)


def _command(words: Sequence[str]) -> str:
    """Write a command line as systemd reads it (systemd.service(5), COMMAND LINES); `%t` stands for itself, as a directory of systemd's."""
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    escaped = escaped if escaped.startswith("%t/") else escaped.replace("%", "%%")
    return f'"{escaped}"' if any(letter.isspace() or letter in "\"';" for letter in word) or not word else escaped
