"""`rpyc.utils.zerodeploy`: a server on a machine that has Python and `ssh`, and nothing of ours, for as long as one needs it.

One `ssh` runs Python there and feeds it a script, then an archive of this package and of the two that it needs. Those hold machine code, so the
other machine must have them installed unless its system and version of Python are those of this one.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from anycore.compat.rpyc.core.service import ClassicService, VoidService
from anycore.compat.rpyc.utils.factory import connect_subproc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from anycore.compat.rpyc.core.protocol import Connection
    from anycore.rpyc.master import ClassicConnection

_PACKAGES: Final = {"first": ("anycore",), "last": ("httptools", "msgspec")}

SERVER_SCRIPT: Final = r"""
import io, os, shutil, sys, tarfile, tempfile
here = tempfile.mkdtemp(prefix="anycore-")
try:
    archive = io.BytesIO(sys.stdin.buffer.read($SIZE$))
    with tarfile.open(fileobj=archive) as packed:
        packed.extractall(here, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    sys.path.insert(0, os.path.join(here, "first"))
    sys.path.append(os.path.join(here, "last"))
    os.chdir(here)
    from anycore.compat.rpyc import substitute
    substitute()
    from $SERVER_MODULE$ import $SERVER_CLASS$ as ServerCls
    from $SERVICE_MODULE$ import $SERVICE_CLASS$ as ServiceCls
    logger = None
    $EXTRA_SETUP$
    server = ServerCls(ServiceCls, hostname="localhost", port=0, reuse_addr=True, logger=logger)
    thread = server._start_in_thread()
    print(server.port, flush=True)
    try:
        sys.stdin.buffer.read()
    finally:
        server.close()
        thread.join(2)
finally:
    shutil.rmtree(here, ignore_errors=True)
"""
"""What runs there. Words between dollar signs are filled in; `$SIZE$` is that of the archive that follows on standard input."""


class DeployedServer:
    """A server on another machine. It ends, and what was copied there is deleted, with `close` or when this program ends.

    Args:
        remote_machine: `host` or `user@host`, as `ssh` takes it; or a machine of plumbum, of which the name is used.
        server_class: What serves.
        service_class: What is served; the default lets this side do anything there.
        server_script: What runs there; see `SERVER_SCRIPT`.
        extra_setup: Statements to be run there before the server is made.
        python_executable: The Python there; that of this version when left out, or `python3`.
        ssh: The command and options to go before the machine; ours.

    Raises:
        OSError: When `ssh` cannot be run.
        ConnectionError: When no server has come of it; what `ssh` or Python had to say is on standard error.
    """

    def __init__(
        self,
        remote_machine: Any,
        server_class: str = "rpyc.utils.server.ThreadedServer",
        service_class: str = "rpyc.core.service.SlaveService",
        server_script: str = SERVER_SCRIPT,
        extra_setup: str = "",
        python_executable: str | None = None,
        *,
        ssh: Sequence[str] = ("ssh",),
    ) -> None:
        machine = remote_machine if isinstance(remote_machine, str) else str(remote_machine.host)
        if not machine or machine.startswith("-"):
            raise ValueError(f"expected a machine as ssh takes it, such as user@host, not {machine!r}")
        self._ssh = (*ssh, "--", machine)
        self._tunnel = (*ssh, "-W")
        self._machine = machine
        archive = _archive()
        script = _filled(server_script, server_class, service_class, extra_setup, len(archive)).encode()
        version = sys.version_info
        python = python_executable or f'"$(command -v python{version.major}.{version.minor} || command -v python3)"'
        boot = f"{python} -u -c 'import sys; exec(sys.stdin.buffer.read({len(script)}))'"
        self.proc = subprocess.Popen([*self._ssh, boot], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - the caller's machine
        self.remote_port = self._started(script + archive)

    def _started(self, sent: bytes) -> int:
        stdin, stdout = cast("Any", self.proc.stdin), cast("Any", self.proc.stdout)
        try:
            with suppress(BrokenPipeError):  # what it has to say is about to be read
                stdin.write(sent)
                stdin.flush()
            line = stdout.readline()
            return int(line)
        except ValueError:
            self.close()
            message = (
                f"no server was started on {self._machine}: a port was expected, not {line!r:.100}; see standard error"
            )
            raise ConnectionError(message) from None
        except BaseException:
            self.close()
            raise

    def connect(self, service: Any = VoidService, config: Mapping[str, Any] | None = None) -> Connection:
        """Connect to the server, through `ssh`.

        Args:
            service: What the server gets as its root.
            config: Keys of the configuration that differ from the defaults.
        """
        command = [*self._tunnel, f"localhost:{self.remote_port}", "--", self._machine]
        return connect_subproc(command, service, config)

    def classic_connect(self) -> ClassicConnection:
        """Connect to the server in classic mode, through `ssh`."""
        return cast("ClassicConnection", self.connect(ClassicService))

    def close(self, timeout: float | None = 10.0) -> None:
        """End the server.

        Args:
            timeout: Seconds that it may take to end by itself.
        """
        with suppress(OSError):  # it has ended already
            cast("Any", self.proc.stdin).close()
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        cast("Any", self.proc.stdout).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


class MultiServerDeployment:
    """The same server on several machines.

    Args:
        remote_machines: The machines.
        server_class: See `DeployedServer`.
        **options: See `DeployedServer`.
    """

    def __init__(
        self, remote_machines: Iterable[Any], server_class: str = "rpyc.utils.server.ThreadedServer", **options: Any
    ) -> None:
        self.remote_machines = list(remote_machines)
        with ExitStack() as stack:
            self.servers = [
                stack.enter_context(DeployedServer(machine, server_class, **options))
                for machine in self.remote_machines
            ]
            stack.pop_all()

    def __iter__(self) -> Iterator[DeployedServer]:
        return iter(self.servers)

    def __len__(self) -> int:
        return len(self.servers)

    def __getitem__(self, index: int) -> DeployedServer:
        return self.servers[index]

    def connect_all(self, service: Any = VoidService, config: Mapping[str, Any] | None = None) -> list[Connection]:
        """Connect to each; see `DeployedServer.connect`."""
        return [server.connect(service, config) for server in self.servers]

    def classic_connect_all(self) -> list[ClassicConnection]:
        """Connect to each in classic mode."""
        return [server.classic_connect() for server in self.servers]

    def close(self) -> None:
        """End all of them."""
        for server in self.servers:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def _filled(script: str, server: str, service: str, setup: str, size: int) -> str:
    words = {
        "$SERVER_MODULE$": server.rpartition(".")[0],
        "$SERVER_CLASS$": server.rpartition(".")[2],
        "$SERVICE_MODULE$": service.rpartition(".")[0],
        "$SERVICE_CLASS$": service.rpartition(".")[2],
        "$EXTRA_SETUP$": setup.replace("\n", "\n    "),
        "$SIZE$": str(size),
    }
    for word, text in words.items():
        script = script.replace(word, text)
    return script


def _archive() -> bytes:
    """Return the packages that the other machine needs."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=3) as packed:
        for place, names in _PACKAGES.items():
            for name in names:
                spec = find_spec(name)
                source = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
                if source is not None:
                    packed.add(source, f"{place}/{name}", filter=_without_caches)
    return made.getvalue()


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith(("__pycache__", ".pyx", ".c", ".h")) else entry
