# mypy: ignore-errors
import threading

import rpyc
from rpyc.utils.server import ThreadedServer

gone = threading.Event()


class Hooked(rpyc.Service):
    def on_connect(self, conn):
        print("server: connected")
        conn._config["allow_public_attrs"] = True

    def on_disconnect(self, conn):
        print("server: disconnected")
        gone.set()

    def exposed_thing(self):
        return Thing()


class Thing:
    colour = "red"


class Ours(rpyc.Service):
    def on_connect(self, conn):
        print("client: connected", conn.root.thing().colour)

    def on_disconnect(self, conn):
        print("client: disconnected")


server = ThreadedServer(Hooked, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port, service=Ours)
conn.root.thing()
conn._channel.stream.sock.shutdown(2)
print(gone.wait(10))
try:
    while True:
        conn.serve(5)
except EOFError:
    print("EOFError")
print(conn.closed)
conn.close()
server.close()
