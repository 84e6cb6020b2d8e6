"""Streaming: what was, what comes, and how it ends."""

import time

import pytest

from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, check_head,
                   cors, http_date, new_channel, position, polling, publisher)
from streams import UNBUFFERED, eventsource, opened, streaming

TEXT = ("Content-Type", "text/plain")
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
PING = f"{{-1|| |0|{EPOCH}|||1}}"


@pytest.fixture(params=GATEWAYS)
def stream(request, daemon):
    """A streaming location."""
    return streaming(daemon, request.param, message_template="~id~:~text~;")


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


def deleted(channel, text="Channel deleted"):
    return f"{{-2|{channel}|{text}|0|{EPOCH}|||{len(text)}}}"


def fill(pub, path, *bodies, **fields):
    """Publish; the positions of the messages."""
    out = []
    for body in bodies:
        pub.post(path, body.encode(), **fields)
        out.append(position(polling(pub.daemon).get(path + ".b1")))
    return out


def at(when, tag):
    return {"HTTP_IF_MODIFIED_SINCE": http_date(when),
            "HTTP_IF_NONE_MATCH": f"W/{tag}"}


# The form

def test_head(stream):
    """200 without a position: a stream has none of its own."""
    with opened(stream, new_channel()) as s:
        check_head(s.head, 200, TEXT, UNBUFFERED, *NO_CACHE)
        s.expect_silence()
    stream = stream.but(content_type="text/html; charset=utf-8",
                        allowed_origins="http://a.example")
    with opened(stream, new_channel(), **SINCE_EVER) as s:
        check_head(s.head, 200, ("Content-Type", "text/html; charset=utf-8"),
                   UNBUFFERED, *NO_CACHE, *cors("GET", "http://a.example"))


def test_templates(stream, pub):
    """Header and footer are literal; a message is what its template says."""
    ch = new_channel()
    stream = streaming(stream.daemon, stream.gateway, footer_template="F~id~",
                       header_template="H~text~\r\n")
    with opened(stream, ch) as s:
        s.expect("H~text~\r\n")
        (when, tag), = fill(pub, ch, "h|~tag~", HTTP_EVENT_ID="e",
                            HTTP_EVENT_TYPE="t")
        s.expect(f"{{1|{ch}|h|~tag~|{tag}|{http_date(when)}|e|t|7}}")
        pub.ask("DELETE", ch, b"bye ~id~")
        s.expect_end(deleted(ch, "bye ~id~"), "F~id~")


def test_bodies_are_bytes(stream, pub):
    ch = new_channel()
    body = bytes(range(256)) * 300
    with opened(stream.but(message_template="~text~"), ch) as s:
        pub.post(ch, body)
        s.expect(body)


def test_many_readers(stream, pub):
    """Each in its own looks, none after it has gone."""
    ch = new_channel()
    with opened(stream, ch) as a, opened(stream, ch) as b, \
            opened(stream.but(message_template="<~text~>"), ch) as c:
        pub.post(ch, b"x")
        a.hang_up()
        stream.daemon.wait_for(streams=2)
        pub.post(ch, b"y")
        b.expect("1:x;2:y;")
        c.expect("<x><y>")
        assert b'"subscribers": 2}' in pub.get(ch).body
    stream.daemon.wait_for(streams=0, subscribers=0)


# What was

def test_replay(stream, pub):
    """By position, event id or backtrack; without any only what comes."""
    ch = new_channel()
    marks = fill(pub, ch, "a", "b", HTTP_EVENT_ID="e")
    marks += fill(pub, ch, "c")
    cases = [("", {}, ""), ("", SINCE_EVER, "1:a;2:b;3:c;"),
             ("", at(*marks[0]), "2:b;3:c;"), ("", at(*marks[2]), ""),
             ("", {"HTTP_LAST_EVENT_ID": "e"}, "2:b;3:c;"),
             ("", {"HTTP_LAST_EVENT_ID": "f"}, ""),
             (".b2", {}, "2:b;3:c;"), (".b9", at(*marks[2]), "1:a;2:b;3:c;"),
             (".b0", at(*marks[1]), "3:c;")]
    for n, (suffix, fields, want) in enumerate(cases):
        with opened(stream.but(header_template="H"), ch + suffix,
                    **fields) as s:
            s.expect("H", want)
            pub.post(ch, b"live", HTTP_MESSAGE_EXPIRY="0")
            s.expect(f"{4 + n}:live;")


