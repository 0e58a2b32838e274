"""XML-RPC documents: calls, responses and faults, encodings, limits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from anycore.wire import xmlrpc as codec
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST, PARSE_ERROR, Fault


def call_of(values: str, before: str = "") -> bytes:
    return f"{before}<methodCall><methodName>m</methodName><params>{values}</params></methodCall>".encode()


ILL_FORMED = [
    b"",
    b"   ",
    b"GET / HTTP/1.1",
    b"<methodCall>",
    b"<methodCall><methodName>m</methodCall></methodName>",
    b"<methodCall><methodName>m</methodName></methodCall>junk",
    b"junk<methodCall><methodName>m</methodName></methodCall>",
    b"<methodCall><methodName>m</methodName></methodCall><methodCall/>",
    b"<methodCall><methodName>m</methodName></methodcall>",
    b"<methodCall><methodName>&nope;</methodName></methodCall>",
    b"<methodCall><methodName>a & b</methodName></methodCall>",
    b"<methodCall><methodName>&#0;</methodName></methodCall>",
    b"<methodCall><methodName>&#xD800;</methodName></methodCall>",
    b"<methodCall><methodName>&#xFFFE;</methodName></methodCall>",
    b"<methodCall><methodName>&#x110000;</methodName></methodCall>",
    b"<methodCall><methodName>&#99999999999;</methodName></methodCall>",
    b"<methodCall><methodName>&lt</methodName></methodCall>",
    b"<methodCall><methodName>a\x00</methodName></methodCall>",
    b"<methodCall><methodName>a\x1b</methodName></methodCall>",
    b"<methodCall><methodName>a\xff</methodName></methodCall>",
    b"<methodCall><methodName>a\xed\xa0\x80</methodName></methodCall>",
    b"<methodCall><methodName>a\xef\xbf\xbe</methodName></methodCall>",
    b"<methodCall><methodName>a]]></methodName></methodCall>",
    b"<methodCall><methodName a=1>a</methodName></methodCall>",
    b"<methodCall><methodName a='1' a='2'>a</methodName></methodCall>",
    b"<methodCall><!-- -- --><methodName>a</methodName></methodCall>",
    b" <?xml version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
    b"<?xml version='1.0'?><?xml version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
    b"<?xml version=1.0?><methodCall><methodName>m</methodName></methodCall>",
    b"<?xml encoding='utf-8'?><methodCall><methodName>m</methodName></methodCall>",
    b"<?xml version='1.0' encoding='utf-8' version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
    b"<?xml version='1.0'><methodCall><methodName>m</methodName></methodCall>",
    b"<!DOCTYPE methodCall><methodCall><methodName>m</methodName></methodCall>",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]><methodCall><methodName>&a;</methodName></methodCall>",
    b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><methodCall><methodName>m</methodName></methodCall>",
    call_of("<param><value><int>5</value></int></param>"),
    call_of("<param><value><int>5</int></value></member>"),
    call_of("<param><value><array><data></array></data></value></param>"),
    call_of("<param><value><string>x</value></param>"),
    call_of("<param><value><int>x</int></value></param></params>"),
]


@pytest.mark.parametrize("body", ILL_FORMED)
def test_ill_formed_documents_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_call(body)
    assert caught.value.code == PARSE_ERROR


NOT_CALLS = [
    b"<html><body/></html>",
    b"<methodCall/>",
    b"<methodCall></methodCall>",
    b"<methodCall><methodName/></methodCall>",
    b"<methodCall><methodName> </methodName></methodCall>",
    b"<methodCall><methodName>m<b/></methodName></methodCall>",
    b"<methodCall><params/></methodCall>",
    b"<methodCall><params/><methodName>m</methodName></methodCall>",
    b"<methodCall><methodName>m</methodName><methodName>m</methodName></methodCall>",
    b"<methodCall><methodName>m</methodName><params/><params/></methodCall>",
    b"<methodCall><methodName>m</methodName>x<params/></methodCall>",
    b"<methodCall><methodName>m</methodName><param><value>1</value></param></methodCall>",
    b"<methodCall><methodName>&lt;/methodName></methodName><params>x</params></methodCall>",
    b"<methodResponse><params><param><value>1</value></param></params></methodResponse>",
    call_of("x"),
    call_of("<value>1</value>"),
    call_of("<param/>"),
    call_of("<param>1</param>"),
    call_of("<param><int>1</int></param>"),
    call_of("<param><value>1</value><value>2</value></param>"),
    call_of("<param><value>1</value></param>x<param><value>1</value></param>"),
    call_of("<param><value>1</value></param>&#32;&lt;<param><value>1</value></param>"),
    call_of("<member><name>a</name><value>1</value></member>"),
    call_of("<param><value><array><data/></array></value><value/></param>"),
]


@pytest.mark.parametrize("body", NOT_CALLS)
def test_documents_that_are_no_calls_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_call(body)
    assert caught.value.code == INVALID_REQUEST


CALLS = [
    (b"<methodCall><methodName>m</methodName></methodCall>", []),
    (b"<methodCall><methodName>m</methodName><params></params></methodCall>", []),
    (b"<methodCall><methodName>m</methodName><params/></methodCall>", []),
    (b"\n<methodCall>\n <methodName> m </methodName>\r\n<params >\n</params>\n</methodCall>\n", []),
    (b"<?xml version='1.0'?>\n<?style sheet?><methodCall><methodName>m</methodName></methodCall>\n<!-- end -->", []),
    (
        b'<?xml version="1.0" encoding="utf-8" standalone="yes" ?><methodCall><methodName>m</methodName></methodCall>',
        [],
    ),
    (call_of("<param><value><int>1</int></value></param>\n<param>\n<value>b</value>\n</param>"), [1, "b"]),
    (
        (
            b'<methodCall xmlns:ex="http://ws.apache.org/xmlrpc/namespaces/extensions"><methodName>m</methodName>'
            b"<params><param><value><ex:nil/></value></param></params></methodCall>"
        ),
        [None],
    ),
    (
        (
            b'<r:methodCall xmlns:r="urn:r"><r:methodName>m</r:methodName><r:params><r:param><r:value><r:int>5</r:int>'
            b"</r:value></r:param></r:params></r:methodCall>"
        ),
        [5],
    ),
]


@pytest.mark.parametrize(("body", "params"), CALLS)
def test_calls_are_decoded(body: bytes, params: list[Any]) -> None:
    assert codec.decode_call(body) == ("m", params)


def test_the_method_name_may_hold_references() -> None:
    body = b"<methodCall><methodName>a&#46;b</methodName></methodCall>"
    assert codec.decode_call(body) == ("a.b", [])


TEXT = "Grüße"
PLAIN = f"<methodCall><methodName>m</methodName><params><param><value>{TEXT}</value></param></params></methodCall>"


def declared(encoding: str, codec_name: str | None = None, text: str = TEXT) -> bytes:
    document = f"<?xml version='1.0' encoding='{encoding}'?>\n{PLAIN.replace(TEXT, text)}"
    return document.encode(codec_name or encoding)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (PLAIN.encode(), None, TEXT),
        (PLAIN.encode(), "utf-8", TEXT),
        (PLAIN.encode(), "UTF8", TEXT),
        (PLAIN.encode(), '"utf-8"', TEXT),
        (PLAIN.encode("utf-8-sig"), None, TEXT),
        (PLAIN.encode("utf-16"), None, TEXT),
        (PLAIN.encode("utf-16-le"), None, TEXT),
        (PLAIN.encode("utf-16-be"), None, TEXT),
        (PLAIN.encode("utf-16-be"), "utf-16", TEXT),
        (PLAIN.encode("utf-16-be"), "UTF-16BE", TEXT),
        (PLAIN.encode("utf-32"), None, TEXT),
        (PLAIN.encode("utf-32-be"), None, TEXT),
        (PLAIN.encode("latin-1"), "iso-8859-1", TEXT),
        (PLAIN.encode("utf-8-sig"), "iso-8859-1", TEXT),
        (declared("utf-8"), None, TEXT),
        (declared("UTF-16", "utf-16"), None, TEXT),
        (declared("iso-8859-1"), None, TEXT),
        (declared("ISO-8859-15"), None, TEXT),
        (declared("windows-1252"), None, TEXT),
        (declared("us-ascii", "utf-8"), "utf-8", TEXT),
        (declared("iso-8859-1", "utf-8"), "utf-8", TEXT),
        (declared("cp037"), None, TEXT),
        (declared("IBM500", "cp500"), None, TEXT),
        (declared("Shift_JIS", text="世界"), None, "世界"),
        (declared("GB18030", text="世界"), None, "世界"),
        (declared("EUC-KR", text="안녕"), None, "안녕"),
        (declared("Big5", text="世界"), None, "世界"),
        (declared("ISO-2022-JP", text="世界"), None, "世界"),
        (declared("KOI8-R", text="Привет"), None, "Привет"),
        (declared("koi8-u", text="Привіт"), None, "Привіт"),
        (declared("macintosh", "mac_roman"), None, TEXT),
    ],
)
def test_encodings(body: bytes, charset: str | None, text: str) -> None:
    assert codec.decode_call(body, charset=charset) == ("m", [text])


@pytest.mark.parametrize(
    "encoding",
    [
        *("zlib", "zlib_codec", "hex", "rot13", "rot_13", "base64", "bz2", "uu", "quopri"),
        *("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "charmap", "mbcs", "oem"),
        *("nonsense", "utf-99", "os.path", "__init__", "aliases", "x" * 10_000),
    ],
)
def test_what_is_no_encoding_is_refused(encoding: str) -> None:
    for body, charset in ((declared(encoding, "utf-8"), None), (PLAIN.encode(), encoding)):
        with pytest.raises(RemoteProtocolError, match=r"is unknown|declaration is malformed") as caught:
            codec.decode_call(body, charset=charset)
        assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (PLAIN.encode("latin-1"), None),
        (PLAIN.encode("latin-1"), "utf-8"),
        (PLAIN.encode(), "us-ascii"),
        (declared("us-ascii", "utf-8"), None),
        (declared("utf-16", "utf-8"), None),
        (PLAIN.encode("utf-16")[:-1], None),
        (PLAIN.replace(TEXT, "+2AA-").encode(), "utf-7"),
    ],
)
def test_bytes_that_are_not_of_the_encoding_are_refused(body: bytes, charset: str | None) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_call(body, charset=charset)
    assert caught.value.code == PARSE_ERROR


def nested(levels: int) -> str:
    return "<array><data><value>" * levels + "x" + "</value></data></array>" * levels


def test_depth_is_bounded() -> None:
    (value,) = codec.decode_call(call_of(f"<param><value>{nested(64)}</value></param>"))[1]
    for _ in range(64):
        (value,) = value
    assert value == "x"
    for levels, limit in ((65, 64), (2, 1), (1, 0), (5000, 64), (100_000, 64)):
        with pytest.raises(RemoteProtocolError, match="deep") as caught:
            codec.decode_call(call_of(f"<param><value>{nested(levels)}</value></param>"), max_depth=limit)
        assert caught.value.code == INVALID_REQUEST


def test_a_depth_beyond_the_stack_is_refused_too() -> None:
    with pytest.raises(RemoteProtocolError, match="too deep for this server"):
        codec.decode_call(call_of(f"<param><value>{nested(5000)}</value></param>"), max_depth=10_000)


def test_the_number_of_values_is_bounded() -> None:
    body = call_of("<param><value/></param>" * 10)
    assert len(codec.decode_call(body, max_values=10)[1]) == 10
    comment = call_of("<param><value>1</value></param>", "<!-- " + "<value>" * 10 + " -->")
    assert codec.decode_call(comment, max_values=1) == ("m", ["1"])
    for limit in (9, 1, 0):
        with pytest.raises(RemoteProtocolError, match=f"more than {limit} values") as caught:
            codec.decode_call(body, max_values=limit)
        assert caught.value.code == INVALID_REQUEST


def test_responses_are_decoded() -> None:
    assert codec.decode_response(codec.encode_response({"a": [1, None]})) == {"a": [1, None]}
    assert codec.decode_response(codec.wrap_response(codec.encode_value("x"))) == "x"


def test_a_fault_is_raised() -> None:
    with pytest.raises(Fault) as caught:
        codec.decode_response(codec.encode_fault(-32601, "no method <x>"))
    assert (caught.value.code, caught.value.message) == (-32601, "no method <x>")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected <methodResponse>"),
        ("<params/>", "expected <methodResponse>"),
        ("<params></params>", "expected <methodResponse>"),
        ("<params><param><value>1</value></param><param><value>1</value></param></params>", "2 values; expected 1"),
        ("<fault/>", "expected <methodResponse>"),
        ("<fault><value>1</value></fault>", "struct of faultCode"),
        ("<fault><value><struct/></value></fault>", "struct of faultCode"),
        ("<fault><value/><value/></fault>", "2 values; expected 1"),
        ("<fault><value><int>x</int></value></fault>", "fault: 'x' is no integer"),
        ("<fault><value><array><data/></array></value></value></fault>", "mismatched tag"),
        ("<fault><param><value/></param></fault>", "fault"),
        (
            (
                "<fault><value><struct><member><name>faultCode</name><value>1</value></member>"
                "<member><name>faultString</name><value>x</value></member></struct></value></fault>"
            ),
            "faultCode, an int",
        ),
    ],
)
def test_other_responses_are_refused(content: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        codec.decode_response(f"<methodResponse>{content}</methodResponse>".encode())
