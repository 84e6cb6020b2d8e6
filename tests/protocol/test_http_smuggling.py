"""Requests that two servers could end at different places.  Behind each stands
a second one that must never be answered: if it is, a client has put words into
the mouth of whoever shares its connection to a proxy."""

import pytest

from http1 import Client, publish

SECOND = b"GET /bitrix/second HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /bitrix/pub/?CHANNEL_ID=smuggled HTTP/1.1\r\n"
HOST = b"Host: h\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def length(n):
    return b"Content-Length: %d\r\n" % n


CASES = {
    # Two ideas of the length
    "cl.te": (400, POST + HOST + length(6) + CHUNKED + b"\r\n0\r\n\r\nG"),
    "te.cl": (400, POST + HOST + CHUNKED + length(4) +
              b"\r\n5c\r\nGET /x HTTP/1.1\r\n\r\n0\r\n\r\n"),
    "te.te": (400, POST + HOST + CHUNKED + b"Transfer-Encoding: x\r\n\r\n"
              b"0\r\n\r\n"),
    "te-list": (501, POST + HOST + b"Transfer-Encoding: chunked, identity"
                b"\r\n\r\n0\r\n\r\n"),
    "te-list-end": (501, POST + HOST + b"Transfer-Encoding: x, chunked\r\n"
                    b"\r\n0\r\n\r\n"),
    "te-unknown": (501, POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "te-blank": (400, POST + HOST + b"Transfer-Encoding : chunked\r\n\r\n"
                 b"0\r\n\r\n"),
    "te-tab": (400, POST + HOST + b"Transfer-Encoding\t:chunked\r\n\r\n"
               b"0\r\n\r\n"),
    "te-folded": (400, POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n"
                  b"0\r\n\r\n"),
    "te-vertical-tab": (400, POST + HOST + b"Transfer-Encoding: \x0bchunked"
                        b"\r\n\r\n0\r\n\r\n"),
    "te-bare-cr": (400, POST + HOST + b"X: y\rTransfer-Encoding: chunked\r\n"
                   b"\r\n0\r\n\r\n"),
    "te-bare-lf": (400, POST + HOST + b"X: y\nTransfer-Encoding: chunked\r\n"
                   b"\r\n0\r\n\r\n"),
    "te-nul": (400, POST + HOST + b"Transfer-Encoding: chunked\0\r\n\r\n"),
    "te-1.0": (400, POST.replace(b"1.1", b"1.0") + HOST + CHUNKED +
               b"\r\n0\r\n\r\n"),
    "cl-twice": (400, POST + HOST + length(1) + length(0) + b"\r\n"),
    "cl-twice-same": (400, POST + HOST + length(1) * 2 + b"\r\nx"),
    "cl-list": (400, POST + HOST + b"Content-Length: 1, 1\r\n\r\nx"),
    "cl-sign": (400, POST + HOST + b"Content-Length: +1\r\n\r\nx"),
    "cl-minus": (400, POST + HOST + b"Content-Length: -1\r\n\r\n"),
    "cl-hex": (400, POST + HOST + b"Content-Length: 0x1\r\n\r\nx"),
    "cl-blanks": (400, POST + HOST + b"Content-Length: 1 1\r\n\r\nx"),
    "cl-empty": (400, POST + HOST + b"Content-Length: \r\n\r\n"),
    "cl-overflow": (400, POST + HOST + b"Content-Length: "
                    b"18446744073709551617\r\n\r\nx"),
    "cl-name": (400, POST + HOST + b"Content-Length : 1\r\n\r\nx"),
    # Chunks
    "chunk-name": (400, POST + HOST + CHUNKED + b"\r\nx\r\n"),
    "chunk-0x": (400, POST + HOST + CHUNKED + b"\r\n0x0\r\n\r\n"),
    "chunk-sign": (400, POST + HOST + CHUNKED + b"\r\n+0\r\n\r\n"),
    "chunk-bare-lf": (400, POST + HOST + CHUNKED + b"\r\n0\n\n"),
    "chunk-lf-in-extension": (400, POST + HOST + CHUNKED + b"\r\n0;a\nb\r\n"
                              b"\r\n"),
    "chunk-cr-in-extension": (400, POST + HOST + CHUNKED + b"\r\n0;a\rb\r\n"
                              b"\r\n"),
    "chunk-longer": (400, POST + HOST + CHUNKED + b"\r\n1\r\nxy\r\n0\r\n\r\n"),
    "chunk-overflow": (413, POST + HOST + CHUNKED +
                       b"\r\nffffffffffffffff\r\n"),
    "chunk-digits": (400, POST + HOST + CHUNKED +
                     b"\r\n00000000000000000\r\n\r\n"),
    "trailer-folded": (400, POST + HOST + CHUNKED + b"\r\n0\r\n x\r\n\r\n"),
    # Heads
    "folded": (400, POST + HOST + b"X: a\r\n b\r\n\r\n"),
    "first-line-folded": (400, POST + b" X: a\r\n" + HOST + b"\r\n"),
    "nul": (400, POST + HOST + b"X: a\0\r\n\r\n"),
    "no-name": (400, POST + HOST + b": a\r\n\r\n"),
    "no-colon": (400, POST + HOST + b"x\r\n\r\n"),
    "bare-lf": (400, (POST + HOST + b"\r\n").replace(b"\r\n", b"\n")),
    "bare-cr": (400, POST + HOST + b"X: a\r\r\n\r\n"),
    "http-0.9": (400, b"GET /bitrix/sub\r\n"),
    "http-2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "blanks": (400, POST.replace(b" /", b"  /") + HOST + b"\r\n"),
    "tabs": (400, POST.replace(b" ", b"\t") + HOST + b"\r\n"),
    "connect": (501, b"CONNECT h:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two-hosts": (400, POST + HOST + b"Host: other\r\n\r\n"),
    "two-same-hosts": (400, POST + HOST * 2 + b"\r\n"),
    "no-host": (400, POST + b"\r\n"),
    "host-with-path": (400, POST + b"Host: h/x\r\n\r\n"),
    "host-list": (400, POST + b"Host: h, other\r\n\r\n"),
    "user-in-target": (400, b"GET http://h@other/ HTTP/1.1\r\n" + HOST +
                       b"\r\n"),
    "fragment": (400, b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "long-target": (414, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n"),
    "long-field": (431, POST + HOST + b"X: " + b"a" * 20000 + b"\r\n"),
    "many-fields": (431, POST + HOST + b"X: y\r\n" * 600 + b"\r\n"),
    "long-name": (431, POST + HOST + b"X" * 300 + b": y\r\n\r\n"),
}


@pytest.fixture
def http(daemon):
    with Client(daemon.http) as c:
        yield c


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_smuggling(daemon, http, name, cut):
    """One definite refusal, and nothing after it."""
    status, data = CASES[name]
    requests = daemon.status()["requests"]
    data += SECOND
    if cut == "whole":
        http.send_until_closed(data)
    else:
        step = max(1, len(data) // 200)
        http.send_until_closed(
            data, lambda d: [d[i:i + step] for i in range(0, len(d), step)])
    a = http.answer()
    assert a.status == status, a.headers
    assert a.header("Connection") == "close"
    assert http.at_end()
    # Only the counters were asked for meanwhile.
    assert daemon.status()["requests"] - requests == 1


def test_nothing_was_published(daemon, http):
    """None of the above has reached its channel."""
    a = http.ask(publish("smuggled", b"x"))
    assert b'"published_messages": "1"' in a.body
