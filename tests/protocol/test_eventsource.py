"""EventSource: lines of fields and comments, and coming back with an id."""

import pytest

from front import (GATEWAYS, NO_CACHE, SINCE_EVER, check_head, cors,
                   http_date, new_channel, publisher)
from streams import UNBUFFERED, eventsource, opened
from test_stream import GROUPS, at, fill

TYPE = ("Content-Type", "text/event-stream; charset=utf-8")


@pytest.fixture(params=GATEWAYS)
def source(request, daemon):
    """An EventSource location."""
    return eventsource(daemon, request.param)


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


# The form

def test_head(source):
    """Its own type, whatever the location's is."""
    with opened(source.but(allowed_origins="*", content_type="text/html"),
                new_channel()) as s:
        check_head(s.head, 200, TYPE, UNBUFFERED, *NO_CACHE, *cors("GET"))
        s.expect(": \n")
        s.expect_silence()


@pytest.mark.parametrize("header, footer, first, last", [
    (None, None, ": \n", ""),
    ("a", "b", ": a\n", ": b\n"),
    ("a\r\n\nb~id~", "bye\r\nbye2\n", ": a\n: b~id~\n", ": bye\n: bye2\n"),
    (": a\nb", ": c", ": a\nb", ": c"),
    ("\n\r\n", "\n", ": \n", ""),
])
def test_header_and_footer(source, pub, header, footer, first, last):
    """Comments, line by line, unless they look like it already."""
    ch = new_channel()
    with opened(source.but(header_template=header, footer_template=footer),
                ch) as s:
        s.expect(first)
        assert pub.ask("DELETE", ch).status == 200
        s.expect_end("data: Channel deleted\n\n", last)


@pytest.mark.parametrize("template, want", [
    (None, "data: a\ndata: bb\n\n"),
    ("{~text~}", "data: {a}\ndata: {bb}\n\n"),
    ("data: <~text~>\n", "data: <a>\ndata: <bb>\n\n"),
    ("~id~ ~size~ ~channel~", "data: 1 1 @\ndata: 1 2 @\n\n"),
])
def test_template(source, pub, template, want):
    """Each line goes through the template by itself."""
    ch = new_channel()
    with opened(source.but(message_template=template), ch) as s:
        pub.post(ch, b"a\nbb")
        s.expect(": \n", want.replace("@", ch))


LINES = [
    (b"x", [b"x"]),
    (b"line1\r\nline2\nline3\n\nline5", [b"line1", b"line2", b"line3",
                                         b"line5"]),
    (b"x\n", [b"x"]),
    (b"\n\nx", [b"x"]),
    (b"a\rb", [b"a\rb"]),
    (b"a\rb\nc", [b"a", b"b", b"c"]),
    (b"a\nb\rc", [b"a", b"b\rc"]),
    (b"a\n\rb\n", [b"a", b"b"]),
    (b"\r\n", []),
    (b"\n\r\n\n", []),
    (b"a\0b\nc\rd\ne", [b"a\0b\nc\rd\ne"]),
    (b"a\nb\0c\nd", [b"a", b"b\0c\nd"]),
    (b"data: x\n:y", [b"data: x", b":y"]),
]


@pytest.mark.parametrize("body, lines", LINES)
def test_lines(source, pub, body, lines):
    """Live and out of the store alike."""
    ch = new_channel()
    want = b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    with opened(source, ch) as s:
        pub.post(ch, body)
        pub.post(ch, b"end")
        s.expect(": \n", want, "data: end\n\n")
    with opened(source, ch, **SINCE_EVER) as s:
        s.expect(": \n", want, "data: end\n\n")


def test_event_id_and_type(source, pub):
    """Lines of their own, in front; there even when they are empty."""
    ch = new_channel()
    with opened(source, ch) as s:
        pub.post(ch, b"x", HTTP_EVENT_ID="55", HTTP_EVENT_TYPE="tt")
        pub.post(ch, b"y\nz", HTTP_EVENT_TYPE="t 2")
        pub.post(ch, b"\n", HTTP_EVENT_ID="e\xe9")
        pub.post(ch, b"x", HTTP_EVENT_ID="", HTTP_EVENT_TYPE="")
        s.expect(": \n", "id: 55\nevent: tt\ndata: x\n\n",
                 "event: t 2\ndata: y\ndata: z\n\n", "id: e\xe9\n\n",
                 "id: \nevent: \ndata: x\n\n")


def test_ping(source):
    """A comment, whatever a message looks like."""
    with opened(source.but(ping_message_interval="20ms",
                           message_template="~id~"), new_channel()) as s:
        s.expect(": \n", ": -1\n" * 3)


def test_connection_ttl(source):
    with opened(source.but(subscriber_connection_ttl="30ms",
                           footer_template="F"), new_channel()) as s:
        s.expect_end(": \n", ": F\n")


