# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


class Client(rpyc.Service):
    def exposed_name(self):
        return "the client"


class Host(rpyc.Service):
    def on_connect(self, conn):
        self.conn = conn

    def exposed_each(self, items, function):
        return [function(item) for item in items]

    def exposed_who(self):
        return self.conn.root.name()

    def exposed_deep(self, n, back):
        return n if n == 0 else back(n - 1, self.exposed_deep) + 1


server = ThreadedServer(Host, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port, service=Client)
print(list(conn.root.each([1, 2, 3], lambda x: x + 0.5)))
print(conn.root.who())


def back(n, forth):
    return n if n == 0 else forth(n - 1, back) + 1


print(conn.root.deep(20, back))


def broken(_):
    raise LookupError("in the callback")


try:
    conn.root.each([1], broken)
except LookupError as error:
    print(type(error).__name__, error.args)
conn.close()
server.close()
