"""The synchronous client: threads, forks, and methods as attributes."""

from __future__ import annotations

import copy
import json
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import connect
from anycore.wire import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable


def echo(peer: Any) -> None:
    message = json.loads(peer.request()[2])
    peer.reply(jsonrpc.encode_result(message["id"], [message["method"], message["params"]]))


def echo_twice(peer: Any) -> None:
    echo(peer)
    echo(peer)


def echo_thrice(peer: Any) -> None:
    for _ in range(3):
        echo(peer)


def test_methods_are_attributes(serve: Callable[..., Any]) -> None:
    with connect(f"jsonrpc+http://{serve(echo_thrice).address}") as client:
        assert client.thermostat.set(21.5) == ["thermostat.set", [21.5]]
        assert client.a.b.c(self=1, name=2) == ["a.b.c", {"self": 1, "name": 2}]
        assert client.single() == ["single", []]
        assert repr(client.thermostat.set).startswith("<method thermostat.set of <client of jsonrpc+http://127.0.0.1:")


def test_private_names_are_no_methods() -> None:
    with connect("http://localhost") as client:
        for owner in (client, client.thermostat):
            assert not hasattr(owner, "_repr_html_")
            with pytest.raises(AttributeError, match=r"use call\('_x', ...\)"):
                _ = owner._x
        assert repr(copy.copy(client.thermostat)) == repr(client.thermostat)


def test_threads_share_a_client(serve: Callable[..., Any]) -> None:
    together = threading.Barrier(4)

    def script(peer: Any) -> None:
        together.wait()
        echo(peer)
        for _ in range(50):
            echo(peer)

    server = serve(*[script] * 4)
    with connect(f"jsonrpc+http://{server.address}") as client, ThreadPoolExecutor(4) as threads:
        assert list(threads.map(client.first, range(4))) == [["first", [number]] for number in range(4)]
        assert server.connections == 4
        later = list(threads.map(client.later, range(50)))
    assert later == [["later", [number]] for number in range(50)]
    assert server.connections == 4


def test_a_call_under_way_outlives_close(serve: Callable[..., Any]) -> None:
    asked, closed = threading.Event(), threading.Event()

    def script(peer: Any) -> None:
        message = json.loads(peer.request()[2])
        asked.set()
        closed.wait()
        peer.reply(jsonrpc.encode_result(message["id"], 5))

    client = connect(f"jsonrpc+http://{serve(script).address}")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.m)
        asked.wait()
        client.close()
        closed.set()
        assert answer.result() == 5


def test_a_forked_child_connects_for_itself(serve: Callable[..., Any]) -> None:
    server = serve(echo_twice, echo)
    with connect(f"jsonrpc+http://{server.address}") as client:
        client.parent()
        with warnings.catch_warnings():  # Python 3.12 warns of threads; this child uses none
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(0 if client.child(1) == ["child", [1]] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert client.parent() == ["parent", []]
    assert server.connections == 2
