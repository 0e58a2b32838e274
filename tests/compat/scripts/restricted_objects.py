# mypy: ignore-errors
import rpyc
from rpyc.utils.helpers import restricted
from rpyc.utils.server import ThreadedServer


class Account:
    owner = "ann"
    balance = 10
    note = ""

    def pay(self, amount):
        self.balance -= amount
        return self.balance


class Bank(rpyc.Service):
    def exposed_account(self):
        return restricted(Account(), ["owner", "pay", "note"], ["note"])

    def exposed_readonly(self):
        return restricted(Account(), ["owner"], [])


server = ThreadedServer(Bank, hostname="localhost", port=0)
server._start_in_thread()
conn = rpyc.connect("localhost", server.port)
account = conn.root.account()
print(account.owner, account.pay(3))
account.note = "paid"
print(account.note)
for action in (
    lambda: account.balance,
    lambda: setattr(account, "owner", "bob"),
    lambda: setattr(conn.root.readonly(), "owner", "bob"),
):
    try:
        print(action())
    except AttributeError:
        print("AttributeError")
conn.close()
server.close()
