# mypy: ignore-errors
import rpyc
from rpyc.core.protocol import Connection, PingError
from rpyc.core.service import ClassicClient, ClassicService, MasterService, Service, SlaveService, VoidService

print(rpyc.version.version[0], rpyc.__version__.split(".")[0])
print(
    issubclass(ClassicService, MasterService),
    issubclass(ClassicService, SlaveService),
    issubclass(VoidService, Service),
)
print(rpyc.Service is Service, rpyc.core.Service is Service, rpyc.utils.classic is rpyc.classic)
print(issubclass(PingError, Exception), rpyc.core.consts.HANDLE_INSTANCECHECK, rpyc.classic.DEFAULT_SERVER_PORT)
conn = rpyc.connect_thread(remote_service=SlaveService, service=ClassicClient, config={"connid": "mine"})
print(conn._config["connid"], conn._config["sync_request_timeout"], isinstance(conn, Connection), conn.eval("6 * 7"))
there = conn.root.getconn()
print(there._config["allow_all_attrs"], there.closed, there._local_root is not None)
try:
    conn.eval("1 / 0")
except ZeroDivisionError:
    print(there._last_traceback is not None)
conn._config["sync_request_timeout"] = 0.2
try:
    conn.modules.time.sleep(1)
except TimeoutError:
    print("TimeoutError")
print(type(conn._local_root).__name__, conn._channel.stream.sock.fileno() == conn.fileno())
conn.close()
