"""WebSocket: the handshake, what the server sends, what a client may say and
what is answered if it says something else (RFC 6455)."""

import json
import pathlib
import socket
import threading
import time

import pytest

import wire
import ws
from front import (EXPLAIN, GATEWAYS, NO_CACHE, check_head, http_date,
                   new_channel, polling, position, publisher)
from ws import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket,
                close_payload, fragments, frame, websocket)


@pytest.fixture(params=GATEWAYS)
def sock(request, daemon):
    """A WebSocket location."""
    return websocket(daemon, request.param)


@pytest.fixture(params=GATEWAYS)
def echo(request, daemon):
    """One whose clients may publish: they get their own texts back."""
    return websocket(daemon, request.param, websocket_allow_publish="on",
                     store_messages="on")


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


def refusal(status, explain):
    return b'{"http_status": %d, "explain":"%s"}' % (status, explain.encode())


# The handshake

@pytest.mark.parametrize("fields", [
    {}, {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},
    {"HTTP_UPGRADE": "WebSocket", "HTTP_CONNECTION": "keep-alive, upgrade"},
    {"HTTP_CONNECTION": ""},
    {"HTTP_SEC_WEBSOCKET_PROTOCOL": "chat",
     "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate",
     "HTTP_ORIGIN": "http://somewhere.test"}])
def test_handshake(sock, pub, fields):
    """The head to the byte, and nothing behind it."""
    ch = new_channel()
    with WebSocket(sock.but(allowed_origins="*"), ch, **fields) as w:
        pub.post(ch, b"x")
        assert w.read(3) == b"\x81\x01x"


def test_accept_of_another_key(sock):
    with WebSocket(sock, new_channel(), head=False,
                   HTTP_SEC_WEBSOCKET_KEY="x3JJHMbDL1EzLkh9GBhXDw==") as w:
        assert w.head() == ws.HEAD.replace(
            ws.ACCEPT.encode(), b"HSmrc0sMlYUkAGmm5OPpG2HaGWk=")


@pytest.mark.parametrize("missing", list(ws.HANDSHAKE))
def test_a_header_is_missing(sock, missing):
    with WebSocket(sock, new_channel(), head=False, **{missing: None}) as w:
        check_head(w.answer(), 400, *NO_CACHE, ("Content-Length", "0"),
                   (EXPLAIN, "Don't have at least one of the mandatory "
                    "headers: Connection, Upgrade, Sec-WebSocket-Key and "
                    "Sec-WebSocket-Version"))


@pytest.mark.parametrize("version", ["", "7", "9", "14", "13, 8", "013"])
def test_version(sock, version):
    with WebSocket(sock, new_channel(), head=False,
                   HTTP_SEC_WEBSOCKET_VERSION=version) as w:
        check_head(w.answer(), 400, *NO_CACHE, ("Content-Length", "0"),
                   ("Sec-WebSocket-Version", "8, 13"),
                   (EXPLAIN, "Version not supported. Supported versions: "
                    "8, 13"))


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "HEAD", "DELETE"])
def test_method(sock, method):
    """GET only; no CORS, and no cache fields."""
    a = sock.but(allowed_origins="*").ask(method, new_channel(),
                                          **ws.HANDSHAKE)
    check_head(a, 405, ("Content-Length", "0"), ("Allow", "GET"))


@pytest.mark.parametrize("fields", [
    {"HTTP_CONNECTION": "keep-alive"}, {"HTTP_CONNECTION": "close"},
    {"HTTP_UPGRADE": "h2c"}])
def test_the_front_does_not_upgrade(sock, fields):
    """A 101 to a front that did not ask for it would end in a muddle."""
    with WebSocket(sock, new_channel(), head=False, **fields) as w:
        check_head(w.answer(), 400, *NO_CACHE, ("Content-Length", "0"),
                   (EXPLAIN,
                    "The web server did not ask for a WebSocket here."))


def test_a_get_with_a_body_is_no_tunnel(daemon):
    a = websocket(daemon).ask("GET", new_channel(), b"body", **ws.HANDSHAKE)
    assert a.status == 400
    assert a.header(EXPLAIN).startswith("The web server did not ask")


