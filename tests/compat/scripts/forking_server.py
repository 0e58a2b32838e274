# mypy: ignore-errors
import os
import threading

import rpyc
from rpyc.utils.server import ForkingServer


class Process(rpyc.Service):
    value = 0

    def exposed_pid(self):
        return os.getpid()

    def exposed_change(self):
        Process.value += 1
        return Process.value


server = ForkingServer(Process, hostname="localhost", port=0)
thread = threading.Thread(target=server.start, daemon=True)
server._listen()
thread.start()
one = rpyc.connect("localhost", server.port)
two = rpyc.connect("localhost", server.port)
pids = {one.root.pid(), two.root.pid(), os.getpid()}
print(len(pids), one.root.change(), one.root.change(), two.root.change(), Process.value)
one.close()
two.close()
server.close()
thread.join(5)
print(thread.is_alive())
