"""One measurement by a Python client, in a process of its own: `client.py LIBRARY WORKLOAD PORT SECONDS`; one line of JSON.

LIBRARY: `rpyc` (the real client), `anycore` (ours) or `raw` (sockets, no protocol). The workloads do the same with both.
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
from collections.abc import Callable
from typing import Any

from benchmarks.rpyc.frames import REPLY, REQUEST, polling

BLOCK = 64 * 1024
BLOCKS = 64
WARM_UP_CALLS = 20
SETTLING = 1.0
"""Seconds until large frames travel as they go on to: the kernel acknowledges the first ones of a connection at once, the later ones not."""
ITEMS = 10_000
Workload = Callable[[Callable[[], Any], float], tuple[float, float]]


def check(got: object, wanted: object) -> None:
    """End the process when an answer is wrong."""
    if type(got) is not type(wanted) or got != wanted:
        sys.exit(f"expected {wanted!r:.80}, got {got!r:.300}")


def repeat(
    call: Callable[[], None], seconds: float, warm_up: int = WARM_UP_CALLS, settling: float = 0.0
) -> tuple[int, float]:
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


def held(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Calls of a method that the client holds."""
    with connect() as conn:
        add = conn.root.add
        return repeat(lambda: check(add(2, 3), 5), seconds)


def rooted(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Calls that look the method up each time."""
    with connect() as conn:
        return repeat(lambda: check(conn.root.add(2, 3), 5), seconds)


def instances(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Calls that return a new instance of a user's class, which is dropped."""
    with connect() as conn:
        make = conn.root.make
        check(make(7).read(), 7)

        def call() -> None:
            if make(7) is None:
                sys.exit("expected an instance, got None")

        return repeat(call, seconds)


def blocks(connect: Callable[[], Any], seconds: float, *, compress: bool = True) -> tuple[float, float]:
    """Megabytes of arguments, 64 KiB each, that do not compress and differ from call to call."""
    with connect() as conn:
        if not compress:
            conn._channel.compress = False  # noqa: SLF001 (how rpyc's users do it)
        size, data = conn.root.size, itertools.cycle([os.urandom(BLOCK) for _ in range(BLOCKS)])
        count, took = repeat(lambda: check(size(next(data)), BLOCK), seconds, warm_up=3, settling=SETTLING)
        return count * BLOCK / 1e6, took


def plain_blocks(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """The same with the client's compression off."""
    return blocks(connect, seconds, compress=False)


def visits(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Connections made, used for one call and closed."""

    def call() -> None:
        with connect() as conn:
            check(conn.root.add(2, 3), 5)

    return repeat(call, seconds, warm_up=3)


def items(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Items of a remote list of 10,000, over and over; a round that outlasts the time is broken off."""
    with connect() as conn:
        numbers = conn.root.numbers()
        count, start = 0, time.perf_counter()
        end = start + seconds
        while time.perf_counter() < end:
            wanted = 0
            for number in numbers:
                if number != wanted:
                    sys.exit(f"item {wanted}: expected {wanted}, got {number!r:.80}")
                wanted += 1
                if time.perf_counter() > end:
                    break
            else:
                check(wanted, ITEMS)
            count += wanted
        return count, time.perf_counter() - start


def raw_held(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """The frames of `held`, without protocol."""
    with connect() as connected:
        return _raw_held(connected, connected.recv, seconds)


def raw_polled(connect: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """The same, looking for the answer all the time."""
    with connect() as connected:
        return _raw_held(connected, polling(connected), seconds)


def _raw_held(connected: socket.socket, receive: Callable[[int], bytes], seconds: float) -> tuple[float, float]:
    def call() -> None:
        connected.sendall(REQUEST)
        check(receive(1000), REPLY)

    return repeat(call, seconds)


WORKLOADS: dict[str, Workload] = {
    "held": held,
    "rooted": rooted,
    "instances": instances,
    "blocks": blocks,
    "plain_blocks": plain_blocks,
    "visits": visits,
    "items": items,
    "raw_held": raw_held,
    "raw_polled": raw_polled,
}


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
    """Measure and report."""
    library, workload, port, seconds = sys.argv[1:5]
    connect = connector(library, int(port))
    before, began = _cpu_seconds(), time.perf_counter()
    count, took = WORKLOADS[workload](connect, float(seconds))
    wall = time.perf_counter() - began
    report = {"count": count, "seconds": took, "load_cpu_seconds": _cpu_seconds() - before, "wall_seconds": wall}
    print(json.dumps(report))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
