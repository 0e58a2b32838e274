# mypy: ignore-errors
import rpyc

conn = rpyc.classic.connect_thread()
conn.execute("data = {'list': [1, (2, 3)], 'set': {4}}")
remote = conn.namespace["data"]
local = rpyc.classic.obtain(remote)
print(type(local) is dict, local, isinstance(remote, rpyc.BaseNetref), isinstance(local, rpyc.BaseNetref))
sent = rpyc.classic.deliver(conn, [1, 2, {"three": 3}])
print(isinstance(sent, rpyc.BaseNetref), sent[2]["three"], len(sent))
print(isinstance(remote, dict), remote.__class__ is dict, remote == local, conn.builtins.type(sent) is not list)
print(hash(conn.builtins.frozenset([1])) == hash(frozenset([1])), bool(conn.builtins.list()), remote != local)
print(conn.eval("3 + 4j"), conn.eval("b'x'"), conn.eval("(1, 'a', None)"), conn.eval("slice(1, 2)"), conn.eval("..."))
conn.close()
