"""The subscriber endpoint: which messages a poll gets, in which form, and
the position it is sent away with."""

import time

import pytest

from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, after,
                   check_head, cors, http_date, long_polling, new_channel,
                   polling, position, publisher)

TEXT = ("Content-Type", "text/plain")


@pytest.fixture(params=GATEWAYS)
def poll(request, daemon):
    """A polling location."""
    return polling(daemon, request.param)


@pytest.fixture(params=GATEWAYS)
def wait(request, daemon):
    """A long-polling location."""
    return long_polling(daemon, request.param)


@pytest.fixture
def pub(daemon):
    return publisher(daemon)


def texts(answer):
    """The texts of a body in the long template."""
    if not answer.body:
        return []
    return [m.split("|")[2] for m in answer.body.decode().split("}{")]


def fill(pub, path, *bodies, **fields):
    """Publish; the positions of the messages."""
    out = []
    for body in bodies:
        pub.post(path, body.encode(), **fields)
        out.append(position(polling(pub.daemon).get(path + ".b1")))
    return out


def at(seconds, tag=None):
    """The headers of a client at this position."""
    headers = {"HTTP_IF_MODIFIED_SINCE": http_date(seconds)}
    if tag is not None:
        headers["HTTP_IF_NONE_MATCH"] = f"W/{tag}"
    return headers


def fill_one_second(pub, path, *bodies):
    """The same, once all of them fall into one second."""
    for _ in range(5):
        got = fill(pub, path, *bodies)
        if len({when for when, _ in got}) == 1:
            return got
        pub.ask("DELETE", path)
    pytest.fail("no second was long enough")


# The form of an answer

@pytest.mark.parametrize("compat, weak", [("0.6.0", "W/"), ("0.4.0", "")])
def test_replay(poll, pub, compat, weak):
    """A poll with something to give: head and body to the byte."""
    ch = new_channel()
    (when, tag), = fill(pub, ch, "he|llo", HTTP_EVENT_ID="e7",
                        HTTP_EVENT_TYPE="t9")
    date = http_date(when)
    for subscriber in "polling", "long-polling":
        a = poll.but(compat=compat, subscriber=subscriber, footer_template="F",
                     header_template="H~id~").get(ch, **SINCE_EVER)
        check_head(a, 200, TEXT, ("Last-Modified", date),
                   ("Etag", f"{weak}{tag}"), *NO_CACHE)
        size = "6" if compat == "0.6.0" else "~size~"
        assert a.body.decode() == (
            f"H~id~{{1|{ch}|he|llo|{tag}|{date}|e7|t9|{size}}}F")


@pytest.mark.parametrize("compat, weak", [("0.6.0", "W/"), ("0.4.0", "")])
def test_delivery_to_one_who_waits(wait, pub, compat, weak):
    """The same form, and the message's own position."""
    ch = new_channel()
    reader = wait.but(compat=compat, content_type="text/html; charset=utf-8",
                      message_template="~id~:~text~", header_template="H",
                      footer_template="F").park(ch)
    (when, tag), = fill(pub, ch, "x")
    a = reader.answer()
    check_head(a, 200, ("Content-Type", "text/html; charset=utf-8"),
               ("Last-Modified", http_date(when)), ("Etag", f"{weak}{tag}"),
               *NO_CACHE)
    assert a.body == b"H1:xF"


@pytest.mark.parametrize("headers, back", [
    ({}, []),
    (at(5), [("Last-Modified", http_date(5))]),
    (at(5, 7), [("Last-Modified", http_date(5)), ("Etag", "W/7")]),
    ({"HTTP_IF_NONE_MATCH": "7"}, [("Etag", "W/7")]),
    ({"HTTP_IF_NONE_MATCH": '"7"'}, []),
    ({"HTTP_IF_MODIFIED_SINCE": "yesterday"}, []),
    (at(4102444800, 3), [("Last-Modified", http_date(4102444800)),
                         ("Etag", "W/3")]),
])
def test_polling_for_nothing(poll, headers, back):
    """304 with the client's own position, not a word more."""
    a = poll.get(new_channel(), **headers)
    check_head(a, 304, TEXT, *back, *EMPTY, *NO_CACHE)
    assert a.body == b""


