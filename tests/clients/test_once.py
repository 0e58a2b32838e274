"""A call is sent once: which connections carry another call, and when one that got no answer is made again, with both clients."""

from __future__ import annotations

import json
import select
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from anycore.clients import TransportError
from anycore.wire import jsonrpc

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Factory = Callable[..., Any]

UNKNOWN = "connection ended without an answer .*; the call may or may not have been made"
PATIENCE = 30_000  # milliseconds


class Counting:
    """Scripts for servers, which count the requests that have reached them whole.

    Attributes:
        seen: The id of each, in order.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []

    def take(self, peer: Any) -> int:
        """Read a request."""
        number: int = json.loads(peer.request()[2])["id"]
        self.seen.append(number)
        return number

    def answer(self, peer: Any, **headers: str) -> None:
        """Answer one request."""
        peer.reply(jsonrpc.encode_result(self.take(peer), "done"), **headers)

    def serve(self, peer: Any) -> None:
        """Answer requests until the client has closed the connection."""
        try:
            while True:
                self.answer(peer)
        except (ValueError, OSError):
            return

    def die(self, peer: Any) -> None:
        """Read a request, and close the connection."""
        self.take(peer)

    def reset(self, peer: Any) -> None:
        """Read a request, and reset the connection."""
        self.take(peer)
        peer.reset()

    def ignore(self, peer: Any) -> None:
        """Close the connection with a request unread, which resets it."""
        poll = select.poll()
        poll.register(peer.socket, select.POLLIN)
        assert poll.poll(PATIENCE)


ENDINGS = {"die": [2], "reset": [2], "ignore": []}


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which the clients judge idle connections; `now` moves it."""
    made = SimpleNamespace(now=1000.0)
    for module in ("blocking", "aio"):
        monkeypatch.setattr(f"anycore.clients.{module}.time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def ended(server: Any) -> None:
    for thread in list(server._threads):
        thread.join()


# Calls that have got no answer


@pytest.mark.parametrize("how", ENDINGS)
def test_a_call_over_a_kept_connection_is_not_repeated(
    client: Factory, serve: Factory, counting: Counting, how: str
) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        getattr(counting, how)(peer)

    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    assert caller.call("m") == "done"
    with pytest.raises(TransportError, match=UNKNOWN):
        caller.call("m")
    assert (counting.seen, server.connections) == ([1, *ENDINGS[how]], 1)
    assert caller.call("m") == "done"
    assert (counting.seen, server.connections) == ([1, *ENDINGS[how], 3], 2)


@pytest.mark.parametrize("how", ["die", "reset"])
def test_nor_over_tls(client: Factory, serve: Factory, counting: Counting, trusting: ssl.SSLContext, how: str) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        getattr(counting, how)(peer)

    server = serve(script, counting.serve, tls=True)
    caller = client(f"jsonrpc+https://{server.address}", context=trusting)
    caller.call("m")
    with pytest.raises(TransportError, match=UNKNOWN):
        caller.call("m")
    assert (counting.seen, server.connections) == ([1, 2], 1)


@pytest.mark.parametrize("how", ENDINGS)
def test_nor_over_a_new_connection(client: Factory, serve: Factory, counting: Counting, how: str) -> None:
    server = serve(getattr(counting, how), counting.serve)
    with pytest.raises(TransportError, match=UNKNOWN):
        client(f"jsonrpc+http://{server.address}").call("m")
    assert (len(counting.seen), server.connections) == (len(ENDINGS[how]), 1)


@pytest.mark.parametrize("ask", ["notify", "batch"])
def test_nor_what_is_no_single_call(client: Factory, serve: Factory, ask: str) -> None:
    seen: list[Any] = []

    def script(peer: Any) -> None:
        peer.request()
        peer.reply(b"", "204 No Content")
        seen.append(peer.request())

    server = serve(script, script)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.notify("m")
    with pytest.raises(TransportError, match=UNKNOWN):
        caller.notify("m") if ask == "notify" else caller.batch([("m",)])
    assert (len(seen), server.connections) == (1, 1)


def test_nor_one_of_which_a_part_was_sent(client: Factory, serve: Factory, counting: Counting) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        assert peer.socket.recv(1000)
        peer.reset()

    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.call("m")
    with pytest.raises(TransportError, match=UNKNOWN):
        caller.call("m", "x" * 20_000_000)
    assert (counting.seen, server.connections) == ([1], 1)


def test_nor_one_whose_answer_has_begun(client: Factory, serve: Factory, counting: Counting) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        counting.take(peer)
        peer.send(b"H")

    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}", retries=1)
    caller.call("m")
    with pytest.raises(TransportError, match="no HTTP reply that can be read"):
        caller.call("m")
    assert (counting.seen, server.connections) == ([1, 2], 1)


