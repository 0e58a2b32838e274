# mypy: ignore-errors
import time

import rpyc
from rpyc.core.async_ import AsyncResultTimeout
from rpyc.utils.server import ThreadedServer


class Slow(rpyc.Service):
    def exposed_sleep(self, seconds):
        time.sleep(seconds)
        return "slept"


server = ThreadedServer(Slow, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port, config={"sync_request_timeout": 0.2})
print(rpyc.timed(conn.root.sleep, 5)(0).value)
late = rpyc.timed(conn.root.sleep, 0.1)(0.3)
try:
    late.value
except AsyncResultTimeout:
    print("timed out", late.expired, late.ready)
time.sleep(0.4)
try:
    conn.root.sleep(0.5)
except TimeoutError as error:
    print("sync", isinstance(error, AsyncResultTimeout))
time.sleep(0.5)
result = rpyc.async_(conn.root.sleep)(0.3)
result.set_expiry(0.05)
try:
    result.wait()
except AsyncResultTimeout:
    print("expiry", result.expired)
conn.close()
server.close()
