# mypy: ignore-errors
import threading

import rpyc
from rpyc.utils.server import ThreadPoolServer


class Sum(rpyc.Service):
    def exposed_total(self, numbers):
        return sum(numbers)

    def exposed_apply(self, function, value):
        return function(value)


server = ThreadPoolServer(Sum, hostname="localhost", port=0, nbThreads=4, requestBatchSize=3)
server._start_in_thread()
print(server.nbthreads, server.request_batch_size, server.active)
totals = []


def use(number):
    conn = rpyc.connect("localhost", server.port)
    totals.append(conn.root.total((number, 1)))
    totals.append(conn.root.apply(lambda x: -x, number))
    conn.close()


threads = [threading.Thread(target=use, args=(n,)) for n in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
print(sorted(totals))
server.close()
print(server.active)
