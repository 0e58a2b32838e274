# mypy: ignore-errors
import rpyc

conn = rpyc.classic.connect_thread()
print(conn.eval("2 ** 20"))
conn.execute("names = ['b', 'a']; names.sort()")
print(conn.namespace["names"], list(conn.namespace["names"]))
conn.namespace["given"] = 17
print(conn.eval("given + 1"))
print(conn.modules.os.path.join("a", "b"), conn.modules["os.path"].basename("x/y"))
print(conn.builtins.sum([1, 2, 3]), conn.builtin.len("four"))
print("json" in conn.modules, "no_such_module" in conn.modules)
try:
    conn.modules["no_such_module"]
except ImportError as error:
    print(type(error).__name__)
print(sorted(conn.modules.string.ascii_letters)[:3])
stack = conn.modules.collections.deque([1, 2])
stack.append(3)
print(len(stack), stack[2], 2 in stack, [x for x in stack], stack)
conn.close()
