"""Workers killed with -9 under load: which calls fail, and when all workers answer again."""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count

from benchmarks.prefork.servers import Prefork

CALLERS = 8
WORKERS = 2
PAUSE = 1.2  # longer than a worker counts as young, and is replaced after a while only


@dataclass
class Found:
    """What came of it. `back` has the seconds from each kill until a new worker has answered a call."""

    back: list[float] = field(default_factory=list)
    calls: int = 0
    lost: int = 0
    wrong: int = 0

    def lines(self) -> list[str]:
        """Return what there is to print."""
        back = [1000 * seconds for seconds in self.back]
        done = f"{self.calls:,} calls answered, {self.lost} failed, {self.wrong} got another's answer"
        soon = f"{statistics.median(back):.0f} ms after the kill (median), {max(back):.0f} ms at most"
        return [
            f"killed {len(back)} times, one of {WORKERS} workers each, under {CALLERS} callers: {done}",
            f"a new worker has answered its first call {soon}",
        ]


class _Line:
    """A connection that is kept, and never repeats a call."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(url.removeprefix("http://"), timeout=20)

    def call(self, value: int) -> tuple[int, int]:
        """Return the value, and the process that has answered."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "work.tell", "params": [value]})
        try:
            self._connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
            found, pid = json.loads(self._connection.getresponse().read())["result"]
        except (OSError, HTTPException):
            self._connection.close()
            raise
        return found, pid

    def close(self) -> None:
        self._connection.close()


def measure(kills: int) -> Found:
    """Kill workers, and see."""
    found, over, lock = Found(), threading.Event(), threading.Lock()
    with Prefork(WORKERS, "asyncio") as server:

        def call(caller: int) -> None:
            made = lost = wrong = 0
            with closing(_Line(server.url)) as line:
                for number in count(caller * 1_000_000_000):
                    if over.is_set():
                        break
                    try:
                        value, _ = line.call(number)
                    except (OSError, HTTPException):
                        lost += 1
                        continue
                    made += 1
                    wrong += value != number
            with lock:
                found.calls, found.lost, found.wrong = found.calls + made, found.lost + lost, found.wrong + wrong

        with ThreadPoolExecutor(CALLERS) as threads:
            calls = [threads.submit(call, number) for number in range(CALLERS)]
            try:
                known = _workers(server.url)
                for _ in range(kills):
                    victim = known.pop()
                    began = time.monotonic()
                    os.kill(victim, signal.SIGKILL)
                    known.add(_new(server.url, {victim, *known}))
                    found.back.append(time.monotonic() - began)
                    time.sleep(PAUSE)
            finally:
                over.set()
            for one in calls:
                one.result()
    return found


def _ask(url: str) -> int:
    with closing(_Line(url)) as line:
        return line.call(0)[1]


def _workers(url: str) -> set[int]:
    known: set[int] = set()
    while len(known) < WORKERS:
        known.add(_ask(url))
    return known


def _new(url: str, known: set[int]) -> int:
    while True:
        try:
            pid = _ask(url)
        except (OSError, HTTPException):
            continue
        if pid not in known:
            return pid
