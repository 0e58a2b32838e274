"""The pump: who reads, who writes, when bytes do not fit, TLS, how it ends."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from anycore.conversations.rpyc import RpycConversation
from anycore.cores.pump import Pump
from anycore.kernel.call import Peer
from anycore.objects.connection import Connection
from anycore.testing.certificate import client_context, server_context
from anycore.testing.linked import linked
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import FrameDecoder, Message, MessageCodec

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = {"allow_all_attrs": True}


class Root:
    """What is called."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def block(self) -> str:
        self.entered.set()
        self.free.wait(10)
        return "freed"


def end(
    connected: socket.socket, root: Any = None, config: dict[str, Any] | None = None, **options: Any
) -> tuple[Connection, Pump]:
    connection = Connection(root, {**ALL, **(config or {})})
    pump = Pump(connected, RpycConversation(Peer(), connection), **options)
    pump.begin()
    return connection, pump


@contextmanager
def serving(connected: socket.socket, root: Any) -> Iterator[tuple[Connection, Pump]]:
    connection, pump = end(connected, root)
    thread = threading.Thread(target=pump.serve, name="test-pump")
    thread.start()
    try:
        yield connection, pump
    finally:
        pump.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("size", [0, 1, 3000, 16 * 1024, 300_000, 5_000_000])
def test_any_size_goes_through(size: int) -> None:
    with linked(Root(), config=ALL) as (conn, _):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert conn.root.echo(data) == data


def test_both_may_send_more_than_fits_at_the_same_time() -> None:
    """Neither reads while it writes, unless it notices that the other is stuck in the same way."""
    here, there = socket.socketpair()
    big = os.urandom(8_000_000)
    client, _ = end(here)
    with serving(there, Root()) as (server, _):
        asked = threading.Barrier(2)
        answers: list[Any] = []

        def ask() -> None:
            asked.wait(5)
            answers.append(server.sync_request(wire.PING, big) == big)

        other = threading.Thread(target=ask)
        other.start()
        asked.wait(5)
        assert client.sync_request(wire.PING, big) == big
        while other.is_alive():
            client.poll(0.01)
        other.join()
        assert answers == [True]
        client.close()


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    here, there = socket.socketpair()
    with there:
        client, _ = end(here, stall_seconds=0.1)
        with pytest.raises(EOFError, match="took in nothing"):
            client.sync_request(wire.PING, os.urandom(8_000_000))
        assert client.closed


def test_a_deadline_is_kept_while_the_peer_is_silent() -> None:
    here, there = socket.socketpair()
    with there:
        client, _ = end(here, config={"sync_request_timeout": 0.05, "close_timeout": 0.01})
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="expired"):
            client.sync_request(wire.PING, 1)
        assert 0.04 < time.monotonic() - began < 1
        client.close()


def test_followers_keep_their_deadlines_while_another_reads() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        block, echo = conn.root.block, conn.root.echo
        leader = threading.Thread(target=block)
        leader.start()
        assert root.entered.wait(5)
        result = conn.async_request(wire.CALL, echo, (1,), (), timeout=0.05)
        with pytest.raises(TimeoutError):
            _ = result.value
        root.free.set()
        leader.join(5)
        assert not leader.is_alive()
        assert echo(2) == 2


