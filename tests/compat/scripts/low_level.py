# mypy: ignore-errors
import socket
import threading

import rpyc
from rpyc.core import brine, consts
from rpyc.core.channel import Channel
from rpyc.core.stream import PipeStream, SocketStream
from rpyc.lib import Timeout, get_id_pack, hybridmethod, safe_import


class Pair(rpyc.Service):
    def exposed_double(self, x):
        return 2 * x


value = (1, "two", 3.0, None, True, b"bytes", frozenset([4]), slice(1, 2), 5j, ...)
print(brine.load(brine.dump(value)) == value, brine.dumpable([1]), brine.dump(0))
ours, theirs = socket.socketpair()
one, two = Channel(SocketStream(ours)), Channel(SocketStream(theirs))
one.send(b"x" * 5000)
print(two.poll(1), len(two.recv()), two.poll(0), one.closed)
one.close()
try:
    two.recv()
except EOFError:
    print("EOFError", two.closed)
left, right = PipeStream.create_pair()
served = threading.Thread(target=lambda: Pair()._connect(Channel(right), {}).serve_all(), daemon=True)
served.start()
conn = rpyc.connect_stream(left)
print(conn.root.double(8), conn.sync_request(consts.HANDLE_PING, "there and back"))
conn.ping()
print(conn.poll(0), conn.poll_all(0), conn.fileno() >= 0)
conn._HANDLERS[99] = None
conn.close()
served.join(5)
print(served.is_alive(), get_id_pack(int)[0], get_id_pack(5)[0], get_id_pack(int)[2])
print(Timeout(None).finite, Timeout(0).expired(), Timeout(10).expired(), bool(safe_import("no_such_module")))


class Hybrid:
    @hybridmethod
    def who(self):
        return isinstance(self, type)


print(Hybrid.who(), Hybrid().who())