def test_polling_for_nothing_in_0_4_0(poll):
    a = poll.but(compat="0.4.0").get(new_channel(), **at(5, 7))
    check_head(a, 304, TEXT, ("Last-Modified", http_date(5)), ("Etag", "7"),
               *EMPTY, *NO_CACHE)


@pytest.mark.parametrize("compat, weak", [("0.6.0", "W/"), ("0.4.0", "")])
def test_timeout(wait, compat, weak):
    """304 with the position (now, 0): from there nothing is missed."""
    before = int(time.time())
    a = wait.but(compat=compat, longpolling_connection_ttl="30ms").get(
        new_channel(), **at(5))
    when, tag = position(a)
    check_head(a, 304, TEXT, ("Last-Modified", http_date(when)),
               ("Etag", weak + "0"), *EMPTY, *NO_CACHE)
    assert before - 1 <= when <= time.time() + 1 and a.body == b""


def test_timeout_by_subscriber_connection_ttl(wait):
    """It is the default of longpolling_connection_ttl."""
    a = wait.but(subscriber_connection_ttl="20ms").get(new_channel())
    assert a.status == 304


def test_timeout_with_body(make_daemon):
    d = make_daemon(push_stream_timeout_with_body="on")
    wait = long_polling(d, longpolling_connection_ttl="20ms",
                        header_template="H", footer_template="F")
    a = wait.get("a", **at(5))
    check_head(a, 200, TEXT, ("Last-Modified", a.header("Last-Modified")),
               ("Etag", "W/0"), *NO_CACHE)
    assert a.body == (b"H{-3||Timed out|0|Thu, 01 Jan 1970 00:00:00 GMT|||9}F")
    # It is about long polls only.
    assert polling(d).get("a").status == 304


def test_after_a_timeout_nothing_is_missed(wait, pub):
    """What is published in the second of the 304 is given, once."""
    ch = new_channel()
    wait = wait.but(longpolling_connection_ttl="5ms")
    a, got = wait.get(ch), []
    for n in range(30):
        pub.post(ch, b"%d" % n)
        for _ in range(3):
            a = wait.get(ch, **after(a))
            got += texts(a)
    assert got == [str(n) for n in range(30)]


@pytest.mark.parametrize("location, header, waits", [
    ("polling", "long-polling", True), ("polling", "Long-Polling", True),
    ("polling", "other", False), ("long-polling", "polling", True),
    ("streaming", "polling", False), ("eventsource", "POLLING", False),
    ("streaming", "long-polling", True),
])
def test_mode_by_header(poll, location, header, waits):
    """The client may ask for polling or long-polling anywhere; where both
    are named, long-polling wins."""
    poll = poll.but(subscriber=location)
    fields = {"HTTP_X_NGINX_PUSHSTREAM_MODE": header}
    if waits:
        poll.park(new_channel(), **fields).hang_up()
        poll.daemon.wait_for(parked=0)
    else:
        assert poll.get(new_channel(), **fields).status == 304



def test_no_pipelining_of_messages(wait, pub):
    """A publish to two channels of a reader gives it the first; its position
    brings the second, once."""
    a, b = new_channel(), new_channel()
    reader = wait.park(f"{a}/{b}")
    pub.post(f"{a}/{b}", b"x")
    first = reader.answer()
    assert first.body.split(b"|")[1] == a.encode()
    second = wait.get(f"{a}/{b}", **after(first))
    assert second.body.split(b"|")[1] == b.encode()
    assert polling(pub.daemon).get(f"{a}/{b}", **after(second)).status == 304


def test_the_same_answer_for_all(daemon, pub):
    """Readers of one location share what is rendered, those of another do
    not; an origin of one is not told to the other."""
    ch = new_channel()
    wait = long_polling(daemon, message_template="~text~")
    readers = [wait.park(ch) for _ in range(20)]
    other = [wait.but(message_template="<~text~>").park(ch)
             for _ in range(5)]
    origin = [wait.but(allowed_origins=f"http://{n}").park(ch)
              for n in range(5)]
    pub.post(ch, b"x")
    assert {r.answer().body for r in readers} == {b"x"}
    assert {r.answer().body for r in other} == {b"<x>"}
    for n, r in enumerate(origin):
        assert (r.answer().header("Access-Control-Allow-Origin") ==
                f"http://{n}")


