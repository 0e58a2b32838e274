# mypy: ignore-errors
import rpyc
from rpyc.utils.helpers import classpartial
from rpyc.utils.server import ThreadedServer


class Counter(rpyc.Service):
    ALIASES = ["tally", "counter"]

    def __init__(self, start=0):
        self.value = start

    def exposed_next(self):
        self.value += 1
        return self.value


def use(service):
    server = ThreadedServer(service, hostname="localhost", port=0)
    server._start_in_thread()
    for _ in range(2):
        conn = rpyc.connect("localhost", server.port)
        print(conn.root.next(), conn.root.next(), conn.root.get_service_aliases())
        conn.close()
    server.close()


use(Counter)
use(Counter(10))
use(classpartial(Counter, 100))
print(Counter.get_service_name(), Counter.get_service_aliases())
