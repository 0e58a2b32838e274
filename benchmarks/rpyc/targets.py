"""The table of what is measured: servers with their command lines, groups of rows that are compared, and what each is to reach."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environment import anycore_command, peers_python


@dataclass(frozen=True)
class Row:
    """One line of a group.

    Attributes:
        name: What `--only` selects by.
        server: The key of the server in `SERVERS`.
        path: The names that lead from the root to the method (replay), nothing where the server is raw.
        library: What the client is made with (client): `rpyc`, `anycore`; or `raw` and its workload, or `SCRIPTED`.
        column: The heading under which the others of the group are compared to this one, if they are.
    """

    name: str
    server: str
    path: tuple[str, ...] = ()
    library: str = ""
    column: str = ""

    @property
    def ours(self) -> bool:
        """Whether the server is Anycore."""
        return self.server.startswith("anycore")


@dataclass(frozen=True)
class Group:
    """Rows that do the same and are measured next to each other.

    Attributes:
        name: What `--only` selects by.
        title: For the report.
        rows: The rows.
        unit: What is counted, per second.
        workload: Which one of `client` (empty: the replay).
        connections: How many (replay).
        depth: Requests under way on each (replay).
        form: `batch` or `window`; see `replay.c`.
        goals: By column: how many times its rate the best of ours is to reach.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    unit: str = "calls/s"
    workload: str = ""
    connections: int = 1
    depth: int = 1
    form: str = "batch"
    goals: dict[str, float] = field(default_factory=dict, hash=False)


CORES = ("asyncio", "threaded")
SCRIPTED = "raw script "
"""How the names of servers begin that say a script again; the library and the workload follow. See `script`."""
SCRIPTS = Path(tempfile.gettempdir()) / f"anycore-bench-rpyc-{os.getpid()}"
"""Where the scripts of this run are."""

REPLAYED = (
    *(Row(f"anycore {core} quick", f"anycore {core}", ("bench", "add")) for core in CORES),
    *(Row(f"anycore {core} plain", f"anycore {core}", ("bench", "add_plain")) for core in CORES),
    *(Row(f"anycore {core} service", f"anycore service {core}", ("add",)) for core in CORES),
    Row("rpyc ThreadedServer", "rpyc ThreadedServer", ("add",), column="Threaded Server"),
    Row("rpyc ThreadPoolServer", "rpyc ThreadPoolServer", ("add",), column="ThreadPool Server"),
    Row("raw threads", "raw threads", column="raw threads"),
    Row("raw uvloop", "raw uvloop", column="raw uvloop"),
)


def _clients(library: str, workload: str) -> tuple[Row, ...]:
    who = "their client" if library == "rpyc" else "our client"
    ours = tuple(Row(f"{who}, anycore {core}", f"anycore service {core}", library=library) for core in CORES)
    theirs = Row("their client, ThreadedServer", "rpyc ThreadedServer", library="rpyc", column="Threaded Server")
    if workload == "held":
        ceilings = [
            Row("raw client, raw threads", "raw threads", library="raw held", column="raw threads"),
            Row("raw client, raw polling", "raw polling", library="raw polled", column="raw polling"),
        ]
    else:
        scripted = f"{SCRIPTED}{library} {workload}"
        ceilings = [Row("raw client, raw threads", scripted, library=SCRIPTED, column="raw threads")]
    return (*ours, theirs, *ceilings)


def _client(name: str, title: str, library: str, goal: float, unit: str = "calls/s") -> Group:
    workload = name.partition(" ")[2]
    who = "their client" if library == "rpyc" else "our client on our server, theirs on theirs"
    goals = {"Threaded Server": goal} if goal else {}
    return Group(name, f"{title}: {who}", _clients(library, workload), unit, workload, goals=goals)


