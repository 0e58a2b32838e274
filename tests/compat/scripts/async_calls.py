# mypy: ignore-errors
import rpyc
from rpyc.utils.server import ThreadedServer


class Work(rpyc.Service):
    def exposed_square(self, x):
        return x * x

    def exposed_fail(self):
        raise KeyError("nothing here")


server = ThreadedServer(Work, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
square = rpyc.async_(conn.root.square)
results = [square(n) for n in range(5)]
for result in results:
    result.wait()
print([result.value for result in results], all(result.ready for result in results))
heard = []
called = square(9)
called.add_callback(lambda result: heard.append(result.value))
called.wait()
print(heard, called.error, called.expired)
failed = rpyc.async_(conn.root.fail)()
failed.wait()
print(failed.ready, failed.error)
try:
    failed.value
except KeyError as error:
    print("KeyError", error.args)
try:
    rpyc.async_(len)
except TypeError:
    print("TypeError")
print(conn.async_request(rpyc.core.consts.HANDLE_PING, "data").value)
conn.close()
server.close()
