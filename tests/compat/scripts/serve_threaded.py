# mypy: ignore-errors
import socket
import threading

import rpyc
from rpyc.core import Channel, SocketStream

gate = threading.Barrier(3, timeout=10)


class Meeting(rpyc.Service):
    def exposed_meet(self):
        gate.wait()
        return "met"


ours, theirs = socket.socketpair()
conn_there = Meeting()._connect(Channel(SocketStream(theirs)), {})
serving = threading.Thread(target=conn_there.serve_threaded, kwargs={"thread_count": 16}, daemon=True)
serving.start()
conn = rpyc.connect_stream(SocketStream(ours))
meet = rpyc.async_(conn.root.meet)
results = [meet() for _ in range(3)]
print([result.value for result in results])
conn.close()
serving.join(10)
print(serving.is_alive())
