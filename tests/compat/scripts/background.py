# mypy: ignore-errors
import threading

import rpyc
from rpyc.utils.server import ThreadedServer


class Notifier(rpyc.Service):
    def exposed_watch(self, callback):
        def later():
            for number in range(3):
                callback(number)
            callback("end")

        threading.Thread(target=later, daemon=True).start()


server = ThreadedServer(Notifier, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
serving = rpyc.BgServingThread(conn)
seen, over = [], threading.Event()


def hear(what):
    seen.append(what)
    if what == "end":
        over.set()


conn.root.watch(hear)
print(over.wait(10), seen)
serving.stop()
conn.close()
server.close()
