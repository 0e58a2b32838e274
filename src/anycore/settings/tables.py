"""What can be set, with the defaults. Where settings come from lives in `sources`, what they must fulfil in `verify`.

The limits are those of the site and of the core, taken from there: names, defaults and descriptions are written once. The
descriptions of these structs are read by `keys` and become the help of options and the comments of `anycore config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from anycore.access.groups.tree import GroupSettings
from anycore.conversations.site import Limits
from anycore.cores.base import CoreLimits
from anycore.cores.prefork_options import PreforkOptions
from anycore.identity.sessions.settings import SessionSettings
from anycore.identity.settings import AuthenticationSettings
from anycore.settings.urls import ListenAddress, parse_listen_url
from anycore.store.settings import StoreSettings

DEFAULT_URL = "http://127.0.0.1:6789"
_FILE = {"path": True}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server]`: how the server is put together.

    Args:
        core: The core, by name: how bytes arrive and where work runs.
        plugins: Plugins to serve: files, directories, modules, entry points.
        store: Where sessions, tokens, groups and plugins keep what must last: lmdb:PATH of a directory, or memory: for as long as the
            server runs. Without it, a directory of the user's own: see the reference of the store.
        reload: Load a plugin again when its file changes; what does not load leaves the old one serving.
        debug: Show tracebacks: in the faults that callers get, and when the start fails.
    """

    core: Annotated[str, Meta(examples=["asyncio"])] = "asyncio"
    plugins: Annotated[tuple[str, ...], Meta(examples=["./plugins"], extra=_FILE)] = ()
    store: Annotated[str, Meta(examples=["lmdb:./store"], extra=_FILE)] = ""
    reload: bool = False
    debug: bool = False


class ListenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[[listen]]`: where callers connect.

    Args:
        url: Where to listen: http, https, rpyc or rpycs://host:port, or unix+http or unix+rpyc:///path; port 0 for any free one. With
            the core stdio: stdio+http: or stdio+rpyc:.
        certificate: PEM file with the server's certificate and those that lead to its authority; where TLS is spoken.
        key: PEM file with the certificate's private key, when it is not in the same file.
        client_ca: PEM file with the authorities whose client certificates are accepted.
        client_certificate: Whether clients must show a certificate: off, optional or required.
        crl: PEM file with the revocation list of each of these authorities: client certificates on it are refused.
        minimum_tls: The oldest version of TLS that is spoken.
        insecure: Listen beyond this machine without TLS. Whoever is on the way can read and change everything.
        hosts: Names besides this machine's own that requests may name in their Host header; "*" for any.
        mode: Permissions of a Unix socket, in octal.
        authenticator: A function as module:name that gets the socket of every connection first, as those of RPyC do, and returns it with the
            caller's name, or raises; for rpyc:// and unix+rpyc://.
        socket_name: Name of the socket that systemd opens for this listener (FileDescriptorName=); without one it is found by its address.
    """

    url: Annotated[str, Meta(examples=[DEFAULT_URL])] = DEFAULT_URL
    certificate: Annotated[str, Meta(examples=["server.pem"], extra=_FILE)] = ""
    key: Annotated[str, Meta(examples=["server.key"], extra=_FILE)] = ""
    client_ca: Annotated[str, Meta(examples=["ca.pem"], extra=_FILE)] = ""
    client_certificate: Literal["off", "optional", "required"] = "off"
    crl: Annotated[str, Meta(examples=["crl.pem"], extra=_FILE)] = ""
    minimum_tls: Literal["1.2", "1.3"] = "1.2"
    insecure: bool = False
    hosts: Annotated[tuple[str, ...], Meta(examples=["server.example.org"])] = ()
    mode: Annotated[str, Meta(examples=["660"])] = "600"
    socket_name: Annotated[str, Meta(examples=["web"])] = ""
    authenticator: Annotated[str, Meta(examples=["doors:knock"])] = ""

    @property
    def address(self) -> ListenAddress:
        """The URL, taken apart.

        Raises:
            ValueError: When it is no URL of a listener; settings that were loaded are known to be good.
        """
        return parse_listen_url(self.url)

    @property
    def allowed_hosts(self) -> tuple[str, ...] | None:
        """The names for `HttpSite`: None for any."""
        return None if "*" in self.hosts else self.hosts


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[access]`: who may call, read and write what. The rules themselves are tables `[[access.rule]]` and `[access.groups]`.

    Args:
        default: What holds where no rule says anything: local allows callers on this machine and denies others; deny; or allow.
        file: TOML file with further rules and groups, which follow those of the configuration file.
        clarens: Directories of Clarens services with their .clarens_access, single access files, or INI files of ClarensLight.
        bcfg2: The directory ACL of a Bcfg2 server, with ip.xml and metadata.xml.
    """

    default: Literal["local", "deny", "allow"] = "local"
    file: Annotated[str, Meta(examples=["access.toml"], extra=_FILE)] = ""
    clarens: Annotated[tuple[str, ...], Meta(examples=["./services"], extra=_FILE)] = ()
    bcfg2: Annotated[str, Meta(examples=["/var/lib/bcfg2/ACL"], extra=_FILE)] = ""


class RpycSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[rpyc]`: bounds and behaviour of RPyC listeners.

    Args:
        frame: Bytes of a frame, as sent and after it is inflated.
        objects: Objects of ours that one peer may hold.
        concurrency: Requests of one peer that may run at once; 1 keeps them in order, as RPyC does.
        queue: Requests of one peer that may wait for their turn; reading pauses above it.
        idle_time: Seconds that a peer may be silent between messages; 0 for as long as it likes, as with RPyC.
        keepalive: Seconds of silence after which the system looks whether the peer's machine is still there, and five times more; 0 for never.
    """

    frame: int = 64 * 1024 * 1024
    objects: int = 100_000
    concurrency: int = 1
    queue: int = 1000
    idle_time: float = 0.0
    keepalive: int = 60


class DiscoverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[discovery]`: how RPyC's clients find this server by the name of a service.

    Args:
        register: Register the RPyC listeners with the registries, and again every minute.
        registry: Registries, as HOST or HOST:PORT; without any the local network is asked by broadcast.
        registry_mode: How registries are asked.
        service: Names to register; without any, ANYCORE and the names of the plugins.
    """

    register: bool = False
    registry: Annotated[tuple[str, ...], Meta(examples=["registry.example.org"])] = ()
    registry_mode: Literal["udp", "tcp"] = "udp"
    service: Annotated[tuple[str, ...], Meta(examples=["THERMOSTAT"])] = ()


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[process]`: how the server lives on its machine.

    Args:
        daemonize: Go on in the background once ready; the command returns then, or when the start fails.
        pidfile: File for the process's number. It is locked for as long as the server runs, so that there is one server.
        user: User, by name or number, to become once sockets, keys and plugins are open; only root can.
        group: Group to become with that; that of the user when left out.
        umask: Permissions that new files do not get, in octal; what the process was started with when left out.
        chroot: Directory to make the root of the file system once all is open and imported; only root can.
        control: Unix socket at which `anycore ctl` reaches the server; only its own user and root can use it. None when left out.
        take_over: Take the place of the server that answers at the control socket: it hands over its sockets, and finishes.
    """

    daemonize: bool = False
    pidfile: Annotated[str, Meta(examples=["/run/anycore/anycore.pid"], extra=_FILE)] = ""
    user: Annotated[str, Meta(examples=["anycore"])] = ""
    group: Annotated[str, Meta(examples=["anycore"])] = ""
    umask: Annotated[str, Meta(examples=["077"])] = ""
    chroot: Annotated[str, Meta(examples=["/var/empty"], extra=_FILE)] = ""
    control: Annotated[str, Meta(examples=["/run/anycore/control.sock"], extra=_FILE)] = ""
    take_over: bool = False


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[log]`: what is written to standard error, or elsewhere.

    Args:
        level: The least important messages that are written.
        format: How they are written; auto is pretty on a terminal and json elsewhere.
        file: Append them to this file instead of writing them to standard error; it may be rotated.
        syslog: Send them to syslog as well: the path of its socket, or udp://HOST:PORT.
        facility: The facility by which syslog knows them.
        access: Append a line for each call to this file, which may be rotated; - for standard error.
        performance_interval: Seconds between lines with the figures of each method; 0 for none.
    """

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["auto", "pretty", "json"] = "auto"
    file: Annotated[str, Meta(examples=["anycore.log"], extra=_FILE)] = ""
    syslog: Annotated[str, Meta(examples=["/dev/log"])] = ""
    facility: Literal[
        "auth",
        "authpriv",
        "daemon",
        "user",
        "local0",
        "local1",
        "local2",
        "local3",
        "local4",
        "local5",
        "local6",
        "local7",
    ] = "daemon"
    access: Annotated[str, Meta(examples=["access.log"], extra=_FILE)] = ""
    performance_interval: float = 0.0


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[client]`: how `anycore call` and `anycore methods` behave.

    Args:
        timeout: Seconds to wait for an answer; 0 for no limit.
        ca: PEM file with the authorities whose server certificates are accepted; those of the system when left out.
        certificate: PEM file with the certificate that is shown to servers that ask for one.
        key: PEM file with that certificate's private key, when it is not in the same file.
        user: Name to sign in with. Its password is asked for, unless password_file or ANYCORE_PASSWORD in the environment has it.
        password_file: File with the password in its first line; - for standard input.
        token_file: File with a bearer token in its first line, - for standard input; or else ANYCORE_TOKEN in the environment has one.
    """

    timeout: float = 30.0
    ca: Annotated[str, Meta(examples=["ca.pem"], extra=_FILE)] = ""
    certificate: Annotated[str, Meta(examples=["client.pem"], extra=_FILE)] = ""
    key: Annotated[str, Meta(examples=["client.key"], extra=_FILE)] = ""
    user: Annotated[str, Meta(examples=["alice"])] = ""
    password_file: Annotated[str, Meta(examples=["password.txt"], extra=_FILE)] = ""
    token_file: Annotated[str, Meta(examples=["token.txt"], extra=_FILE)] = ""


class EnrolmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[enrolment]`: certificates for machines that have a one-time token.

    Args:
        ca: Directory of the authority that makes them, see `anycore ca init`; nobody is enrolled when left out.
        days: How many days they are valid.
        passphrase_file: File with the passphrase of the authority's key; or else ANYCORE_CA_PASSPHRASE in the environment has it.
    """

    ca: Annotated[str, Meta(examples=["ca"], extra=_FILE)] = ""
    days: int = 90
    passphrase_file: Annotated[str, Meta(examples=["passphrase.txt"], extra=_FILE)] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Made by `anycore.settings.sources.load_settings`, or directly by a program that assembles its own server.

    Args:
        server: The table `[server]`.
        listen: The tables `[[listen]]`.
        limits: The part of the table `[limits]` that concerns what one peer may send and ask for.
        core_limits: The part of the table `[limits]` that the core keeps.
        authentication: The table `[authentication]`.
        sessions: The table `[sessions]`.
        access: The table `[access]`, without the rules.
        groups: The table `[groups]`.
        store: The table `[store]`.
        enrolment: The table `[enrolment]`.
        prefork: The table `[prefork]`.
        rpyc: The table `[rpyc]`.
        discovery: The table `[discovery]`.
        process: The table `[process]`.
        log: The table `[log]`.
        client: The table `[client]`.
        plugin: The tables `[plugin.NAME]`, by name; each plugin checks its own.
        rules: The tables `[access.groups]` and `[[access.rule]]` as they were written; they take effect from the file.
        file: The configuration file that was read, or an empty string.
        origins: Where a setting that is not the default came from, by its path, such as `listen[0].url`.
    """

    server: ServerSettings = ServerSettings()
    listen: tuple[ListenSettings, ...] = (ListenSettings(),)
    limits: Limits = Limits()
    core_limits: CoreLimits = CoreLimits()
    authentication: AuthenticationSettings = AuthenticationSettings()
    sessions: SessionSettings = SessionSettings()
    access: AccessSettings = AccessSettings()
    groups: GroupSettings = GroupSettings()
    store: StoreSettings = StoreSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    prefork: PreforkOptions = PreforkOptions()
    rpyc: RpycSettings = RpycSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    process: ProcessSettings = ProcessSettings()
    log: LogSettings = LogSettings()
    client: ClientSettings = ClientSettings()
    plugin: dict[str, dict[str, Any]] = {}
    rules: dict[str, Any] = {}
    file: str = ""
    origins: dict[str, str] = {}
