"""`rpyc.utils.classic`, also `rpyc.classic`: connections to slaves, and what one does with them. The latter is `anycore.rpyc.classic`'s."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any, Final, cast

import anycore.compat.rpyc.utils.factory as factory  # noqa: PLR0402 - by way of the package, it would be a circle
from anycore.compat.rpyc.core.service import ClassicService, ModuleNamespace, Slave, SlaveService
from anycore.rpyc.classic import (
    MockClassicConnection,
    deliver,
    download,
    download_file,
    interact,
    obtain,
    pm,
    redirected_stdio,
    teleport_function,
    upload,
    upload_file,
    upload_module,
    upload_package,
)
from anycore.rpyc.connecting import DEFAULT_PORT, DEFAULT_SSL_PORT
from anycore.rpyc.transfer import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.compat.rpyc.core.channel import Channel
    from anycore.compat.rpyc.core.stream import Stream
    from anycore.rpyc.master import ClassicConnection

__all__ = [
    "DEFAULT_SERVER_PORT", "DEFAULT_SERVER_SSL_PORT", "ClassicService", "MockClassicConnection", "ModuleNamespace", "Slave",
    "SlaveService", "connect", "connect_channel", "connect_multiprocess", "connect_pipes", "connect_stdpipes", "connect_stream",
    "connect_subproc", "connect_thread", "deliver", "download", "download_dir", "download_file", "factory", "interact", "obtain", "pm",
    "redirected_stdio", "ssh_connect", "ssl_connect", "teleport_function", "unix_connect", "upload", "upload_dir", "upload_file",
    "upload_module", "upload_package",
]  # fmt: skip

DEFAULT_SERVER_PORT: Final = DEFAULT_PORT
DEFAULT_SERVER_SSL_PORT: Final = DEFAULT_SSL_PORT


def upload_dir(conn: Any, localpath: str, remotepath: str, filter: Any = None, chunk_size: int = CHUNK_SIZE) -> None:  # noqa: A002 - RPyC's name
    """Copy a directory tree to the other side; see `anycore.rpyc.transfer.upload`."""
    upload(conn, localpath, remotepath, filter, False, chunk_size)


def download_dir(conn: Any, remotepath: str, localpath: str, filter: Any = None, chunk_size: int = CHUNK_SIZE) -> None:  # noqa: A002 - RPyC's name
    """Copy a directory tree from the other side; see `anycore.rpyc.transfer.download`."""
    download(conn, remotepath, localpath, filter, False, chunk_size)


def connect_channel(channel: Channel) -> ClassicConnection:
    """Connect to a slave over a channel."""
    return _classic(factory.connect_channel(channel, ClassicService))


def connect_stream(stream: Stream) -> ClassicConnection:
    """Connect to a slave over a stream."""
    return _classic(factory.connect_stream(stream, ClassicService))


def connect_pipes(input: IO[Any], output: IO[Any]) -> ClassicConnection:  # noqa: A002 - RPyC's name
    """Connect to a slave over two pipes."""
    return _classic(factory.connect_pipes(input, output, ClassicService))


def connect_stdpipes() -> ClassicConnection:
    """Connect to a slave over standard input and output."""
    return _classic(factory.connect_stdpipes(ClassicService))


def connect(
    host: str, port: int = DEFAULT_SERVER_PORT, ipv6: bool = False, keepalive: bool | int = False
) -> ClassicConnection:
    """Connect to a slave over TCP; see `factory.connect`."""
    return _classic(factory.connect(host, port, ClassicService, ipv6=ipv6, keepalive=keepalive))


def unix_connect(path: str) -> ClassicConnection:
    """Connect to a slave over a unix socket."""
    return _classic(factory.unix_connect(path, ClassicService))


def ssl_connect(
    host: str,
    port: int = DEFAULT_SERVER_SSL_PORT,
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    cert_reqs: int | None = None,
    ssl_version: int | None = None,
    ciphers: str | None = None,
    ipv6: bool = False,
) -> ClassicConnection:
    """Connect to a slave over TLS, without verifying it unless asked to; see `factory.ssl_connect`."""
    made = factory.ssl_connect(
        host, port, keyfile, certfile, ca_certs, cert_reqs, ssl_version, ciphers, ClassicService, ipv6=ipv6
    )
    return _classic(made)


def ssh_connect(remote_machine: Any, remote_port: int) -> ClassicConnection:
    """Connect to a slave on a machine that `ssh` can log in to; see `factory.ssh_connect`."""
    return _classic(factory.ssh_connect(remote_machine, remote_port, ClassicService))


def connect_subproc(server_file: str | None = None) -> ClassicConnection:
    """Start a slave as a subprocess and connect to it.

    Args:
        server_file: A classic server as a Python script; that of Anycore when left out.
    """
    command = ["-m", "anycore", "classic"] if server_file is None else ["-u", server_file]
    return _classic(factory.connect_subproc([sys.executable, *command, "-q", "-m", "stdio"], ClassicService))


def connect_thread() -> ClassicConnection:
    """Start a slave in a thread and connect to it."""
    return _classic(factory.connect_thread(ClassicService, remote_service=SlaveService))


def connect_multiprocess(args: Mapping[str, Any] | None = None) -> ClassicConnection:
    """Start a slave in a process and connect to it; `args` is what its namespace begins with."""
    return _classic(factory.connect_multiprocess(ClassicService, remote_service=SlaveService, args=args))


def _classic(made: Any) -> ClassicConnection:
    return cast("ClassicConnection", made)
