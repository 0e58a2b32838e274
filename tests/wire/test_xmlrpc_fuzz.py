# ruff: noqa: DTZ001 - XML-RPC has no time zones
"""XML-RPC against inputs nobody wrote: seeded mutations, and properties of generated documents and values."""

from __future__ import annotations

import xmlrpc.client
from datetime import datetime
from random import Random
from typing import Any
from xml.parsers import expat

from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.testing.codec import check_codec
from anycore.testing.mutation import Mutator
from anycore.wire import xmlrpc as codec
from anycore.wire._xmlrpc_decode import walk_call
from anycore.wire._xmlrpc_expat import respell
from anycore.wire._xmlrpc_scalars import Refusal
from anycore.wire._xmlrpc_text import read_document
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR, Fault

VALUE = {
    "a": [1, -2.5, "x < y", True, None, {}, []],
    "b": {"when": datetime(2026, 1, 2), "data": b"\x00"},
    "c d": 2**40,
}
CALLS = [
    codec.encode_call("m", []),
    codec.encode_call("add", [2, 3]),
    codec.encode_call("echo.echo", [VALUE, "Grüße"]),
    xmlrpc.client.dumps(([{"a": 1}, "b"],), "m").encode(),
    "<?xml version='1.0' encoding='utf-16'?><methodCall><methodName>ä</methodName></methodCall>".encode("utf-16"),
    b"<!-- c --><x:methodCall a='b'><methodName><![CDATA[m]]></methodName><?p i?><params><param><value><ex:nil/>\
</value></param></params></x:methodCall>",
]
TOKENS = [
    *(b"<value>", b"</value>", b"<value/>", b"<int>", b"</int>", b"<i8>", b"<boolean>", b"<double>", b"<string>"),
    *(
        b"<array><data>",
        b"</data></array>",
        b"<struct>",
        b"</struct>",
        b"<member>",
        b"</member>",
        b"<name>",
        b"</name>",
    ),
    *(b"<param>", b"</param>", b"<params>", b"<nil/>", b"<ex:nil/>", b"<base64>", b"<dateTime.iso8601>", b"<fault>"),
    *(
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<?pi ",
        b"?>",
        b"<!DOCTYPE x>",
        b"&#13;",
        b"&#0;",
        b"&lt;",
        b"&x;",
        b"&#x",
    ),
    *(
        b"<?xml version='1.0'?>",
        b" encoding='",
        b" encoding='zlib'",
        b" encoding='utf-16'",
        b"<value><int>1</int></value>",
    ),
]


def test_calls_survive_mutation() -> None:
    report = check_codec(codec.decode_call, CALLS, error=RemoteProtocolError, tokens=TOKENS, complete=True)
    assert report.accepted > 200


def test_responses_survive_mutation() -> None:
    examples = [codec.encode_response(VALUE), codec.encode_fault(4, "too <many>"), codec.encode_response("x")]
    report = check_codec(
        decode_or_fault, examples, error=RemoteProtocolError, tokens=TOKENS, mutations=5000, complete=True
    )
    assert report.accepted > 40


def decode_or_fault(body: bytes) -> Any:
    try:
        return codec.decode_response(body)
    except Fault as fault:
        return fault


def test_each_charset_survives_mutation() -> None:
    for charset in ("utf-16", "shift_jis", "gb18030", "utf-7", "cp037", "iso-2022-jp", "hz", "utf-32"):
        body = "<methodCall><methodName>m</methodName></methodCall>".encode(charset)

        def decode(body: bytes, charset: str = charset) -> Any:
            return codec.decode_call(body, charset=charset)

        check_codec(decode, [body], error=RemoteProtocolError, mutations=300, seed=len(charset))


def test_both_ways_agree_and_expat_agrees_on_what_is_ill_formed() -> None:
    """Each document the plain way accepts is well-formed and means the same respelled; expat has the say on the rest."""
    mutator = Mutator(CALLS[:4], TOKENS, 7)
    writer = Writer(7)
    outcomes = [
        agreed(body) for body in [*(mutator.next() for _ in range(3000)), *(writer.call() for _ in range(3000))]
    ]
    assert outcomes.count("accepted") > 500
    assert outcomes.count("no call") > 500
    assert outcomes.count("ill-formed") > 1000