# Refusals

@pytest.mark.parametrize("path, settings, status, explain", [
    ("ALL", {}, 403, "Channel id not authorized for this method."),
    ("a*b", {}, 403, "Channel id not authorized for this method."),
    ("x" * 1025, {}, 400, "Channel id is too large."),
    ("never-made", {"authorized_channels_only": "on"}, 403,
     "Subscriber could not create channels."),
    ("/".join("c%d" % n for n in range(1001)), {}, 400,
     "Too many channels in one request."),
])
def test_refusal(sock, path, settings, status, explain):
    """A close frame behind the 101; with 0.3.4 plain HTTP."""
    loc = sock.but(**settings)
    with WebSocket(loc, path) as w:
        w.closed(1008, refusal(status, explain))
    with WebSocket(loc.but(compat="0.3.4"), path, head=False) as w:
        check_head(w.answer(), status, ("Content-Length", "0"),
                   (EXPLAIN, explain))


@pytest.mark.parametrize("path", ["", None])
def test_no_channel(sock, path):
    """The end behind the 101, without a word."""
    with WebSocket(sock, path) as w:
        assert w.rest() == b""
    with WebSocket(sock.but(compat="0.3.4"), path, head=False) as w:
        check_head(w.answer(), 400, ("Content-Length", "0"),
                   (EXPLAIN, "No channel id provided."))


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_limits(make_daemon, gateway):
    d = make_daemon(push_stream_max_number_of_channels=2,
                    push_stream_max_subscribers_per_channel=1,
                    push_stream_events_channel_id="events",
                    push_stream_wildcard_channel_prefix="w_")
    loc = websocket(d, gateway, wildcard_channel_max_qtd="1")
    with WebSocket(loc, "a"):
        for path, explain in [
                ("a", "Subscribers limit per channel has been exceeded."),
                ("b/a", "Subscribers limit per channel has been exceeded."),
                ("events", "Subscription to events channel is not allowed."),
                ("w_1", "Subscribed too much wildcard channels."),
                ("b/w_1/w_2", "Subscribed too much wildcard channels."),
                ("b/c", "Number of channels were exceeded.")]:
            with WebSocket(loc, path) as w:
                w.closed(1008, refusal(403, explain))


# What is sent

def test_header_replay_live(sock, pub):
    ch = new_channel()
    loc = sock.but(header_template="HEAD", message_template="~id~:~text~")
    for n in range(5):
        pub.post(ch, b"m%d" % n, HTTP_EVENT_ID=f"e{n}")
    when, tag = position(polling(pub.daemon).get(ch + ".b4"))
    for path, fields, first in [
            (ch, {}, 5), (ch + ".b2", {}, 3), (ch + ".b99", {}, 0),
            (ch, {"HTTP_IF_MODIFIED_SINCE": http_date(1)}, 0),
            (ch, {"HTTP_LAST_EVENT_ID": "e3"}, 4),
            (ch, {"HTTP_LAST_EVENT_ID": "none"}, 5),
            (ch, {"HTTP_IF_MODIFIED_SINCE": http_date(when),
                  "HTTP_IF_NONE_MATCH": f"W/{tag}"}, 5)]:
        with WebSocket(loc, path, **fields) as w:
            assert w.text() == b"HEAD"
            for n in range(first, 5):
                assert w.text() == b"%d:m%d" % (n + 1, n)
            answer = pub.post(ch + "-live/" + ch, b"live",
                              HTTP_MESSAGE_EXPIRY="0")
            assert answer.status == 200
            assert w.text().endswith(b":live")


def test_resume_in_the_middle(sock, pub):
    """Time and tag of each message lead to the next."""
    ch = new_channel()
    loc = sock.but(message_template="~time~|~tag~|~text~")
    for n in range(6):
        pub.post(ch, b"%d" % n)
    fields = {"HTTP_IF_MODIFIED_SINCE": http_date(1)}
    for n in range(6):
        with WebSocket(loc, ch, **fields) as w:
            date, tag, text = w.text().decode().split("|")
        assert text == str(n)
        fields = {"HTTP_IF_MODIFIED_SINCE": date, "HTTP_IF_NONE_MATCH": tag}


