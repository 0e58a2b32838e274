"""One measurement by a Python client, in a process of its own: `client.py LIBRARY WORKLOAD PORT SECONDS`; one line of JSON.

LIBRARY: `rpyc` (the real client), `anycore` (ours) or `raw` (sockets, no protocol). The workloads do the same with both.
With `raw`, WORKLOAD is `held`, `polled` or the file of a script; see `script`. With `record` in the place of SECONDS nothing is measured, but the workload
is done once more after some times, when a line comes on standard input; see `recording`.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import itertools
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.rpyc.frames import REPLY, REQUEST, polling
from benchmarks.rpyc.script import Script

BLOCK = 64 * 1024
BLOCKS = 64
WARM_UP_CALLS = 20
SETTLING = 1.0
"""Seconds until large frames travel as they go on to: the kernel acknowledges the first ones of a connection at once, the later ones not."""
ITEMS = 10_000
WARM_UP_UNITS = 30
"""Before one is recorded: peers ask each other for what they do not know of a type."""
Connect = Callable[[], Any]
Unit = AbstractContextManager[Callable[[], object]]


@dataclass(frozen=True)
class Workload:
    """What is done over and over.

    Attributes:
        begin: Returns what to do once, from what makes a connection.
        amount: How much is counted for that.
        warm_up: How often it is done before it is measured.
        settling: For how many seconds it is, then.
    """

    begin: Callable[[Connect], Unit]
    amount: float = 1
    warm_up: int = WARM_UP_CALLS
    settling: float = 0.0

    def measure(self, connect: Connect, seconds: float) -> tuple[float, float]:
        """Return how much was done in about so many seconds, and in how many."""
        with self.begin(connect) as call:
            count, took = repeat(call, seconds, self.warm_up, self.settling)
        return count * self.amount, took


def check(got: object, wanted: object) -> None:
    """End the process when an answer is wrong."""
    if type(got) is not type(wanted) or got != wanted:
        sys.exit(f"expected {wanted!r:.80}, got {got!r:.300}")


def repeat(call: Callable[[], object], seconds: float, warm_up: int, settling: float) -> tuple[int, float]:
    """Call for some seconds, after some calls and some seconds of warming up; return how often, and how long that took."""
    for _ in range(warm_up):
        call()
    end = time.perf_counter() + settling
    while time.perf_counter() < end:
        call()
    count, start = 0, time.perf_counter()
    end = start + seconds
    while (at := time.perf_counter()) < end:
        call()
        count += 1
    return count, at - start


@contextmanager
def held(connect: Connect) -> Iterator[Callable[[], object]]:
    """Calls of a method that the client holds."""
    with connect() as conn:
        add = conn.root.add
        yield lambda: check(add(2, 3), 5)


@contextmanager
def rooted(connect: Connect) -> Iterator[Callable[[], object]]:
    """Calls that look the method up each time."""
    with connect() as conn:
        yield lambda: check(conn.root.add(2, 3), 5)


@contextmanager
def instances(connect: Connect) -> Iterator[Callable[[], object]]:
    """Calls that return a new instance of a user's class, which is dropped."""
    with connect() as conn:
        make = conn.root.make
        check(make(7).read(), 7)

        def call() -> None:
            if make(7) is None:
                sys.exit("expected an instance, got None")

        yield call


@contextmanager
def blocks(connect: Connect, *, compress: bool = True) -> Iterator[Callable[[], object]]:
    """Calls with arguments of 64 KiB each, that do not compress and differ from call to call."""
    with connect() as conn:
        if not compress:
            conn._channel.compress = False  # noqa: SLF001 (how rpyc's users do it)
        size, data = conn.root.size, itertools.cycle([os.urandom(BLOCK) for _ in range(BLOCKS)])
        yield lambda: check(size(next(data)), BLOCK)


def plain_blocks(connect: Connect) -> Unit:
    """The same with the client's compression off."""
    return blocks(connect, compress=False)


@contextmanager
def visits(connect: Connect) -> Iterator[Callable[[], object]]:
    """Connections made, used for one call and closed."""

    def call() -> None:
        with connect() as conn:
            check(conn.root.add(2, 3), 5)

    yield call


@contextmanager
def items(connect: Connect) -> Iterator[Callable[[], object]]:
    """Rounds through a remote list of 10,000."""
    with connect() as conn:
        numbers = conn.root.numbers()

        def call() -> None:
            wanted = 0
            for number in numbers:
                if number != wanted:
                    sys.exit(f"item {wanted}: expected {wanted}, got {number!r:.80}")
                wanted += 1
            check(wanted, ITEMS)

        yield call


MEGABYTES = BLOCK / 1e6
WORKLOADS = {
    "held": Workload(held),
    "rooted": Workload(rooted),
    "instances": Workload(instances),
    "blocks": Workload(blocks, MEGABYTES, 3, SETTLING),
    "plain_blocks": Workload(plain_blocks, MEGABYTES, 3, SETTLING),
    "visits": Workload(visits, 1, 3),
    "items": Workload(items, ITEMS, 1),
}


@contextmanager
def raw_held(connect: Connect, *, poll: bool = False) -> Iterator[Callable[[], object]]:
    """The frames of `held`, without protocol."""
    with connect() as connected:
        receive = polling(connected) if poll else connected.recv

        def call() -> None:
            connected.sendall(REQUEST)
            check(receive(1000), REPLY)

        yield call


def raw_polled(connect: Connect) -> Unit:
    """The same, looking for the answer all the time."""
    return raw_held(connect, poll=True)


def scripted(file: str) -> Workload:
    """Return the workload that a script was made from, without protocol."""
    script = Script.read(file)

    @contextmanager
    def persistent(connect: Connect) -> Iterator[Callable[[], object]]:
        with connect() as connected:
            yield lambda: script.play(connected)

    @contextmanager
    def visiting(connect: Connect) -> Iterator[Callable[[], object]]:
        def call() -> None:
            with connect() as connected:
                script.play(connected)

        yield call

    recorded = WORKLOADS[script.workload]
    begin = visiting if script.workload == "visits" else persistent
    return Workload(begin, recorded.amount, recorded.warm_up)


RAW = {"held": Workload(raw_held), "polled": Workload(raw_polled)}


def connector(library: str, port: int) -> Callable[[], Any]:
    """Return what makes a connection, closed by `with`."""
    if library == "rpyc":
        import rpyc

        return lambda: rpyc.connect("127.0.0.1", port)
    if library == "anycore":
        from anycore.rpyc.connecting import connect

        return lambda: connect("127.0.0.1", port)

    def raw() -> socket.socket:
        made = socket.create_connection(("127.0.0.1", port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    return raw


def main() -> None:
    """Measure and report, or do what is to be recorded."""
    library, name, port, seconds = sys.argv[1:5]
    connect = connector(library, int(port))
    workload = WORKLOADS[name] if library != "raw" else RAW.get(name) or scripted(name)
    if seconds == "record":
        _record(workload, connect)
        return
    before, began = _cpu_seconds(), time.perf_counter()
    count, took = workload.measure(connect, float(seconds))
    wall = time.perf_counter() - began
    report = {"count": count, "seconds": took, "load_cpu_seconds": _cpu_seconds() - before, "wall_seconds": wall}
    print(json.dumps(report))


def _record(workload: Workload, connect: Connect) -> None:
    with workload.begin(connect) as call:
        for _ in range(WARM_UP_UNITS if workload.amount < ITEMS else 1):
            call()
        print("ready", flush=True)
        sys.stdin.readline()
        call()
        print("done", flush=True)
        sys.stdin.readline()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
