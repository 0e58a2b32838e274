"""The table of what is measured: each server with its command line, and each target (one form, over one wire) on it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.environment import anycore_command, peers_python
from benchmarks.peers.canned import tag
from benchmarks.workload import CALLS, CONTENT_TYPES, Call, request_body


@dataclass(frozen=True)
class Target:
    """One line of the report.

    Attributes:
        name: what `--only` selects by.
        server: the key of the server in `command`.
        wire: "xmlrpc", "jsonrpc" or "grpc".
        path: where to POST; `{tag}` stands for wire and call.
        form: what is appended to the method's name.
        ours: whether this is Anycore.
        column: the heading under which ours are compared to this peer.
    """

    name: str
    server: str
    wire: str
    path: str = "/"
    form: str = ""
    ours: bool = False
    column: str = ""

    @property
    def content_type(self) -> str:
        """The content type of the request."""
        return CONTENT_TYPES[self.wire]

    def call(self, name: str) -> Call:
        """Return the call of that name."""
        return CALLS[name]

    def url_path(self, call: str) -> str:
        """Return the path to which this call is POSTed."""
        return self.path.format(tag=tag(self.wire, call))

    def body(self, call: str) -> bytes:
        """Return the body of the request."""
        return request_body(self.wire, f"bench.{call}{self.form}", CALLS[call])


FORMS = {"quick": "", "async": "_async", "plain": "_plain"}
PATHS = {"xmlrpc": "/RPC2", "jsonrpc": "/jsonrpc"}

OURS = tuple(
    Target(f"anycore {core} {form} {wire}", f"anycore {core}", wire, PATHS[wire], suffix, ours=True)
    for wire in CONTENT_TYPES
    for core in ("asyncio", "threaded")
    for form, suffix in FORMS.items()
)

PEERS = (
    Target("xmlrpc.server best", "xmlrpc.server", "xmlrpc", "/RPC2", column="xmlrpc .server"),
    Target("fastapi async", "fastapi", "jsonrpc", "/async", column="fastapi async"),
    Target("fastapi models", "fastapi", "jsonrpc", "/models", column="fastapi models"),
    Target("fastapi def", "fastapi", "jsonrpc", "/threads", column="fastapi def"),
    Target("grpcio sync", "grpcio", "grpc", column="grpcio sync"),
    Target("raw threads xmlrpc", "raw threads", "xmlrpc", "/{tag}", column="raw threads"),
    Target("raw threads jsonrpc", "raw threads", "jsonrpc", "/{tag}", column="raw threads"),
    Target("raw uvloop xmlrpc", "raw uvloop", "xmlrpc", "/{tag}", column="raw uvloop"),
    Target("raw uvloop jsonrpc", "raw uvloop", "jsonrpc", "/{tag}", column="raw uvloop"),
)

TARGETS = OURS + PEERS

PEER_MODULES = {
    "xmlrpc.server": "xmlrpc_server",
    "fastapi": "fastapi_server",
    "grpcio": "grpc_server",
    "raw threads": "raw_threads",
    "raw uvloop": "raw_uvloop",
}


def command(server: str, port: int) -> list[str]:
    """Return the command line of a server.

    Raises:
        UnusableError: what it needs is not installed.
    """
    if server in PEER_MODULES:
        return [peers_python(), "-m", f"benchmarks.peers.{PEER_MODULES[server]}", str(port)]
    core = server.removeprefix("anycore ")
    listen = f"http://127.0.0.1:{port}"
    return [anycore_command(), "serve", "benchmarks/plugin.py", "--core", core, "--listen", listen]


def comparable(ours: Target, peer: Target) -> bool:
    """Return whether a ratio is printed: the ceilings send the bytes of one wire, the others are other ways to call."""
    return not peer.server.startswith("raw") or peer.wire == ours.wire