# Which messages

def test_no_position_means_what_comes(poll, wait, pub):
    ch = new_channel()
    fill(pub, ch, "old")
    assert poll.get(ch).status == 304
    reader = wait.park(ch)
    fill(pub, ch, "new")
    assert texts(reader.answer()) == ["new"]


def test_time_and_tag(poll, pub):
    """Strictly after the position, message by message."""
    ch = new_channel()
    bodies = [str(n) for n in range(5)]
    for n, (when, tag) in enumerate(fill(pub, ch, *bodies)):
        assert texts(poll.get(ch, **at(when, tag))) == bodies[n + 1:]
        # The tag before it may be another channel's, or nobody's.
        assert texts(poll.get(ch, **at(when, tag - 1))) == bodies[n:]
    assert texts(poll.get(ch, **at(when, 0)))[-1] == bodies[-1]


def test_time_alone(poll, pub):
    """Strictly after that second."""
    ch = new_channel()
    when = fill_one_second(pub, ch, "a", "b")[0][0]
    assert texts(poll.get(ch, **at(when - 1))) == ["a", "b"]
    assert poll.get(ch, **at(when)).status == 304
    no_tag = {**at(when), "HTTP_IF_NONE_MATCH": '"1"'}
    assert poll.get(ch, **no_tag).status == 304


def test_tag_alone(poll, wait, pub):
    """It is no position."""
    ch = new_channel()
    fill(pub, ch, "a", "b")
    assert poll.get(ch, HTTP_IF_NONE_MATCH="W/0").status == 304
    wait.park(ch, HTTP_IF_NONE_MATCH="0").hang_up()
    wait.daemon.wait_for(parked=0)


def test_future_position(poll, wait, pub):
    """A clock that is wrong is no reason to miss what comes."""
    ch = new_channel()
    fill(pub, ch, "old")
    future = at(int(time.time()) + 10000, 5)
    assert poll.get(ch, **future).status == 304
    reader = wait.park(ch, **future)
    (when, tag), = fill(pub, ch, "new")
    a = reader.answer()
    assert texts(a) == ["new"] and position(a) == (when, tag)


@pytest.mark.parametrize("etag, is_tag", [
    ("W/{}", True), ("{}", True), ("00{}", True), ("W/", False),
    ('"{}"', False), ('W/"{}"', False), ("-{}", False), ("{}, 9", False),
    ("w/{}", False), ("{} ", False), ("", False),
])
def test_forms_of_a_tag(poll, pub, etag, is_tag):
    """What is no tag counts as none: then the time is a whole second."""
    ch = new_channel()
    (when, tag), _ = fill_one_second(pub, ch, "a", "b")
    a = poll.get(ch, **{**at(when), "HTTP_IF_NONE_MATCH": etag.format(tag)})
    assert texts(a) == (["b"] if is_tag else [])


@pytest.mark.parametrize("date, found", [
    ("%a, %d %b %Y %H:%M:%S GMT", True),
    ("%A, %d-%b-%y %H:%M:%S GMT", True),
    ("%a %b %e %H:%M:%S %Y", True),
    ("%a, %d %b %Y %H:%M:%S +0000", True),
    ("%Y-%m-%dT%H:%M:%S", False), ("%s", False), ("", False),
])
def test_forms_of_a_time(poll, pub, date, found):
    """The three of HTTP, and the one that the site's own checker sends."""
    ch = new_channel()
    (when, _), = fill(pub, ch, "x")
    text = time.strftime(date, time.gmtime(when - 86400))
    a = poll.get(ch, HTTP_IF_MODIFIED_SINCE=text)
    assert texts(a) == (["x"] if found else [])


