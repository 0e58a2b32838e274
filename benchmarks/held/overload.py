"""More calls than a server can do: how many it still does, and how quickly it refuses the rest. An open loop: nobody waits for answers to ask."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from statistics import median, quantiles

from benchmarks.held.busy import request
from benchmarks.load import LoadError

CONNECTIONS = 400
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "work.hold", "params": []}).encode()
WARM_UP = 1.0
PATIENCE = 10.0
"""Seconds after which a call that nobody has answered counts as lost."""


@dataclass
class Outcome:
    """What became of calls offered at some rate.

    Attributes:
        offered: Calls per second that were sent.
        done: Calls per second that were done.
        done_ms: How long each took.
        refused_ms: How long each refusal (HTTP 503) took.
        lost: Calls that nobody has answered.
    """

    offered: float
    done: float = 0.0
    done_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def refused_p99_ms(self) -> float:
        """The time within which 99 of 100 refusals came."""
        return quantiles(self.refused_ms, n=100)[98] if len(self.refused_ms) > 1 else 0.0

    @property
    def done_p50_ms(self) -> float:
        """The time within which half of the calls that were done came back."""
        return median(self.done_ms) if self.done_ms else 0.0


def offer(port: int, rate: float, seconds: float) -> Outcome:
    """Offer calls at a rate for some seconds, after a second to warm up.

    Raises:
        LoadError: an answer was neither a result nor a refusal.
    """
    return asyncio.run(_offer(port, rate, seconds))


async def _offer(port: int, rate: float, seconds: float) -> Outcome:
    outcome = Outcome(rate)
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    begun = time.perf_counter()
    counting, end = begun + WARM_UP, begun + WARM_UP + seconds
    tasks: list[asyncio.Task[None]] = []
    number = 0
    while (now := time.perf_counter()) < end:
        while begun + number / rate <= now:
            number += 1
            # Where all connections wait for an answer, one more is opened, as new peers would come.
            taken = await asyncio.open_connection("127.0.0.1", port) if idle.empty() else idle.get_nowait()
            tasks.append(asyncio.create_task(_call(taken, idle, outcome, counting, end)))
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    while not idle.empty():
        idle.get_nowait()[1].close()
    outcome.done /= seconds
    return outcome


async def _call(
    taken: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    outcome: Outcome,
    counting: float,
    end: float,
) -> None:
    reader, writer = taken
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(request(BODY))
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields[b"content-length"]))
    except (TimeoutError, asyncio.IncompleteReadError, OSError):
        outcome.lost += started >= counting
        writer.close()
        return
    finished = time.perf_counter()
    took = (finished - started) * 1000
    status = head[9:12]
    if status == b"200" and b'"result":true' in body:
        if counting <= finished < end:
            outcome.done += 1
            outcome.done_ms.append(took)
    elif status == b"503":
        if counting <= finished < end:
            outcome.refused_ms.append(took)
    else:
        raise LoadError(f"answered {head[:40]!r} {body[:200]!r}")
    if fields.get(b"connection", b"").strip() == b"close":
        writer.close()
    else:
        idle.put_nowait((reader, writer))
