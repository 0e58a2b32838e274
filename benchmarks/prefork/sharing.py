"""How two processes may share a port, side by side: who gets how many connections, and what becomes of callers when one of the two hangs.

The processes are as small as can be: uvloop or asyncio, and an answer that says which one it is. `shared fairly` is what the core does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from anycore.cores.sharing import AT_ONCE, MOMENT, Share, Shares

PROCESSES = 2
PATIENCE = 0.5
WAYS = ("inherited", "inherited, shared fairly", "SO_REUSEPORT")


def measure(rounds: int) -> list[str]:
    """Return the table."""
    lines = [f"{'':28}{'busier of two has, of 4':>26}{'of 32':>16}{'answered while one hangs':>27}"]
    for way in WAYS:
        with _processes(way) as (port, pids):
            shares = [[_share(port, number) for _ in range(rounds)] for number in (4, 32)]
            answered = _while_one_hangs(port, pids)
        cells = [f"{statistics.median(share):.0f} (worst {max(share)})" for share in shares]
        lines.append(f"{way:28}{cells[0]:>26}{cells[1]:>16}{answered:>27}")
    return lines


@contextmanager
def _processes(way: str) -> Iterator[tuple[int, list[int]]]:
    first = _bound(0, reuse=way == WAYS[2])
    port = first.getsockname()[1]
    sockets = [first] + [_bound(port, reuse=True) if way == WAYS[2] else first for _ in range(1, PROCESSES)]
    pids = []
    shares = Shares(PROCESSES)
    for number, bound in enumerate(sockets):
        pid = os.fork()
        if pid == 0:
            try:
                _serve(bound, share=shares.of(number) if way == WAYS[1] else None)
            finally:
                os._exit(1)
        pids.append(pid)
    try:
        _until_all_answer(port, pids)
        yield port, pids
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for bound in sockets:
            bound.close()


def _bound(port: int, *, reuse: bool) -> socket.socket:
    made = socket.socket()
    if reuse:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen(1024)
    made.setblocking(False)
    return made


class _Tell(asyncio.Protocol):
    def __init__(self, open_ones: set[_Tell], share: Share | None) -> None:
        self._open_ones = open_ones
        self._share = share

    def connection_made(self, transport: Any) -> None:
        self._open_ones.add(self)
        transport.write(f"{os.getpid()}\n".encode())

    def connection_lost(self, _: Exception | None) -> None:
        self._open_ones.discard(self)
        if self._share is not None:
            self._share.tell(len(self._open_ones))


def _serve(bound: socket.socket, *, share: Share | None) -> None:
    try:
        import uvloop

        make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        make = asyncio.new_event_loop

    async def run() -> None:
        loop = asyncio.get_running_loop()
        if share is None:
            await loop.create_server(lambda: _Tell(set(), None), sock=bound)
        else:
            _accept_fairly(loop, bound, share)
        await loop.create_future()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(run())


async def _welcome(loop: asyncio.AbstractEventLoop, open_ones: set[_Tell], share: Share, raw: socket.socket) -> None:
    await loop.connect_accepted_socket(lambda: _Tell(open_ones, share), raw)


def _accept_fairly(loop: asyncio.AbstractEventLoop, bound: socket.socket, share: Share) -> None:
    tasks: set[asyncio.Task[Any]] = set()
    open_ones: set[_Tell] = set()

    def heed() -> None:
        if share.ahead(len(open_ones) + len(tasks)):
            loop.remove_reader(bound)
            loop.call_later(MOMENT, again)
        else:
            accept()

    def again() -> None:
        loop.add_reader(bound, heed)
        for _ in range(AT_ONCE):
            accept()

    def accept() -> None:
        with suppress(BlockingIOError):
            raw, _ = bound.accept()
            raw.setblocking(False)
            task = loop.create_task(_welcome(loop, open_ones, share, raw))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    share.tell(0)
    loop.add_reader(bound, heed)


def _connected(port: int, number: int) -> list[socket.socket]:
    made = []
    for _ in range(number):
        one = socket.socket()
        one.setblocking(False)
        with suppress(BlockingIOError):
            one.connect(("127.0.0.1", port))
        made.append(one)
    for one in made:
        one.settimeout(PATIENCE)
    return made


def _answers(port: int, number: int) -> Counter[bytes]:
    """Return who answers how many of some callers that come at once."""
    found: Counter[bytes] = Counter()
    for one in _connected(port, number):
        with one, suppress(TimeoutError):
            found[one.recv(100)] += 1
    return found


def _share(port: int, number: int) -> int:
    return max(_answers(port, number).values())


def _until_all_answer(port: int, pids: list[int]) -> None:
    wanted, seen = {f"{pid}\n".encode() for pid in pids}, set()
    deadline = time.monotonic() + 20
    while not wanted <= seen:
        if time.monotonic() > deadline:
            raise RuntimeError(f"of {pids} only {seen} answer")
        with suppress(OSError):
            seen |= set(_answers(port, 8))


def _while_one_hangs(port: int, pids: list[int]) -> str:
    os.kill(pids[0], signal.SIGSTOP)
    try:
        return f"{sum(_answers(port, 20).values())} of 20"
    finally:
        os.kill(pids[0], signal.SIGCONT)
