# ruff: noqa: DTZ001 - XML-RPC has no time zones
"""XML-RPC values, decoded: the types, the spellings met in the field, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from anycore.wire import xmlrpc as codec
from anycore.wire.errors import RemoteProtocolError
from anycore.wire.faults import INVALID_REQUEST


def call_of(values: str, before: str = "") -> bytes:
    return f"{before}<methodCall><methodName>m</methodName><params>{values}</params></methodCall>".encode()


def value_of(content: str, **options: Any) -> Any:
    """Decode a lone value through both ways: plain, and with a comment that makes expat respell it."""
    outcomes = []
    for before in ("", "<!-- respelled -->"):
        try:
            body = call_of(f"<param><value>{content}</value></param>", before)
            method, params = codec.decode_call(body, **options)
            assert method == "m"
            outcomes.append(params[0])
        except RemoteProtocolError as error:
            outcomes.append((error.code, error.message.rpartition("column")[2]))
    assert repr(outcomes[0]) == repr(outcomes[1])
    if isinstance(outcomes[0], tuple):
        raise RemoteProtocolError(outcomes[0][1], outcomes[0][0])
    return outcomes[0]


ZONE = timezone(timedelta(hours=5, minutes=30))
VALUES = [
    ("<int>5</int>", 5),
    ("<i4>-5</i4>", -5),
    ("<int>+7</int>", 7),
    ("<int>007</int>", 7),
    ("<int>-0</int>", 0),
    ("<int>-" + "0" * 10_000 + "5</int>", -5),
    ("<int> 12\n</int>", 12),
    ("<int>2147483647</int>", 2**31 - 1),
    ("<i4>-2147483648</i4>", -(2**31)),
    ("<int>1700000000000</int>", 1_700_000_000_000),
    ("<i8>9223372036854775807</i8>", 2**63 - 1),
    ("<ex:i8>-9223372036854775808</ex:i8>", -(2**63)),
    ("<ex:i1>-128</ex:i1>", -128),
    ("<ex:i2>32767</ex:i2>", 32767),
    ("<ex:biginteger>" + "9" * 100 + "</ex:biginteger>", 10**100 - 1),
    ("<ex:bigdecimal>12.50</ex:bigdecimal>", Decimal("12.50")),
    ("<ex:float>1.5</ex:float>", 1.5),
    ("<boolean>1</boolean>", True),
    ("<boolean>0</boolean>", False),
    ("<boolean> true </boolean>", True),
    ("<boolean>false</boolean>", False),
    ("<string>text</string>", "text"),
    ("<string></string>", ""),
    ("<string/>", ""),
    ("<string />", ""),
    ("text", "text"),
    ("", ""),
    ("  two  ", "  two  "),
    (" \n ", " \n "),
    ("<string> \n </string>", " \n "),
    ("<string>a &lt;b&gt; &amp;amp; &quot;c&quot; &apos;</string>", 'a <b> &amp; "c" \''),
    ("<string>&#65;&#x42;&#x00043;&#13;&#x1F600;</string>", "ABC\r\U0001f600"),
    ("<string>a\r\nb\rc\nd</string>", "a\nb\nc\nd"),
    ("<string>a > b</string>", "a > b"),
    ("<string>Grüße, 世界 \U0001f600</string>", "Grüße, 世界 \U0001f600"),
    ("<string><![CDATA[<b>&amp;</b>]]></string>", "<b>&amp;</b>"),
    ("<string>a<!-- not this -->b<?nor this?>c</string>", "abc"),
    ("<string xml:space='preserve'> x </string>", " x "),
    ("\n  <int>5</int>\n  ", 5),
    ("<double>-1.25</double>", -1.25),
    ("<double>1</double>", 1.0),
    ("<double>.5</double>", 0.5),
    ("<double>1e3</double>", 1000.0),
    ("<double> 2.5 </double>", 2.5),
    ("<base64>aGVsbG8=</base64>", b"hello"),
    ("<base64>\n aGVs\r\n\tbG8=\n</base64>", b"hello"),
    ("<base64></base64>", b""),
    ("<nil/>", None),
    ("<nil></nil>", None),
    ("<ex:nil/>", None),
    (" <nil/> ", None),
    ("<nil />", None),
    ("<array><data></data></array>", []),
    ("<array><data/></array>", []),
    ("<array><data><value><int>1</int></value><value>b</value><value><nil/></value></data></array>", [1, "b", None]),
    ("<array> <data> <value><array><data></data></array></value> </data> </array>", [[]]),
    ("<struct></struct>", {}),
    ("<struct/>", {}),
    ("<struct> </struct>", {}),
    (
        (
            "<struct><member><name>a</name><value><int>1</int></value></member>"
            "<member><name>b &amp; c</name><value><struct></struct></value></member>"
            "<member> <name></name> <value/> </member>"
            "<member><name>d</name><value><nil/></value></member></struct>"
        ),
        {"a": 1, "b & c": {}, "": "", "d": None},
    ),
    ("<x:int xmlns:x='urn:x'>5</x:int>", 5),
    ("<dateTime.iso8601>19980717T14:08:55</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55)),
    ("<dateTime.iso8601>1998-07-17T14:08:55</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55)),
    ("<dateTime.iso8601>1998-07-17 14:08:55</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55)),
    ("<dateTime.iso8601>19980717T140855</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55)),
    ("<dateTime.iso8601>19980717T14:08</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8)),
    ("<dateTime.iso8601> 19980717 </dateTime.iso8601>", datetime(1998, 7, 17)),
    ("<dateTime.iso8601>19980717T14:08:55.123</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55, 123000)),
    ("<dateTime.iso8601>19980717T14:08:55,1234567</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55, 123456)),
    ("<dateTime.iso8601>19980717T14:08:55Z</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55, tzinfo=UTC)),
    ("<dateTime.iso8601>19980717T14:08:55+05:30</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55, tzinfo=ZONE)),
    ("<dateTime.iso8601>19980717T14:08:55+0530</dateTime.iso8601>", datetime(1998, 7, 17, 14, 8, 55, tzinfo=ZONE)),
    (
        "<ex:dateTime>1998-07-17T14:08:55.5-08</ex:dateTime>",
        datetime(1998, 7, 17, 14, 8, 55, 500000, tzinfo=timezone(timedelta(hours=-8))),
    ),
    ("<dateTime.iso8601>19981231T24:00:00</dateTime.iso8601>", datetime(1999, 1, 1)),
]


@pytest.mark.parametrize(("content", "expected"), VALUES)
def test_values_are_decoded(content: str, expected: Any) -> None:
    value = value_of(content)
    assert value == expected
    assert type(value) is type(expected)
    if isinstance(value, datetime):
        assert value.utcoffset() == expected.utcoffset()


REFUSED_VALUES = [
    ("<int></int>", "'' is no integer"),
    ("<int>1_000</int>", "'1_000' is no integer"),
    ("<int>١٢</int>", "is no integer"),
    ("<int>²</int>", "is no integer"),
    ("<int>\u00a05</int>", "is no integer"),
    ("<int>1.0</int>", "is no integer"),
    ("<int>0x10</int>", "is no integer"),
    ("<int>--1</int>", "is no integer"),
    ("<int>9223372036854775808</int>", "out of range"),
    ("<i4>-2147483649</i4>", "out of range"),
    ("<i8>9223372036854775808</i8>", "out of range"),
    ("<i8>" + "9" * 5000 + "</i8>", "out of range"),
    ("<i8>-" + "9" * 5000 + "</i8>", "out of range"),
    ("<ex:i1>128</ex:i1>", "out of range"),
    ("<ex:i2>-32769</ex:i2>", "out of range"),
    ("<ex:biginteger>" + "9" * 5000 + "</ex:biginteger>", "at most 4000 digits"),
    ("<ex:bigdecimal>NaN</ex:bigdecimal>", "no decimal number"),
    ("<ex:bigdecimal>1e99999999</ex:bigdecimal>", "no decimal number"),
    ("<boolean>2</boolean>", "expected 0 or 1"),
    ("<boolean>TRUE</boolean>", "expected 0 or 1"),
    ("<boolean></boolean>", "expected 0 or 1"),
    ("<boolean/>", "boolean"),
    ("<double>nan</double>", "no finite double"),
    ("<double>inf</double>", "no finite double"),
    ("<double>-Infinity</double>", "no finite double"),
    ("<double>1e999</double>", "no finite double"),
    ("<double>1_0.0</double>", "no finite double"),
    ("<double>\uff11</double>", "no finite double"),
    ("<double>1,5</double>", "no double"),
    ("<double></double>", "no double"),
    ("<base64>a</base64>", "no base64"),
    ("<base64>aGVsbG8</base64>", "no base64"),
    ("<base64>aGVs*bG8=</base64>", "no base64"),
    ("<base64>aGVsbG8=aGVsbG8=</base64>", "no base64"),
    ("<base64>ä</base64>", "no base64"),
    ("<nil>0</nil>", "expected nothing"),
    ("<dateTime.iso8601></dateTime.iso8601>", "expected one like 19980717T14:08:55"),
    ("<dateTime.iso8601>19980231T00:00:00</dateTime.iso8601>", "day is out of range"),
    ("<dateTime.iso8601>19980717T24:00:01</dateTime.iso8601>", "hour must be in"),
    ("<dateTime.iso8601>19980717T23:59:60</dateTime.iso8601>", "second must be in"),
    ("<dateTime.iso8601>1998-0717T14:08:55</dateTime.iso8601>", "expected one like"),
    ("<dateTime.iso8601>99991231T24:00:00</dateTime.iso8601>", "out of range"),
    ("<dateTime.iso8601>19980717T14:08:55+99:00</dateTime.iso8601>", "offset must be"),
    ("<dateTime.iso8601>17.7.1998</dateTime.iso8601>", "expected one like"),
    ("<str>x</str>", "<str> is no type"),
    ("<Int>5</Int>", "<Int> is no type"),
    ("<array></array>", "array"),
    ("<array/>", "array"),
    ("<array><value><int>1</int></value></array>", "'</array>' is out of place after </value>"),
    ("<array><data><int>1</int></data></array>", "out of place"),
    ("<array><data>x</data></array>", "'x' is out of place"),
    ("<array><data></data><data></data></array>", "out of place"),
    ("<struct>x</struct>", "expected members"),
    ("<struct><member><name>a</name></member></struct>", "out of place"),
    ("<struct><member><value>1</value></member></struct>", "out of place"),
    ("<struct><member><value>1</value><name>a</name></member></struct>", "out of place"),
    (
        "<struct><member><name>a</name><value>1</value><value>2</value></member></struct>",
        "'1' is out of place after <value>",
    ),
    ("<struct><value>1</value></struct>", "expected a <member>"),
    ("<struct><member><name>a</name><value/></member>x</struct>", "'x' is out of place"),
    (
        "<struct><member><name>a</name><value>1</value></member><member><name>a</name><value>2</value></member></struct>",
        r"params\[0\].a: a second member of this name",
    ),
    ("<array><data><member><name>a</name><value>1</value></member></data></array>", "expected a value"),
    ("<array><data><member><name>a</name><value><struct/></value></member></data></array>", "expected a value"),
    ("<array><data><param><value>1</value></param></data></array>", "expected a value"),
    ("<int>5</int>x", "'5</int>x' is out of place after <int>"),
    ("x<int>5</int>", "'x<int>5</int>' is out of place after <value>"),
    ("<int>5</int><int>6</int>", "out of place after <int>"),
    ("<int><b/>5</int>", "'<b>' is out of place after <int>"),
    ("<value>5</value>", "<value> is no type"),
    ("<array><data><value><int>1</int></value><value><int>x</int></value></data></array>", r"params\[0\]\[1\]: 'x'"),
    (
        (
            "<struct><member><name>rooms</name><value><array><data><value><struct><member><name>my celsius</name>"
            "<value><double>hot</double></value></member></struct></value></data></array></value></member></struct>"
        ),
        r"params\[0\].rooms\[0\]\['my celsius'\]: 'hot' is no double",
    ),
]


@pytest.mark.parametrize(("content", "message"), REFUSED_VALUES)
def test_other_values_are_refused_and_the_place_is_named(content: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message) as caught:
        value_of(content)
    assert caught.value.code == INVALID_REQUEST