def test_replay_0_3_4(sock, pub):
    """By backtrack only, and no head but what is needed."""
    ch = new_channel()
    for n in range(3):
        pub.post(ch, b"%d" % n, HTTP_EVENT_ID=f"e{n}")
    loc = sock.but(compat="0.3.4")
    for path, fields, texts in [
            (ch, {"HTTP_IF_MODIFIED_SINCE": http_date(1)}, []),
            (ch, {"HTTP_LAST_EVENT_ID": "e0"}, []),
            (ch + ".b2", {}, [b"1", b"2"])]:
        with WebSocket(loc, path, head=False, **fields) as w:
            assert b"Expires" not in w.head()
            for text in texts:
                assert w.text().rstrip(b"\r\n") == text
            pub.post(ch, b"live", HTTP_MESSAGE_EXPIRY="0")
            assert w.text().rstrip(b"\r\n") == b"live"


@pytest.mark.parametrize("n", [1, 125, 126, 65535, 65536, 300000])
def test_lengths(sock, pub, n):
    """Live and replayed, each in the shortest form of its length."""
    ch, text = new_channel(), b"\xff" * n
    with WebSocket(sock, ch) as w:
        pub.post(ch, text)
        assert w.text() == text
    with WebSocket(sock, ch + ".b1") as w:
        assert w.text() == text


def test_several_channels(sock, pub):
    a, b = new_channel(), new_channel()
    with WebSocket(sock.but(message_template="~channel~"), f"{a}/{b}") as w:
        for ch in (a, b, a):
            pub.post(ch, b"x")
            assert w.text() == ch.encode()


def test_pings(sock, pub):
    ch = new_channel()
    with WebSocket(sock.but(ping_message_interval="30ms"), ch) as w:
        assert w.read(4) == b"\x89\x00\x89\x00"
        w.send(frame(PONG) + frame(PONG, b"unasked"))
        pub.post(ch, b"x")
        while (got := w.frame()) == (PING, b""):
            pass
        assert got == (TEXT, b"x")


def test_ttl(sock):
    loc = sock.but(subscriber_connection_ttl="30ms")
    with WebSocket(loc.but(footer_template="bye"), new_channel()) as w:
        assert w.rest() == b"\x81\x03bye\x88\x00"
    with WebSocket(loc, new_channel()) as w:
        assert w.rest() == b"\x88\x00"


def test_delete(sock, pub):
    """The message of each channel's deletion; with the last one the end."""
    a, b = new_channel(), new_channel()
    loc = sock.but(message_template="~id~ ~channel~ ~text~",
                   footer_template="bye")
    with WebSocket(loc, f"{a}/{b}") as w:
        pub.ask("DELETE", a)
        assert w.text() == f"-2 {a} Channel deleted".encode()
        pub.post(b, b"x")
        assert w.text() == f"1 {b} x".encode()
        pub.ask("DELETE", b, b"gone")
        assert w.text() == f"-2 {b} gone".encode()
        assert w.text() == b"bye"
        w.closed()


# A client publishes

def test_publish_several_channels(echo, pub):
    """All channels of the connection get it, and the sender his own."""
    a, b = new_channel(), new_channel()
    loc = echo.but(message_template="~channel~|~text~|~event-id~|~event-type~")
    with WebSocket(loc, f"{a}/{b}") as w, WebSocket(loc, b) as other:
        w.say("привет".encode())
        assert sorted([w.text(), w.text()]) == sorted(
            f"{ch}|привет||".encode() for ch in (a, b))
        assert other.text() == f"{b}|привет||".encode()
    for ch in (a, b):
        assert json.loads(pub.get(ch).body)["stored_messages"] == 1


def test_publish_unstored(echo, pub):
    ch = new_channel()
    with WebSocket(echo.but(store_messages="off"), ch) as w:
        w.say(b"x")
        assert w.text() == b"x"
    info = json.loads(pub.get(ch).body)
    assert (info["stored_messages"], info["published_messages"]) == (0, 1)


