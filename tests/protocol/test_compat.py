"""What a client sees of push_stream_compat: where 0.3.4, 0.4.0 and 0.6.0
answer differently."""

import pytest

from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, Location,
                   check_head, cors, http_date, long_polling, new_channel,
                   polling, publisher)
from streams import UNBUFFERED, eventsource, opened, streaming
from test_statistics import statistics
from test_stream import at, fill
from test_subscriber import fill_one_second, texts

COMPATS = ["0.6.0", "0.4.0", "0.3.4"]
JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain")
ORIGIN = ("Access-Control-Allow-Origin", "*")
OLD_CORS = [ORIGIN, ("Access-Control-Allow-Methods", "GET"),
            ("Access-Control-Allow-Headers",
             "If-Modified-Since,If-None-Match")]
# Of publishers and of subscribers, when nothing is set.
PUB = {"0.6.0": NO_CACHE, "0.4.0": NO_CACHE, "0.3.4": [ORIGIN]}
SUB = {"0.6.0": NO_CACHE, "0.4.0": NO_CACHE, "0.3.4": OLD_CORS}
STAT = {"0.6.0": NO_CACHE, "0.4.0": NO_CACHE, "0.3.4": []}

pytestmark = pytest.mark.parametrize("compat", COMPATS)


@pytest.fixture(params=GATEWAYS)
def pub(request, daemon, compat):
    return publisher(daemon, request.param, compat=compat)


@pytest.fixture(params=GATEWAYS)
def poll(request, daemon, compat):
    return polling(daemon, request.param, compat=compat)


@pytest.fixture
def new(daemon):
    """A publisher of 0.6.0."""
    return publisher(daemon)


def info(compat, channel, *numbers):
    q = "" if compat == "0.6.0" else '"'
    p, s, u = [f"{q}{n}{q}" for n in numbers]
    return (f'{{"channel": "{channel}", "published_messages": {p}, '
            f'"stored_messages": {s}, "subscribers": {u}}}\r\n').encode()


def texts_of(answer):
    """The same for all versions."""
    answer.body = answer.body.replace(b"}\r\n", b"}")
    return texts(answer)


def channel_created(pub, ch):
    return pub.but(compat=None).get(ch).status == 200


# Publishers

def test_publish(pub, compat):
    """Numbers in quotes until 0.5.2, no Expires in 0.3.4."""
    ch = new_channel()
    want = info(compat, ch, 1, 1, 0)
    for method in "POST", "GET":
        a = pub.ask(method, ch, b"x" if method == "POST" else b"")
        check_head(a, 200, JSON, ("Content-Length", str(len(want))),
                   *PUB[compat])
        assert a.body == want
    a = pub.but(channel_info_on_publish="off").ask("POST", ch, b"x")
    check_head(a, 200, *EMPTY, *PUB[compat])


@pytest.mark.parametrize("mode, old, allow", [
    ("normal", "GET, POST", "GET, POST, PUT"),
    ("admin", "GET, POST, DELETE", "GET, POST, PUT, DELETE")])
def test_methods(pub, compat, mode, old, allow):
    """PUT and OPTIONS came with 0.4.0."""
    pub = pub.but(publisher=mode)
    ch = new_channel()
    refusal = [("Allow", old if compat == "0.3.4" else allow), *EMPTY,
               *PUB[compat]]
    if compat == "0.3.4":
        check_head(pub.ask("PUT", ch, b"x"), 405, *refusal)
        check_head(pub.ask("OPTIONS", ch), 405, *refusal)
        assert not channel_created(pub, ch)
    else:
        assert pub.ask("PUT", ch, b"x").body == info(compat, ch, 1, 1, 0)
        check_head(pub.ask("OPTIONS", ch), 200, *EMPTY, *PUB[compat])
    check_head(pub.ask("HEAD", ch), 405, *refusal)
    if mode == "normal":
        check_head(pub.ask("DELETE", ch), 405, *refusal)


def test_cors_of_publishers(pub, compat):
    pub = pub.but(allowed_origins="http://a.example%20")
    if compat == "0.3.4":
        want = [("Access-Control-Allow-Origin", "http://a.example%20")]
    else:
        want = cors("GET, POST, PUT, DELETE", "http://a.example ") + NO_CACHE
    check_head(pub.get(new_channel()), 404, *EMPTY, *want)


