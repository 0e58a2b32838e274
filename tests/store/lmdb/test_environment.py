"""The map of the file: it grows, it is shared, it survives forks; a full one says so and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from anycore.store import StoreError, StoreFullError
from anycore.store.lmdb.environment import Environment, Options
from anycore.store.lmdb.store import LmdbStore

Fork = Callable[[Callable[[], object]], None]
MIB = 1 << 20
VALUE = b"x" * 10_000


def fill(store: LmdbStore, count: int, *, start: int = 0, value: bytes = VALUE) -> None:
    with store.transaction() as transaction:
        for number in range(start, start + count):
            transaction.put(b"k%06d" % number, value)


def other_process(path: str, code: str) -> str:
    """Run code in another program, with `store` open."""
    program = (
        f"from anycore.store.lmdb.store import LmdbStore\nstore = LmdbStore({path!r}, durability='process')\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_grows_between_transactions_and_in_one(path: str) -> None:
    with LmdbStore(path, durability="process", first_size=MIB) as store:
        for start in range(0, 400, 20):
            fill(store, 20, start=start)
        fill(store, 2000, start=400)  # larger than the map it begins with
        assert store.figures()["keys"] == 2400
        assert all(value == VALUE for _, value in store.scan())


def test_it_grows_with_what_another_process_writes(path: str) -> None:
    with LmdbStore(path, durability="process", first_size=MIB) as store:
        store.put(b"a", b"1")
        watch = store.watch(b"last")
        other_process(path, "with store.transaction() as t:\n for n in range(2000): t.put(b'k%06d' % n, b'x' * 10000)")
        other_process(path, "store.put(b'last', b'1')")
        assert store.get(b"k001999") == VALUE
        assert watch.poll(30) == [(b"last", b"1")]
        store.put(b"a", b"2")
        assert store.get(b"a") == b"2"


def test_readers_in_threads_live_through_growth(path: str) -> None:
    with LmdbStore(path, durability="process", first_size=MIB) as store:
        store.put(b"a", b"1")
        over, problems, reads = threading.Event(), list[object](), [0, 0]

        def read(index: int) -> None:
            while not over.is_set():
                found = store.get(b"a")
                reads[index] += 1
                if found != b"1" or next(store.scan(b"a"))[1] != b"1":
                    problems.append(found)

        threads = [threading.Thread(target=read, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        try:
            for start in range(0, 100, 10):
                fill(store, 10, start=start, value=10 * VALUE)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert not problems
        assert store.figures()["keys"] == 101


def test_undoing_waits_for_nobody_who_reads(path: str) -> None:
    """lmdb itself waits, when a transaction that writes is aborted, until for a moment no thread reads."""
    with LmdbStore(path, durability="process", first_size=MIB, max_size=2 * MIB) as store:
        store.put(b"a", b"1")
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                store.get(b"a")

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                assert not store.compare_and_set(b"a", b"2", b"3")
                with pytest.raises(LookupError), store.transaction() as transaction:
                    transaction.put(b"a", b"2")
                    raise LookupError
                with pytest.raises(StoreFullError):
                    fill(store, 40, value=10 * VALUE)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert list(store.scan()) == [(b"a", b"1")]


def test_a_reader_that_must_not_be_disturbed_holds_growth_up_with_an_error(path: str) -> None:
    with LmdbStore(path, durability="process", first_size=MIB) as store:
        store.put(b"a", b"1")
        with store.transaction(write=False) as reading:
            with pytest.raises(StoreError, match="keep transactions short"):
                fill(store, 500)
            assert reading.get(b"a") == b"1"
        fill(store, 500)
        assert store.figures()["keys"] == 501


def test_a_full_store_says_so_loses_nothing_and_lets_keys_be_removed(path: str) -> None:
    with LmdbStore(path, durability="process", first_size=MIB, max_size=4 * MIB) as store:
        stored = 0
        with pytest.raises(
            StoreFullError, match=r"reached its max_size of 4,194,304 bytes: nothing of this transaction"
        ):
            while True:
                fill(store, 10, start=stored)
                stored += 10
        with pytest.raises(StoreFullError):
            fill(store, 5000)
        assert [key for key, _ in store.scan()] == [b"k%06d" % number for number in range(stored)]
        assert all(value == VALUE for _, value in store.scan())
        with store.transaction() as transaction:
            for number in range(stored // 2):
                transaction.delete(b"k%06d" % number)
        assert store.figures()["keys"] == stored - stored // 2
        fill(store, 10)
        assert store.get(b"k000000") == VALUE


def test_a_full_disk_says_so_and_loses_nothing(path: str) -> None:
    """The limit of a file's size stands in for the disk: a write beyond it fails in the same place, in the same way."""
    code = f"""
import resource, signal
from anycore.store import StoreFullError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store.put(b"before", b"1")
resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * MIB}, resource.RLIM_INFINITY))
count = 0
try:
    while True:
        with store.transaction() as transaction:
            for number in range(10):
                transaction.put(b"k%06d" % (count + number), b"x" * 10000)
        count += 10
except StoreFullError as error:
    print(error)
assert store.get(b"before") == b"1" and store.figures()["keys"] == count + 1, (count, store.figures())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with store.transaction() as transaction:
    for number in range(10):
        transaction.put(b"k%06d" % (count + number), b"x" * 10000)
assert store.figures()["keys"] == count + 11
"""
    said = other_process(path, code)
    assert "nothing of this transaction has been stored, and nothing else is lost; make room on the disk" in said


