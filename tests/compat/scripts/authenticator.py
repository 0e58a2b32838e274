# mypy: ignore-errors
import rpyc
from rpyc.core.stream import SocketStream
from rpyc.utils.authenticators import AuthenticationError
from rpyc.utils.server import ThreadedServer


def password(sock):
    word = sock.recv(6)
    if word != b"sesame":
        raise AuthenticationError("wrong word")
    return sock, {"user": "ali"}


class Who(rpyc.Service):
    def on_connect(self, conn):
        self.conn = conn

    def exposed_who(self):
        return self.conn._config["credentials"]["user"]

    def exposed_endpoints(self):
        ours, theirs = self.conn._config["endpoints"]
        return len(ours), theirs[0]


server = ThreadedServer(Who, hostname="localhost", port=0, authenticator=password)
server._start_in_thread()


def attempt(word):
    stream = SocketStream.connect("localhost", server.port)
    stream.sock.send(word)
    return rpyc.connect_stream(stream)


conn = attempt(b"sesame")
print(conn.root.who(), conn.root.endpoints())
conn.close()
try:
    attempt(b"wrong!").root.who()
except (EOFError, ConnectionError, OSError):
    print("refused")
server.close()