ITEMS = "iteration of a remote list of 10,000"
GROUPS = (
    Group(
        "replay depth 1",
        "replayed calls of a held method, 32 connections, one call at a time on each",
        REPLAYED,
        connections=32,
        goals={"Threaded Server": 3, "ThreadPool Server": 100},
    ),
    Group(
        "replay single depth 1",
        "replayed calls of a held method, one connection, one call at a time",
        REPLAYED,
        goals={"ThreadPool Server": 100},
    ),
    Group(
        "replay depth 16",
        "32 connections, 16 calls in one write, the next 16 when all are answered",
        REPLAYED,
        connections=32,
        depth=16,
        goals={"Threaded Server": 50},
    ),
    Group(
        "replay single depth 16",
        "the same, 16 calls in one write, over one connection",
        tuple(row for row in REPLAYED if "Pool" not in row.name),
        depth=16,
        goals={"Threaded Server": 50},
    ),
    Group(
        "replay window 16",
        "the same, 32 connections with 16 calls under way on each all the time",
        REPLAYED,
        connections=32,
        depth=16,
        form="window",
    ),
    _client("theirs held", "held method", "rpyc", 0),
    _client("theirs rooted", "conn.root.f()", "rpyc", 0),
    _client("theirs instances", "new instance of a user's class", "rpyc", 0),
    _client("theirs blocks", "64 KiB arguments that do not compress", "rpyc", 20, "MB/s"),
    _client("theirs plain_blocks", "the same, the client's compression off", "rpyc", 100, "MB/s"),
    _client("theirs visits", "connect, call, close", "rpyc", 1.5, "visits/s"),
    _client("theirs items", ITEMS, "rpyc", 0, "items/s"),
    _client("ours held", "held method", "anycore", 2),
    _client("ours rooted", "conn.root.f()", "anycore", 0),
    _client("ours instances", "new instance of a user's class", "anycore", 3),
    _client("ours items", ITEMS, "anycore", 20, "items/s"),
)


def _anycore(core: str) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        listen = f"rpyc://127.0.0.1:{port}"
        return [anycore_command(), "serve", "benchmarks/plugin.py", "--core", core, "--listen", listen]

    return command


def _service(core: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", "benchmarks.rpyc.peers.anycore_server", core, str(port)]


def _rpyc(kind: str) -> Callable[[int], list[str]]:
    return lambda port: [peers_python(), "-m", "benchmarks.rpyc.peers.rpyc_server", kind, str(port)]


def _raw(kind: str) -> Callable[[int], list[str]]:
    return lambda port: [peers_python(), "-m", f"benchmarks.rpyc.peers.raw_{kind}", str(port)]


def script_file(server: str) -> Path:
    """Return the file of the script that a server says again."""
    return SCRIPTS / f"{server.removeprefix(SCRIPTED).replace(' ', '-')}.json"


def _scripted(server: str) -> Callable[[int], list[str]]:
    return lambda port: [*_raw("threads")(port), str(script_file(server))]


RECORDED_ON = {"rpyc": "rpyc ThreadedServer", "anycore": "anycore service threaded"}
"""The server that a client's script is recorded with."""
SERVERS: dict[str, Callable[[int], list[str]]] = {
    **{f"anycore {core}": _anycore(core) for core in CORES},
    **{f"anycore service {core}": _service(core) for core in CORES},
    **{f"rpyc {kind}": _rpyc(kind) for kind in ("ThreadedServer", "ThreadPoolServer")},
    **{f"raw {kind}": _raw(kind) for kind in ("threads", "uvloop")},
    "raw polling": lambda port: [*_raw("threads")(port), "poll"],
    **{
        name: _scripted(name)
        for group in GROUPS
        for name in (row.server for row in group.rows)
        if name.startswith(SCRIPTED)
    },
}

IDLE = ("anycore asyncio", "anycore service asyncio", "anycore service threaded", "rpyc ThreadedServer")
IDLE_PEER = "rpyc ThreadedServer"
IDLE_OURS = IDLE[:2]
IDLE_GOAL = 0.25