def test_a_full_file_system_says_so_and_loses_nothing(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user cannot mount a file system")
    try:
        with LmdbStore(str(place / "store"), durability="commit") as store:
            store.put(b"before", b"1")
            with pytest.raises(StoreFullError, match="No space left on device"):
                for start in range(0, 1000, 10):
                    fill(store, 10, start=start)
            kept = [value for _, value in store.scan(b"k")]
            assert kept == [VALUE] * len(kept) != []
            assert store.get(b"before") == b"1"
            assert store.delete(b"k000000")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_child_opens_the_file_for_itself(store: LmdbStore, in_child: Fork) -> None:
    store.put(b"a", b"1")
    watch = store.watch()

    def child() -> None:
        assert store.get(b"a") == b"1"
        store.put(b"child", b"1")
        assert dict(store.scan()) == {b"a": b"1", b"child": b"1"}
        in_child(lambda: store.put(b"grandchild", b"1"))

    in_child(child)
    assert sorted(watch.poll(30)) == [(b"child", b"1"), (b"grandchild", b"1")]
    store.put(b"a", b"2")
    assert store.get(b"a") == b"2"


def test_a_child_that_uses_nothing_harms_nobody(store: LmdbStore, in_child: Fork) -> None:
    store.put(b"a", b"1")
    with store.transaction(write=False) as reading:
        in_child(lambda: None)
        store.put(b"a", b"2")
        assert reading.get(b"a") == b"1"
    assert store.get(b"a") == b"2"


def test_a_fork_waits_for_transactions_of_other_threads(store: LmdbStore, in_child: Fork) -> None:
    over, started = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            store.put(b"n", b"%d" % number)
            started.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert started.wait(30)
        for _ in range(20):
            in_child(lambda: store.put(b"child", store.get(b"n") or b""))
    finally:
        over.set()
        thread.join()
    assert int(store.get(b"child") or b"0") > 0


def test_a_child_of_a_transaction_is_told_to_leave_the_store_alone(store: LmdbStore, in_child: Fork) -> None:
    store.put(b"a", b"1")

    def child() -> None:
        with pytest.raises(StoreError, match="forked in the middle of a transaction: fork outside of transactions"):
            store.get(b"a")
        with pytest.raises(StoreError, match="forked in the middle"):
            store.put(b"a", b"2")
        with pytest.raises(StoreError, match="forked in a transaction, which is its parent's"):
            transaction.__exit__(None, None, None)

    with store.transaction() as transaction:
        transaction.put(b"b", b"1")
        in_child(child)
    assert dict(store.scan()) == {b"a": b"1", b"b": b"1"}


def test_stores_of_one_path_share_it_and_the_last_one_closes_it(path: str, tmp_path: Path) -> None:
    first = LmdbStore(path)
    (tmp_path / "link").symlink_to(path)
    second = LmdbStore(str(tmp_path / "link"))
    first.put(b"a", b"1")
    first.close()
    assert second.get(b"a") == b"1"
    with pytest.raises(StoreError, match="open in this process with"):
        LmdbStore(path, durability="process")
    second.close()
    with LmdbStore(path, durability="process") as third:
        assert third.get(b"a") == b"1"


def test_readers_of_processes_that_were_killed_are_forgotten(store: LmdbStore) -> None:
    ready, end = os.pipe()
    process = os.fork()
    if not process:
        try:
            with store.transaction(write=False) as transaction:
                transaction.get(b"a")
                os.write(end, b"1")
                signal.pause()
        finally:
            os._exit(1)
    os.read(ready, 1)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(ready)
    os.close(end)
    opened = store._environment.opened
    assert str(process) in opened.readers()
    store.expire()
    assert str(process) not in opened.readers()


def test_nobody_else_can_read_it(path: str, store: LmdbStore) -> None:
    assert Path(path).stat().st_mode & 0o77 == 0
    assert all(file.stat().st_mode & 0o77 == 0 for file in Path(path).iterdir())


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no store" * 1000)
    with pytest.raises(StoreError, match="damaged, or no store"):
        LmdbStore(str(tmp_path))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StoreError, match="File exists"):
        LmdbStore(str(file))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_where_one_may_not_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="this user must be able to write there"):
        LmdbStore(str(tmp_path / "store"))