def test_refusals_of_publishers(pub, compat):
    """Only a POST of 0.3.4 minds names like ALL."""
    why = (EXPLAIN, "Channel id not authorized for this method.")
    for path in "ALL", "a*":
        check_head(pub.ask("POST", path, b"x"), 403, why, *EMPTY,
                   *PUB[compat])
        for method in "GET", "DELETE":
            a = pub.ask(method, path)
            if compat == "0.3.4":
                check_head(a, 404, *EMPTY, *PUB[compat])
            else:
                check_head(a, 403, why, *EMPTY, *PUB[compat])
    for path, why in [("", "No channel id provided."),
                      ("x" * 1025, "Channel id is too large.")]:
        check_head(pub.ask("POST", path, b"x"), 400, (EXPLAIN, why), *EMPTY,
                   *PUB[compat])
    check_head(pub.ask("POST", new_channel()), 400, *EMPTY, *PUB[compat],
               (EXPLAIN, "Empty post requests are not allowed."))


@pytest.mark.parametrize("name", ["channels_path", "channel_id"])
def test_id(pub, compat, name):
    """0.3.4 takes one id as it is, others cut and decode it."""
    ch = new_channel()
    pub = pub.but(**{name: f"{ch}%41/b.b3"})
    a = pub.ask("POST", None, b"x")
    if compat == "0.3.4":
        assert a.body == info(compat, f"{ch}%41/b.b3", 1, 1, 0)
    else:
        assert a.body.count(b'"channel"') == 2
        assert channel_created(pub.but(**{name: None}), ch + "A")


def test_delete(pub, compat):
    """The body is the text since 0.4.0."""
    ch = new_channel()
    check_head(pub.ask("DELETE", ch), 404, *EMPTY, *PUB[compat])
    reader = long_polling(pub.daemon, message_template="~text~").park(ch)
    check_head(pub.ask("DELETE", ch, b"bye"), 200, *EMPTY, *PUB[compat],
               (EXPLAIN, "Channel deleted."))
    assert reader.answer().body == (b"Channel deleted" if compat == "0.3.4"
                                    else b"bye")


# Polls

def test_poll(poll, new, compat):
    """Etag, cache fields, CORS and line ends."""
    ch = new_channel()
    (when, tag), = fill(new, ch, "x")
    poll = poll.but(message_template="~text~", header_template="H",
                    footer_template="F")
    head = [TEXT, ("Last-Modified", http_date(when)),
            ("Etag", "W/" * (compat == "0.6.0") + str(tag)), *SUB[compat]]
    a = poll.get(ch, **SINCE_EVER)
    check_head(a, 200, *head)
    assert a.body == (b"H\r\nx\r\nF\r\n" if compat == "0.3.4" else b"HxF")
    a = poll.get(ch, **at(when, tag))
    check_head(a, 304, *head, *EMPTY)
    a = poll.ask("POST", ch, b"x")
    check_head(a, 405, ("Allow", "GET"), *EMPTY, *SUB[compat])
    a = poll.get("")
    check_head(a, 400, (EXPLAIN, "No channel id provided."), *EMPTY,
               *SUB[compat])


@pytest.mark.parametrize("mode", ["polling", "long-polling"])
def test_poll_without_position(poll, new, compat, mode):
    """In 0.3.4 it wants all there is."""
    ch = new_channel()
    fill(new, ch, "a", "b")
    poll = poll.but(subscriber=mode, longpolling_connection_ttl="10ms")
    for fields in {}, {"HTTP_IF_MODIFIED_SINCE": "yesterday"}:
        a = poll.get(ch, **fields)
        assert (texts_of(a) == ["a", "b"] if compat == "0.3.4" else
                a.status == 304)
    assert texts_of(poll.get(ch + ".b1")) == ["b"]


def test_event_id_and_time(poll, new, compat):
    """In 0.3.4 an event id makes the time void."""
    ch = new_channel()
    fill(new, ch, "a", HTTP_EVENT_ID="e")
    fill(new, ch, "b")
    assert texts_of(poll.get(ch, HTTP_LAST_EVENT_ID="e")) == ["b"]
    a = poll.get(ch, HTTP_LAST_EVENT_ID="none", **SINCE_EVER)
    assert texts_of(a) == ([] if compat == "0.3.4" else ["a", "b"])


def test_timeout(poll, compat):
    a = poll.but(subscriber="long-polling",
                 longpolling_connection_ttl="10ms").get(new_channel(),
                                                        **SINCE_EVER)
    check_head(a, 304, TEXT, ("Last-Modified", a.header("Last-Modified")),
               ("Etag", "W/0" if compat == "0.6.0" else "0"), *EMPTY,
               *SUB[compat])


