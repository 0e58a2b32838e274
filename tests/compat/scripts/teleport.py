# mypy: ignore-errors
import rpyc
from rpyc.utils.classic import teleport_function
from rpyc.utils.teleportation import export_function, import_function


def greet(name, greeting="hello", *, mark="!"):
    return "{} {}{}".format(greeting, name, mark)


def where():
    import threading

    return threading.current_thread() is not threading.main_thread()


def nested(n):
    return [(lambda x: x * x)(i) for i in range(n)]


conn = rpyc.classic.connect_thread()
there = conn.teleport(greet)
print(there("you"), there("you", "bye", mark="?"), conn.namespace["greet"]("again"))
print(teleport_function(conn, where)(), list(teleport_function(conn, nested, def_=False)(4)))
print("nested" in conn.namespace)


def closure():
    n = 3

    def inner():
        return n

    return inner


try:
    conn.teleport(closure())
except TypeError:
    print("TypeError")
copy = import_function(export_function(greet), {})
print(copy("here"), copy is greet)
conn.close()