def test_position_of_the_settings(stream, pub):
    ch = new_channel()
    (when, tag), _ = fill(pub, ch, "a", "b")
    date = http_date(when).replace(" ", "%20")
    stream = stream.but(last_received_message_time=date,
                        last_received_message_tag=str(tag))
    with opened(stream, ch, **SINCE_EVER) as s:
        s.expect("2:b;")


@pytest.mark.parametrize("by_cursor, want", [
    ("off", "b1b2b3c1a1a2"), ("on", "b1a1b2c1a2b3")])
def test_several_channels(stream, pub, by_cursor, want):
    """Channel by channel in the order of the path, or as it was published;
    then as it comes."""
    a, b, c = new_channel(), new_channel(), new_channel()
    for ch, body in [(b, "b1"), (a, "a1"), (b, "b2"), (c, "c1"), (a, "a2"),
                     (b, "b3")]:
        pub.post(ch, body.encode())
    stream = stream.but(replay_by_cursor=by_cursor,
                        message_template="~text~")
    with opened(stream, f"{b}/{c}/{a}", **SINCE_EVER) as s:
        s.expect(want)
        pub.post(f"{a}/{c}", b"x")
        pub.post(b, b"y")
        s.expect("xxy")
        s.expect_silence()


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("by_cursor", ["on", "off"])
def test_long_backlog(make_daemon, gateway, by_cursor):
    """More than one slice comes whole and in order, and what is published
    meanwhile comes behind it, once."""
    d = make_daemon(replay_messages=70, replay_size=20000, sync="off",
                    push_stream_max_messages_stored_per_channel=3000)
    pub = publisher(d)
    for _ in range(20):
        pub.post("/".join(["a"] * 100), b"x" * 300)
    stream = streaming(d, gateway, replay_by_cursor=by_cursor,
                       message_template="~id~,~text~\n")
    with opened(stream, "a", **SINCE_EVER) as s:
        for _ in range(5):
            pub.post("a/a", b"x" * 300)
        s.expect(*[f"{n},{'x' * 300}\n" for n in range(1, 2011)])
        s.expect_silence()


# Pings and the end

def test_ping(stream):
    """One each interval of silence, in the looks of a message."""
    stream = streaming(stream.daemon, stream.gateway,
                       ping_message_interval="40ms", header_template="H")
    start = time.monotonic()
    with opened(stream, new_channel()) as s:
        s.expect("H", PING, PING)
        assert time.monotonic() - start >= 0.079


def test_ping_text(make_daemon):
    d = make_daemon(push_stream_ping_message_text="still ~id~")
    stream = streaming(d, ping_message_interval="20ms",
                       message_template="~id~|~text~;")
    with opened(stream, "a") as s:
        s.expect("-1|still ~id~;" * 2)


def test_a_message_restarts_the_interval(stream, pub):
    ch = new_channel()
    with opened(stream.but(ping_message_interval="300ms"), ch) as s:
        for n in range(1, 4):
            time.sleep(0.12)
            published = time.monotonic()
            pub.post(ch, b"x")
            s.expect(f"{n}:x;")
        s.expect("-1: ;")
        assert time.monotonic() - published >= 0.298


def test_connection_ttl(stream, pub):
    """From the start on, however much is said meanwhile."""
    ch = new_channel()
    start = time.monotonic()
    with opened(stream.but(subscriber_connection_ttl="150ms",
                           header_template="H", footer_template="F"),
                ch) as s:
        pub.post(ch, b"x")
        s.expect_end("H1:x;F")
    assert 0.149 <= time.monotonic() - start < 5
    stream.daemon.wait_for(streams=0, subscribers=0)