def test_timeout_with_body(make_daemon, compat):
    d = make_daemon(push_stream_timeout_with_body="on")
    a = long_polling(d, compat=compat, longpolling_connection_ttl="10ms",
                     message_template="~id~~text~").get("a", **SINCE_EVER)
    assert (a.status, a.body) == ((304, b"") if compat == "0.3.4" else
                                  (200, b"-3Timed out"))


def test_path_of_subscribers(poll, new, compat):
    """Cut in every version; decoded since 0.4.0."""
    ch = new_channel()
    new.post(f"{ch}A/{ch}%2541/{ch}b", b"x")
    a = poll.but(message_template="~channel~;").get(f"{ch}%41/{ch}b.b1",
                                                    **SINCE_EVER)
    if compat == "0.3.4":
        assert a.body.decode() == f"{ch}%41;\r\n{ch}b;\r\n"
    else:
        assert a.body.decode() == f"{ch}A;{ch}b;"


def test_cors_of_subscribers(poll, compat):
    """0.3.4 takes the value as it is, and none when it is empty."""
    ch = new_channel()
    poll = poll.but(allowed_origins="a%20b")
    if compat == "0.3.4":
        want = [("Access-Control-Allow-Origin", "a%20b"), *OLD_CORS[1:]]
    else:
        want = cors("GET", "a b") + NO_CACHE
    check_head(poll.get("ALL"), 403, *EMPTY, *want,
               (EXPLAIN, "Channel id not authorized for this method."))
    empty = poll.but(allowed_origins="").get(ch)
    assert empty.header("Access-Control-Allow-Origin") is None


def test_template(poll, new, compat):
    """~size~, and names in any case, are newer."""
    ch = new_channel()
    fill(new, ch, "~tag~")
    a = poll.but(message_template="~text~|~size~|~TEXT~").get(ch, **SINCE_EVER)
    assert a.body.decode() == {
        "0.6.0": "~tag~|5|~tag~", "0.4.0": "~tag~|~size~|~TEXT~",
        "0.3.4": "~tag~|~size~|~TEXT~\r\n"}[compat]


# Streams

@pytest.mark.parametrize("gateway", GATEWAYS)
def test_stream(daemon, new, compat, gateway):
    """Every piece of 0.3.4 ends a line; its ping says nothing."""
    ch = new_channel()
    end = "\r\n" * (compat == "0.3.4")
    stream = streaming(daemon, gateway, compat=compat, footer_template="F",
                       header_template="H", message_template="<~text~>",
                       ping_message_interval="50ms")
    new.post(ch, b"old")
    ping = "<>\r\n" if compat == "0.3.4" else "< >"
    with opened(stream, ch + ".b1") as s:
        check_head(s.head, 200, TEXT, UNBUFFERED, *SUB[compat])
        s.expect(f"H{end}<old>{end}", ping, ping)
    stream = stream.but(ping_message_interval=None)
    with opened(stream, ch) as s:
        s.expect("H", end)
        new.post(ch, b"x")
        s.expect(f"<x>{end}")
        new.ask("DELETE", ch, b"bye")
        s.expect_end(f"<bye>{end}F{end}")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_position_of_streams(daemon, new, compat, gateway):
    """0.3.4 does not look at the tag, and wants no old ones without a
    time."""
    ch = new_channel()
    (when, tag), _ = fill_one_second(new, ch, "a", "b")
    stream = streaming(daemon, gateway, compat=compat,
                       message_template="~text~;")
    end = "\r\n" * (compat == "0.3.4")
    with opened(stream, ch, **at(when, tag)) as s:
        s.expect(f"a;{end}" if compat == "0.3.4" else "", f"b;{end}")
        s.expect_silence()
    with opened(stream, ch) as s:
        s.expect_silence()


