"""`anycore store`: each command, in this process, on a store that others may have open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from anycore.cli import main
from anycore.cli.exits import Exit
from anycore.store import namespace
from anycore.store.lmdb.store import LmdbStore

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def store(path: str) -> Iterator[LmdbStore]:
    with LmdbStore(path) as opened:
        yield opened


@pytest.fixture
def run(path: str) -> Run:
    def invoke(*args: str, data: bytes | None = None) -> Result:
        return CliRunner().invoke(main, ["store", *args, "--store", f"lmdb:{path}"], input=data)

    return invoke


def test_values_come_back_byte_for_byte(run: Run) -> None:
    value = bytes(range(256))
    assert run("put", "plugin/a", "key", data=value).exit_code == 0
    assert run("get", "plugin/a", "key").stdout_bytes == value
    assert run("put", "plugin/a", "key", "text ü").exit_code == 0
    assert run("get", "plugin/a", "key").stdout_bytes == "text ü".encode()


def test_namespaces_and_keys_are_listed(run: Run, store: LmdbStore) -> None:
    part = namespace(store, "plugin/a", quota_keys=10)
    part.put(b"\0odd\\\n\xff", b"12345")
    part.put("grün".encode(), b"1", ttl=1000)
    part.put(b"ended", b"1", ttl=1e-6)
    store.put(b"in none", b"1")
    listed = [line.split() for line in run("ls").stdout.splitlines()]
    assert listed == [["1", "8"], ["3", "24", "plugin/a"]]
    assert run("ls", "plugin/a").stdout.splitlines() == [r"\x00odd\\\x0a\xff", "grün"]
    assert run("ls", "plugin/a", "--prefix", r"\x00o").stdout.splitlines() == [r"\x00odd\\\x0a\xff"]
    long = [line.split() for line in run("ls", "-l", "plugin/a").stdout.splitlines()]
    assert [line[:2] for line in long] == [["5", "-"], ["1", "1000"]]
    assert run("ls", "").stdout.splitlines() == ["in none"]
    assert run("get", "plugin/a", r"\x00odd\\\x0a\xff").stdout == "12345"
    assert run("get", "", "in none").stdout == "1"


def test_messagepack_is_shown_as_json(run: Run, store: LmdbStore) -> None:
    namespace(store, "a").put(b"k", msgspec.msgpack.encode({"user": "alice", "data": b"\xff"}))
    assert json.loads(run("get", "a", "k", "--json").stdout) == {"user": "alice", "data": "/w=="}
    namespace(store, "a").put(b"k", b"\xc1")
    refused = run("get", "a", "k", "--json")
    assert refused.exit_code == Exit.FAULT
    assert "is no MessagePack" in refused.stderr


def test_keys_are_removed_and_missing_ones_named(run: Run, store: LmdbStore) -> None:
    part = namespace(store, "a")
    part.put(b"1", b"")
    part.put(b"2", b"")
    assert run("rm", "a", "1").exit_code == 0
    refused = run("rm", "a", "1", "2")
    assert refused.exit_code == Exit.FAULT
    assert refused.stderr == "Error: there is no key 1 in 'a'; `anycore store ls` lists those there are\n"
    assert list(part.scan()) == []
    assert run("get", "a", "1").exit_code == Exit.FAULT


def test_a_key_can_be_given_a_time_to_live(run: Run, store: LmdbStore) -> None:
    assert run("put", "a", "k", "v", "--ttl", "1000").exit_code == 0
    with namespace(store, "a").transaction(write=False) as transaction:
        assert 990 < (transaction.ttl(b"k") or 0) <= 1000
    assert run("put", "a", "k", "v", "--ttl", "0").exit_code == Exit.USAGE


def test_what_is_dumped_can_be_loaded(run: Run, store: LmdbStore, tmp_path: Path) -> None:
    namespace(store, "a").put(b"k", b"v")
    file = tmp_path / "dump"
    assert run("dump", str(file)).exit_code == 0
    assert run("dump").stdout_bytes == file.read_bytes()
    run("rm", "a", "k")
    assert run("load", str(file)).stdout == "1 keys loaded\n"
    assert namespace(store, "a").get(b"k") == b"v"
    refused = run("load", data=b"nonsense")
    assert refused.exit_code == Exit.CONFIGURATION
    assert "line 1 is no dump of a store" in refused.stderr


def test_a_store_is_checked_while_it_is_in_use(run: Run, store: LmdbStore) -> None:
    store.put(b"a", b"1", ttl=1000)
    checked = run("check")
    assert checked.exit_code == 0
    assert dict(line.rsplit(maxsplit=1) for line in checked.stdout.splitlines())["keys"] == "1"
    with store.transaction() as transaction:
        transaction.put(b"b", b"1")
        transaction.inner.put(b"broken", b"\x07")
    refused = run("check")
    assert refused.exit_code == Exit.FAULT
    assert "b'broken': a record that begins with b'\\x07'" in refused.stderr


def test_compacting_needs_the_store_for_itself(run: Run, store: LmdbStore, path: str) -> None:
    with store.transaction() as transaction:
        for number in range(2000):
            transaction.put(b"%d" % number, b"x" * 1000)
    with store.transaction() as transaction:
        for number in range(1, 2000):
            transaction.delete(b"%d" % number)
    refused = run("compact")
    assert refused.exit_code == Exit.CONFIGURATION
    assert "this process has it open: close it first" in refused.stderr
    command = [sys.executable, "-m", "anycore", "store", "compact", "--store", f"lmdb:{path}"]
    other = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert other.returncode == Exit.CONFIGURATION
    assert "another process uses it: stop the server first" in other.stderr
    store.close()
    said = run("compact")
    assert said.exit_code == 0, said.output
    before, after = (int(word.replace(",", "")) for word in said.stdout.split() if word[0].isdigit())
    assert after < before / 10
    with LmdbStore(path) as again:
        assert list(again.scan()) == [(b"0", b"x" * 1000)]


def test_a_store_in_memory_has_nothing_to_compact() -> None:
    done = CliRunner().invoke(main, ["store", "compact", "--store", "memory:"])
    assert (done.exit_code, done.output) == (0, "")


def test_the_store_is_that_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "anycore.toml"
    file.write_text('[server]\nstore = "lmdb:./kept?durability=process"\n')
    done = CliRunner().invoke(main, ["store", "put", "a", "k", "v", "-c", str(file)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "kept" / "data.mdb").exists()
