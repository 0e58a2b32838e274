# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


class Left(rpyc.Service):
    def exposed_fetch(self):
        return {"a": [1, 2], "b": (3, [4])}


left_server = ThreadedServer(Left, hostname="localhost", port=0)
left_server._start_in_thread()


class Middle(rpyc.Service):
    def on_connect(self, conn):
        self.left = rpyc.connect("localhost", left_server.port)

    def on_disconnect(self, conn):
        self.left.close()

    def exposed_fetch(self):
        return self.left.root.fetch()

    def exposed_left(self):
        return self.left.root


middle_server = ThreadedServer(Middle, hostname="localhost", port=0)
middle_server._start_in_thread()
conn = rpyc.connect("localhost", middle_server.port)
data = conn.root.fetch()
print(data["a"][1], sorted(data), len(data), str(data))
print(conn.root.left().fetch()["b"][1][0])
conn.close()
middle_server.close()
left_server.close()
