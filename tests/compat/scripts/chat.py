# mypy: ignore-errors
import threading

import rpyc
from rpyc.utils.server import ThreadedServer

members, lock = {}, threading.Lock()


class Token:
    def __init__(self, name, callback):
        self.name, self.callback = name, callback

    def exposed_say(self, text):
        with lock:
            everyone = list(members.values())
        for member in everyone:
            if member is not self:
                rpyc.async_(member.callback)(self.name + ": " + text)

    def exposed_logout(self):
        with lock:
            members.pop(self.name)


class Chat(rpyc.Service):
    def exposed_login(self, name, callback):
        token = Token(name, callback)
        with lock:
            members[name] = token
        return token


server = ThreadedServer(Chat, hostname="localhost", port=0, protocol_config={"allow_public_attrs": True})
server._start_in_thread()
heard, arrived = [], threading.Event()


def hear(text):
    heard.append(text)
    if len(heard) == 3:
        arrived.set()


ann = rpyc.connect("localhost", server.port)
bob = rpyc.connect("localhost", server.port)
background = rpyc.BgServingThread(bob)
token_bob = bob.root.login("bob", hear)
token_ann = ann.root.login("ann", print)
for number in range(3):
    token_ann.say("message %d" % number)
print(arrived.wait(10), sorted(heard), sorted(members))
token_bob.logout()
print(sorted(members))
background.stop()
ann.close()
bob.close()
server.close()
