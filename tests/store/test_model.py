"""Every store behaves as a dict does, whatever is done to it and in whatever order: with times to live, transactions and quotas."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from anycore.store import QuotaError, Store, Transaction, namespace
from anycore.store.lmdb.store import LmdbStore
from anycore.store.memory import MemoryStore

KEYS = st.one_of(st.sampled_from([b"a", b"a\0", b"aa", b"b", b"\xff", b"\xff\xff"]), st.binary(min_size=1, max_size=4))
VALUES = st.binary(max_size=20)
TTLS = st.one_of(st.none(), st.integers(1, 5).map(float))
PREFIXES = st.one_of(st.just(b""), st.binary(max_size=2))
QUOTA_KEYS, QUOTA_BYTES = 12, 150


class _Machine(RuleBasedStateMachine):
    """The model: a dict of values and ends, and a clock."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1e9
        self.model: dict[bytes, tuple[bytes, float]] = {}
        self.whole = self.make()
        self.store = namespace(self.whole, "n", quota_keys=QUOTA_KEYS, quota_bytes=QUOTA_BYTES)
        self.told: dict[bytes, bytes] = {}
        self.watch = self.store.watch()

    def make(self) -> Store:
        raise NotImplementedError

    def clock(self) -> float:
        return self.now

    def visible(self) -> dict[bytes, bytes]:
        return {key: value for key, (value, end) in self.model.items() if end > self.now}

    def fits(self, model: dict[bytes, tuple[bytes, float]], key: bytes, value: bytes) -> bool:
        after = {**model, key: (value, 0.0)}
        size, before = (sum(len(k) + len(v) for k, (v, _) in one.items()) for one in (after, model))
        return (len(after) <= QUOTA_KEYS or key in model) and size <= max(QUOTA_BYTES, before)

    def put_into(
        self, target: Store | Transaction, model: dict[bytes, Any], key: bytes, value: bytes, ttl: Any
    ) -> None:
        if self.fits(model, key, value):
            target.put(key, value, ttl=ttl)
            model[key] = (value, float("inf") if ttl is None else self.now + ttl)
        else:
            with pytest.raises(QuotaError):
                target.put(key, value, ttl=ttl)

    @initialize(target=keys, key=KEYS)
    def first(self, key: bytes) -> bytes:
        return key

    @rule(target=keys, key=KEYS, value=VALUES, ttl=TTLS)
    def put(self, key: bytes, value: bytes, ttl: float | None) -> bytes:
        self.put_into(self.store, self.model, key, value, ttl)
        return key

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.visible().get(key)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        assert self.store.delete(key) == (key in self.visible())
        self.model.pop(key, None)

    @rule(key=keys, expected=st.one_of(st.none(), VALUES), right=st.booleans(), value=st.one_of(st.none(), VALUES))
    def compare_and_set(self, key: bytes, expected: bytes | None, right: bool, value: bytes | None) -> None:
        there = self.visible().get(key)
        expected = there if right else expected
        if value is not None and expected == there and not self.fits(self.model, key, value):
            with pytest.raises(QuotaError):
                self.store.compare_and_set(key, expected, value)
            return
        assert self.store.compare_and_set(key, expected, value) == (expected == there)
        if expected == there and value is not None:
            self.model[key] = (value, float("inf"))
        elif expected == there and expected is not None:
            del self.model[key]

    @rule(
        puts=st.lists(st.tuples(KEYS, st.one_of(st.none(), VALUES), TTLS), max_size=6),
        prefix=PREFIXES,
        fails=st.booleans(),
    )
    def transaction(self, puts: list[tuple[bytes, bytes | None, float | None]], prefix: bytes, fails: bool) -> None:
        model, before = dict(self.model), self.model
        try:
            with self.store.transaction() as transaction:
                for key, value, ttl in puts:
                    if value is None:
                        there = key in model and model[key][1] > self.now
                        assert transaction.delete(key) == there
                        model.pop(key, None)
                    else:
                        self.put_into(transaction, model, key, value, ttl)
                self.model = model
                wanted = {key: value for key, value in self.visible().items() if key.startswith(prefix)}
                assert list(transaction.scan(prefix)) == sorted(wanted.items())
                if fails:
                    raise LookupError("on purpose")
        except LookupError:
            self.model = before

    @rule(prefix=PREFIXES, start=PREFIXES, limit=st.one_of(st.none(), st.integers(0, 5)))
    def scan(self, prefix: bytes, start: bytes, limit: int | None) -> None:
        wanted = sorted(item for item in self.visible().items() if item[0].startswith(prefix) and item[0] >= start)
        assert list(self.store.scan(prefix, start=start, limit=limit)) == wanted[:limit]

    @rule(seconds=st.integers(1, 4))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        ended = [key for key, (_, end) in self.model.items() if end <= self.now]
        assert self.whole.expire() == len(ended)
        for key in ended:
            del self.model[key]

    @rule()
    def follow(self) -> None:
        """Who applies what the watch tells knows what is there, but for what has ended and nobody has removed."""
        for key, value in self.watch.poll(0):
            self.told.pop(key, None) if value is None else self.told.update({key: value})
        visible = self.visible()
        assert {key: value for key, value in self.told.items() if key in visible} == visible
        assert self.told.keys() <= self.model.keys()

    @invariant()
    def counts(self) -> None:
        figures = self.store.figures()
        size = sum(len(key) + len(value) for key, (value, _) in self.model.items())
        assert (figures["keys"], figures["bytes"]) == (len(self.model), size)

    def teardown(self) -> None:
        self.watch.close()
        self.whole.close()


class _Memory(_Machine):
    def make(self) -> Store:
        return MemoryStore(clock=self.clock)


class _Lmdb(_Machine):
    def make(self) -> Store:
        self.folder = tempfile.mkdtemp()
        return LmdbStore(str(Path(self.folder) / "store"), durability="process", clock=self.clock)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    @rule()
    def reopen(self) -> None:
        self.follow()
        self.watch.close()
        self.whole.close()
        self.whole = LmdbStore(str(Path(self.folder) / "store"), durability="process", clock=self.clock)
        self.store = namespace(self.whole, "n", quota_keys=QUOTA_KEYS, quota_bytes=QUOTA_BYTES)
        self.watch = self.store.watch()


_PROFILE = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMemory = _Memory.TestCase
TestMemory.settings = _PROFILE
TestLmdb = _Lmdb.TestCase
TestLmdb.settings = _PROFILE
