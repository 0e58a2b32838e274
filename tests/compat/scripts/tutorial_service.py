# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


class CalculatorService(rpyc.Service):
    exposed_version = "1.0"

    def on_connect(self, conn):
        self.memory = 0

    def exposed_add(self, a, b=1, *, scale=1):
        return (a + b) * scale

    def exposed_store(self, value):
        self.memory = value

    def exposed_recall(self):
        return self.memory

    def secret(self):
        return "hidden"


server = ThreadedServer(CalculatorService, hostname="localhost", port=0)
thread = server._start_in_thread()
one = rpyc.connect("localhost", server.port)
two = rpyc.connect("localhost", server.port)
print(one.root.add(2, 3), one.root.add(2), one.root.add(1, 1, scale=10), one.root.exposed_add(4, 4))
one.root.store(42)
print(one.root.recall(), two.root.recall(), one.root.version)
print(one.root.get_service_name(), one.root.get_service_aliases())
for name in ("secret", "missing", "_private"):
    try:
        getattr(one.root, name)
    except AttributeError as error:
        print(name, type(error).__name__)
try:
    one.root.memory = 3
except AttributeError:
    print("not settable")
print(one.closed, one.root is one.root)
one.close()
print(one.closed)
two.close()
server.close()
thread.join(5)
print(thread.is_alive())
