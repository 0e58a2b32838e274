"""The servers, over loopback: raw sockets, as hostile as they can be."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from anycore.discovery import Change, LeaseTable, RegistryServer, RegistryService, State, TcpRegistryClient
from anycore.discovery.client import UdpRegistryClient
from anycore.wire.registry import Query, Register, Server, decode_done, decode_servers, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., RegistryServer]

ALONE = "127.0.0.77"  # nothing else here uses ports of this address
QUERY = encode_request(Query("ECHO"))


def tcp(server: RegistryServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def udp(server: RegistryServer) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(10)
    made.connect(("127.0.0.1", server.port))
    return made


def receive(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(2000):
        data += piece
    return data


def test_one_table_behind_both_modes(serve: Serve) -> None:
    server = serve("udp", "tcp")
    assert server.urls == [f"tcp://127.0.0.1:{server.port}", f"udp://127.0.0.1:{server.port}"]
    with udp(server) as first, tcp(server) as second:
        first.send(encode_request(Register(("Echo",), 7)))
        decode_done(first.recv(100))
        second.sendall(QUERY)
        assert decode_servers(receive(second)) == (Server("127.0.0.1", 7),)


def test_hostile_datagrams_are_counted_and_dropped(serve: Serve) -> None:
    server = serve("udp")
    with udp(server) as sock:
        for data in (b"", b"\0" * 1501, b"RPYC", b"\x11" * 1400):
            sock.send(data)
        sock.send(QUERY)
        assert decode_servers(sock.recv(100)) == ()
    assert server.service.incidents.counts() == {"registry-datagram": 4}


def test_silent_tcp_clients_block_nobody(serve: Serve) -> None:
    server = serve("tcp", max_connections=4)
    silent = [tcp(server) for _ in range(10)]
    with tcp(server) as sock:
        sock.sendall(QUERY)
        assert decode_servers(receive(sock)) == ()
    for sock in silent[:6]:
        assert sock.recv(10) == b""  # more came than there was room for: those who waited longest have gone
    for sock in silent:
        sock.close()
    assert server.service.incidents.counts()["registry-crowded"] >= 6


def test_a_tcp_client_has_so_much_time(serve: Serve, clock: Any) -> None:
    server = serve("tcp", clock=clock, connection_time=3)
    with tcp(server) as slow, tcp(server) as quick:
        slow.sendall(QUERY[:5])
        quick.sendall(QUERY)
        assert decode_servers(receive(quick)) == ()  # accepted after the slow one
        clock.now += 3
        server.wake()
        assert slow.recv(10) == b""
    assert server.service.incidents.counts() == {"registry-timeout": 1}


def test_a_request_may_come_in_pieces_over_tcp(serve: Serve) -> None:
    server = serve("tcp")
    with tcp(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in QUERY:
            sock.send(bytes([byte]))
        assert decode_servers(receive(sock)) == ()
    assert server.service.incidents.counts() == {}


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", QUERY[:-1], b"\xff" * 1501])
def test_what_is_no_request_over_tcp_ends_without_an_answer(data: bytes, serve: Serve) -> None:
    server = serve("tcp")
    with tcp(server) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock) == b""
    assert server.service.incidents.counts() == {"registry-datagram": 1}


def test_who_only_looks_whether_the_port_is_open_is_no_incident(serve: Serve) -> None:
    server = serve("tcp")
    tcp(server).close()
    assert TcpRegistryClient([f"127.0.0.1:{server.port}"]).discover("ECHO") == ()
    assert server.service.incidents.counts() == {}


def test_leases_are_pruned_on_time_without_being_asked_for(serve: Serve) -> None:
    changes: queue.Queue[Change] = queue.Queue()
    server = serve("udp", table=LeaseTable(lifetime=0.05), on_change=changes.put)
    with udp(server) as sock:
        sock.send(encode_request(Register(("ECHO",), 7)))
        assert changes.get(timeout=10).state is State.REGISTERED
        assert changes.get(timeout=10).state is State.PRUNED


def test_stopping_finishes_what_runs(serve: Serve) -> None:
    server = serve("tcp", grace=30)
    with tcp(server) as sock, tcp(server) as probe:
        sock.sendall(QUERY[:5])
        probe.sendall(QUERY)
        receive(probe)  # so the other one has been accepted
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        sock.sendall(QUERY[5:])
        assert decode_servers(receive(sock)) == ()
        stopper.join(10)
        assert not stopper.is_alive()
    with pytest.raises(ConnectionRefusedError):
        tcp(server)
    server.stop()


def test_stopping_waits_no_longer_than_its_grace(serve: Serve) -> None:
    server = serve("tcp", grace=0)
    with tcp(server) as sock, tcp(server) as probe:
        probe.sendall(QUERY)
        receive(probe)
        server.stop()
        assert sock.recv(10) == b""


def test_a_server_that_never_started_can_be_closed_and_binds_all_or_nothing() -> None:
    with RegistryServer(RegistryService(LeaseTable()), host=ALONE, port=0) as taken:
        with pytest.raises(OSError, match="in use"):
            RegistryServer(RegistryService(LeaseTable()), modes=("udp", "tcp"), host=ALONE, port=taken.port)
        with socket.create_server((ALONE, taken.port)):  # the TCP one of them has been given back
            pass
    with RegistryServer(RegistryService(LeaseTable()), host=ALONE, port=taken.port):
        pass


def test_serving_in_ones_own_thread_until_a_callback_stops_it() -> None:
    def stop(change: Change) -> None:
        server.stop()

    server = RegistryServer(RegistryService(LeaseTable(), on_change=stop), host="127.0.0.1", port=0)
    with udp(server) as sock:
        sock.send(encode_request(Register(("ECHO",), 7)))
        server.serve()
        decode_done(sock.recv(100))


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_ipv6_and_ipv4_on_one_socket(mode: str, serve: Serve) -> None:
    try:
        server = serve(mode, host="", ipv6=True)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    kind = {"udp": UdpRegistryClient, "tcp": TcpRegistryClient}[mode]
    newer, older = kind([f"[::1]:{server.port}"]), kind([f"127.0.0.1:{server.port}"])
    newer.register(["ECHO"], 6)
    older.register(["ECHO"], 4)
    assert newer.discover("ECHO") == older.discover("ECHO") == (Server("::1", 6), Server("127.0.0.1", 4))
