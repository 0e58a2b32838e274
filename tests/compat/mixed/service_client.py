# mypy: ignore-errors
import sys

import rpyc


class Client(rpyc.Service):
    def exposed_name(self):
        return "client"


conn = rpyc.connect("127.0.0.1", int(sys.argv[1]), service=Client)
print(conn.root.echo(1, "two", None, x=3.5), conn.root.echo())
item, again = conn.root.item("abc"), conn.root.item("abc")
print(item, repr(item), len(item), item == again, hash(item), item.name, conn.root.same(item))
print(conn.root.call(lambda a, b: a + b, 1, 2), conn.root.call(conn.root.echo, 5))
print(conn.root.client())
data = bytes(range(256)) * 1000
print(conn.root.big(data) == data[::-1])
try:
    conn.root.fail()
except IndexError as error:
    print(error.args, "exposed_fail" in str(error))
futures = [rpyc.async_(conn.root.echo)(n) for n in range(10)]
print(sum(future.value[0][0] for future in futures))
try:
    conn.root.nothing
except AttributeError:
    print("AttributeError")
conn.ping()
print(list(rpyc.buffiter(conn.root.rows(30), chunk=7)), conn.root.echo([1, 2])[0][0])
conn.close()