def test_delete(stream, pub):
    """Who reads other channels too stays for them."""
    a, b = new_channel(), new_channel()
    stream = streaming(stream.daemon, stream.gateway, footer_template="F")
    with opened(stream, f"{a}/{b}") as both, opened(stream, a) as one:
        assert pub.ask("DELETE", a).status == 200
        both.expect(deleted(a))
        one.expect_end(deleted(a), "F")
        pub.post(a, b"somebody else's")
        pub.post(b, b"x")
        both.expect(f"{{1|{b}|x|")
        both.until(b"}")
        both.expect_silence()
        assert pub.ask("DELETE", b).status == 200
        both.expect_end(deleted(b), "F")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_stop(make_daemon, gateway):
    """A daemon that goes says goodbye."""
    d = make_daemon()
    stream = streaming(d, gateway, footer_template="F")
    events = eventsource(d, gateway, footer_template="a\r\nb")
    with opened(stream, "a") as s, opened(events, "a") as e:
        d.terminate()
        s.expect_end("F")
        e.expect_end(": \n", ": a\n: b\n")
    d.stop()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_kill(make_daemon, gateway):
    """Whoever comes back with tag and time, or asks for the last ones, gets
    what is missing, once."""
    d = make_daemon()
    pub = publisher(d)
    stream = streaming(d, gateway, message_template="~text~|~tag~|~time~\n")
    seen, fields = [], {}
    for n in range(3):
        with opened(stream, "a/b", **fields) as s:
            for m in range(3):
                pub.post("ab"[m % 2], b"%d.%d" % (n, m))
            # Of what is published only a part is read.
            for _ in range(4 if n == 1 else 2):
                text, tag, date = s.until(b"\n").decode()[:-1].split("|")
                seen.append(text)
            d.kill()
        d.start()
        fields = {"HTTP_IF_MODIFIED_SINCE": date, "HTTP_IF_NONE_MATCH": tag}
        stream = stream.but(replay_by_cursor="on")
    pub.post("a", b"last")
    with opened(stream, "a/b", **fields) as s:
        while seen[-1] != "last":
            seen.append(s.until(b"\n").decode().split("|")[0])
        s.expect_silence()
    assert seen == [f"{n}.{m}" for n in range(3) for m in range(3)] + ["last"]
    with opened(stream, "b.b2/a.b3") as s:
        got = [s.until(b"\n").decode().split("|")[0] for _ in range(5)]
        assert got == ["1.1", "2.0", "2.1", "2.2", "last"]


# Modes by header

@pytest.mark.parametrize("make", [streaming, eventsource])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_polling_by_header(daemon, pub, make, gateway):
    """An answer at once is of the default type; framing stays the
    location's."""
    ch = new_channel()
    (when, tag), = fill(pub, ch, "x")
    location = make(daemon, gateway, message_template="~text~")
    a = location.get(ch, HTTP_X_NGINX_PUSHSTREAM_MODE="Polling", **SINCE_EVER)
    check_head(a, 200, TEXT, ("Last-Modified", http_date(when)),
               ("Etag", f"W/{tag}"), *NO_CACHE)
    assert a.body == (b"x" if make is streaming else b": \ndata: x\n\n")
    a = location.get(ch, HTTP_X_NGINX_PUSHSTREAM_MODE="polling")
    check_head(a, 304, TEXT, *EMPTY, *NO_CACHE)


@pytest.mark.parametrize("make, kind", [
    (streaming, "text/plain"),
    (eventsource, "text/event-stream; charset=utf-8")])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_long_polling_by_header(daemon, pub, make, kind, gateway):
    ch = new_channel()
    location = make(daemon, gateway, message_template="~text~")
    header = {"HTTP_X_NGINX_PUSHSTREAM_MODE": "LONG-polling"}
    waiting = location.park(ch, **header)
    (when, tag), = fill(pub, ch, "x")
    a = waiting.answer()
    check_head(a, 200, ("Content-Type", kind),
               ("Last-Modified", http_date(when)), ("Etag", f"W/{tag}"),
               *NO_CACHE)
    assert a.body == (b"x" if make is streaming else b": \ndata: x\n\n")
    a = location.get(ch, **header, **SINCE_EVER)
    assert a.header("Content-Type") == "text/plain"


@pytest.mark.parametrize("value", ["", "streaming", "long-polling,", "poll"])
def test_other_modes_by_header(stream, value):
    with opened(stream.but(header_template="H"), new_channel(),
                HTTP_X_NGINX_PUSHSTREAM_MODE=value) as s:
        s.expect("H")
        s.expect_silence()


