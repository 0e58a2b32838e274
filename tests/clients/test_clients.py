"""Both clients against real servers: what they send, what they make of the replies, and when they connect again."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import CallTimeoutError, Fault, LocalProtocolError, TransportError
from anycore.wire import jsonrpc
from anycore.wire.faults import METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Factory = Callable[..., Any]


def answer(peer: Any, value: Any = None, seen: list[Any] | None = None) -> None:
    """Answer a JSON-RPC call; `seen` gets its headers and message before the client gets its answer."""
    _, headers, body = peer.request()
    message = json.loads(body)
    if seen is not None:
        seen.append((headers, message))
    peer.reply(jsonrpc.encode_result(message["id"], value), content_type="application/json")


# The standard library's server


@pytest.fixture
def stdlib(stdlib_server: str, client: Factory) -> Any:
    return client(f"http://{stdlib_server}")


def test_calls_over_xml_rpc(stdlib: Any) -> None:
    assert stdlib.call("echo", 1, "caf\u00e9", [2.5, {"a": True}], b"\x00") == [
        1,
        "caf\u00e9",
        [2.5, {"a": True}],
        b"\x00",
    ]
    assert stdlib.call("calculator.divide", 1, 2) == 0.5
    with pytest.raises(Fault, match="ZeroDivisionError"):
        stdlib.call("calculator.divide", 1, 0)


def test_introspection(stdlib: Any) -> None:
    assert "calculator.divide" in stdlib.methods()
    assert stdlib.help("calculator.divide") == "Divide one number by another."
    assert stdlib.signature("echo") == "signatures not supported"


def test_a_batch_over_xml_rpc(stdlib: Any) -> None:
    half, fault, echo = stdlib.batch([("calculator.divide", [1, 2]), ("calculator.divide", (1, 0), {}), ("echo",)])
    assert half == 0.5
    assert isinstance(fault, Fault)
    assert "ZeroDivisionError" in fault.message
    assert echo == []
    assert stdlib.batch([]) == []


def test_large_requests_and_replies_are_compressed(stdlib_server: str, client: Factory) -> None:
    text = "anycore " * 10_000
    assert client(f"http://{stdlib_server}", compress=True).call("echo", text) == [text]


def test_what_xml_rpc_lacks_is_said_with_its_cure(stdlib: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"no named arguments \(celsius\); .*jsonrpc\+http"):
        stdlib.call("echo", celsius=21.5)
    with pytest.raises(LocalProtocolError, match="no named arguments"):
        stdlib.batch([("echo", (), {"celsius": 21.5})])
    with pytest.raises(LocalProtocolError, match=r"no notifications.*jsonrpc\+http"):
        stdlib.notify("echo")


def test_a_wrong_path_is_said_with_its_cure(stdlib_server: str, client: Factory) -> None:
    with pytest.raises(TransportError, match=r"HTTP status 404.*/RPC2") as caught:
        client(f"http://name:secret@{stdlib_server}/wrong").call("echo")
    assert caught.value.status == 404
    assert caught.value.url == f"http://{stdlib_server}/wrong"


# JSON-RPC


def test_calls_over_json_rpc(client: Factory, serve: Factory) -> None:
    seen: list[Any] = []

    def script(peer: Any) -> None:
        for _ in range(3):
            answer(peer, [2**70, None], seen)

    caller = client(f"jsonrpc+http://{serve(script).address}")
    assert caller.call("a.b", 1, [2]) == [2**70, None]
    caller.call("a.b", x=1)
    caller.call("a.b")
    assert [message for _, message in seen] == [
        {"jsonrpc": "2.0", "method": "a.b", "params": [1, [2]], "id": 1},
        {"jsonrpc": "2.0", "method": "a.b", "params": {"x": 1}, "id": 2},
        {"jsonrpc": "2.0", "method": "a.b", "params": [], "id": 3},
    ]
    with pytest.raises(LocalProtocolError, match="not both"):
        caller.call("a.b", 1, x=1)


def test_what_is_sent(client: Factory, serve: Factory) -> None:
    seen: list[Any] = []

    def script(peer: Any) -> None:
        start, headers, body = peer.request()
        seen.extend([start, headers, json.loads(gzip.decompress(body))])
        peer.reply(gzip.compress(jsonrpc.encode_result(1, "x" * 2000)), content_encoding="gzip")

    server = serve(script)
    settings = {"timeout": 60, "compress": True, "headers": {"content-type": "text/json", "X-More": "1"}}
    caller = client(f"jsonrpc+http://Aladdin:open%20sesame@{server.address}/clarens/?a=b", default=str, **settings)
    assert caller.call("m", "x" * 2000, 1j) == "x" * 2000
    start, headers, message = seen
    assert start == "POST /clarens/?a=b HTTP/1.1"
    assert 0 < float(headers.pop("request-timeout")) <= 60
    assert 0 < int(headers.pop("content-length")) < 2000
    assert headers == {
        "host": server.address,
        "content-type": "text/json",
        "accept-encoding": "gzip",
        "user-agent": "anycore",
        "authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "x-more": "1",
        "content-encoding": "gzip",
    }
    assert message["params"] == ["x" * 2000, "1j"]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
def test_a_fault_is_raised_whatever_the_status(client: Factory, serve: Factory, status: str) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(jsonrpc.encode_error(1, Fault(METHOD_NOT_FOUND, "no such method", {"did you mean": "a.c"})), status)

    with pytest.raises(Fault, match="no such method") as caught:
        client(f"jsonrpc+http://{serve(script).address}").call("a.b")
    assert (caught.value.code, caught.value.data) == (METHOD_NOT_FOUND, {"did you mean": "a.c"})


@pytest.mark.parametrize(("status", "body"), [("204 No Content", b""), ("200 OK", b""), ("202 Accepted", b"\n")])
def test_a_notification_has_no_answer(client: Factory, serve: Factory, status: str, body: bytes) -> None:
    def script(peer: Any) -> None:
        for expected in ({"params": [1]}, {"params": {"x": 1}}):
            message = json.loads(peer.request()[2])
            assert message == {"jsonrpc": "2.0", "method": "log", **expected}
            peer.reply(body, status)

    server = serve(script)
    caller = client(f"jsonrpc+http://{server.address}")
    assert caller.notify("log", 1) is None
    assert caller.notify("log", x=1) is None
    assert server.errors == []


def test_a_notification_that_the_server_cannot_read_fails(client: Factory, serve: Factory) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(jsonrpc.encode_error(None, Fault(-32600, "no")))

    with pytest.raises(Fault, match="no"):
        client(f"jsonrpc+http://{serve(script).address}").notify("log")


def test_a_batch_over_json_rpc(client: Factory, serve: Factory) -> None:
    def script(peer: Any) -> None:
        calls = json.loads(peer.request()[2])
        answers = [jsonrpc.encode_result(call["id"], [call["method"], call["params"]]) for call in calls[:2]]
        answers.append(jsonrpc.encode_error(calls[2]["id"], Fault(7, "no")))
        peer.reply(jsonrpc.encode_batch(answers[::-1]))
        calls = json.loads(peer.request()[2])
        peer.reply(jsonrpc.encode_batch([jsonrpc.encode_result(calls[0]["id"], 1)]))
        peer.request()
        peer.reply(jsonrpc.encode_error(None, Fault(-32600, "the batch is too long")))

    caller = client(f"jsonrpc+http://{serve(script).address}")
    first, second, fault = caller.batch([("a",), ("b", (), {"x": 1}), ("c", [1])])
    assert (first, second) == (["a", []], ["b", {"x": 1}])
    assert isinstance(fault, Fault)
    assert fault.code == 7
    with pytest.raises(TransportError, match="left 1 of 2 calls"):
        caller.batch([("a",), ("b",)])
    with pytest.raises(Fault, match="too long"):
        caller.batch([("a",)])


# Replies that are no answer


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (b"<html>Welcome</html>", "sent as text/html, is no JSON-RPC answer: .* check the URL's path"),
        (b'{"jsonrpc":"2.0","result":1,"id":2}', "did not answer the call with the id 1"),
        (b'{"jsonrpc":"2.0","result":1,"id":null}', "did not answer"),
        (b'[{"jsonrpc":"2.0","result":1,"id":1}]', "did not answer"),
        (b"[]", "did not answer"),
        (b"", "is no JSON-RPC answer"),
    ],
)
def test_a_reply_that_is_no_answer(client: Factory, serve: Factory, reply: bytes, hint: str) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(reply, content_type="text/html")

    with pytest.raises(TransportError, match=hint) as caught:
        client(f"jsonrpc+http://{serve(script).address}").call("m")
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("value", "hint"),
    [([], "array of 1 values"), (7, "array of 1 values"), ([7], "array of one value or a fault"), ([[]], "or a fault")],
)
def test_a_multicall_reply_that_is_no_answer(client: Factory, serve: Factory, value: Any, hint: str) -> None:
    from xmlrpc.client import dumps

    def script(peer: Any) -> None:
        peer.request()
        peer.reply(dumps((value,), methodresponse=True).encode(), content_type="text/xml")

    with pytest.raises(TransportError, match=hint):
        client(f"http://{serve(script).address}").batch([("m",)])


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("401 Unauthorized", "name:password@"),
        ("403 Forbidden", "administrator"),
        ("415 Unsupported Media Type", "wire"),
        ("502 Bad Gateway", "check that the server runs"),
        ("307 Temporary Redirect", "to http://elsewhere/; use the URL"),
        ("418 I'm a teapot", "log"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html/>", b'{"jsonrpc":"2.0","result":1,"id":1}'])
def test_an_http_error_has_a_cure(client: Factory, serve: Factory, status: str, hint: str, body: bytes) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(body, status, location="http://elsewhere/" if status.startswith("3") else "")

    server = serve(script)
    with pytest.raises(TransportError, match=hint) as caught:
        client(f"jsonrpc+http://{server.address}").call("m")
    assert caught.value.status == int(status[:3])
    assert str(caught.value).startswith(f"jsonrpc+http://{server.address}: HTTP status {status[:3]}")


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_reply_that_is_no_http(client: Factory, serve: Factory, reply: bytes) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.send(reply)

    with pytest.raises(TransportError, match="no HTTP reply that can be read"):
        client(f"http://{serve(script).address}", max_reply=1_000_000).call("m")


def test_a_compressed_reply_is_bounded(client: Factory, serve: Factory) -> None:
    def script(peer: Any) -> None:
        peer.request()
        peer.reply(gzip.compress(b" " * 10_000_000), content_encoding="gzip")

    with pytest.raises(TransportError, match="larger than 1000000 bytes"):
        client(f"http://{serve(script).address}", max_reply=1_000_000).call("m")


def test_a_reply_may_come_in_any_form(client: Factory, serve: Factory) -> None:
    body = jsonrpc.encode_result(2, "x")

    def script(peer: Any) -> None:
        peer.request()
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + chunked % (len(body), body.replace(b":2}", b":1}")))
        peer.request()
        for byte in b"HTTP/1.1 200 OK\r\n\r\n" + body:
            peer.send(bytes([byte]))

    caller = client(f"jsonrpc+http://{serve(script).address}")
    assert [caller.call("m"), caller.call("m")] == ["x", "x"]


# Connections


def test_an_early_refusal_of_a_large_request_is_read(client: Factory, serve: Factory) -> None:
    def script(peer: Any) -> None:
        peer.socket.recv(1000)
        peer.reply(b"", "413 Content Too Large", connection="close")
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(65536):
            pass

    with pytest.raises(TransportError, match=r"413.*send less at once"):
        client(f"jsonrpc+http://{serve(script).address}").call("m", "x" * 5_000_000)


@pytest.mark.parametrize("used", [False, True])
def test_time_runs_out(client: Factory, serve: Factory, used: bool) -> None:
    def script(peer: Any) -> None:
        if used:
            answer(peer)
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n")
        peer.hold()

    server = serve(script, answer)
    caller = client(f"jsonrpc+http://{server.address}", timeout=0.2)
    if used:
        caller.call("m")
    with pytest.raises(CallTimeoutError, match=r"no answer within 0.2 seconds") as caught:
        caller.call("m")
    assert isinstance(caught.value, TimeoutError)
    caller.call("m")
    assert server.connections == 2


def test_no_timeout_is_a_choice(client: Factory, serve: Factory) -> None:
    seen: list[Any] = []
    client(f"jsonrpc+http://{serve(lambda peer: answer(peer, None, seen)).address}", timeout=None).call("m")
    assert "request-timeout" not in seen[0][0]


def test_nobody_listens(client: Factory) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError, match="nothing listens there"):
            client(f"http://127.0.0.1:{unused.getsockname()[1]}").call("m")
    with pytest.raises(TransportError, match="nothing listens there"):
        client("unix+http:///nonexistent/any.sock").call("m")


def test_a_unix_socket(client: Factory, serve: Factory, tmp_path: Path) -> None:
    path = str(tmp_path / "any.sock")
    seen: list[Any] = []

    def script(peer: Any) -> None:
        seen.append(peer.request()[0])
        peer.reply(jsonrpc.encode_result(1, 5))

    serve(script, path=path)
    assert client(f"unix+jsonrpc+http://{path}").call("m") == 5
    assert seen == ["POST /jsonrpc HTTP/1.1"]


def test_tls(client: Factory, serve: Factory, trusting: ssl.SSLContext) -> None:
    def script(peer: Any) -> None:
        answer(peer, 5)
        answer(peer, 5)

    server = serve(script, tls=True)
    caller = client(f"jsonrpc+https://{server.address}", context=trusting)
    assert [caller.call("m"), caller.call("m")] == [5, 5]
    assert server.connections == 1


def test_tls_is_verified(client: Factory, serve: Factory, trusting: ssl.SSLContext) -> None:
    server = serve(answer, answer, tls=True)
    with pytest.raises(TransportError, match=r"certificate is not trusted.*cafile"):
        client(f"jsonrpc+https://{server.address}").call("m")
    by_address = server.address.replace("localhost", "127.1")  # the same machine by a name that the certificate lacks
    with pytest.raises(
        TransportError, match=r"certificate is not trusted.*call the server by a name that its certificate has"
    ):
        client(f"jsonrpc+https://{by_address}", context=trusting).call("m")


def test_tls_with_a_server_that_wants_a_certificate_or_another_one(
    client: Factory, serve: Factory, trusting: ssl.SSLContext
) -> None:
    server = serve(lambda peer: peer.socket.recv(1000), tls=True)
    with pytest.raises(TransportError, match="turn away so who shows no certificate that they accept"):
        client(f"https://{server.address}", context=trusting).call("m")
    server = serve(lambda peer: peer.socket.recv(1000))
    with pytest.raises(TransportError, match=r"find out before you make it again$"):
        client(f"http://{server.address}").call("m")


def test_tls_with_a_server_that_has_none(client: Factory, serve: Factory, trusting: ssl.SSLContext) -> None:
    def script(peer: Any) -> None:
        peer.socket.recv(1000)
        peer.reply(b"", "400 Bad Request")

    with pytest.raises(TransportError, match="TLS failed"):
        client(f"https://{serve(script).address}", context=trusting).call("m")


def test_a_closed_client_says_so(client: Factory, serve: Factory) -> None:
    caller = client(f"jsonrpc+http://{serve(answer).address}")
    caller.call("m")
    caller.close()
    caller.close()
    with pytest.raises(RuntimeError, match=r"is closed; a?connect\(\) again"):
        caller.call("m")


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_must_be_one(client: Factory, timeout: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        client("http://localhost", timeout=timeout)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"": "a"}, {"Content-Length": "5"}])
def test_a_header_must_be_one(client: Factory, headers: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        client("http://localhost", headers=headers)
