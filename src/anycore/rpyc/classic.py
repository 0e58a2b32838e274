"""Classic mode, for masters: connections to slaves, and what one does with them (spec/rpyc.md section 20).

A connection made here has `ClassicService` at this end unless told otherwise, as in RPyC: the other side may do with this process all
that this side may do with that one. `ClassicClient` in its place gives nothing away; redirected streams and by-value copies of what refers back to
this side do not work then.
"""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from anycore.objects.proxy import is_proxy
from anycore.rpyc import connecting, starting
from anycore.rpyc.connecting import DEFAULT_PORT, DEFAULT_SSL_PORT
from anycore.rpyc.master import ClassicClient, ClassicConnection, ClassicService, ModuleNamespace, install
from anycore.rpyc.slave import Slave, SlaveService
from anycore.rpyc.teleport import teleport_function
from anycore.rpyc.transfer import download, download_file, upload, upload_file, upload_module, upload_package
from anycore.wire.rpyc_constants import CALL, PICKLE

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from anycore.cores.pipes import Pipe

__all__ = [
    "ClassicClient", "ClassicConnection", "ClassicService", "MockClassicConnection", "ModuleNamespace", "SlaveService", "connect",
    "connect_multiprocess", "connect_pipes", "connect_socket", "connect_stdpipes", "connect_subproc", "connect_thread", "deliver", "download",
    "download_file", "interact", "obtain", "pm", "redirected_stdio", "ssh_connect", "ssl_connect", "teleport_function", "unix_connect",
    "upload", "upload_file", "upload_module", "upload_package",
]  # fmt: skip


def connect(
    host: str, port: int = DEFAULT_PORT, service: type | object = ClassicService, **options: Any
) -> ClassicConnection:
    """Connect to a slave over TCP.

    Args:
        host: Name or address.
        port: The port.
        service: What the slave may reach at this end; a master.
        **options: See `connecting.connect`.
    """
    return cast("ClassicConnection", connecting.connect(host, port, service, **options))


def ssl_connect(
    host: str, port: int = DEFAULT_SSL_PORT, service: type | object = ClassicService, **options: Any
) -> ClassicConnection:
    """Connect to a slave over TLS; for the options see `connecting.ssl_connect`."""
    return cast("ClassicConnection", connecting.ssl_connect(host, port, service, **options))


def unix_connect(path: str, service: type | object = ClassicService) -> ClassicConnection:
    """Connect to a slave on this machine by a unix socket."""
    return cast("ClassicConnection", connecting.unix_connect(path, service))


def connect_socket(connected: socket.socket, service: type | object = ClassicService) -> ClassicConnection:
    """Connect to a slave over a socket that is connected already."""
    return cast("ClassicConnection", connecting.connect_socket(connected, service))


def connect_pipes(incoming: Pipe, outgoing: Pipe, service: type | object = ClassicService) -> ClassicConnection:
    """Connect to a slave over two pipes; see `connecting.connect_pipes`."""
    return cast("ClassicConnection", connecting.connect_pipes(incoming, outgoing, service))


def connect_stdpipes(service: type | object = ClassicService) -> ClassicConnection:
    """Connect to a slave over standard input and output."""
    return cast("ClassicConnection", connecting.connect_stdpipes(service))


def ssh_connect(
    remote_machine: str, remote_port: int = DEFAULT_PORT, service: type | object = ClassicService, **options: Any
) -> ClassicConnection:
    """Connect to a slave on a machine that `ssh` can log in to; for the options see `starting.ssh_connect`."""
    return cast("ClassicConnection", starting.ssh_connect(remote_machine, remote_port, service, **options))


def connect_subproc(
    server: str | Sequence[str] | None = None, service: type | object = ClassicService
) -> ClassicConnection:
    """Start a slave as a subprocess and connect to it.

    Args:
        server: A classic server as a Python script, or a command that serves on its standard input and output; that of Anycore when left out.
        service: What the slave may reach at this end; a master.
    """
    if server is None:
        command: Sequence[str] = [sys.executable, "-m", "anycore", "classic", "-q", "-m", "stdio"]
    else:
        command = [sys.executable, "-u", server, "-q", "-m", "stdio"] if isinstance(server, str) else server
    return cast("ClassicConnection", starting.connect_subproc(command, service))


def connect_thread(service: type | object = ClassicService) -> ClassicConnection:
    """Start a slave in a thread and connect to it."""
    return cast("ClassicConnection", starting.connect_thread(service, remote_service=SlaveService))


