# mypy: ignore-errors
import threading
import time

import rpyc
from rpyc.utils.factory import DiscoveryError
from rpyc.utils.registry import UDPRegistryClient, UDPRegistryServer
from rpyc.utils.server import ThreadedServer


class EchoService(rpyc.Service):
    def exposed_echo(self, text):
        return text


registry = UDPRegistryServer(host="127.0.0.1", port=28811, pruning_timeout=10, allow_listing=True)
thread = threading.Thread(target=registry.start, daemon=True)
thread.start()
client = UDPRegistryClient(ip="127.0.0.1", port=28811, timeout=1)
server = ThreadedServer(EchoService, hostname="127.0.0.1", port=0, registrar=client)
server._start_in_thread()
deadline = time.time() + 10
while not client.discover("ECHO") and time.time() < deadline:
    time.sleep(0.05)
found = rpyc.discover("echo", registrar=client)
print(len(found), found[0][0], found[0][1] == server.port)
print(rpyc.list_services(registrar=client), client.list("127.0.0.1"), client.list("10.1.2.3"))
conn = rpyc.connect_by_service("ECHO", registrar=client)
print(conn.root.echo("hello"))
conn.close()
try:
    rpyc.discover("nothing", registrar=client)
except DiscoveryError:
    print("DiscoveryError")
print(client.register(("OTHER",), 4711, interface="127.0.0.1"), client.discover("other"))
client.unregister(4711)
deadline = time.time() + 5
while client.discover("other") and time.time() < deadline:
    time.sleep(0.05)
print(client.discover("other"))
server.close()
deadline = time.time() + 5
while client.discover("ECHO") and time.time() < deadline:
    time.sleep(0.05)
print(client.discover("ECHO"))
registry.close()
thread.join(5)
print(thread.is_alive(), client.register(("LATE",), 1))