def test_publish_0_3_4(echo, pub):
    """To the first channel only."""
    a, b = new_channel(), new_channel()
    loc = echo.but(compat="0.3.4", message_template="~channel~:~text~")
    with WebSocket(loc, f"{a}/{b}", head=False) as w:
        w.head()
        w.say(b"1")
        w.say(b"2")
        for text in "12":
            assert w.text().decode().strip() == f"{a}:{text}"
    assert json.loads(pub.get(b).body)["published_messages"] in (0, "0")


def test_publish_not_allowed(echo, pub):
    """Dropped in silence; the connection stays."""
    ch = new_channel()
    with WebSocket(echo.but(websocket_allow_publish="off"), ch) as w:
        w.say(b"dropped")
        w.send(frame(PING, b"done"))
        assert w.frame() == (PONG, b"done")
        pub.post(ch, b"heard")
        assert w.text() == b"heard"
    assert json.loads(pub.get(ch).body)["published_messages"] == 1


def test_publish_empty(echo, pub):
    ch = new_channel()
    with WebSocket(echo, ch) as w:
        w.send([frame(TEXT), *fragments(b"", [0, 0])])
        w.say(b"x")
        assert w.text() == b"x"
    assert json.loads(pub.get(ch).body)["published_messages"] == 1


def test_three_frames_at_once(echo):
    """All of them, and the close behind."""
    with WebSocket(echo, new_channel()) as w:
        w.send([frame(TEXT, b"%d" % n) for n in range(3)])
        assert [w.text() for _ in range(3)] == [b"0", b"1", b"2"]
        w.send([frame(PING, b"%d" % n) for n in range(3)] +
               [frame(CLOSE, close_payload(1000))])
        assert [w.frame() for _ in range(3)] == [
            (PONG, b"%d" % n) for n in range(3)]
        w.closed(1000)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_frames_behind_the_request(daemon, gateway):
    """A client that does not wait for the 101."""
    class Eager(WebSocket):
        def request(self, params):
            if gateway == "scgi":
                return super().request(params) + frame(TEXT, b"early")
            return [*super().request(params),
                    wire.record(wire.STDIN, 1, frame(TEXT, b"early"))]

    loc = websocket(daemon, gateway, websocket_allow_publish="on")
    with Eager(loc, new_channel()) as w:
        assert w.text() == b"early"
        w.say(b"late")
        assert w.text() == b"late"


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_publish_not_to_the_events_channel(make_daemon, gateway):
    d = make_daemon(push_stream_events_channel_id="events")
    loc = websocket(d, gateway, websocket_allow_publish="on",
                    allow_connections_to_events_channel="on",
                    message_template="~channel~|~text~")
    with WebSocket(loc, "events/a") as w:
        w.say(b"said")
        w.send(frame(TEXT, b"said again"))
        heard = []
        while b"a|said again" not in heard:
            heard.append(w.text())
    assert [t for t in heard if b"said" in t] == [b"a|said",
                                                  b"a|said again"]
    assert any(t.startswith(b"events|") for t in heard)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_publish_to_a_full_database(make_daemon, gateway):
    """What cannot be stored ends the connection with the reason, however
    many were on their way."""
    d = make_daemon(max_database_size="300k")
    loc = websocket(d, gateway, websocket_allow_publish="on",
                    store_messages="on")
    got = 0
    with WebSocket(loc, "full") as w:
        for _ in range(20):
            w.send([frame(TEXT, b"x" * 40000)] * 3)
            while (answer := w.frame())[0] == TEXT:
                got += 1
                if got % 3 == 0:
                    break
            if answer[0] == CLOSE:
                break
        assert answer[0] == CLOSE
        assert answer[1].startswith(b'\x03\xf0{"http_status": 507, "explain"')
        assert json.loads(answer[1][2:])["http_status"] == 507
        assert w.rest() == b""
    assert got > 0 and d.status()["store_full"] >= 1
    # Reading goes on.
    with WebSocket(loc, "full.b1") as w:
        assert w.text() == b"x" * 40000


# Frames of a client