def test_an_answer_that_is_cut_off_is_none(client: Factory, serve: Factory, counting: Counting) -> None:
    def script(peer: Any) -> None:
        number = counting.take(peer)
        # An answer whose end is that of the connection; so long that some of it has been read before the connection is reset.
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + jsonrpc.encode_result(number, "done") + b" " * 30_000_000)
        peer.reset()

    server = serve(script, counting.serve)
    with pytest.raises(TransportError, match=r"ended within the answer .*; the call may or may not have been made"):
        client(f"jsonrpc+http://{server.address}", retries=1).call("m")
    assert (counting.seen, server.connections) == ([1], 1)


def test_retries_are_made_when_asked_for(client: Factory, serve: Factory, counting: Counting) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        counting.die(peer)

    server = serve(script, counting.reset, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}", retries=2)
    assert [caller.call("m"), caller.call("m")] == ["done", "done"]
    assert (counting.seen, server.connections) == ([1, 2, 2, 2], 3)


def test_retries_end(client: Factory, serve: Factory, counting: Counting) -> None:
    server = serve(*[counting.die] * 3, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}", retries=2)
    with pytest.raises(TransportError, match=UNKNOWN):
        caller.call("m")
    assert (counting.seen, server.connections) == ([1, 1, 1], 3)


def test_what_takes_too_long_is_not_made_again(client: Factory, serve: Factory, counting: Counting) -> None:
    def script(peer: Any) -> None:
        counting.take(peer)
        peer.hold()

    server = serve(script, script)
    with pytest.raises(TransportError, match="no answer within"):
        client(f"jsonrpc+http://{server.address}", retries=1, timeout=0.2).call("m")
    assert server.connections == 1


# Connections that have ended before


def test_an_idle_connection_that_has_ended_is_not_used(client: Factory, serve: Factory, counting: Counting) -> None:
    def impatient(peer: Any) -> None:
        counting.answer(peer)
        peer.reply(b"", "408 Request Timeout", connection="close")

    server = serve(impatient, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.call("m")
    ended(server)
    assert caller.call("m") == "done"
    assert (counting.seen, server.connections) == ([1, 2], 2)


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_a_call_of_which_nothing_was_sent_is_made(
    client: Factory, serve: Factory, counting: Counting, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer)
        peer.reset()

    def late(connected: Any) -> bool:
        """Look just before the end of the connection comes in."""
        poll = select.poll()
        poll.register(connected.fileno(), select.POLLIN)
        assert poll.poll(PATIENCE)
        return False

    for module in ("blocking", "aio"):
        monkeypatch.setattr(f"anycore.clients.{module}.readable", late)
    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.call("m")
    assert caller.call("m", "x" * size) == "done"
    assert (counting.seen, server.connections) == ([1, 2], 2)


# Connections that are kept


def test_a_connection_is_kept(client: Factory, serve: Factory, counting: Counting) -> None:
    server = serve(counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    for _ in range(3):
        caller.call("m")
    assert server.connections == 1


@pytest.mark.parametrize("extra", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_connection_is_closed_when_it_cannot_be_kept(
    client: Factory, serve: Factory, counting: Counting, extra: bytes
) -> None:
    def script(peer: Any) -> None:
        body = jsonrpc.encode_result(counting.take(peer), None)
        close = b"" if extra else b"Connection: close\r\n"
        peer.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b%b" % (close, len(body), body, extra))
        peer.hold()

    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.call("m")
    caller.call("m")
    assert (counting.seen, server.connections) == ([1, 2], 2)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("", 50),
        ("timeout=5", 4),
        ("max=100, Timeout=5", 4),
        ('timeout = "x", max=3', 50),
        ("timeout=1000", 50),
        ("timeout=" + "9" * 400, 50),
        ("timeout", 50),
    ],
)
def test_a_connection_that_was_idle_for_too_long_is_not_used(
    client: Factory, serve: Factory, counting: Counting, clock: SimpleNamespace, field: str, seconds: float
) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer, keep_alive=field)
        counting.answer(peer, keep_alive=field)
        peer.hold()

    server = serve(script, counting.serve)
    caller = client(f"jsonrpc+http://{server.address}")
    caller.call("m")
    clock.now += seconds - 0.01
    caller.call("m")
    assert server.connections == 1
    clock.now += seconds + 0.01
    caller.call("m")
    assert (counting.seen, server.connections) == ([1, 2, 3], 2)


@pytest.mark.parametrize(("field", "idle_time"), [("timeout=1", 50), ("timeout=0", 50), ("timeout=5", 0), ("", 0)])
def test_a_connection_may_be_for_one_call(
    client: Factory, serve: Factory, counting: Counting, field: str, idle_time: float
) -> None:
    def script(peer: Any) -> None:
        counting.answer(peer, keep_alive=field)
        peer.hold()

    server = serve(script, script)
    caller = client(f"jsonrpc+http://{server.address}", idle_time=idle_time)
    caller.call("m")
    caller.call("m")
    assert (counting.seen, server.connections) == ([1, 2], 2)


@pytest.mark.parametrize(("name", "value"), [("idle_time", -1), ("idle_time", float("nan")), ("retries", -1)])
def test_the_settings_must_be_possible(client: Factory, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number"):
        client("http://localhost", **{name: value})