def test_a_store_of_a_newer_program_is_refused(path: str) -> None:
    LmdbStore(path).close()
    environment = Environment(path, Options())
    environment.open()
    with environment.opened.begin(write=True) as transaction:
        transaction.put(b"format", b"2", db=environment.opened.open_db(b"about", txn=transaction))
    environment.close()
    with pytest.raises(StoreError, match=r"its format is b'2', this program knows b'1': use a newer one"):
        LmdbStore(path)


def test_a_transaction_that_another_one_overtook_is_not_done(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LmdbStore(path, durability="process", first_size=MIB) as store:
        store.put(b"a", b"1")
        larger = Environment.larger

        def overtake(environment: Environment, *, removing: bool) -> bool:
            other_process(path, "store.put(b'a', b'2')")
            return larger(environment, removing=removing)

        monkeypatch.setattr(Environment, "larger", overtake)
        with pytest.raises(StoreError, match=r"another process wrote while room was made .* do it again"):  # noqa: SIM117
            with store.transaction() as transaction:
                assert transaction.get(b"a") == b"1"
                for number in range(300):
                    transaction.put(b"k%d" % number, VALUE)
        assert list(store.scan()) == [(b"a", b"2")]
        monkeypatch.undo()
        fill(store, 300)
        assert store.get(b"a") == b"2"


@pytest.mark.parametrize("error", [lmdb.PanicError, lmdb.ReadersFullError])
def test_what_can_be_mended_is(store: LmdbStore, error: type[lmdb.Error]) -> None:
    store.put(b"a", b"1")
    environment = store._environment
    real: Callable[..., object] = environment.begin
    times = [0]

    def fail_once(*arguments: object) -> object:
        if times.pop():
            raise error("once")
        return real(*arguments)

    works: list[Callable[[], object]] = [lambda: store.get(b"a"), lambda: store.put(b"b", b"1")]
    for work in works:
        times[:] = [0, 1]
        environment.begin = fail_once
        work()
        environment.begin = environment.opened.begin
    assert dict(store.scan()) == {b"a": b"1", b"b": b"1"}


def test_what_cannot_be_mended_is_told(store: LmdbStore) -> None:
    environment = store._environment
    real: Callable[..., object] = environment.begin

    def fail(*_: object) -> object:
        raise lmdb.ReadersFullError("always")

    environment.begin = fail
    works: list[Callable[[], object]] = [lambda: store.get(b"a"), lambda: store.put(b"a", b"1")]
    for work in works:
        with pytest.raises(StoreError, match="too many transactions read it at the same time: end some"):
            work()
    environment.begin = real
    assert not environment.active
    store.put(b"a", b"1")