@pytest.mark.parametrize("cut", wire.CUTS)
@pytest.mark.parametrize("size", [1, 7, 65535])
def test_every_cut(echo, cut, size):
    """Fragments with control frames in between, however the bytes come."""
    text = "Hello-µ@ßöäüàá-UTF-8!! 𝄞".encode()
    parts = fragments(text, [0, 1, 7, 2, 0, 5])
    said = [frame(PING, b"a")]
    for n, part in enumerate(parts):
        said += [part, frame(PONG, b"%d" % n)]
        if n == 2:
            said.append(frame(PING, b"p" * 125))
    with WebSocket(echo, new_channel()) as w:
        w.send(said, cut, size)
        assert w.frame() == (PING + 1, b"a")
        assert w.frame() == (PONG, b"p" * 125)
        assert w.text() == text
        w.send(frame(TEXT, b"y" * 70000), cut if cut is not wire.cut_bytes
               else wire.cut_64, max(size, 100))
        assert w.text() == b"y" * 70000


def test_every_split_of_a_text(echo):
    """At each byte, characters or not."""
    text = "κόσμε€𐀀".encode()
    with WebSocket(echo.but(store_messages="off"), new_channel()) as w:
        for at in range(len(text) + 1):
            w.send(fragments(text, [at]))
            assert w.text() == text
        w.send(fragments(text, [1] * len(text)))
        assert w.text() == text