def test_position_of_the_settings(poll, pub):
    """A setting hides the header, even when it is empty; values are decoded
    as a query's are encoded."""
    ch = new_channel()
    (when, tag), _ = fill_one_second(pub, ch, "a", "b")
    header = at(when, tag)
    assert texts(poll.get(ch, **header)) == ["b"]
    empty = poll.but(last_received_message_time="",
                     last_received_message_tag="")
    assert empty.get(ch, **header).status == 304
    assert texts(poll.but(last_received_message_tag="0").get(
        ch, **header)) == ["a", "b"]
    assert texts(poll.but(last_received_message_time=http_date(1)).get(
        ch, **header)) == ["a", "b"]
    date = http_date(when).replace(" ", "%20").replace(",", "%2C").replace(
        ":", "%3A")
    assert texts(poll.but(last_received_message_time=date,
                          last_received_message_tag=str(tag)).get(ch)) == ["b"]
    ids = poll.but(last_event_id="")
    pub.post(ch, b"c", HTTP_EVENT_ID="e")
    pub.post(ch, b"d")
    assert texts(poll.get(ch, HTTP_LAST_EVENT_ID="e")) == ["d"]
    assert ids.get(ch, HTTP_LAST_EVENT_ID="e").status == 304
    assert texts(poll.but(last_event_id="%65").get(ch)) == ["d"]


def test_event_id(poll, wait, pub):
    """What follows the first message with that event id."""
    ch = new_channel()
    marks = {}
    for body, event in [("a", None), ("b", "e1"), ("c", "e2"), ("d", "e1"),
                        ("e", None)]:
        fields = {"HTTP_EVENT_ID": event} if event else {}
        marks[body], = fill(pub, ch, body, **fields)
    assert texts(poll.get(ch, HTTP_LAST_EVENT_ID="e1")) == ["c", "d", "e"]
    assert texts(wait.get(ch, HTTP_LAST_EVENT_ID="e2")) == ["d", "e"]
    for unknown in "e3", "E1", "e", "e11":
        assert poll.get(ch, HTTP_LAST_EVENT_ID=unknown).status == 304
    wait.park(ch, HTTP_LAST_EVENT_ID="e3").hang_up()
    # With a position too, whichever comes first in the queue.
    both = [("e2", marks["a"], ["b", "c", "d", "e"]),
            ("e1", marks["d"], ["c", "d", "e"]),
            ("e3", marks["c"], ["d", "e"])]
    for event, place, want in both:
        a = poll.get(ch, HTTP_LAST_EVENT_ID=event, **at(*place))
        assert texts(a) == want
    wait.daemon.wait_for(parked=0)


@pytest.mark.parametrize("suffix, want", [
    (".b1", "c"), (".b2", "bc"), (".b3", "abc"), (".b4", "abc"),
    (".b99999999999999999999", "abc"), (".b0", ""), ("", ""),
])
def test_backtrack(poll, pub, suffix, want):
    """The last N, whatever position is given too."""
    ch = new_channel()
    (when, tag) = fill(pub, ch, *"abc")[-1]
    assert "".join(texts(poll.get(ch + suffix))) == want
    assert "".join(texts(poll.get(ch + suffix, **at(when, tag)))) == want
    a = poll.get(ch + suffix, HTTP_LAST_EVENT_ID="none")
    assert "".join(texts(a)) == want


def test_backtrack_keeps_the_position(poll, pub):
    """Older messages of one channel do not take back what the client has
    seen of another: its next poll would get that twice."""
    old, new = new_channel(), new_channel()
    fill(pub, old, "a")
    last = fill(pub, new, "b")[-1]
    got = poll.get(f"{old}.b1/{new}", **at(*last))
    assert texts(got) == ["a"]
    assert position(got) == last


def test_backtrack_never_waits(wait, pub):
    """A long poll with .bN answers every time, once there is a message."""
    ch = new_channel()
    reader = wait.park(ch + ".b2")
    fill(pub, ch, "a")
    assert texts(reader.answer()) == ["a"]
    for _ in range(3):
        assert texts(wait.get(ch + ".b2")) == ["a"]


def test_channel_by_channel(poll, pub):
    """Several channels are read in the order of the path, and the position
    is that of the newest message of them all."""
    a, b, c = new_channel(), new_channel(), new_channel()
    for ch, body in [(a, "a1"), (b, "b1"), (c, "c1"), (b, "b2"), (a, "a2")]:
        (last), = fill(pub, ch, body)
    got = poll.get(f"{b}/{c}/{a}", **SINCE_EVER)
    assert texts(got) == ["b1", "b2", "c1", "a1", "a2"]
    assert position(got) == last
    assert poll.get(f"{b}/{c}/{a}", **after(got)).status == 304
    got = poll.get(f"{c}/{a}.b1/{b}", **at(*last))
    assert texts(got) == ["a2"]


