# mypy: ignore-errors
import rpyc
from rpyc.core.service import SlaveService
from rpyc.utils.server import ThreadedServer

server = ThreadedServer(SlaveService, hostname="localhost", port=0, auto_register=False)
server._start_in_thread()
conn = rpyc.classic.connect("localhost", server.port)
conn.execute("def twice(x):\n    return 2 * x")
print(conn.namespace["twice"](21), conn.eval("twice('ab')"))
other = rpyc.classic.connect("localhost", server.port)
print("twice" in other.namespace, "twice" in conn.namespace)
conn.modules.sys.shared_mark = "here"
print(other.modules.sys.shared_mark)
math = conn.modules["math"]
print(math.sqrt(16), round(math.pi, 3))
conn.close()
other.close()
server.close()
