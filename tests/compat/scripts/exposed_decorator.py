# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


@rpyc.service
class Decorated(rpyc.Service):
    @rpyc.exposed
    def shown(self):
        return "shown"

    def hidden(self):
        return "hidden"

    @rpyc.exposed
    class Inner:
        @rpyc.exposed
        def deep(self):
            return "deep"

    exposed_constant = 5

    @property
    def exposed_computed(self):
        return 6


server = ThreadedServer(Decorated, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
print(conn.root.shown(), conn.root.exposed_shown(), conn.root.Inner().deep(), conn.root.constant, conn.root.computed)
try:
    conn.root.hidden()
except AttributeError:
    print("AttributeError")
conn.close()
server.close()