def test_a_channel_named_twice(wait, pub):
    """Two subscriptions, one subscriber; but what is stored is read once."""
    ch = new_channel()
    before = wait.daemon.status()["subscribers"]
    reader = wait.park(f"{ch}/{ch}")
    assert wait.daemon.status()["subscribers"] == before + 1
    assert b'"subscribers": 2}' in pub.get(ch).body
    fill(pub, ch, "x")
    assert texts(reader.answer()) == ["x"]
    assert texts(wait.get(f"{ch}/{ch}", **SINCE_EVER)) == ["x"]
    assert b'"subscribers": 0}' in pub.get(ch).body


def test_unstored_messages(poll, wait, pub):
    """They reach those who wait, and move the position of a replay."""
    ch = new_channel()
    live = pub.but(store_messages="off")
    fill(pub, ch, "kept")
    live.post(ch, b"gone")
    a = poll.get(ch, **SINCE_EVER)
    assert texts(a) == ["kept"]
    reader = wait.park(ch, **after(a))
    live.post(ch, b"live")
    b = reader.answer()
    assert b.body.startswith(b"{3|") and texts(b) == ["live"]
    assert position(b) > position(a)
    fill(pub, ch, "last")
    assert texts(poll.get(ch, **after(b))) == ["last"]


def follow(location, path, start):
    """All bodies that lead from one position to the end, and their sizes."""
    out, sizes, fields = [], [], start
    while (a := location.get(path, **fields)).status == 200:
        got = texts(a)
        sizes.append(len(got))
        out += a.body.decode().split("}{")
        fields = after(a)
    return [m.split("|")[1:3] for m in out], sizes


def test_slices(make_daemon):
    """Answers are cut; the positions give every message once, and those of a
    channel in order, wherever they are cut."""
    d = make_daemon(replay_messages=3)
    pub, poll = publisher(d), polling(d)
    for n in range(7):
        pub.post("a", b"a%d" % n)
        if n % 2:
            pub.post("a/b", b"ab%d" % n)
            pub.but(store_messages="off").post("b", b"unstored")
        if n % 3 == 0:
            pub.post("b/c", b"bc%d" % n)
    a = [["a", t] for t in "a0 a1 ab1 a2 a3 ab3 a4 a5 ab5 a6".split()]
    b = [["b", t] for t in "bc0 ab1 ab3 bc3 ab5 bc6".split()]
    c = [["c", t] for t in "bc0 bc3 bc6".split()]
    assert follow(poll, "a", SINCE_EVER) == (a, [3, 3, 3, 1])
    for path, want in [("a/b/c", [a, b, c]), ("c/a", [c, a])]:
        got, sizes = follow(poll, path, SINCE_EVER)
        assert len(got) == sum(map(len, want)) and max(sizes) == 3
        for channel in want:
            assert [m for m in got if m[0] == channel[0][0]] == channel
    # From any position in the middle, too.
    first = poll.get("a/b/c", **SINCE_EVER)
    rest, _ = follow(poll, "a/b/c", after(first))
    assert len(rest) == 19 - 3


def test_slices_by_size(make_daemon):
    """One message is given however large it is."""
    d = make_daemon(replay_size=1000)
    pub, poll = publisher(d), polling(d)
    bodies = [400, 400, 400, 3000, 10, 990, 1]
    for n, size in enumerate(bodies):
        pub.post("a", b"%d" % n * size)
    got, sizes = follow(poll, "a", SINCE_EVER)
    assert [len(t) for _, t in got] == bodies
    assert sizes == [2, 1, 1, 2, 1]


# Who may read

