"""Brine against inputs nobody wrote: seeded mutations, and generated values beside the original."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rpyc.core import brine as original

from anycore.testing.codec import check_codec
from anycore.wire import brine
from anycore.wire.errors import RemoteProtocolError

PACK = ("builtins.method", 140406761493184, 140406741308864)
EXAMPLES = [
    brine.dump(value)
    for value in (
        None,
        (1, (7, (2, ((3, PACK), (1, (2, -3000)), (1, (("key", 1.5),)))))),
        ("é", "long enough", b"", b"abc", b"abcdef", "x" * 300, b"y" * 260),
        (slice(1, None), frozenset({1, "a", (2,)}), 1j, ..., NotImplemented, True, 10**300, -(10**17)),
        tuple(range(-50, 250)),
        ((((((1,), 2), 3, 4), 5, 6, 7), 8, 9, 10, 11),),
    )
]
TOKENS = [
    *(bytes([tag]) for tag in range(0x20)),
    *(b"\x15\xff\xff\xff\xff", b"\x0f\xff\xff\xff\xff", b"\x17\x00\x0f\x42\x40", b"\x14\xff", b"\x16\xff", b"\x0e\xff"),
    *(b"\x10" * 200, b"\x1a\x10" * 60, b"\x19\x12" * 60, b"9" * 5000, b"_", b"-", b"\xf0", b"\xc3", b"\xed\xa0\x80"),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-200, 200)
    | st.floats()
    | st.complex_numbers()
    | st.binary(max_size=300)
    | st.text(max_size=300)
    | st.sampled_from([..., NotImplemented])
)
hashable: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=7).map(tuple) | st.frozensets(inner, max_size=5),
    max_leaves=20,
)
values: st.SearchStrategy[Any] = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=7).map(tuple) | st.builds(slice, inner, inner, inner),
    max_leaves=30,
)


def test_mutations_are_decoded_or_refused() -> None:
    report = check_codec(
        lambda data: brine.load(data, max_items=5000),
        EXAMPLES,
        error=RemoteProtocolError,
        tokens=TOKENS,
        complete=True,
        seed=6,
    )
    assert report.accepted > 500
    assert report.refused > 5000


def told(value: Any) -> str:
    """Tell a value exactly, with the members of sets in order."""
    if type(value) is frozenset:
        return f"{{{', '.join(sorted(map(told, value)))}}}"
    if type(value) is tuple:
        return f"({', '.join(map(told, value))})"
    if type(value) is slice:
        return f"slice{told((value.start, value.stop, value.step))}"
    return repr(value)


def test_mutations_that_are_decoded_mean_what_they_mean_to_the_original() -> None:
    def decode(data: bytes) -> None:
        value = brine.load(data)
        assert told(original.load(data)) == told(value)
        assert told(brine.load(brine.dump(value))) == told(value)

    check_codec(decode, EXAMPLES, error=RemoteProtocolError, tokens=TOKENS, seed=7, mutations=5000)


@settings(max_examples=200, deadline=None)
@given(values)
def test_values_are_written_as_the_original_writes_them(value: Any) -> None:
    data = brine.dump(value)
    assert data == original.dump(value)
    assert told(brine.load(data)) == told(value) == told(original.load(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        value = brine.load(data)
    except RemoteProtocolError:
        return
    assert told(original.load(data)) == told(value)