# Padding

GROUPS = "[T|t]est one,500,100:Two,20,777"


@pytest.mark.parametrize("agent, header, message", [
    ("a test one", 500, 100), ("Test one Two", 500, 100), ("Two", 100, 777),
    ("two", 0, 0), ("", 0, 0),
])
def test_padding(stream, pub, agent, header, message):
    """Line breaks behind header and messages, in steps of 100 bytes up to
    the largest minimum."""
    ch = new_channel()
    stream = stream.but(padding_by_user_agent=GROUPS, header_template="H\r\n",
                        footer_template="F", message_template="~text~")
    pub.post(ch, b"a")
    pub.post(ch, b"b" * 400)
    with opened(stream, ch + ".b2", HTTP_USER_AGENT=agent) as s:
        def fill(n):
            return ("\r\n" * n)[-n:] if n else ""

        s.expect("H\r\n", fill(header), "a", fill(message), "b" * 400,
                 fill(400 if message == 777 else 0))
        pub.post(ch, b"cc")
        s.expect("cc", fill(message))
        pub.ask("DELETE", ch, b"d" * 100)
        s.expect_end("d" * 100, fill(700 if message == 777 else 0), "F")


def test_padding_of_pings(stream):
    """And none behind a header that is not there."""
    stream = stream.but(padding_by_user_agent="a,300,103",
                        ping_message_interval="20ms", user_agent="a%62",
                        message_template="~text~")
    with opened(stream, new_channel(), HTTP_USER_AGENT="b") as s:
        # The last step is that of the largest minimum, 300.
        s.expect(" ", "\r\n" * 100, " ", "\r\n" * 100)


# Refusals

@pytest.mark.parametrize("mode", ["streaming", "eventsource"])
def test_refusals(stream, pub, mode):
    """Before anything is sent, each as a plain answer."""
    stream = stream.but(subscriber=mode, allowed_origins="*",
                        header_template="H")
    fields = [*NO_CACHE, *cors("GET")]
    ch = new_channel()
    for method in "POST", "HEAD":
        check_head(stream.ask(method, ch, b"x"), 405, ("Allow", "GET"),
                   *EMPTY, *fields)
    check_head(stream.ask("OPTIONS", ""), 200, *EMPTY, *cors("GET"))
    for path, status, text in [
            ("", 400, "No channel id provided."),
            (ch + "/ALL", 403, "Channel id not authorized for this method."),
            ("x" * 1025, 400, "Channel id is too large.")]:
        check_head(stream.get(path), status, (EXPLAIN, text), *EMPTY, *fields)
    assert pub.get(ch).status == 404
    stream = stream.but(authorized_channels_only="on")
    check_head(stream.get(ch), 403,
               (EXPLAIN, "Subscriber could not create channels."), *EMPTY,
               *fields)
    pub.post(ch, b"x")
    with opened(stream, ch) as s:
        assert s.head.status == 200


@pytest.mark.parametrize("mode", ["streaming", "eventsource"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_limits(make_daemon, gateway, mode):
    """Of readers, wildcard channels and channels."""
    d = make_daemon(push_stream_max_subscribers_per_channel=2,
                    push_stream_wildcard_channel_prefix="w_",
                    push_stream_max_number_of_channels=3,
                    push_stream_max_number_of_wildcard_channels=3,
                    push_stream_wildcard_channel_max_qtd=2)
    stream = streaming(d, gateway, subscriber=mode)

    def refused(path, why):
        check_head(stream.get(path), 403, (EXPLAIN, why), *EMPTY, *NO_CACHE)

    with opened(stream, "a/w_1") as first, opened(stream, "a"):
        full = "Subscribers limit per channel has been exceeded."
        refused("a", full)
        refused("b/a", full)
        assert publisher(d).get("b").status == 404
        first.hang_up()
        d.wait_for(streams=1)
        with opened(stream, "a/w_1/w_2"):
            refused("a", full)
            wild = "Subscribed too much wildcard channels."
            refused("w_1", wild)
            refused("b/w_1/w_2/w_3", wild)
            refused("b/c/d", "Number of channels were exceeded.")
    d.wait_for(streams=0)
