"""Content codings both ways: what they give, what they refuse, what they cost, and which one is chosen."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycore.testing.codec import check_codec
from anycore.wire.coding import MAX_CODINGS, MAX_MEMBERS, choose, deflate, inflate
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError

TEXT = b"<methodCall/>" * 100
LIMIT = 1 << 20


def raw(body: bytes) -> bytes:
    return zlib.compress(body, 6, wbits=-15)


CODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "x-gzip, in capitals": (" X-GZIP ", gzip.compress(TEXT)),
    "gzip in members": ("gzip", gzip.compress(TEXT[:5]) + gzip.compress(b"") + gzip.compress(TEXT[5:])),
    "deflate as zlib": ("deflate", zlib.compress(TEXT)),
    "deflate as zlib, stored": ("deflate", zlib.compress(TEXT, 0)),
    "deflate raw": ("deflate", raw(TEXT)),
    "identity": ("identity", TEXT),
    "none": ("", TEXT),
    "two": ("gzip, deflate", zlib.compress(gzip.compress(TEXT))),
    "two and nothing": ("deflate,,identity , gzip", gzip.compress(raw(TEXT))),
}
REFUSED: dict[str, tuple[str, bytes, int]] = {
    "empty gzip": ("gzip", b"", 400),
    "empty deflate": ("deflate", b"", 400),
    "no gzip": ("gzip", TEXT, 400),
    "no deflate": ("deflate", TEXT, 400),
    "zlib for gzip": ("gzip", zlib.compress(TEXT), 400),
    "gzip for deflate": ("deflate", gzip.compress(TEXT), 400),
    "check sum": ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8, 400),
    "zlib check sum": ("deflate", zlib.compress(TEXT)[:-4] + b"\0" * 4, 400),
    "dictionary": ("deflate", b"\x78\xbb" + zlib.compress(TEXT)[2:], 400),
    "junk behind gzip": ("gzip", gzip.compress(TEXT) + b"junk", 400),
    "junk behind zlib": ("deflate", zlib.compress(TEXT) + b"\0", 400),
    "junk behind raw": ("deflate", raw(TEXT) + b"\0", 400),
    "two zlib streams": ("deflate", zlib.compress(TEXT) * 2, 400),
    "too many members": ("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1), 400),
    "large identity": ("", b"x" * (LIMIT + 1), 413),
    "large gzip": ("gzip", gzip.compress(b"x" * (LIMIT + 1)), 413),
    "large in members": ("gzip", gzip.compress(b"x" * (LIMIT // 2)) * 3, 413),
    "large below": ("gzip, gzip", gzip.compress(gzip.compress(b"x" * (LIMIT + 1))), 413),
    "unknown": ("br", TEXT, 415),
    "unknown below": ("zstd, gzip", gzip.compress(TEXT), 415),
    "too many": (", ".join(["identity"] * (MAX_CODINGS + 1)), TEXT, 415),
}


@pytest.mark.parametrize(("coding", "body"), CODED.values(), ids=CODED)
def test_inflate(coding: str, body: bytes) -> None:
    assert inflate(body, coding, len(TEXT)) == TEXT


@pytest.mark.parametrize(("coding", "body"), CODED.values(), ids=CODED)
def test_the_limit_is_exact(coding: str, body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        inflate(body, coding, len(TEXT) - 1)
    assert raised.value.code == 413


@pytest.mark.parametrize(("coding", "body", "status"), REFUSED.values(), ids=REFUSED)
def test_refusals(coding: str, body: bytes, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        inflate(body, coding, LIMIT)
    assert raised.value.code == status


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_truncation_is_refused(coding: str) -> None:
    for body in (deflate(TEXT, coding), raw(TEXT) if coding == "deflate" else gzip.compress(TEXT)):
        for end in range(len(body)):
            with pytest.raises(RemoteProtocolError) as raised:
                inflate(body[:end], coding, LIMIT)
            assert raised.value.code == 400


@pytest.mark.parametrize("size", [65535, 65536, 65537, 300_000])
def test_sizes_around_a_chunk(size: int) -> None:
    for body in (b"x" * size, random.Random(size).randbytes(size)):
        for coded in (zlib.compress(body), raw(body)):
            assert inflate(coded, "deflate", size) == body
        assert inflate(gzip.compress(body), "gzip", size) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_costs_no_more_than_the_limit(coding: str) -> None:
    bomb = deflate(bytes(64 * LIMIT), coding, 9)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            inflate(bomb, coding, LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT * 9 / 8 + 128 * 1024


@given(body=st.binary(max_size=500), coding=st.sampled_from(["gzip", "x-gzip", "deflate", "identity"]))
def test_round_trip(body: bytes, coding: str) -> None:
    assert inflate(deflate(body, coding), coding, len(body)) == body
    assert inflate(deflate(body, coding, 9), coding, len(body)) == body


def test_deflate_refuses_what_it_does_not_know() -> None:
    with pytest.raises(LocalProtocolError, match="'br'"):
        deflate(b"", "br")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, deflate"])
def test_mutations_give_a_result_or_one_exception(coding: str) -> None:
    def decode(body: bytes) -> None:
        assert len(inflate(body, coding, 10_000)) <= 10_000

    examples = [body for name, body in CODED.values() if name.strip().lower().removeprefix("x-") == coding]
    ends = coding != "gzip"  # which may be followed by another member
    check_codec(decode, examples, error=RemoteProtocolError, mutations=7000, complete=ends, max_memory=1 << 20)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip ; Q=0.5 , deflate;q=0.501", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, deflate;q=0", None),
        ("br, zstd", None),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0, *", "deflate"),
        ("*;q=0, deflate;q=0.1", "deflate"),
        ("identity", None),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=1.001, deflate", "deflate"),
        ("gzip;q=2", None),
        ("gzip;q=-1", None),
        ("gzip;q=", None),
        ("gzip;level=9", None),
        ("g zip, ,;q=1, deflate;q=0.2", "deflate"),
        ("gzip;q=0, x-gzip;q=0.3", "gzip"),
    ],
)
def test_choose(field: str, expected: str | None) -> None:
    assert choose(field) == expected