@pytest.mark.parametrize("header, pieces", [
    (None, {"0.6.0": ": \n", "0.4.0": ": \r\n", "0.3.4": ":\r\n"}),
    ("a\nb", {"0.6.0": ": a\n: b\n", "0.4.0": ": a\r\n: b\r\n",
              "0.3.4": ": a\r\n: b\r\n"}),
])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_eventsource(daemon, new, compat, gateway, header, pieces):
    """Lines end in \\n since 0.5.0; 0.3.4 has a setting of its own."""
    ch = new_channel()
    end = "\n" if compat == "0.6.0" else "\r\n"
    settings = {"subscriber": "", "eventsource_support": "on"} \
        if compat == "0.3.4" else {}
    source = eventsource(daemon, gateway, compat=compat, footer_template="F",
                         header_template=header, **settings)
    with opened(source, ch) as s:
        check_head(s.head, 200, UNBUFFERED, *SUB[compat],
                   ("Content-Type", "text/event-stream; charset=utf-8"))
        s.expect(pieces[compat])
        new.post(ch, b"x\r\ny", HTTP_EVENT_ID="1", HTTP_EVENT_TYPE="t")
        s.expect(f"id: 1{end}event: t{end}data: x{end}data: y{end}{end}")
        new.ask("DELETE", ch)
        s.expect_end(f"data: Channel deleted{end}{end}: F{end}")
    with opened(source.but(ping_message_interval="20ms"), ch) as s:
        s.expect(pieces[compat], f": -1{end}: -1{end}")


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("agent", ["Android 2", "Safari", "other"])
def test_default_padding(daemon, new, compat, gateway, agent):
    """0.3.x has some for two browsers: spaces and a line break."""
    ch = new_channel()
    stream = streaming(daemon, gateway, compat=compat, header_template="H",
                       message_template="~text~")

    def fill(n):
        return " " * (n - 2) + "\r\n"

    with opened(stream, ch, HTTP_USER_AGENT=agent) as s:
        new.post(ch, b"x")
        if compat != "0.3.4":
            s.expect("Hx")
        elif agent == "Android 2":
            s.expect("H\r\n", fill(4097), "x\r\n", fill(4097))
        elif agent == "Safari":
            s.expect("H\r\n", fill(1100), "x\r\n")
        else:
            s.expect("H\r\nx\r\n")
        s.expect_silence()
    with opened(stream.but(padding_by_user_agent=""), ch + ".b1",
                HTTP_USER_AGENT=agent) as s:
        end = "\r\n" * (compat == "0.3.4")
        s.expect(f"H{end}x{end}")
        s.expect_silence()


# WebSockets

KEY = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade",
       "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
       "HTTP_SEC_WEBSOCKET_VERSION": "13"}


def websocket(daemon, compat, gateway="scgi"):
    role = {"websocket": ""} if compat == "0.3.4" else {
        "subscriber": "websocket"}
    return Location(daemon, gateway, compat=compat, header_template="H",
                    **role)


def test_websocket(daemon, new, compat):
    """push_stream_websocket is the name of 0.3.x; there replay is by
    backtrack only."""
    ch = new_channel()
    ws = websocket(daemon, compat)
    new.post(ch, b"a")
    new.post(ch, b"b")
    cache = [] if compat == "0.3.4" else NO_CACHE
    with opened(ws, ch, **KEY, **SINCE_EVER) as s:
        check_head(s.head, 101, ("Upgrade", "WebSocket"),
                   ("Connection", "Upgrade"), *cache,
                   ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        s.expect(b"\x81\x01H")
        if compat != "0.3.4":
            s.expect(b"\x81\x01a\x81\x01b")
        new.post(ch, b"c")
        s.expect(b"\x81\x01c")
    with opened(ws, ch + ".b2", **KEY) as s:
        s.expect(b"\x81\x01H\x81\x01b\x81\x01c")
        s.expect_silence()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_refused_websocket(daemon, compat, gateway):
    """0.3.4 looks at the channels before it says 101.  CORS is for others,
    whatever is set."""
    ws = websocket(daemon, compat, gateway)
    why = "Channel id not authorized for this method."
    for ws in ws, ws.but(allowed_origins="*"):
        if compat == "0.3.4":
            check_head(ws.get("ALL", **KEY), 403, (EXPLAIN, why), *EMPTY)
            check_head(ws.get("", **KEY), 400, *EMPTY,
                       (EXPLAIN, "No channel id provided."))
        else:
            with opened(ws, "ALL", **KEY) as s:
                s.expect_end(b'\x88\x4e\x03\xf0{"http_status": 403, '
                             b'"explain":"' + why.encode() + b'"}')
            with opened(ws, "", **KEY) as s:
                s.expect_end(b"")
        check_head(ws.ask("POST", "a", b"x", **KEY), 405, ("Allow", "GET"),
                   *EMPTY)


# Statistics

@pytest.mark.parametrize("gateway", GATEWAYS)
def test_statistics(daemon, new, compat, gateway):
    ch = new_channel()
    new.post(ch, b"x")
    stat = statistics(daemon, gateway, compat=compat)
    a = stat.get(ch)
    assert a.body == info(compat, ch, 1, 1, 0)
    for name in "Expires", "Cache-Control":
        assert a.header(name) == dict(STAT[compat]).get(name)
    check_head(stat.ask("PUT", ch), 405, ("Allow", "GET"), *EMPTY,
               *STAT[compat])
