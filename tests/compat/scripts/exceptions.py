# mypy: ignore-errors
import rpyc
from rpyc.core.vinegar import GenericException
from rpyc.utils.server import ThreadedServer


class OwnError(Exception):
    def __init__(self, message, code):
        super().__init__(message, code)
        self.code = code


class Failing(rpyc.Service):
    def exposed_divide(self, a, b):
        return a / b

    def exposed_own(self):
        raise OwnError("ours", 7)

    def exposed_os(self):
        open("/nonexistent/file")

    def exposed_stop(self):
        raise StopIteration


server = ThreadedServer(Failing, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
try:
    conn.root.divide(1, 0)
except ZeroDivisionError as error:
    print(error.args, "Remote Traceback" in str(error), "exposed_divide" in error._remote_tb)
try:
    conn.root.own()
except GenericException as error:
    print("generic", type(error).__name__, error.args, error.code)
try:
    conn.root.os()
except FileNotFoundError as error:
    print(error.errno, error.filename, error.strerror)
try:
    conn.root.stop()
except StopIteration:
    print("stop")
conn.close()
conn = rpyc.connect("localhost", server.port, config={"instantiate_custom_exceptions": True})
try:
    conn.root.own()
except OwnError as error:
    print("own", isinstance(error, OwnError), error.args, error.code)
conn.close()
server.protocol_config["include_local_traceback"] = False
server.protocol_config["include_local_version"] = False
conn = rpyc.connect("localhost", server.port)
try:
    conn.root.divide(1, 0)
except ZeroDivisionError as error:
    print("denied" in error._remote_tb, error._remote_version)
conn.close()
server.close()
