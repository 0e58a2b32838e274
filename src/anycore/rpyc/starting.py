"""Connections to servers that are started for them: in a thread, a process, a subprocess, or at the far end of `ssh`."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects.config import BUSY_POLL_TIME
from anycore.rpyc.connecting import DEFAULT_PORT, connect_socket
from anycore.rpyc.listening import serve_root
from anycore.rpyc.service import VoidService
from anycore.wire.rpyc_constants import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anycore.objects.connection import Connection


def serve_socket(connected: socket.socket, service: type | object, config: dict[str, Any] | None = None) -> None:
    """Serve one connection in the calling thread until it ends.

    Args:
        connected: The socket; closed at the end.
        service: What the peer gets as its root: a class, made for this connection, or an instance.
        config: Keys of the configuration that differ from the defaults.
    """
    root = service() if isinstance(service, type) else service
    given = config or {}
    conversation = serve_root(Peer(), root, config=config, max_frame=given.get("max_frame", MAX_FRAME))
    pump = Pump(connected, conversation, busy_poll_time=given.get("busy_poll_time", BUSY_POLL_TIME))
    try:
        pump.begin()
        pump.serve()
    finally:
        pump.close()


def connect_thread(
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    remote_service: type | object = VoidService,
    remote_config: dict[str, Any] | None = None,
) -> Connection:
    """Start a server in a thread of this process and connect to it.

    Args:
        service: What the server may reach at this end.
        config: Keys of this end's configuration that differ from the defaults.
        remote_service: What it serves.
        remote_config: Keys of its end's configuration that differ from the defaults.
    """
    ours, theirs = socket.socketpair()
    threading.Thread(
        target=serve_socket, args=(theirs, remote_service, remote_config), name="anycore-rpyc-server", daemon=True
    ).start()
    return connect_socket(ours, service, config)


def connect_subproc(
    args: Sequence[str], service: type | object = VoidService, config: dict[str, Any] | None = None
) -> Connection:
    """Run a program that serves on its standard input and output, and connect to it.

    The program gets a socket as both. The process is `proc` of the connection; it is waited for as soon as it ends.

    Args:
        args: The program and its arguments.
        service: See `connect`.
        config: See `connect`.

    Raises:
        OSError: When it cannot be run.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(args, stdin=theirs.fileno(), stdout=theirs.fileno())  # noqa: S603 - the caller's own program
        except BaseException:
            ours.close()
            raise
    threading.Thread(target=process.wait, name="anycore-reaper", daemon=True).start()
    try:
        connection = connect_socket(ours, service, config)
    except BaseException:
        process.terminate()
        raise
    vars(connection)["proc"] = process
    return connection


def ssh_connect(
    remote_machine: str,
    remote_port: int = DEFAULT_PORT,
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    *,
    remote_host: str = "localhost",
    ssh: Sequence[str] = ("ssh",),
) -> Connection:
    """Connect to a server on a machine that `ssh` can log in to. No port is opened on this one.

    Args:
        remote_machine: The machine as `ssh` takes it: `host` or `user@host`.
        remote_port: The server's port there.
        service: See `connect`.
        config: See `connect`.
        remote_host: Where the server listens, as seen from that machine.
        ssh: The command and options to go before the machine.

    Raises:
        OSError: When `ssh` cannot be run.
        ValueError: When the machine is no name.
    """
    if not remote_machine or remote_machine.startswith("-"):
        message = f"expected a machine as ssh takes it, such as user@host, not {remote_machine!r}"
        raise ValueError(message)
    target = f"[{remote_host}]:{remote_port}" if ":" in remote_host else f"{remote_host}:{remote_port}"
    return connect_subproc([*ssh, "-W", target, "--", remote_machine], service, config)


def connect_multiprocess(
    service: type | object = VoidService,
    config: dict[str, Any] | None = None,
    remote_service: type | object = VoidService,
    remote_config: dict[str, Any] | None = None,
    args: Mapping[str, Any] | None = None,
) -> Connection:
    """Start a server in a process made by `multiprocessing` and connect to it. The process is `proc` of the connection.

    Args:
        service: See `connect_thread`.
        config: See `connect_thread`.
        remote_service: See `connect_thread`. It must be importable by name unless processes are made by `fork`.
        remote_config: See `connect_thread`.
        args: What the server's namespace begins with, where it has one: values, and things to share made by `multiprocessing`.
    """
    ours, theirs = socket.socketpair()
    inherited = ours.fileno() if multiprocessing.get_start_method() == "fork" else -1
    process = multiprocessing.Process(
        target=_serve_process, args=(theirs, inherited, remote_service, remote_config, dict(args or {})), daemon=True
    )
    with theirs:
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
    connection = connect_socket(ours, service, config)
    vars(connection)["proc"] = process
    return connection


def _serve_process(
    connected: socket.socket,
    inherited: int,
    service: type | object,
    config: dict[str, Any] | None,
    args: dict[str, Any],
) -> None:
    if inherited >= 0:
        os.close(inherited)  # the parent's end: with it open here, the parent's death would go unnoticed
    root: Any = service() if isinstance(service, type) else service
    if args:
        root.namespace.update(args)
    serve_socket(connected, root, config)