def test_two_threads_may_wait_for_one_result() -> None:
    root = Root()
    with linked(root, config=ALL) as (conn, _):
        result = conn.async_request(wire.CALL, conn.root.block, (), ())
        got: list[Any] = []
        threads = [threading.Thread(target=lambda: got.append(result.value)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert root.entered.wait(5)
        root.free.set()
        for thread in threads:
            thread.join(5)
        assert got == ["freed"] * 3


def test_a_reader_that_is_done_hands_the_reading_on_at_once() -> None:
    with linked(Root(), config=ALL) as (conn, _):
        echo = conn.root.echo
        slow: list[float] = []

        def work() -> None:
            for number in range(200):
                began = time.monotonic()
                echo(number)
                slow.extend([time.monotonic() - began] * (time.monotonic() - began > 0.9))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not slow  # nobody slept a whole tick


def test_a_background_thread_serves_callbacks_while_the_caller_works() -> None:
    here, there = socket.socketpair()
    client, pump = end(here, Root())
    background = threading.Thread(target=pump.serve)
    background.start()
    with serving(there, Root()) as (server, _):
        assert server.root.echo(5) == 5
        assert client.root.echo(6) == 6
        assert client.root.call(lambda n: n + 1, 1) == 2
        client.close()
    background.join(5)
    assert not background.is_alive()


def test_a_finaliser_that_asks_the_peer_while_the_connection_is_read_fails_instead_of_waiting_for_itself() -> None:
    here, there = socket.socketpair()
    with there:
        client, pump = end(here)
        pump._reader = threading.get_ident()
        with pytest.raises(RuntimeError, match="finaliser"):
            client.sync_request(wire.PING, 1)
        pump._reader = 0
        there.close()
        client.close()


@pytest.mark.parametrize("how", ["peer closes", "peer resets", "we close", "half a message", "rubbish"])
def test_ends_close_the_socket_and_say_why(how: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    here = socket.create_connection(listener.getsockname())
    there, _ = listener.accept()
    listener.close()
    client, pump = end(here, config={"close_timeout": 0.05})
    told: list[str] = []
    client.on_end = lambda: told.append(client.end_reason)
    result = client.async_request(wire.PING, 1)
    with there:
        if how == "peer closes":
            assert there.recv(100)
            there.close()
        elif how == "peer resets":
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            there.close()
        elif how == "we close":
            client.close()
        elif how == "half a message":
            assert there.recv(100)
            there.sendall(b"\0\0\0\5")
            there.close()
        else:
            there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(EOFError, match="ended: "):
            _ = result.value
    assert len(told) == 1 and told[0]
    assert here.fileno() == -1 and pump.fileno() == -1
    pump.close()
    with pytest.raises(EOFError):
        pump.send(b"x")
    expected = {"half a message": "middle of a message", "rubbish": "not be RPyC", "we close": "closed by this side"}
    assert expected.get(how, "") in told[0]


def test_no_socket_is_left_to_the_collector() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for _ in range(3):
            with linked(Root(), config=ALL) as (conn, server):
                conn.ping()
            assert conn.closed and server.closed
        gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("linked", "anycore-rpyc"))]


def test_calls_nested_too_deeply_are_refused_and_the_connection_lives() -> None:
    here, there = socket.socketpair()
    client, _ = end(here, Root())

    with serving(there, Root()) as (_, _):

        def deeper(depth: int) -> int:
            return int(client.root.call(deeper, depth + 1))

        with pytest.raises(RuntimeError, match="nest too deeply"):
            client.root.call(deeper, 0)
        client.ping()
        client.close()


@contextmanager
def tls_pair() -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    here, there = socket.socketpair()
    done: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: done.append(server_context().wrap_socket(there, server_side=True)))
    thread.start()
    client = client_context().wrap_socket(here, server_hostname="localhost")
    thread.join(5)
    with client, done[0] as server:
        yield client, server


def test_tls_with_many_threads_and_large_messages() -> None:
    with tls_pair() as (here, there):
        client, _ = end(here)
        with serving(there, Root()) as (server, _):
            echo, call = client.root.echo, client.root.call
            wrong: list[Any] = []

            def work(mine: int) -> None:
                data = os.urandom(200_000)
                for number in range(20):
                    wrong.extend([number] * (echo((mine, number)) != (mine, number)))
                wrong.extend([mine] * (echo(data) != data or call(lambda: mine) != mine))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert not wrong and not any(thread.is_alive() for thread in threads)
            client.close()
            assert client.closed
        assert server.closed


def test_tls_that_ends_without_a_word() -> None:
    with tls_pair() as (here, there):
        client, _ = end(here)
        there.close()
        with pytest.raises(EOFError, match="ended"):
            client.sync_request(wire.PING, 1)


def test_tls_keeps_deadlines() -> None:
    with tls_pair() as (here, _there):
        client, _ = end(here, config={"close_timeout": 0.01})
        with pytest.raises(TimeoutError):
            _ = client.async_request(wire.PING, 1, timeout=0.05).value
        client.close()


