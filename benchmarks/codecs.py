"""`python -m benchmarks.codecs`: nanoseconds of our codecs beside others, in this Python, without server or socket.

What a server does is timed: decode the call, encode the response. Each round times all rows one after the other, so
the ratios are taken within a round; the medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import timeit
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec

from anycore.wire import jsonrpc as our_jsonrpc
from anycore.wire import xmlrpc as our_xmlrpc
from benchmarks.report import ratio
from benchmarks.workload import CALLS, Call, check_answer, request_body

SECONDS = 0.1  # of one timing


@dataclass(frozen=True)
class Codec:
    """One row: how it decodes a call into its parameters, and how it encodes the response to one."""

    name: str
    wire: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    params: Callable[[Any], Any]
    ours: bool = False


def stdlib_xmlrpc_encode(value: Any) -> bytes:
    """Encode as `xmlrpc.server` does."""
    return xmlrpc.client.dumps((value,), methodresponse=True).encode()


def stdlib_json_encode(value: Any) -> bytes:
    """Encode as with the standard library alone."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def msgspec_encode(value: Any) -> bytes:
    """Encode with msgspec and nothing else."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": value})


def our_json_encode(value: Any) -> bytes:
    """Encode as our server does."""
    return our_jsonrpc.encode_result(1, value)


CODECS = (
    Codec("anycore", "xmlrpc", our_xmlrpc.decode_call, our_xmlrpc.encode_response, lambda d: d[1], ours=True),
    Codec("xmlrpc.client", "xmlrpc", xmlrpc.client.loads, stdlib_xmlrpc_encode, lambda d: d[0]),
    Codec("anycore", "jsonrpc", our_jsonrpc.decode, our_json_encode, lambda d: d[1][0].params, ours=True),
    Codec("json", "jsonrpc", json.loads, stdlib_json_encode, lambda d: d["params"]),
    Codec("msgspec raw", "jsonrpc", msgspec.json.decode, msgspec_encode, lambda d: d["params"]),
)


def verify(codec: Codec, call: Call) -> None:
    """Check that a row does what its neighbours do.

    Raises:
        WrongAnswerError: what it encodes is not the response.
        AssertionError: what it decodes is not the call.
    """
    body = request_body(codec.wire, f"bench.{call.method}", call)
    params = codec.params(codec.decode(body))
    if list(params) != list(call.params):
        raise AssertionError(f"{codec.name} {codec.wire}: decoded {params!r}, expected {call.params!r}")
    check_answer(codec.wire, call, codec.encode(call.result))


def nanoseconds(function: Callable[[Any], Any], argument: Any) -> float:
    """Return the nanoseconds of one call of `function`, timed over `SECONDS`."""
    timer = timeit.Timer("function(argument)", globals={"function": function, "argument": argument})
    once = max(timer.timeit(50) / 50, 1e-8)
    number = max(int(SECONDS / once), 1)
    return timer.timeit(number) / number * 1e9


def measure(rounds: int) -> dict[tuple[Codec, str, str], list[float]]:
    """Return the nanoseconds of each round by codec, call and direction."""
    found: dict[tuple[Codec, str, str], list[float]] = {}
    for _ in range(rounds):
        for name, call in CALLS.items():
            for codec in CODECS:
                body = request_body(codec.wire, f"bench.{name}", call)
                found.setdefault((codec, name, "encode"), []).append(nanoseconds(codec.encode, call.result))
                found.setdefault((codec, name, "decode"), []).append(nanoseconds(codec.decode, body))
    return found


def main() -> None:
    """Verify, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description="Our codecs beside others.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of about 2 s (default 5)")
    rounds = parser.parse_args().rounds
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for codec in CODECS:
        for call in CALLS.values():
            verify(codec, call)
    found = measure(rounds)
    kind = "plain Python" if str(our_xmlrpc.__file__).endswith(".py") else "compiled"
    print(f"python {sys.version.split()[0]}, anycore's XML-RPC codec: {kind}; nanoseconds; median of {rounds} rounds")
    print("in brackets: how many times as fast anycore is (below 1: slower)")
    print(f"{'':<24}" + "".join(f"{f'{call} {way}':>20}" for call in CALLS for way in ("encode", "decode")))
    for codec in CODECS:
        print(f"{codec.wire:<9}{codec.name:<15}" + "".join(cells(found, codec)))


def cells(found: dict[tuple[Codec, str, str], list[float]], codec: Codec) -> list[str]:
    """Return the figures of one row."""
    ours = next(other for other in CODECS if other.ours and other.wire == codec.wire)
    row = []
    for call in CALLS:
        for way in ("encode", "decode"):
            times = found[codec, call, way]
            compared = "" if codec.ours else f"({ratio(times, found[ours, call, way]):.2f})"
            row.append(f"{median(times):>11,.0f} {compared:<8}")
    return row


if __name__ == "__main__":
    main()
