"""The short way of the decoder never says anything else than the long one, whatever it is given."""

from __future__ import annotations

import random

import pytest

from anycore.testing.mutation import Mutator
from anycore.wire._xmlrpc_decode import parse, walk_call
from anycore.wire._xmlrpc_flat import flat_call
from anycore.wire._xmlrpc_text import read_document

SCALARS = [
    "<value><int>-7</int></value>",
    "<value><i4>12</i4></value>",
    "<value><int>1700000000000</int></value>",
    "<value>plain text</value>",
    "<value> <string> two  words\t</string> </value>",
    "<value/>",
    "<value></value>",
    "<value><boolean>1</boolean></value>",
    "<value><double>-1.5</double></value>",
    "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>",
    "<value><base64>aGk=</base64></value>",
    "<value><nil/></value>",
    "<value><string>a &amp; b</string></value>",
    "<value><string>é</string></value>",
    "<value><array><data><value>1</value></data></array></value>",
    "<value><struct></struct></value>",
]
HEADS = [
    "",
    "<?xml version='1.0'?>\n",
    '<?xml version="1.0" encoding="utf-8"?>',
    '<?xml version="1.0" encoding="latin-1"?>',
]


def documents(seed: int, count: int) -> list[bytes]:
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        space = chance.choice(["", "\n", "\r\n", "  "])
        params = [chance.choice(SCALARS) for _ in range(chance.randrange(6))]
        body = space.join(f"<param>{space}{value}{space}</param>" for value in params)
        head = chance.choice(HEADS)
        text = f"{head}<methodCall>{space}<methodName>a.b</methodName>{space}<params>{body}</params>{space}</methodCall>{space}"
        made.append(text.encode("latin-1" if "latin" in head else "utf-8"))
    return made


def long_way(body: bytes) -> tuple[str, list[object]]:
    return parse(walk_call, read_document(body, None), 64, 1_000_000)


@pytest.mark.parametrize("body", documents(1, 300))
def test_what_the_short_way_takes_the_long_way_takes_alike(body: bytes) -> None:
    found = flat_call(body)
    if found is not None:
        assert repr(found) == repr(long_way(body))


def test_the_short_way_is_taken_by_ordinary_calls() -> None:
    body = (
        b"<?xml version='1.0'?>\n<methodCall>\n<methodName>add</methodName>\n<params>\n<param>\n<value><int>2</int></value>\n</param>\n"
        b"<param>\n<value><string>x</string></value>\n</param>\n</params>\n</methodCall>\n"
    )
    assert flat_call(body) == ("add", [2, "x"])
    assert flat_call(body.replace(b"<int>2", b"<int>two")) is None


def test_mutations_are_never_taken_for_something_else() -> None:
    mutator = Mutator(documents(3, 100), [b"<value>", b"</param>", b"]]>", b"&", b"\r", b"<!-- -->"], seed=4)
    taken = 0
    for _ in range(6000):
        mutant = mutator.next()
        found = flat_call(mutant)
        if found is not None:
            taken += 1
            assert repr(found) == repr(long_way(mutant)), mutant
    assert taken > 10
