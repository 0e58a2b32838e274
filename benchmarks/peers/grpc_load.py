"""The load for the gRPC peer, which wrk cannot speak: unary calls in a closed loop, one channel per connection.

Prints one line of JSON in the form of post.lua's, with the answer to a first call for the harness to check.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter, process_time
from typing import Any

import grpc

from benchmarks.workload import CALLS

# Without this, channels to one address would share one connection.
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


async def caller(call: Any, body: bytes, seconds: float, latencies: list[float]) -> int:
    """Call until the time is over; return how many calls failed."""
    failed = 0
    end = perf_counter() + seconds
    while (start := perf_counter()) < end:
        try:
            await call(body)
        except grpc.aio.AioRpcError:
            failed += 1
        else:
            latencies.append(perf_counter() - start)
    return failed


async def run(port: str, name: str, connections: int, seconds: float) -> dict[str, Any]:
    """Run the load and return its report."""
    body = json.dumps(CALLS[name].params, separators=(",", ":")).encode()
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) for _ in range(connections)]
    calls = [channel.unary_unary(f"/bench.Bench/{name}") for channel in channels]
    answers = await asyncio.gather(*(call(body) for call in calls))
    latencies: list[float] = []
    start, start_cpu = perf_counter(), process_time()
    failed = await asyncio.gather(*(caller(call, body, seconds, latencies) for call in calls))
    duration, cpu = perf_counter() - start, process_time() - start_cpu
    for channel in channels:
        await channel.close()
    latencies.sort()
    return {
        "requests": len(latencies),
        "duration_us": int(duration * 1e6),
        "p50_us": latencies[len(latencies) // 2] * 1e6 if latencies else 0,
        "p99_us": latencies[len(latencies) * 99 // 100] * 1e6 if latencies else 0,
        "load_cpu_seconds": cpu,
        "errors": {"call": sum(failed)},
        "answer": answers[0].decode(),
    }


def main() -> None:
    """Take port, call, connections and seconds from the command line."""
    port, name, connections, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(run(port, name, int(connections), float(seconds)))))


if __name__ == "__main__":
    main()
