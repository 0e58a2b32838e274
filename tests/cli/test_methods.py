"""`anycore methods`, on our server and on one that knows only the classic introspection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest
from click.testing import Result

from anycore.cli.exits import Exit
from anycore.cli.methods import _type

Run = Callable[..., Result]
Served = Any  # as the fixture has it; a conftest cannot be imported


def test_methods_are_listed_with_their_signatures(run: Run, served: Served) -> None:
    for url in (served.url, served.url.replace("http", "jsonrpc+http")):
        lines = run("methods", url).stdout.splitlines()
        assert "sample.add(a: int, b: int = 1) -> int" in lines
        assert "sample.echo(value)" in lines
        assert "system.listMethods() -> list[str]" in lines
        assert lines == sorted(lines)


def test_a_method_is_described(run: Run, served: Served) -> None:
    assert run("methods", served.url, "sample.add").stdout == (
        "sample.add(a: int, b: int = 1) -> int\n\n    Add two numbers.\n\n    The second is 1 unless given.\n"
    )
    assert run("methods", served.url, "sample.echo").stdout == "sample.echo(value)\n"


def test_a_method_that_is_not_there(run: Run, served: Served) -> None:
    result = run("methods", served.url, "sample.nothing")
    assert result.exit_code == Exit.FAULT
    assert "there is no method 'sample.nothing'" in result.stderr


def test_the_methods_of_a_plugin_are_listed(run: Run, served: Served) -> None:
    for url in (served.url, served.rpyc_url):
        lines = run("methods", url, "sample").stdout.splitlines()
        assert "sample.add(a: int, b: int = 1) -> int" in lines
        assert all(line.startswith("sample.") for line in lines)
    result = run("methods", served.url, "sample.ad")
    assert result.exit_code == Exit.FAULT
    assert "did you mean sample.add?" in result.stderr


class Handler(SimpleXMLRPCRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def classic() -> Iterator[str]:
    def shout(text: Any) -> Any:
        """Say it \x9b31mloud."""
        return str(text).upper()

    with SimpleXMLRPCServer(("127.0.0.1", 0), requestHandler=Handler) as server:
        server.register_introspection_functions()
        server.register_function(shout)
        server.register_function(lambda name: [["string", "string"], ["int", "int"]], "system.methodSignature")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_of_others_is_described_as_far_as_it_can_be(run: Run, classic: str) -> None:
    assert "shout(string) -> string\nshout(int) -> int\n" in run("methods", classic).stdout
    assert run("methods", classic, "shout").stdout == (
        "shout(string) -> string\nshout(int) -> int\n\n    Say it \\x9b31mloud.\n"
    )


SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"type": "integer"}, "int"),
    ({"type": "array", "items": {"type": "string"}}, "list[str]"),
    ({"type": "array"}, "list"),
    ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "float | None"),
    ({"type": ["string", "null"]}, "str | None"),
    ({"enum": ["a", 1]}, '"a" | 1'),
    ({"$ref": "#/components/schemas/Room"}, "Room"),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_a_schema_in_short(schema: dict[str, Any], expected: str) -> None:
    assert _type(schema) == expected


def test_methods_over_rpyc_are_described_alike(run: Run, served: Served) -> None:
    assert run("methods", served.rpyc_url).stdout == run("methods", served.url).stdout
    assert run("methods", served.rpyc_url, "sample.add").stdout == run("methods", served.url, "sample.add").stdout
