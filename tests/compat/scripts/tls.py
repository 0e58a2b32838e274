# mypy: ignore-errors
import os
import ssl

import rpyc
from rpyc.utils.authenticators import SSLAuthenticator
from rpyc.utils.server import ThreadedServer

certificate = os.environ["CERTIFICATE"]


class Secret(rpyc.Service):
    def on_connect(self, conn):
        self.conn = conn

    def exposed_secret(self):
        return "s3cret"

    def exposed_shown(self):
        return bool(self.conn._config["credentials"])


def serve(**options):
    made = ThreadedServer(
        Secret, hostname="localhost", port=0, authenticator=SSLAuthenticator(certificate, certificate, **options)
    )
    made._start_in_thread()
    return made


server = serve()
conn = rpyc.ssl_connect("localhost", server.port)
print(conn.root.secret(), conn.root.shown())
conn.close()
conn = rpyc.ssl_connect("localhost", server.port, ca_certs=certificate, verify_mode=ssl.CERT_REQUIRED)
print(conn.root.secret())
conn.close()
try:
    rpyc.ssl_connect("localhost", server.port, verify_mode=ssl.CERT_REQUIRED).root.secret()
except ssl.SSLError:
    print("not trusted")
server.close()
server = serve(ca_certs=certificate)
conn = rpyc.ssl_connect("localhost", server.port, keyfile=certificate, certfile=certificate)
print(conn.root.secret(), conn.root.shown())
conn.close()
try:
    rpyc.ssl_connect("localhost", server.port).root.secret()
except (EOFError, OSError):
    print("no certificate, no service")
server.close()