@pytest.mark.parametrize("origin", [None, "http://a.example"])
@pytest.mark.parametrize("mode", ["polling", "long-polling"])
def test_refusals(poll, pub, mode, origin):
    """In the order of the checks, each with its fields once."""
    poll = poll.but(subscriber=mode, allowed_origins=origin)
    ch = new_channel()
    fields = [*NO_CACHE, *(cors("GET", origin) if origin else [])]
    for method in "POST", "HEAD", "PUT", "DELETE", "get":
        check_head(poll.ask(method, "", b"x"), 405, ("Allow", "GET"), *EMPTY,
                   *fields)
    for path, status, text in [
            ("", 400, "No channel id provided."),
            (ch + "/ALL", 403, "Channel id not authorized for this method."),
            ("a*b", 403, "Channel id not authorized for this method."),
            ("x" * 1025 + "/*", 400, "Channel id is too large."),
            (ch + "/" + "x" * 1025, 400, "Channel id is too large.")]:
        check_head(poll.get(path), status, (EXPLAIN, text), *EMPTY, *fields)
    assert pub.get(ch).status == 404, "a refused reader made a channel"


@pytest.mark.parametrize("origin", [None, "*"])
def test_options(poll, origin):
    """Before the path is looked at, and without Expires."""
    a = poll.but(allowed_origins=origin).ask("OPTIONS", "")
    check_head(a, 200, *EMPTY, *(cors("GET") if origin else []))


@pytest.mark.parametrize("compat", ["0.6.0", "0.4.0"])
def test_cors(wait, pub, compat):
    """Each field once on 200, 304 and 403."""
    ch = new_channel()
    wait = wait.but(compat=compat, allowed_origins="%2A",
                    longpolling_connection_ttl="10ms")
    fill(pub, ch, "x")
    for a, status in [(wait.get(ch, **SINCE_EVER), 200),
                      (wait.get(new_channel()), 304),
                      (wait.get("ALL"), 403)]:
        assert a.status == status
        got = [f for f in a.headers if f[0].startswith("Access-Control")]
        assert got == cors("GET")


@pytest.mark.parametrize("origin", [
    "http://a%0d%0aX-Evil:%201", "http://a%0aX-Evil:%201", "a%00b", "%0d"])
def test_no_header_injection(poll, origin):
    """A value with a line end in it is left out, however it was encoded."""
    a = poll.but(allowed_origins=origin).get(new_channel())
    assert a.status == 304 and b"Evil" not in a.raw
    assert a.header("Access-Control-Allow-Origin") is None


def test_authorized_channels_only(wait, pub):
    """Only channels that hold a stored message; no channel is made."""
    wait = wait.but(authorized_channels_only="on", allowed_origins="*",
                    longpolling_connection_ttl="10ms")
    refusal = [(EXPLAIN, "Subscriber could not create channels."), *EMPTY,
               *NO_CACHE, *cors("GET")]
    ch, empty = new_channel(), new_channel()
    check_head(wait.get(ch), 403, *refusal)
    assert pub.get(ch).status == 404
    pub.but(store_messages="off").post(empty, b"x")
    check_head(wait.get(empty), 403, *refusal)
    fill(pub, ch, "x")
    assert texts(wait.get(ch, **SINCE_EVER)) == ["x"]
    check_head(wait.get(f"{ch}/{empty}", **SINCE_EVER), 403, *refusal)


def test_reading_makes_channels(poll, pub):
    """Polling too."""
    ch = new_channel()
    poll.get(ch)
    assert b'"published_messages": 0' in pub.get(ch).body


def test_subscribers_per_channel(make_daemon):
    d = make_daemon(push_stream_max_subscribers_per_channel=2)
    wait = long_polling(d)
    readers = [wait.park("a"), wait.park("a")]
    text = "Subscribers limit per channel has been exceeded."
    check_head(wait.get("b/a"), 403, (EXPLAIN, text), *EMPTY, *NO_CACHE)
    assert publisher(d).get("b").status == 404
    readers.append(wait.park("b"))
    readers[0].hang_up()
    d.wait_for(parked=2)
    readers.append(wait.park("a"))
    publisher(d).post("a/b", b"x")
    assert all(r.answer().status == 200 for r in readers[1:])


