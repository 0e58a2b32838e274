"""`rpyc.utils.factory`: making connections, with RPyC's signatures and defaults. Each ends in `connect_channel`.

As with RPyC, `ssl_connect` does not verify the server unless asked to. `anycore.rpyc.connecting.ssl_connect` does.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import subprocess
import threading
from typing import IO, TYPE_CHECKING, Any

from anycore.compat.rpyc.core.channel import Channel
from anycore.compat.rpyc.core.service import VoidService, connect_service
from anycore.compat.rpyc.core.stream import PipeStream, SocketStream, Stream, TunneledSocketStream
from anycore.compat.rpyc.lib import spawn
from anycore.compat.rpyc.utils.registry import RegistryClient, UDPRegistryClient
from anycore.rpyc.finding import DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anycore.compat.rpyc.core.protocol import Connection

    Service = type | object
    Config = Mapping[str, Any] | None

__all__ = [
    "DiscoveryError", "ForbiddenError", "connect", "connect_by_service", "connect_channel", "connect_multiprocess", "connect_pipes",
    "connect_stdpipes", "connect_stream", "connect_subproc", "connect_thread", "discover", "list_services", "serve_channel", "ssh_connect",
    "ssl_connect", "unix_connect",
]  # fmt: skip


class ForbiddenError(Exception):
    """The registry does not list its services."""


def connect_channel(channel: Channel, service: Service = VoidService, config: Config = None) -> Connection:
    """Speak over a channel.

    Args:
        channel: The channel.
        service: What the other side gets as its root: a class, made for this connection, or an instance.
        config: Keys of the configuration that differ from the defaults.
    """
    return connect_service(service, channel, config)


def connect_stream(stream: Stream, service: Service = VoidService, config: Config = None) -> Connection:
    """Speak over a stream; see `connect_channel`."""
    return connect_channel(Channel(stream), service, config)


def connect_pipes(
    input: IO[Any],  # noqa: A002 - RPyC's name
    output: IO[Any],
    service: Service = VoidService,
    config: Config = None,
) -> Connection:
    """Speak over two pipes; see `connect_channel`."""
    return connect_stream(PipeStream(input, output), service, config)


def connect_stdpipes(service: Service = VoidService, config: Config = None) -> Connection:
    """Speak over standard input and output; see `connect_channel`."""
    return connect_stream(PipeStream.from_std(), service, config)


def connect(
    host: str,
    port: int,
    service: Service = VoidService,
    config: Config = None,
    ipv6: bool = False,
    keepalive: bool | int = False,
) -> Connection:
    """Connect over TCP.

    Args:
        host: Name or address.
        port: The port.
        service: See `connect_channel`.
        config: See `connect_channel`.
        ipv6: Whether to use IPv6.
        keepalive: Whether the system is to find out that the server has gone: True for after 60 s, or a number of seconds.
    """
    return connect_stream(SocketStream.connect(host, port, _family(ipv6), keepalive=keepalive), service, config)


def unix_connect(path: str, service: Service = VoidService, config: Config = None) -> Connection:
    """Connect to a unix socket; see `connect_channel`."""
    return connect_stream(SocketStream.unix_connect(path), service, config)


def ssl_connect(
    host: str,
    port: int,
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    cert_reqs: int | None = None,
    ssl_version: int | None = None,
    ciphers: str | None = None,
    service: Service = VoidService,
    config: Config = None,
    ipv6: bool = False,
    keepalive: bool | int = False,
    verify_mode: int | None = None,
) -> Connection:
    """Connect over TLS. **The server is not verified** unless `ca_certs`, `cert_reqs` or `verify_mode` asks for it, as with RPyC.

    Args:
        host: Name or address.
        port: The port.
        keyfile: PEM file of the private key of `certfile`, when it is not in that file.
        certfile: PEM file of the certificate to show.
        ca_certs: PEM file of the authorities to trust; the server must have a certificate of theirs.
        cert_reqs: An `ssl.CERT_...`; given, the certificate must be for `host` as well.
        ssl_version: An `ssl.PROTOCOL_...`.
        ciphers: In OpenSSL's words.
        service: See `connect_channel`.
        config: See `connect_channel`.
        ipv6: See `connect`.
        keepalive: See `connect`.
        verify_mode: As `cert_reqs`, without the look at the name.

    Raises:
        ssl.SSLError: When TLS is why no connection is made.
    """
    asked: dict[str, Any] = {
        "keyfile": keyfile, "certfile": certfile, "ca_certs": ca_certs, "ssl_version": ssl_version, "ciphers": ciphers,
        "cert_reqs": cert_reqs if cert_reqs is not None else verify_mode,
        "check_hostname": cert_reqs is not None and cert_reqs != ssl.CERT_NONE,
    }  # fmt: skip
    return connect_stream(
        SocketStream.ssl_connect(host, port, asked, family=_family(ipv6), keepalive=keepalive), service, config
    )


def _family(ipv6: bool) -> int:
    return socket.AF_INET6 if ipv6 else socket.AF_INET


def ssh_connect(
    remote_machine: Any, remote_port: int, service: Service = VoidService, config: Config = None
) -> Connection:
    """Connect to a server on a machine that `ssh` can log in to.

    Args:
        remote_machine: `host` or `user@host`; or a machine of plumbum, which has `tunnel` or `connect_sock`.
        remote_port: The server's port there.
        service: See `connect_channel`.
        config: See `connect_channel`.
    """
    if isinstance(remote_machine, str):
        if not remote_machine or remote_machine.startswith("-"):
            raise ValueError(f"expected a machine as ssh takes it, such as user@host, not {remote_machine!r}")
        return connect_subproc(["ssh", "-W", f"localhost:{remote_port}", "--", remote_machine], service, config)
    if hasattr(remote_machine, "connect_sock"):
        return connect_stream(SocketStream(remote_machine.connect_sock(remote_port)), service, config)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    tunnel = remote_machine.tunnel(port, remote_port)
    stream = TunneledSocketStream.connect("localhost", port)
    stream.tun = tunnel
    return connect_stream(stream, service, config)


def connect_subproc(args: Sequence[str] | str, service: Service = VoidService, config: Config = None) -> Connection:
    """Run a program that serves on its standard input and output, and connect to it. The process is `proc` of the connection.

    Args:
        args: The program and its arguments.
        service: See `connect_channel`.
        config: See `connect_channel`.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(args, stdin=theirs.fileno(), stdout=theirs.fileno())  # noqa: S603 - the caller's program
        except BaseException:
            ours.close()
            raise
    threading.Thread(target=process.wait, name="anycore-reaper", daemon=True).start()
    try:
        made = connect_stream(SocketStream(ours), service, config)
    except BaseException:
        process.terminate()
        raise
    vars(made)["proc"] = process
    return made