def connect_multiprocess(
    args: Mapping[str, Any] | None = None, service: type | object = ClassicService
) -> ClassicConnection:
    """Start a slave in a process made by `multiprocessing` and connect to it; see `starting.connect_multiprocess`."""
    made = starting.connect_multiprocess(service, remote_service=SlaveService, args=args)
    return cast("ClassicConnection", made)


class _ByValue(pickle.Pickler):
    """Takes in place of each proxy what its owner makes of the object."""

    def reducer_override(self, obj: Any) -> Any:
        return (pickle.loads, (_pickled(obj),)) if is_proxy(obj) else NotImplemented


def _pickled(proxy: Any) -> Any:
    connection = object.__getattribute__(proxy, "____conn__")
    return connection.sync_request(PICKLE, proxy, pickle.DEFAULT_PROTOCOL)


def obtain(proxy: Any) -> Any:
    """Return a copy of an object of the other side, by value.

    To unpickle is to run what the other side has sent. Obtain from those only whom you would let run code here.

    Args:
        proxy: The object, or something of this side that contains some of the other.

    Raises:
        ValueError: When the other side does not allow it.
    """
    if is_proxy(proxy):
        return pickle.loads(_pickled(proxy))  # noqa: S301 - asked for by the caller, who has been told
    buffer = io.BytesIO()
    _ByValue(buffer).dump(proxy)
    return pickle.loads(buffer.getvalue())  # noqa: S301 - as above


def deliver(conn: Any, localobj: Any) -> Any:
    """Make a copy of an object of this side at the other side, by value.

    Args:
        conn: A classic connection.
        localobj: The object; its class must be importable there.

    Returns:
        The copy.
    """
    return conn.modules["pickle"].loads(pickle.dumps(localobj, pickle.DEFAULT_PROTOCOL))


class _Standard:
    """A standard stream of this process as the other side gets it: without a descriptor, which would mean another file there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def fileno(self) -> int:
        message = "a stream of the other side has no descriptor here"
        raise io.UnsupportedOperation(message)

    def close(self) -> None:
        """Stay open: `exit()` at the other side must not close a stream of this one."""


@contextmanager
def redirected_stdio(conn: Any) -> Iterator[None]:
    """Within the block, the other side reads from and prints to the standard streams of this one, and waits for them as long as it takes.

    Args:
        conn: A classic connection.
    """
    there, end = conn.modules.sys, conn.root.getconn()
    config: Any = {} if end is None else end._config  # noqa: SLF001 - RPyC's name for it
    before, patience = (there.stdin, there.stdout, there.stderr), config.get("sync_request_timeout")
    try:
        config["sync_request_timeout"] = None
        there.stdin, there.stdout, there.stderr = _Standard(sys.stdin), _Standard(sys.stdout), _Standard(sys.stderr)
        yield
    finally:
        if not getattr(conn, "closed", False):
            there.stdin, there.stdout, there.stderr = before
            config["sync_request_timeout"] = patience


def pm(conn: Any) -> None:
    """Debug the last exception at the other side, in its debugger, on the streams of this one.

    Args:
        conn: A classic connection.
    """
    trace = conn.root.getconn()._last_traceback  # noqa: SLF001 - RPyC's name for it
    if trace is None:
        message = "nothing has failed at the other side yet"
        raise ValueError(message)
    with redirected_stdio(conn):
        _at_leisure(conn, conn.modules.pdb.post_mortem, trace)


_PROMPT = """
def _anycore_interact(names):
    import code
    code.interact(local=dict(names))
"""


def interact(conn: Any, namespace: Mapping[str, Any] | None = None) -> None:
    """Run Python's prompt at the other side, on the streams of this one, until its end of file or `exit()`.

    Args:
        conn: A classic connection.
        namespace: What the prompt knows besides `conn`, which is this end of the connection.
    """
    names = tuple({**(namespace or {}), "conn": conn}.items())
    conn.execute(_PROMPT)
    prompt = conn.namespace["_anycore_interact"]
    with redirected_stdio(conn), suppress(SystemExit):
        _at_leisure(conn, prompt, names)


def _at_leisure(conn: Any, function: Any, *args: Any) -> Any:
    """Call a function that waits for a person, for as long as it takes."""
    if not is_proxy(function):
        return function(*args)
    return conn.async_request(CALL, function, args, ()).value


class MockClassicConnection:
    """Looks like a classic connection, and does everything in this process."""

    def __init__(self) -> None:
        self.root = Slave()
        parts = {name: getattr(self.root, name) for name in ("getmodule", "eval", "execute", "namespace")}
        install(self, parts, self.root.getmodule("builtins"))
