# mypy: ignore-errors
from rpyc.utils.classic import MockClassicConnection

conn = MockClassicConnection()
conn.execute("x = 5")
print(conn.eval("x * 2"), conn.modules.os.path.sep, conn.namespace["x"], conn.builtin.len("abc"))
