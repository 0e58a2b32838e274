# mypy: ignore-errors
import rpyc


class Resource:
    def __init__(self):
        self.log = []

    def __enter__(self):
        self.log.append("enter")
        return self

    def __exit__(self, kind, error, trace):
        self.log.append(error is not None)

    def exposed_history(self):
        return tuple(self.log)


class Lender(rpyc.Service):
    def exposed_lend(self):
        self.resource = Resource()
        return self.resource

    def exposed_history(self):
        return tuple(self.resource.log)


with rpyc.connect_thread(remote_service=Lender) as conn:
    with conn.root.lend() as resource:
        print(resource.history())
    print(conn.root.history())
    try:
        with conn.root.lend():
            raise ValueError("within")
    except ValueError as error:
        print(error, conn.root.history())
print(conn.closed)
