"""`xmlrpc.client` of Python's standard library."""

from __future__ import annotations

import http.client
import xmlrpc.client
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from anycore.wire import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

Values = dict[str, dict[str, Any]]


class CountingTransport(xmlrpc.client.Transport):
    """Counts connections and the codings of responses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connections = 0
        self.codings: list[str | None] = []

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        if connection.sock is None:
            self.connections += 1
        connection.timeout = 20
        return connection

    def parse_response(self, response: Any) -> Any:
        self.codings.append(response.getheader("content-encoding"))
        return super().parse_response(response)


@pytest.fixture
def transport() -> CountingTransport:
    return CountingTransport(use_builtin_types=True)


@pytest.fixture
def proxy(server: str, transport: CountingTransport) -> Iterator[Any]:
    with xmlrpc.client.ServerProxy(
        f"{server}/RPC2", transport=transport, allow_none=True, use_builtin_types=True
    ) as made:
        yield made


def test_every_value_arrives_and_comes_back(proxy: Any, values: Values) -> None:
    """What the library can send: no integers beyond 32 bits, and a carriage return arrives as XML has it, as a line feed."""
    sendable = {
        **values["SCALARS"],
        **values["COMPOUNDS"],
        "nil": None,
        "nil within": values["EXTENSIONS"]["nil within"],
    }
    del sendable["carriage return"]
    assert {name: proxy.interop.echo(value) for name, value in sendable.items()} == sendable


def test_every_value_is_received(proxy: Any, values: Values) -> None:
    received = {name: proxy.interop.give(name) for name in values["VALUES"]}
    assert received == values["VALUES"]
    assert {name: type(value) for name, value in received.items()} == {
        name: type(value) for name, value in values["VALUES"].items()
    }


def test_every_value_is_sent(proxy: Any, values: Values) -> None:
    names = ("negative", "true", "negative double", "markup", "astral", "bytes", "moment", "nil", "array")
    sent = {name: values["VALUES"][name] for name in names}
    assert {name: proxy.interop.describe(value) for name, value in sent.items()} == {
        n: repr(v) for n, v in sent.items()
    }


def test_wrapped_types(server: str) -> None:
    """Without use_builtin_types the library has its own DateTime and Binary."""
    with xmlrpc.client.ServerProxy(server) as proxy:
        interop: Any = proxy.interop
        assert interop.echo(xmlrpc.client.Binary(b"\x00\xff")) == xmlrpc.client.Binary(b"\x00\xff")
        assert interop.echo(xmlrpc.client.DateTime("19980717T14:08:55")) == xmlrpc.client.DateTime("19980717T14:08:55")
        assert interop.zoned() == "20200229T23:59:58"


def test_another_encoding(server: str) -> None:
    with xmlrpc.client.ServerProxy(server, encoding="iso-8859-15") as proxy:
        interop: Any = proxy.interop
        assert interop.describe("5 € für Zoë") == "'5 € für Zoë'"


def test_typed_parameters(proxy: Any) -> None:
    moment = datetime(1998, 7, 17, 14, 8, 55)  # noqa: DTZ001 - XML-RPC's dates have no zone
    answer = proxy.interop.shift(moment, b"\x00\x01", [1, 2.5], {"on": True})
    assert answer == [moment.replace(year=1999), b"\x01\x00", [2.0, 5.0], {"on": False}]


@pytest.mark.parametrize("method", ["add", "add_async"])
def test_every_mode(proxy: Any, method: str) -> None:
    assert getattr(proxy.interop, method)(2**31 - 3, 2) == 2**31 - 1


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("interop.fail", (42, "nö <&>\n"), 42, "nö <&>\n"),
        ("interop.crash", (), faults.APPLICATION_ERROR, "interop.crash: ValueError: the café is closed"),
        ("interop.no_such_method", (), faults.METHOD_NOT_FOUND, "there is no method 'interop.no_such_method'"),
        ("interop.add", (1,), faults.INVALID_PARAMS, "parameter 'b' missing"),
        ("interop.add", (1, "2"), faults.INVALID_PARAMS, "'b'"),
        ("interop.unsendable", (), faults.RESULT_NOT_ENCODABLE, "result.rooms[1]"),
        ("system.methodHelp", ("nothing",), faults.METHOD_NOT_FOUND, "'nothing'"),
    ],
)
def test_faults(proxy: Any, method: str, params: tuple[Any, ...], code: int, message: str) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(proxy, method)(*params)
    assert caught.value.faultCode == code
    assert message in caught.value.faultString


def test_introspection(proxy: Any) -> None:
    methods = proxy.system.listMethods()
    assert len(methods) == len(set(methods))
    assert {"interop.add", "interop.add_async", "system.listMethods", "system.multicall"} <= set(methods)
    assert proxy.system.methodSignature("interop.add") == [["int", "int", "int"]]
    assert proxy.system.methodSignature("interop.shift") == [["array", "dateTime.iso8601", "base64", "array", "struct"]]
    assert proxy.system.methodHelp("interop.add") == "Return the sum.\n\nGrößen: ganze Zahlen."
    assert {"xmlrpc", "introspection", "system.multicall", "nil"} <= set(proxy.system.getCapabilities())


def test_multicall(proxy: Any) -> None:
    calls = xmlrpc.client.MultiCall(proxy)
    calls.interop.add(1, 2)
    calls.interop.add_async(3, 4)
    calls.interop.echo(None)
    calls.interop.fail(7, "seven")
    answers = calls()
    assert [answers[index] for index in range(3)] == [3, 7, None]
    with pytest.raises(xmlrpc.client.Fault, match="seven") as caught:
        answers[3]
    assert caught.value.faultCode == 7


def test_the_connection_stays(proxy: Any, transport: CountingTransport) -> None:
    assert [proxy.interop.add(n, n) for n in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(xmlrpc.client.Fault):
        proxy.interop.crash()
    assert proxy.interop.add(1, 2) == 3
    assert transport.connections == 1


def test_compressed_both_ways(proxy: Any, transport: CountingTransport) -> None:
    """Large bodies, so that they are decoded and compressed in a worker thread."""
    transport.encode_threshold = 100
    text = "gzip, gzipped " * 20_000
    assert proxy.interop.echo(text) == text
    assert proxy.interop.add(1, 2) == 3
    assert transport.codings == ["gzip", None]


def test_an_unknown_path_is_an_http_error(server: str) -> None:
    with xmlrpc.client.ServerProxy(f"{server}/nowhere") as proxy, pytest.raises(xmlrpc.client.ProtocolError) as caught:
        proxy.interop.add(1, 2)
    assert caught.value.errcode == 404
