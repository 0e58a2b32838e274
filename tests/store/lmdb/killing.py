"""Kill writers in the middle of transactions, and see what is left. Run by `test_kill`: killing.py PATH KILLS SEED.

Four processes write, each into keys of its own and into one that all share. Each tells its number through a pipe when the transaction
that writes it has returned. At random moments one is killed and another takes its place. After each kill:

* the number last told is there, or the next one: no acknowledged write is lost;
* all keys of a process have the same number: none is half done;
* the shared sum is that of all numbers: the transactions came one after the other.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from anycore.store import Store, Transaction
from anycore.store.lmdb.store import LmdbStore

WRITERS = 4
KEYS = [b"a", b"b" * 300, b"c", b"d", b"e"]


def number(transaction: Transaction, key: bytes) -> int:
    return int((transaction.get(key) or b"0").split(b" ")[0])


def write_for_ever(store: Store, name: bytes, pipe: int, seed: float) -> None:
    chance = random.Random(seed)
    while True:
        with store.transaction() as transaction:
            following = number(transaction, name + KEYS[0]) + 1
            for key in chance.sample(KEYS, len(KEYS)):
                padding = b"." * chance.choice((0, 10, 5000))
                transaction.put(name + key, b"%d %s" % (following, padding), ttl=chance.choice((None, 1e6)))
            transaction.put(b"passing" + name, b"1", ttl=1e-6)
            if transaction.delete(b"now and then") is False:
                transaction.put(b"now and then", b"1")
            transaction.put(b"sum", b"%d" % (number(transaction, b"sum") + 1))
        os.write(pipe, following.to_bytes(4, "big"))
        if chance.random() < 0.05:
            store.expire()


class Writer:
    def __init__(self, store: Store, name: bytes, seed: float) -> None:
        self.name = name
        self.told = 0
        self._pipe, end = os.pipe()
        self.process = os.fork()
        if not self.process:
            try:
                write_for_ever(store, name, end, seed)
            finally:
                os._exit(1)
        os.close(end)

    def listen(self) -> bool:
        told = os.read(self._pipe, 4)
        if told:
            self.told = int.from_bytes(told, "big")
        return bool(told)

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        while self.listen():
            pass
        os.close(self._pipe)


def check(store: Store, killed: Writer) -> None:
    total = 0
    with store.transaction(write=False) as transaction:
        for index in range(WRITERS):
            name = b"writer%d" % index
            numbers = {number(transaction, name + key) for key in KEYS}
            assert len(numbers) == 1, f"a transaction of {name!r} is half done: {numbers}"
            if name == killed.name and killed.told:
                assert numbers <= {killed.told, killed.told + 1}, f"{name!r} was told {killed.told}, there is {numbers}"
            total += numbers.pop()
        assert number(transaction, b"sum") == total


def main(path: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with LmdbStore(path, durability="commit") as store:
        writers = [Writer(store, b"writer%d" % index, chance.random()) for index in range(WRITERS)]
        try:
            for _ in range(kills):
                victim = chance.randrange(WRITERS)
                for _ in range(chance.randrange(3)):
                    assert writers[victim].listen(), "a writer has ended by itself"
                time.sleep(chance.random() * 0.003)  # not for order, but to meet it in any part of what it does
                writers[victim].kill()
                check(store, writers[victim])
                writers[victim] = Writer(store, writers[victim].name, chance.random())
        finally:
            for writer in writers:
                writer.kill()
        total = int(store.get(b"sum") or b"0")
    assert total > kills / 2, f"only {total} transactions were made"
    sys.stdout.write(f"{kills} kills, {total} transactions\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
