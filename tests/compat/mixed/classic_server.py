# mypy: ignore-errors
import sys

from rpyc.core.service import SlaveService
from rpyc.utils.server import ThreadedServer

server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0)
thread = server._start_in_thread()
print(server.port, flush=True)
sys.stdin.readline()
server.close()
thread.join(5)
print("server ended", not thread.is_alive())
