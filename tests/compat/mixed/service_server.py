# mypy: ignore-errors
import sys
import threading

import rpyc
from rpyc.utils import server as servers

KINDS = {
    "threaded": servers.ThreadedServer,
    "pool": servers.ThreadPoolServer,
    "forking": servers.ForkingServer,
    "oneshot": servers.OneShotServer,
}


class Item:
    def __init__(self, name):
        self.exposed_name = name

    def __eq__(self, other):
        return self.exposed_name == other.exposed_name

    def __hash__(self):
        return 5

    def __len__(self):
        return len(self.exposed_name)

    def __repr__(self):
        return "Item(%r)" % self.exposed_name


class Mixed(rpyc.Service):
    def on_connect(self, conn):
        self.conn = conn

    def exposed_echo(self, *args, **kwargs):
        return args, tuple(sorted(kwargs.items()))

    def exposed_item(self, name):
        return Item(name)

    def exposed_same(self, item):
        return type(item) is Item

    def exposed_call(self, function, *args):
        return function(*args)

    def exposed_client(self):
        return self.conn.root.name()

    def exposed_big(self, data):
        return data[::-1]

    def exposed_rows(self, count):
        return list(range(count))

    def exposed_fail(self):
        return [][1]


server = KINDS[sys.argv[1]](Mixed, hostname="127.0.0.1", port=0)
if sys.argv[1] == "forking":
    server._listen()
    thread = threading.Thread(target=server.start, daemon=True)
    thread.start()
else:
    thread = server._start_in_thread()
print(server.port, flush=True)
sys.stdin.readline()
server.close()
thread.join(5)
print("server ended", not thread.is_alive())
