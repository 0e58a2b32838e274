"""The WSGI application, called as a server would call it, and the validator of the standard library between."""

from __future__ import annotations

import io
import json
import time
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from anycore import Plugin, exposed
from anycore.conversations.site import HttpSite, Limits
from anycore.cores.base import CoreLimits
from anycore.cores.foreign.runner import ThreadRunner
from anycore.cores.foreign.wsgi import WsgiApplication
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify


class Echo(Plugin):
    @exposed
    def say(self, text: str) -> str:
        return text

    @exposed
    async def wait(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


class Slow(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.02)
        return super().read(1)


class Gone(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise ConnectionResetError


class Server:
    def __init__(self, **limits: Any) -> None:
        kernel = Kernel()
        kernel.registry.commit([verify(Echo(), "here")])
        self.site = HttpSite(kernel, limits=Limits(body=10_000))
        self.runner = ThreadRunner(CoreLimits(**limits))
        self.application = WsgiApplication(self.runner, lambda _: self.site)

    def ask(self, body: bytes, source: Any = None, **environ: Any) -> tuple[str, bytes]:
        own: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/jsonrpc", "REMOTE_ADDR": "127.0.0.1"}
        setup_testing_defaults(own)
        own |= {"CONTENT_TYPE": "application/json", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}
        own |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": source or io.BytesIO(body), **environ}
        seen: list[str] = []
        answer = self.application(
            {name: value for name, value in own.items() if value is not None}, lambda status, _: seen.append(status)
        )
        return seen[0], b"".join(answer)


def call(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def test_it_follows_the_specification() -> None:
    server = Server()
    body = call("echo.say", "hello")
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/jsonrpc", "QUERY_STRING": "", "SCRIPT_NAME": ""}
    setup_testing_defaults(environ)
    environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    environ |= {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
    seen: list[Any] = []

    def start_response(*args: Any) -> Any:
        seen.append(args)
        return bytes

    answer: Any = validator(server.application)(environ, start_response)
    assert json.loads(b"".join(answer))["result"] == "hello"
    answer.close()
    assert seen[0][0] == "200 OK"


def test_bodies_without_a_length_are_taken_where_the_server_ends_them() -> None:
    chunked = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
    body = call("echo.say", "hello")
    assert Server().ask(body, **chunked)[0].startswith("411 ")
    assert Server().ask(body, **chunked, **{"wsgi.input_terminated": True})[0] == "200 OK"
    assert Server().ask(b" " * 10_001, **chunked, **{"wsgi.input_terminated": True})[0].startswith("413 ")


@pytest.mark.parametrize(
    ("path", "status"), [("/jsonrpc", "200 OK"), ("/json\xc3\xbc", "404 Not Found"), ("/\xff", "400 ")]
)
def test_paths_are_bytes_in_disguise(path: str, status: str) -> None:
    assert Server().ask(call("echo.say", "hello"), PATH_INFO=path)[0].startswith(status)


def test_slow_bodies_and_slow_answers_are_told_so() -> None:
    server = Server(receive_time=0.05, work_time=0.05)
    body = call("echo.wait", 60)
    assert server.ask(body, Slow(body))[0].startswith("408 ")
    assert server.ask(body)[0].startswith("503 ")
    assert server.runner.counted.timed_out == 2
    assert server.runner.counted.in_flight == 0
    server.runner.close()


def test_peers_that_go_cost_nothing() -> None:
    server = Server()
    assert server.ask(b"x" * 9, Gone())[0].startswith("400 ")
    assert server.ask(call("echo.say", "hello")[:-1], CONTENT_LENGTH="400")[0].startswith("400 ")
    assert server.site.incidents.counts() == {"http-cut": 2}


def test_a_call_more_than_there_may_be_is_refused() -> None:
    server = Server(in_flight=0)
    status, body = server.ask(call("echo.say", "hello"))
    assert status.startswith("503 ")
    assert b"under way" in body
    assert server.runner.counted.refused == 1