def serve_channel(
    channel: Channel, service: Service, config: Config = None, namespace: dict[str, Any] | None = None
) -> None:
    """Serve one channel until the connection ends.

    Args:
        channel: The channel.
        service: See `connect_channel`.
        config: See `connect_channel`.
        namespace: What a classic service keeps its names in.
    """
    root: Any = service() if isinstance(service, type) else service
    if namespace is not None:
        root.namespace = namespace
    connect_service(root, channel, config).serve_all()


def connect_thread(
    service: Service = VoidService,
    config: Config = None,
    remote_service: Service = VoidService,
    remote_config: Config = None,
) -> Connection:
    """Start a server in a thread of this process and connect to it.

    Args:
        service: See `connect_channel`.
        config: See `connect_channel`.
        remote_service: What the server serves.
        remote_config: Its configuration.
    """
    ours, theirs = socket.socketpair()
    spawn(serve_channel, Channel(SocketStream(theirs)), remote_service, remote_config)
    return connect_stream(SocketStream(ours), service, config)


def connect_multiprocess(
    service: Service = VoidService,
    config: Config = None,
    remote_service: Service = VoidService,
    remote_config: Config = None,
    args: Mapping[str, Any] | None = None,
) -> Connection:
    """Start a server in a process made by `multiprocessing` and connect to it. The process is `proc` of the connection.

    Args:
        service: See `connect_thread`.
        config: See `connect_thread`.
        remote_service: See `connect_thread`.
        remote_config: See `connect_thread`.
        args: What the server's namespace begins with.
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
    made = connect_stream(SocketStream(ours), service, config)
    vars(made)["proc"] = process
    return made


def _serve_process(
    connected: socket.socket, inherited: int, service: Service, config: Config, args: dict[str, Any]
) -> None:
    if inherited >= 0:
        os.close(inherited)  # the parent's end: with it open here, the parent's death would go unnoticed
    serve_channel(Channel(SocketStream(connected)), service, config, args or None)


def discover(
    service_name: str, host: str | None = None, registrar: RegistryClient | None = None, timeout: float = 2
) -> list[tuple[str, Any]]:
    """Return where a service is offered, as (host, port), oldest first.

    Args:
        service_name: The service.
        host: Only servers on this host.
        registrar: Who knows; a broadcast finds out when left out.
        timeout: Seconds to wait for the answer then.

    Raises:
        DiscoveryError: When nobody offers it, or no registry answers.
    """
    client = registrar if registrar is not None else UDPRegistryClient(timeout=timeout)
    found = list(client.discover(service_name))
    if not found:
        raise DiscoveryError(
            f"no server is known that offers {service_name!r}; check the name, and that a registry runs"
        )
    if host is None:
        return found
    addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    there = [server for server in found if server[0] in addresses]
    if not there:
        raise DiscoveryError(f"no server is known that offers {service_name!r} on {host}; there are {found!r:.200}")
    return there


def list_services(
    registrar: RegistryClient | None = None, filter_host: str | None = None, timeout: float = 2
) -> tuple[str, ...]:
    """Return the names of all services.

    Args:
        registrar: See `discover`.
        filter_host: Only those of this address.
        timeout: See `discover`.

    Raises:
        ForbiddenError: When the registry does not list them.
    """
    client = registrar if registrar is not None else UDPRegistryClient(timeout=timeout)
    found = client.list(filter_host)
    if found is None:
        raise ForbiddenError("the registry does not list its services; it has to be started with listing allowed")
    return found


def connect_by_service(
    service_name: str,
    host: str | None = None,
    registrar: RegistryClient | None = None,
    timeout: float = 2,
    service: Service = VoidService,
    config: Config = None,
) -> Connection:
    """Connect to the first server of a service that can be connected to.

    Args:
        service_name: See `discover`.
        host: See `discover`.
        registrar: See `discover`.
        timeout: See `discover`.
        service: See `connect_channel`.
        config: See `connect_channel`.

    Raises:
        DiscoveryError: When there is none.
    """
    reasons = []
    for address, port in discover(service_name, host, registrar, timeout):
        try:
            if isinstance(port, str):
                return unix_connect(port, service, config)
            return connect(address, port, service, config, ipv6=":" in address)
        except (OSError, EOFError) as error:
            reasons.append(f"{address}:{port}: {error}")
    raise DiscoveryError(f"none of the servers of {service_name!r} can be connected to: {'; '.join(reasons)}")
