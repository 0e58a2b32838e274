# mypy: ignore-errors
import rpyc
from rpyc.utils.server import OneShotServer


class Once(rpyc.Service):
    def exposed_hello(self):
        return "hello"


server = OneShotServer(Once, hostname="localhost", port=0)
thread = server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
print(conn.root.hello())
conn.close()
thread.join(5)
print(thread.is_alive(), server.active)
try:
    rpyc.connect("localhost", server.port)
except OSError as error:
    print(type(error).__name__)
