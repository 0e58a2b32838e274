# mypy: ignore-errors
import threading
import time

import rpyc
from rpyc.utils.factory import ForbiddenError
from rpyc.utils.registry import TCPRegistryClient, TCPRegistryServer


class Watching(TCPRegistryServer):
    def on_service_added(self, name, addrinfo):
        print("added", name, addrinfo)

    def on_service_removed(self, name, addrinfo):
        print("removed", name, addrinfo)


registry = Watching(host="127.0.0.1", port=28812, allow_listing=False)
thread = threading.Thread(target=registry.start, daemon=True)
thread.start()
client = TCPRegistryClient("127.0.0.1", port=28812)
deadline = time.time() + 5
while not registry.active and time.time() < deadline:
    time.sleep(0.01)
print(client.register(("ALPHA", "BETA"), 1234), client.REREGISTER_INTERVAL)
print(client.discover("alpha"), client.discover("BETA"), client.discover("gamma"))
try:
    rpyc.list_services(registrar=client)
except ForbiddenError:
    print("ForbiddenError")
client.unregister(1234)
time.sleep(0.2)
print(client.discover("alpha"))
registry.close()
thread.join(10)
print(thread.is_alive())
