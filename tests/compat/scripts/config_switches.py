# mypy: ignore-errors
import rpyc
from rpyc.core.protocol import DEFAULT_CONFIG
from rpyc.utils.server import ThreadedServer


class Thing:
    def __init__(self):
        self.public = 1
        self._private = 2
        self.exposed_shown = 3
        self.my_prefixed = 4


class Service(rpyc.Service):
    def exposed_thing(self):
        return Thing()

    def my_thing(self):
        return Thing()


def probe(config, root="thing"):
    server.protocol_config.update(config)
    conn = rpyc.connect("localhost", server.port)
    thing = getattr(conn.root, root)()
    found = []
    for name in ("public", "_private", "shown", "exposed_shown", "prefixed", "__doc__", "__len__"):
        try:
            getattr(thing, name)
            found.append(name)
        except AttributeError:
            pass
    for action in (lambda: setattr(thing, "public", 5), lambda: delattr(thing, "public")):
        try:
            action()
            found.append("changed")
        except AttributeError:
            found.append("kept")
    conn.close()
    for key in config:
        server.protocol_config[key] = DEFAULT_CONFIG[key]
    print(config, found)


server = ThreadedServer(Service, hostname="localhost", port=0)
server._start_in_thread()
probe({})
probe({"allow_public_attrs": True})
probe({"allow_all_attrs": True})
probe({"allow_public_attrs": True, "allow_setattr": True})
probe({"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True})
probe({"allow_public_attrs": True, "exposed_prefix": "my_"})
probe({"allow_all_attrs": True, "allow_exposed_attrs": False, "allow_safe_attrs": False}, "exposed_thing")
print(sorted(key for key in DEFAULT_CONFIG))
server.close()
