# mypy: ignore-errors
import io
import sys

import rpyc

conn = rpyc.classic.connect_multiprocess()
with rpyc.classic.redirected_stdio(conn):
    conn.execute("print('from the other side')")
kept, sys.stdout = sys.stdout, io.StringIO()
with rpyc.classic.redirected_stdio(conn):
    conn.execute("print('captured')")
caught, sys.stdout = sys.stdout.getvalue(), kept
print(repr(caught))
print(conn.modules.os.getpid() != __import__("os").getpid())
conn.close()