def test_padding(source, pub):
    """A comment too; the lines of id and type do not count."""
    ch = new_channel()
    source = source.but(padding_by_user_agent=GROUPS)

    def fill(n):
        return ":" * (n - 1) + "\n"

    with opened(source, ch, HTTP_USER_AGENT="test one") as s:
        s.expect(": \n", fill(500))
        pub.post(ch, b"x", HTTP_EVENT_TYPE="t" * 30)
        s.expect("event: " + "t" * 30 + "\ndata: x\n\n", fill(100))
        pub.post(ch, b"x" * 92)
        s.expect("data: " + "x" * 92 + "\n\n")


# Coming back

def test_last_event_id(source, pub):
    """What follows the publisher's own id."""
    ch = new_channel()
    for n in range(4):
        pub.post(ch, b"%d" % n, HTTP_EVENT_ID=f"e{n}")
    with opened(source, ch, HTTP_LAST_EVENT_ID="e1") as s:
        s.expect(": \n", "id: e2\ndata: 2\n\n", "id: e3\ndata: 3\n\n")
        s.expect_silence()
    with opened(source, ch, HTTP_LAST_EVENT_ID="e9") as s:
        pub.post(ch, b"4")
        s.expect(": \n", "data: 4\n\n")
    (when, tag), _ = fill(pub, ch, "5", "6")
    with opened(source, ch, **at(when, tag)) as s:
        s.expect(": \n", "data: 6\n\n")


def test_cursor(source, pub):
    """The position is the id of what has none of its own, and leads on over
    all channels."""
    a, b = new_channel(), new_channel()
    source = source.but(eventsource_cursor="on")
    with opened(source, f"{a}/{b}") as s:
        s.expect(": \n")
        s.place()
        marks = [*fill(pub, b, "0"), *fill(pub, a, "1"), *fill(pub, b, "2")]
        own, = fill(pub, a, "own", HTTP_EVENT_ID="e", HTTP_EVENT_TYPE="t")
        marks += fill(pub, b, "3")
        ids = ["%d.%d" % mark for mark in marks]
        last = f"id: e\nevent: t\ndata: own\n\nid: {ids[3]}\ndata: 3\n\n"
        s.expect(*[f"id: {ids[n]}\ndata: {n}\n\n" for n in range(3)], last)
    for n in range(3):
        with opened(source, f"{a}/{b}", HTTP_LAST_EVENT_ID=ids[n]) as s:
            s.expect(": \n", *[f"id: {ids[m]}\ndata: {m}\n\n"
                               for m in range(n + 1, 3)], last)
            s.expect_silence()
    with opened(source, f"{a}", HTTP_LAST_EVENT_ID="%d.%d" % own) as s:
        s.expect(": \n")
        assert s.place() == "%d.%d" % own
        s.expect_silence()
    # It is no position without the setting, or out of shape.
    for location, id in [(source.but(eventsource_cursor="off"), ids[0]),
                         (source, ids[0] + "x"), (source, "." + ids[0])]:
        with opened(location, f"{a}/{b}", HTTP_LAST_EVENT_ID=id) as s:
            s.expect(": \n")
            s.expect_silence()


def test_pings_have_no_id(source, pub):
    """A ping or a deletion moves no client's position."""
    ch = new_channel()
    with opened(source.but(eventsource_cursor="on",
                           ping_message_interval="20ms"), ch) as s:
        s.expect(": \n")
        s.place()
        s.expect(": -1\n")
        pub.ask("DELETE", ch)
        while (line := s.until(b"\n")) == b": -1\n":
            pass
        assert line == b"data: Channel deleted\n"
        s.expect_end("\n")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_kill(make_daemon, gateway):
    """A browser reconnects by itself: nothing is lost, nothing comes
    twice."""
    d = make_daemon()
    pub, seen, fields = publisher(d), [], {}
    source = eventsource(d, gateway, eventsource_cursor="on")
    for n in range(3):
        with opened(source, "a/b", **fields) as s:
            s.expect(": \n")
            if n != 1: # nothing to replay
                s.place()
            for m in range(3):
                pub.post("ab"[m % 2], b"%d.%d" % (n, m))
            for _ in range([2, 4, 1][n]):
                id, data = s.until(b"\n\n").decode().split("\n")[:2]
                seen.append(data.removeprefix("data: "))
            d.kill()
        d.start()
        fields = {"HTTP_LAST_EVENT_ID": id.removeprefix("id: ")}
    pub.post("a", b"last")
    with opened(source, "a/b", **fields) as s:
        s.expect(": \n")
        while seen[-1] != "last":
            seen.append(s.until(b"\n\n").decode().split("data: ")[1][:-2])
        s.expect_silence()
    assert seen == [f"{n}.{m}" for n in range(3) for m in range(3)] + ["last"]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_kill_with_ids_of_the_publisher(make_daemon, gateway):
    d = make_daemon()
    source = eventsource(d, gateway)
    for n in range(4):
        publisher(d).post("a", b"%d" % n, HTTP_EVENT_ID=f"e{n}")
    d.kill()
    d.start()
    with opened(source, "a", HTTP_LAST_EVENT_ID="e1") as s:
        s.expect(": \n", "id: e2\ndata: 2\n\n", "id: e3\ndata: 3\n\n")
        publisher(d).post("a", b"4")
        s.expect("data: 4\n\n")