def test_answers_to_requests_that_came_together_all_go_out_over_tls() -> None:
    count = 40
    with tls_pair() as (here, there), serving(there, Root()):
        here.settimeout(30)
        codec, decoder = MessageCodec(6), FrameDecoder()
        here.sendall(b"".join([codec.encode_request(seq, wire.PING, (wire.VALUE, (seq,))) for seq in range(count)]))
        payloads: list[bytes] = []
        while len(payloads) < count:
            payloads += decoder.feed(here.recv(1 << 16))
        assert [codec.decode(payload).seq for payload in payloads] == list(range(count))


@contextmanager
def raw_peer(root: Any) -> Iterator[tuple[socket.socket, MessageCodec, list[int]]]:
    """Serve a root to a bare socket; yields that, a codec, and the sizes of what the pump writes."""
    here, there = socket.socketpair()
    here.settimeout(10)
    with here, serving(there, root) as (_, pump):
        sizes: list[int] = []
        stream = pump._stream
        write = stream.write

        def counted(data: Any) -> int:
            sizes.append(len(data))
            return write(data)

        stream.write = counted  # type: ignore[method-assign]
        yield here, MessageCodec(6, bind_threads=False), sizes


def read_answers(peer: socket.socket, codec: MessageCodec, count: int) -> list[Message]:
    decoder = FrameDecoder()
    found: list[Message] = []
    while len(found) < count:
        found += [codec.decode(payload) for payload in decoder.feed(peer.recv(1 << 20))]
    return found


def test_answers_that_are_ready_at_once_are_written_in_one_go() -> None:
    with raw_peer(Root()) as (peer, codec, sizes):
        peer.sendall(b"".join(codec.encode_request(n, wire.PING, (wire.VALUE, (n,))) for n in range(16)))
        assert [(m.seq, m.args) for m in read_answers(peer, codec, 16)] == [(n, (wire.VALUE, n)) for n in range(16)]
        assert len(sizes) == 1


def test_large_answers_are_not_collected() -> None:
    with raw_peer(Root()) as (peer, codec, sizes):
        large = os.urandom(80_000)
        peer.sendall(b"".join(codec.encode_request(n, wire.PING, (wire.VALUE, (large,))) for n in range(3)))
        assert [m.args[1] for m in read_answers(peer, codec, 3)] == [large] * 3
        assert len(sizes) >= 3


def test_a_request_that_blocks_holds_back_no_answer() -> None:
    root = Root()
    with raw_peer(root) as (peer, codec, _):
        peer.sendall(codec.encode_request(0, wire.GETROOT, (wire.VALUE, ())))
        (answer,) = read_answers(peer, codec, 1)
        block = (wire.TUPLE, ((wire.LOCAL_REF, answer.args[1]), (wire.VALUE, "block"), (wire.VALUE, ())))
        pings = [codec.encode_request(n, wire.PING, (wire.VALUE, (n,))) for n in (1, 2, 4)]
        peer.sendall(b"".join([*pings[:2], codec.encode_request(3, wire.CALLATTR, block), pings[2]]))
        assert [m.args[1] for m in read_answers(peer, codec, 2)] == [1, 2]
        assert not root.free.is_set()
        root.free.set()
        assert [m.args[1] for m in read_answers(peer, codec, 2)] == ["freed", 4]


class Meeting:
    """Is entered by several at once, or by nobody."""

    def __init__(self, size: int) -> None:
        self.gate = threading.Barrier(size, timeout=30)

    def meet(self) -> str:
        self.gate.wait()
        return "met"


def test_requests_that_come_one_by_one_run_at_the_same_time_where_they_may() -> None:
    ours, theirs = socket.socketpair()
    size = 3
    with serving(theirs, Meeting(size)) as (_, pump):
        pump.set_concurrency(size)
        connection, _ = end(ours)
        meet = connection.root.meet
        results = []
        for _ in range(size):
            results.append(connection.async_request(wire.CALL, meet, (), ()))
            connection.ping()  # so that each has been read before the next is sent
        assert [result.value for result in results] == ["met"] * size
        connection.close()
    for worker in [thread for thread in threading.enumerate() if thread.name == "anycore-rpyc-request"]:
        worker.join(30)
        assert not worker.is_alive()
