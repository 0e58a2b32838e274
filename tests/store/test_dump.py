"""A dump is lines of JSON that any store can load; what makes no sense is refused with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.store import StoreError, namespace
from anycore.store.dump import dump, load, split
from anycore.store.memory import MemoryStore

HEADER = b'{"anycore-store": 1}\n'


def test_a_dump_has_what_the_documentation_says() -> None:
    with MemoryStore() as store:
        part = namespace(store, "plugin/echo", quota_keys=10)
        part.put(b"greeting", b"hello")
        part.put(b"short", b"", ttl=1000)
        store.put(b"bare", b"1")
        lines = [json.loads(line) for line in dump(store)]
    end = lines[3].pop("end")
    assert end > 1_700_000_000
    assert lines == [
        {"anycore-store": 1},
        {"namespace": "", "key": "YmFyZQ==", "value": "MQ=="},
        {"namespace": "plugin/echo", "key": "Z3JlZXRpbmc=", "value": "aGVsbG8="},
        {"namespace": "plugin/echo", "key": "c2hvcnQ=", "value": ""},
    ]


@settings(max_examples=100)
@given(st.dictionaries(st.binary(min_size=1, max_size=9).filter(lambda key: key[:1] != b"\0"), st.binary(max_size=9)))
def test_any_keys_and_values_come_back(found: dict[bytes, bytes]) -> None:
    with MemoryStore() as store, MemoryStore() as other:
        for key, value in found.items():
            store.put(key, value)
        assert load(other, dump(store)) == len(found)
        assert dict(other.scan()) == found


def test_times_to_live_and_quotas_go_on() -> None:
    with MemoryStore() as store:
        part = namespace(store, "n", quota_keys=10)
        part.put(b"a", b"1", ttl=1000)
        lines = list(dump(store))
        part.put(b"b", b"1")
        past = b'{"namespace": "n", "key": "Yw==", "value": "", "end": 1.5}\n'
        assert load(store, [*lines, past]) == 1
        assert part.figures()["keys"] == 2
        with part.transaction(write=False) as transaction:
            assert 990 < (transaction.ttl(b"a") or 0) <= 1000


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1 is no dump of a store"),
        ([b"{}"], "line 1 is no dump of a store"),
        ([b'{"anycore-store": 2}'], "the dump has version 2, this program knows 1"),
        ([HEADER, b"{}"], "line 2 is no key of a dump: .*namespace.*; 0 keys before it have been loaded"),
        ([HEADER, b'{"namespace": "", "key": "*", "value": ""}'], "line 2 is no key of a dump"),
        (
            [HEADER, b'{"namespace": "", "key": "", "value": ""}'],
            "line 2: the namespace '' or the key b'' cannot be one",
        ),
        ([HEADER, b'{"namespace": "a b", "key": "YQ==", "value": ""}'], "line 2: the namespace 'a b'"),
        ([HEADER, b'{"namespace": "", "key": "YQ==", "value": "", "end": "x"}'], "line 2 is no key"),
    ],
)
def test_what_is_no_dump_is_refused(lines: list[bytes], said: str) -> None:
    with MemoryStore() as store:
        with pytest.raises(StoreError, match=said):
            load(store, lines)
        assert list(store.scan()) == []


def test_a_key_is_split_where_a_namespace_ends() -> None:
    assert split(b"plugin/a\0k\0e") == ("plugin/a", b"k\0e")
    assert split(b"a\0") == ("", b"a\0")
    assert split(b"no namespace") == ("", b"no namespace")
    assert split(b"a b\0c") == ("", b"a b\0c")