def test_wildcards(make_daemon):
    """Not more than max_qtd, and never without an ordinary channel."""
    d = make_daemon(push_stream_wildcard_channel_prefix="w_",
                    push_stream_max_number_of_wildcard_channels=5,
                    push_stream_wildcard_channel_max_qtd=2)
    poll = polling(d)
    for path, status in [("w_1", 403), ("w_1/w_2", 403), ("w_1/a", 304),
                         ("a/w_1/w_2", 304), ("a/w_1/w_2/w_3", 403)]:
        a = poll.get(path)
        assert a.status == status, path
        assert a.header(EXPLAIN) == (
            None if status == 304 else
            "Subscribed too much wildcard channels.")
    a = poll.but(wildcard_channel_max_qtd="1").get("a/w_1/w_2")
    assert a.status == 403
    # Wildcard channels need no message to be authorized.
    poll = poll.but(authorized_channels_only="on")
    assert poll.get("w_9/a").status == 403
    publisher(d).post("a", b"x")
    assert poll.get("w_9/a").status == 304


# Templates

@pytest.mark.parametrize("compat, template, body", [
    ("0.6.0", "~TEXT~|~Id~|~SiZe~|~nothing~|~|~text", "~tag~|1|5|~nothing~|"
     "~|~text"),
    ("0.4.0", "~TEXT~|~text~|~size~|~id~", "~TEXT~|~tag~|~size~|1"),
    ("0.6.0", "~~text~~text~~", "~~tag~~tag~~"),
])
def test_template(poll, pub, compat, template, body):
    """Case counts before 0.5, ~size~ came later, and what stands in for a
    placeholder is not looked into again."""
    ch = new_channel()
    fill(pub, ch, "~tag~")
    a = poll.but(compat=compat, message_template=template).get(
        ch, **SINCE_EVER)
    assert a.body.decode() == body


# The end of messages and channels

def test_expired_is_never_seen(make_daemon):
    """Whether collected or not: not by position, event id or backtrack."""
    d = make_daemon(push_stream_message_ttl=2,
                    push_stream_channel_inactivity_time="1h")
    pub, poll = publisher(d), polling(d)
    pub.post("a/b", b"old", HTTP_EVENT_ID="e")
    (when, tag), = fill(pub, "a", "young")
    last = 0
    while True:
        before = time.time()
        a = poll.get("a", **SINCE_EVER)
        if a.status == 304:
            break
        last = time.time()
        assert before < when + 2 + 1, "an expired message was given"
    assert last > when, "it expired at once"
    assert poll.get("a.b5").status == 304
    assert poll.get("a/b", HTTP_LAST_EVENT_ID="e").status == 304
    d.wait_for(stored_messages=0, store_collected=3)
    assert pub.get("a").body == (
        b'{"channel": "a", "published_messages": 2, "stored_messages": 0, '
        b'"subscribers": 0}\r\n')
    assert d.status()["published_messages"] == 3


def test_short_expiry_does_not_outlive_long_ones(make_daemon):
    """Messages may expire in another order than they came."""
    d = make_daemon()
    pub, poll = publisher(d), polling(d)
    for body, expiry in [("a", "100"), ("b", "1"), ("c", "100"), ("d", "1")]:
        pub.post("x", body.encode(), HTTP_MESSAGE_EXPIRY=expiry)
    d.wait_for(stored_messages=2)
    assert texts(poll.get("x", **SINCE_EVER)) == ["a", "c"]
    assert texts(poll.get("x.b1")) == ["c"]
    assert texts(poll.get("x.b2")) == ["a", "c"]


def test_inactivity(make_daemon):
    """A channel without messages and readers is forgotten, and comes back
    with id 1; a reader or a message keeps it."""
    d = make_daemon(push_stream_channel_inactivity_time="1s")
    pub = publisher(d)
    live = pub.but(store_messages="off")
    reader = long_polling(d).park("read")
    pub.post("kept", b"x")
    live.post("gone", b"x")
    polling(d).get("polled")
    assert d.status()["channels"] == 4
    d.wait_for(channels=2)
    assert pub.get("gone").status == pub.get("polled").status == 404
    assert live.post("gone", b"x").body.startswith(
        b'{"channel": "gone", "published_messages": 1,')
    reader.hang_up()
    d.wait_for(channels=1)
    assert pub.get("kept").status == 200
