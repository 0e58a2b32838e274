# mypy: ignore-errors
import sys

import rpyc


def power(x, n=2):
    return x**n


conn = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
print(conn.eval("list(range(3))"), conn.modules.os.path.join("a", "b"))
conn.execute("kept = {'a': [1, 2]}")
print(rpyc.classic.obtain(conn.namespace["kept"]), rpyc.classic.deliver(conn, [1, {2: 3}]))
print(conn.teleport(power)(3), conn.namespace["power"](2, n=5))
with rpyc.classic.redirected_stdio(conn):
    conn.execute("print('over there')")
print(conn.root.getconn()._config["allow_pickle"], "json" in conn.modules)
try:
    conn.eval("1 / 0")
except ZeroDivisionError as error:
    print(error.args)
conn.close()
