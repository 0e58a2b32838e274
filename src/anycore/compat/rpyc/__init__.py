"""RPyC's names on top of Anycore: a program that runs with `import rpyc` runs with `import anycore.compat.rpyc as rpyc`.

A thin facade: names, signatures and life cycles are here; what they do is in `anycore.rpyc`, `objects`, `conversations`, `cores` and
`discovery`. What differs from the original, on purpose, is listed in docs/how-to/replace-rpyc.md.

Source: spec/rpyc.md sections 10 to 23; the behaviour of RPyC 6.0.
"""

from __future__ import annotations

from anycore.compat.rpyc import cli, core, lib, utils, version
from anycore.compat.rpyc.core import (
    AsyncResult,
    AsyncResultTimeout,
    BaseNetref,
    Channel,
    ClassicService,
    Connection,
    GenericException,
    MasterService,
    PipeStream,
    Service,
    SlaveService,
    SocketStream,
    TunneledSocketStream,
    VoidService,
)
from anycore.compat.rpyc.lib import setup_logger, spawn
from anycore.compat.rpyc.substitute import substitute
from anycore.compat.rpyc.utils import classic, exposed, service
from anycore.compat.rpyc.utils.factory import (
    connect,
    connect_by_service,
    connect_channel,
    connect_pipes,
    connect_stdpipes,
    connect_stream,
    connect_subproc,
    connect_thread,
    discover,
    list_services,
    ssh_connect,
    ssl_connect,
)
from anycore.compat.rpyc.utils.helpers import BgServingThread, async_, buffiter, restricted, timed
from anycore.compat.rpyc.utils.server import (
    ForkingServer,
    OneShotServer,
    ThreadedServer,
    ThreadPoolServer,
    serve_socket,
)
from anycore.compat.rpyc.version import __version__

globals()["async"] = async_
"""The name that it had before Python took that for itself."""

__all__ = [
    "AsyncResult", "AsyncResultTimeout", "BaseNetref", "BgServingThread", "Channel", "ClassicService", "Connection", "ForkingServer",
    "GenericException", "MasterService", "OneShotServer", "PipeStream", "Service", "SlaveService", "SocketStream", "ThreadPoolServer",
    "ThreadedServer", "TunneledSocketStream", "VoidService", "__version__", "async_", "buffiter", "classic", "cli", "connect",
    "connect_by_service", "connect_channel", "connect_pipes", "connect_stdpipes", "connect_stream", "connect_subproc", "connect_thread",
    "core", "discover", "exposed", "lib", "list_services", "restricted", "serve_socket", "service", "setup_logger", "spawn",
    "ssh_connect", "ssl_connect", "substitute", "timed", "utils", "version",
]  # fmt: skip
