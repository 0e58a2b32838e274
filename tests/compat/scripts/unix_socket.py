# mypy: ignore-errors
import os
import tempfile

import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.server import ThreadedServer


class Local(rpyc.Service):
    def exposed_double(self, x):
        return 2 * x


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "service.sock")
    server = ThreadedServer(Local, socket_path=path)
    print(server.port == path, repr(server.host))
    server._start_in_thread()
    conn = unix_connect(path)
    print(conn.root.double(4))
    conn.close()
    server.close()
    try:
        ThreadedServer(Local, socket_path=path + "2", port=5)
    except ValueError:
        print("ValueError")
