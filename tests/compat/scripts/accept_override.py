# mypy: ignore-errors
import threading

import rpyc
from rpyc.utils.server import Server


class Two(Server):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.accepted = []

    def _accept_method(self, sock):
        self.accepted.append(sock.getpeername()[0])
        threading.Thread(target=self._authenticate_and_serve_client, args=(sock,), daemon=True).start()

    def _handle_connection(self, conn):
        conn.served_by = "Two"
        super()._handle_connection(conn)


class Simple(rpyc.Service):
    def on_connect(self, conn):
        self.conn = conn

    def exposed_by(self):
        return self.conn.served_by


server = Two(Simple, hostname="127.0.0.1", port=0, listener_timeout=0.1)
thread = server._start_in_thread()
conns = [rpyc.connect("127.0.0.1", server.port) for _ in range(2)]
print([conn.root.by() for conn in conns], server.accepted, len(server.clients), server.fileno() > 0)
server.close()
for conn in conns:
    try:
        conn.root.by()
    except EOFError:
        print("EOFError")
thread.join(5)
print(thread.is_alive(), len(server.clients), server.active)
try:
    Server(Simple, hostname="127.0.0.1", port=0)._accept_method(None)
except NotImplementedError:
    print("NotImplementedError")