@pytest.mark.parametrize("mask", [None, b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_masks(echo, mask):
    """Unmasked frames are taken, as the module takes them."""
    with WebSocket(echo, new_channel()) as w:
        for n in (1, 125, 126, 65535, 65536):
            w.send(frame(TEXT, b"m" * n, mask=mask))
            assert w.text() == b"m" * n
        w.send(frame(PING, b"x", mask=mask))
        assert w.frame() == (PONG, b"x")


def test_require_mask(echo):
    loc = echo.but(websocket_require_mask="on")
    for op in (TEXT, PING, CLOSE):
        with WebSocket(loc, new_channel()) as w:
            w.say(b"masked")
            assert w.text() == b"masked"
            w.send(frame(op, b"", mask=None))
            w.closed(1002)


def test_ping_payloads(sock):
    with WebSocket(sock, new_channel()) as w:
        for n in range(126):
            data = bytes(range(n))
            w.send(frame(PING, data))
            assert w.frame() == (PONG, data)
        w.send(frame(PING, b"x" * 126))
        w.closed(1002)


WRONG = {
    "ping of 126": frame(PING, b"x" * 126),
    "pong of 126": frame(PONG, b"x" * 126),
    "close of 126": frame(CLOSE, close_payload(1000, b"x" * 124)),
    "ping of 65536": frame(PING, b"x" * 65536),
    **{f"reserved bits {rsv}": frame(TEXT, b"x", rsv=rsv)
       for rsv in range(1, 8)},
    "reserved bit in a ping": frame(PING, b"x", rsv=4),
    "reserved bit in a close": frame(CLOSE, b"", rsv=2),
    **{f"opcode {op}": frame(op, b"x") for op in (3, 4, 5, 6, 7)},
    **{f"opcode {op}": frame(op) for op in range(11, 16)},
    "ping in fragments": frame(PING, b"x", fin=False),
    "pong in fragments": frame(PONG, b"x", fin=False),
    "close in fragments": frame(CLOSE, b"", fin=False),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "first of nothing": frame(CONTINUATION, b"x", fin=False),
    "continuation of what is whole":
        frame(TEXT) + frame(CONTINUATION, b"x"),
    "text within a text": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "binary within a text":
        frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"),
    "text within a binary":
        frame(BINARY, b"a", fin=False) + frame(TEXT, b"b"),
    "a long form of 5": frame(TEXT, b"hello", form=3),
    "a longer form of 5": frame(TEXT, b"hello", form=9),
    "a longer form of 65535": frame(TEXT, b"x" * 65535, form=9),
    "a ping's long form": frame(PING, b"x", form=3),
    "a negative length": b"\x81\xff" + b"\xff" * 8,
}


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("what", WRONG)
def test_protocol_error(daemon, gateway, what):
    """1002; what came before is served, what comes after is not."""
    loc = websocket(daemon, gateway, websocket_allow_publish="on")
    after = frame(TEXT, b"after") + frame(PING) + b"\xff" * 100
    for cut in (wire.cut_whole, wire.cut_64):
        with WebSocket(loc, new_channel()) as w:
            w.send(frame(PING, b"before"))
            assert w.frame() == (PONG, b"before")
            w.send(WRONG[what] + after, cut)
            w.closed(1002)


def test_binary(sock):
    for said in (frame(BINARY, b"\0\xff"), frame(BINARY),
                 b"".join(fragments(b"\xff\xfe", [1], BINARY))):
        with WebSocket(sock, new_channel()) as w:
            w.send(said)
            w.closed(1003)


def test_bytes_after_close(sock):
    """Nobody answers them; the connection ends in order."""
    with WebSocket(sock, new_channel()) as w:
        w.send(frame(CLOSE, close_payload(1001, b"away")))
        w.send(frame(PING, b"x") + frame(CLOSE) + b"\xff" * 5000)
        w.closed(1001)


VALID = ["", "\0", "Hello", "κόσμε", "\x7f", "\x80", "߿", "ࠀ",
         "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000",
         "\U0001ffff", "\U0010ffff"]
INVALID = [
    b"\x80", b"\xbf", b"\x80\xbf\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xc0\x80",
    b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff",
    b"\xc2", b"\xc2 ", b"\xe2\x82", b"\xe2\x82 ", b"\xf0\x90\x80",
    b"\xf0\x90\x80 ", "κόσμε".encode() + b"\xed\xa0\x80edited",
    b"\xc2\xc2\x80", b"a\xe2\xe2\x82\xac"]


def test_valid_text(echo):
    with WebSocket(echo.but(store_messages="off"), new_channel()) as w:
        for text in (t.encode() for t in VALID if t):
            w.send([frame(TEXT, b"<" + text + b">"),
                    *fragments(text, [1] * (len(text) - 1))])
            assert w.text() == b"<" + text + b">"
            assert w.text() == text


def test_invalid_text(echo):
    """1007, whole, in fragments, and unfinished ones at the end only."""
    for bad in INVALID:
        for said in ([frame(TEXT, bad)], fragments(bad, [1] * len(bad)),
                     fragments(b"good" + bad, [4, 0])):
            with WebSocket(echo, new_channel()) as w:
                w.send(said)
                w.closed(1007)


def test_invalid_text_fails_fast(echo):
    """As soon as it is there, not when the message is whole."""
    with WebSocket(echo, new_channel()) as w:
        w.send(frame(TEXT, b"x" * 200 + b"\xf4\x90" + b"x" * 70000)[:300])
        w.closed(1007)


def test_close_codes(sock):
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000,
                 3999, 4000, 4999]:
        for reason in (b"", b"why", b"x" * 123, "ж".encode() * 61):
            with WebSocket(sock, new_channel()) as w:
                w.send(frame(CLOSE, close_payload(code, reason)))
                w.closed(code)
    with WebSocket(sock, new_channel()) as w:
        w.send(frame(CLOSE))
        w.closed()


def test_wrong_close_codes(sock):
    wrong = [close_payload(code) for code in
             (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
              65535)]
    for data in [b"x", *wrong]:
        with WebSocket(sock, new_channel()) as w:
            w.send(frame(CLOSE, data))
            w.closed(1002)
    for reason in (b"\xff", b"\xce", b"\xed\xa0\x80"):
        with WebSocket(sock, new_channel()) as w:
            w.send(frame(CLOSE, close_payload(1000, reason)))
            w.closed(1007)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_message_size(make_daemon, gateway):
    """Up to client_max_body_size, in one frame or in many; beyond, 1009,
    said with the head that announces it."""
    most = 200000
    d = make_daemon(client_max_body_size=str(most))
    loc = websocket(d, gateway, websocket_allow_publish="on")
    text = b"0123456789" * (most // 10)
    with WebSocket(loc, "a") as w:
        w.say(text)
        assert w.text() == text
        w.send(fragments(text, [50000, 0, 149999]))
        assert w.text() == text
        w.send(frame(TEXT, text + b"x")[:10])
        w.closed(1009)
    for said in (b"\x81\xff\x7f" + b"\xff" * 7,
                 frame(TEXT, text, fin=False) +
                 frame(CONTINUATION, b"x")[:2]):
        with WebSocket(loc, "a") as w:
            w.send(said)
            w.closed(1009)


# Ends, and bad manners

@pytest.mark.parametrize("gateway", GATEWAYS)
def test_half_close(daemon, gateway):
    """A client that shuts its side has gone; one that said so before gets
    its answer."""
    loc = websocket(daemon, gateway)
    with WebSocket(loc, new_channel()) as w:
        w.send(frame(CLOSE, close_payload(1000)))
        w.client.sock.shutdown(socket.SHUT_WR)
        w.closed(1000)
    with daemon.counts(close_gone=1), WebSocket(loc, new_channel()) as w:
        w.send(frame(TEXT, b"begun")[:4])
        w.client.sock.shutdown(socket.SHUT_WR)
        assert w.client.at_end()
    daemon.wait_for(streams=0, subscribers=0)


def test_end_of_stdin(daemon):
    """How a FastCGI front says that the client has gone."""
    with WebSocket(websocket(daemon), new_channel()) as w:
        w.client.send(wire.record(wire.STDIN))
        assert w.rest() == b""
    with WebSocket(websocket(daemon), new_channel()) as w:
        w.client.send(wire.record(wire.ABORT))
        assert w.rest() == b""
    daemon.wait_for(streams=0, subscribers=0)


def resident_kb(d):
    text = pathlib.Path(f"/proc/{d.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("ping", [frame(PING, mask=None),
                                  frame(PING, b"x" * 125)],
                         ids=["small", "large"])
def test_flood_of_pings(make_daemon, gateway, ping):
    """A client that asks without reading: it is paused or closed, others
    do not wait for it, and memory stays where it was."""
    d = make_daemon(subscriber_buffer_time="500ms")
    loc = websocket(d, gateway)
    flood = ping * (65536 // len(ping))
    if gateway == "fastcgi":
        flood = b"".join(wire.stream(wire.STDIN, 1, flood, end=False))
    with WebSocket(loc, "a") as bad, WebSocket(loc, "a") as good:
        before = resident_kb(d)
        bad.client.sock.settimeout(5)
        flooding = threading.Thread(target=flood_until_stopped,
                                    args=(bad.client.sock, flood))
        flooding.start()
        slowest = 0
        while flooding.is_alive():
            asked = time.monotonic()
            good.send(frame(PING, b"?"))
            assert good.frame() == (PONG, b"?")
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.01)
        flooding.join()
        status = d.status()
        assert status["close_behind_bytes"] + status["close_behind_time"] == 1
        assert slowest < 0.5
        assert resident_kb(d) - before < 8192


def flood_until_stopped(sock, data):
    sent = 0
    try:
        while sent < 64 << 20:
            sock.sendall(data)
            sent += len(data)
    except (ConnectionError, TimeoutError):
        return
    pytest.fail("nothing stopped it")


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("texts", [[b"x"] * 4000, [b"x" * 9000] * 100],
                         ids=["many", "large"])
def test_flood_of_texts(make_daemon, gateway, texts):
    """A client that says more than the store can take at a time waits for it
    like everybody: none of his texts is lost, and no publisher's refused."""
    d = make_daemon(store_queue_size="200k", subscriber_buffer_size="64m")
    loc = websocket(d, gateway, websocket_allow_publish="on",
                    store_messages="on")
    pub = publisher(d, gateway)
    with d.counts(published_messages=len(texts) + 20), \
            WebSocket(loc, "a") as w:
        sending = threading.Thread(
            target=w.send, args=([frame(TEXT, t) for t in texts],))
        sending.start()
        for _ in range(20):
            pub.post("b", b"y")
        for t in texts:
            assert w.text() == t
        sending.join()
    assert d.status()["store_queue_full"] == 0


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_flood_and_away(make_daemon, gateway):
    """He may leave in the middle of it; if he says goodbye, all is stored that
    he said before."""
    d = make_daemon(store_queue_size="200k")
    loc = websocket(d, gateway, websocket_allow_publish="on")
    with d.counts(published_messages=500), WebSocket(loc, "a") as w:
        w.send([*[frame(TEXT, b"x")] * 500, frame(CLOSE)])
        while (got := w.frame()) == (TEXT, b"x"):
            pass
        assert got == (CLOSE, b"")
    for n in (100, 1000, 5000):
        with WebSocket(loc, "a") as w:
            w.send([frame(TEXT, b"x")] * n)
    d.wait_for(streams=0, subscribers=0, connections=1)


HALVES = {
    "head": [b"\x81"],
    "text": [frame(TEXT, b"half")[:-1]],
    "drops": [frame(TEXT, b"half a text")[i:i + 1] for i in range(6)],
    "fragments": [frame(TEXT, b"a", fin=False), frame(PING, b"?"),
                  frame(CONTINUATION, b"b", fin=False)],
    "ping": [frame(PING, b"half")[:-1]]}


@pytest.mark.parametrize("publish", ["on", "off"])
@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("what", HALVES)
def test_half_a_message(make_daemon, gateway, publish, what):
    """It has as long as a request; who says nothing, or all of it, has as
    long as he likes."""
    d = make_daemon(request_timeout="400ms")
    loc = websocket(d, gateway, websocket_allow_publish=publish)
    with WebSocket(loc, "a") as silent, WebSocket(loc, "b") as w:
        with d.counts(late_messages=1):
            start = time.monotonic()
            for part in HALVES[what]:
                w.send(part)
                time.sleep(0.1)
            if what == "fragments":
                assert w.frame() == (PONG, b"?")
            w.closed(1008)
            assert 0.3 < time.monotonic() - start < 5
        silent.send(frame(PING, b"?"))
        assert silent.frame() == (PONG, b"?")


def test_whole_messages_in_bits(make_daemon):
    """Time begins anew with each, though one follows the other so closely that
    something has always begun."""
    d = make_daemon(request_timeout="1s")
    with WebSocket(websocket(d, "scgi"), "a") as w:
        ping = frame(PING, b"ping")
        w.send(ping[:3])
        for _ in range(8):
            time.sleep(0.2)
            w.send(ping[3:] + ping[:3])
            assert w.frame() == (PONG, b"ping")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_killed_under_way(make_daemon, gateway):
    """With time and tag of the last message a client that comes back has
    missed nothing and gets nothing twice."""
    d = make_daemon()
    pub = publisher(d)
    loc = websocket(d, gateway, message_template="~time~|~tag~|~text~")
    fields, got, acknowledged = {}, [], []

    def take(w):
        date, tag, text = w.text().decode().split("|")
        fields.update(HTTP_IF_MODIFIED_SINCE=date, HTTP_IF_NONE_MATCH=tag)
        got.append(text)

    def publish(text):
        """The daemon may be gone before, or within the answer."""
        try:
            if pub.ask("POST", "a", text.encode()).status == 200:
                acknowledged.append(text)
        except (AssertionError, OSError):
            pass

    publish("0")
    fields["HTTP_IF_MODIFIED_SINCE"] = http_date(1)
    for life in range(3):
        with WebSocket(loc, "a", **fields) as w:
            publisher_thread = threading.Thread(target=lambda: [
                publish(f"{life}.{n}") for n in range(60)])
            publisher_thread.start()
            for _ in range(10):
                take(w)
            d.kill()
            publisher_thread.join()
        d.start()
    publish("end")
    with WebSocket(loc, "a", **fields) as w:
        while got[-1] != "end":
            take(w)
    assert len(set(got)) == len(got)
    assert [t for t in got if t in set(acknowledged)] == acknowledged


def test_sigterm(make_daemon):
    d = make_daemon()
    loc = websocket(d, footer_template="bye")
    with WebSocket(loc, "a") as w, \
            WebSocket(websocket(d, "scgi", footer_template="bye"), "a") as v:
        d.terminate()
        assert w.rest() == b"\x81\x03bye\x88\x00"
        assert v.rest() == b"\x81\x03bye\x88\x00"
    d.stop()
