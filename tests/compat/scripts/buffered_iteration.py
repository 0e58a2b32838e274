# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


class Rows(rpyc.Service):
    def exposed_rows(self, count):
        return list(range(count))

    def exposed_stream(self, count):
        return (n * n for n in range(count))


server = ThreadedServer(Rows, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
print(sum(rpyc.buffiter(conn.root.rows(1000))))
print(list(rpyc.buffiter(conn.root.stream(7), chunk=2, max_chunk=4, factor=2)))
print(sum(conn.root.rows(50)), list(conn.root.stream(4)))
try:
    list(rpyc.buffiter(conn.root.rows(3), factor=0.5))
except ValueError:
    print("ValueError")
rows = conn.root.rows(10)
print(len(rows), rows[3], rows[2:5], rows[-1], 4 in rows, max(rows))
iterator = iter(conn.root.rows(2))
print(next(iterator), next(iterator), next(iterator, "end"))
conn.close()
server.close()