def agreed(body: bytes) -> str:
    try:
        text = read_document(body, None)
    except RemoteProtocolError:
        return "no text"
    well_formed = is_well_formed(text)
    try:
        direct = walk_call(text, 64)
    except Refusal:
        assert well_formed or is_refused_as_ill_formed(body), body
        return "no call" if well_formed else "ill-formed"
    if "]]>" in text:
        return "not tried"  # parse() takes the other way then
    assert well_formed, body
    assert repr(walk_call(respell(text, 64, 10**6), 64)) == repr(direct), body
    return "accepted"


class Writer:
    """Writes calls that are nearly right: each part may, seldom, be missing, doubled, or another."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def call(self) -> bytes:
        params = "".join(self.tag("param", self.value(0)) for _ in range(self.random.randrange(3)))
        name = self.tag("methodName", self.some("m", " a.b ", "&lt;", "&#46;", "]]&gt;"))
        return self.tag("methodCall", name + self.tag("params", params)).encode()

    def value(self, depth: int) -> str:
        kind = self.random.randrange(9 if depth < 3 else 7)
        if kind == 8:
            content = "".join(self.member(depth) for _ in range(self.random.randrange(4)))
            return self.tag("value", self.tag("struct", content))
        if kind == 7:
            content = "".join(self.value(depth + 1) for _ in range(self.random.randrange(4)))
            return self.tag("value", self.tag("array", self.tag("data", content)))
        if kind == 6:
            return self.tag("value", self.some("<nil/>", "<ex:nil/>", "<string/>", "<nil></nil>"))
        if kind == 5:
            return self.tag("value", self.some("text", "", " ", "a &amp;lt; b", "&#13;", "a > b", "<!-- c -->x", "a&b"))
        name, text = self.random.choice([("int", "5"), ("string", "a&#x42;"), ("boolean", "1"), ("double", "1.5")])
        return self.tag("value", self.tag(name, self.some(text, text, text, "x", "")))

    def member(self, depth: int) -> str:
        return self.tag("member", self.tag("name", self.some("a", "b", "c", "d", "&lt;e")) + self.value(depth + 1))

    def some(self, *texts: str) -> str:
        return self.random.choice(texts)

    def tag(self, name: str, content: str) -> str:
        start = end = name
        if self.random.random() < 0.03:
            change = self.random.randrange(6)
            other = self.some("value", "member", "param", "data", "struct", "array", "int", "name", "other")
            if change == 0:
                start = end = other
            elif change == 1:
                end = other
            elif change == 2:
                return content
            elif change == 3:
                content += content
            elif change == 4:
                content = self.some("x", "<other/>", "&#32;", "&lt;", "</" + other + ">") + content
            else:
                start += self.some(" ", " a='1'", "\t")
        space = self.some("", "", "", "\n", "  ") if "<" in content else ""
        return f"<{start}>{space}{content}{space}</{end}>"


def is_well_formed(text: str) -> bool:
    try:
        expat.ParserCreate().Parse("<?xml version='1.0'?>" + text, True)
    except expat.ExpatError:
        return False
    return True


def is_refused_as_ill_formed(body: bytes) -> bool:
    try:
        codec.decode_call(body)
    except RemoteProtocolError as error:
        return error.code == PARSE_ERROR or "nested deeper" in error.message  # parsing ends where a limit does
    return False


characters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from(
    "\t\r\n"
)
texts = st.text(characters, max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary(max_size=40)
    | st.datetimes().map(lambda when: when.replace(microsecond=0, fold=0))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=20
)


@settings(max_examples=200, deadline=None)
@given(values)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert repr(codec.decode_response(codec.encode_response(value))) == repr(value)


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=3), texts.filter(str.strip))
def test_respelling_changes_nothing(params: list[Any], method: str) -> None:
    body = codec.encode_call(method, params)
    respelled = respell(read_document(body, None), 64, 10**6)
    assert repr(walk_call(respelled, 64)) == repr(codec.decode_call(body))


@settings(max_examples=100, deadline=None)
@given(values)
def test_the_standard_library_reads_the_same(value: Any) -> None:
    if isinstance(value, datetime) and value.year < 1000:
        return
    (back,), _ = xmlrpc.client.loads(codec.encode_response(value), use_builtin_types=True)
    assert repr(back) == repr(value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_sent_or_refused_here(text: str) -> None:
    legal = all(c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff") for c in text)
    try:
        body = codec.encode_response([text])
    except LocalProtocolError:
        assert not legal
    else:
        assert legal
        assert codec.decode_response(body) == [text]
