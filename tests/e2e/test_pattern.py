"""The examples that are not Bitrix: every way to publish and to read on port
8890, the same behind every front."""

import contextlib
import json

import pytest

import cases
from conftest import OUTSIDE, Example, wait_until
from streams import CLOSE, PING, PONG, Stream, WebSocket

PORT = 8890
PORTS = [PORT]
EXAMPLES = [
    Example("nginx", "http-proxy.conf", PORTS),
    Example("nginx", "scgi.conf", PORTS),
    Example("apache", "push.conf", PORTS),
    Example("lighttpd", "push.conf", PORTS),
    Example("caddy", "push.Caddyfile", PORTS),
]
# What streams and WebSockets carry.
TEXTS = [b"1", b"22", b"x" * 100000, b"3"]


@pytest.fixture(scope="module", params=EXAMPLES, ids=Example.path)
def example(request):
    return request.param


def ask(method, what, channel, body=None, **options):
    return cases.ask(method, PORT, f"/push/{what}?id={channel}", body,
                     **options)


def publish(channel, body, **options):
    a = ask("POST", "pub", channel, body, **options)
    assert a.status == 200, (a.status, a.headers)
    return a


def test_publish(front):
    """Counters, deleting; for this machine only."""
    ch = cases.new_channel()
    for n in range(1, 4):
        a = publish(ch, b"%d" % n)
        assert {name: int(value) for name, value in
                json.loads(a.body).items() if name != "channel"} == {
            "published_messages": n, "stored_messages": n, "subscribers": 0}
    assert ask("GET", "pub", ch).body == a.body
    assert ask("DELETE", "pub", ch).status == 200
    assert ask("GET", "pub", ch).status == 404
    outside = cases.connect(PORT, OUTSIDE)
    assert ask("POST", "pub", ch, b"x", connection=outside).status == 403
    for path in "/", "/push/", "/push/other", "/bitrix/pub/?CHANNEL_ID=a":
        assert cases.ask("GET", PORT, path).status == 403, path


def test_positions(front):
    """The headers of an answer are the position of the next request."""
    ch = cases.new_channel()
    publish(ch, b"0")
    a = ask("GET", "poll", ch + ".b1")
    seen = a.body
    for n in range(1, 5):
        publish(ch, b"%d" % n)
        when, tag = a.position
        a = ask("GET", "poll", ch, headers={
            "If-Modified-Since": when, "If-None-Match": tag})
        assert a.status == 200
        seen += a.body
    assert seen == b"01234"
    a = ask("GET", "poll", ch, headers={"If-Modified-Since": cases.OLD})
    assert (a.status, a.body) == (200, b"01234")


@contextlib.contextmanager
def parked(daemon, channel):
    n = daemon.status()["parked"]
    c = cases.connect(PORT)
    c.request("GET", f"/push/poll?id={channel}")
    daemon.wait_for(parked=n + 1)
    yield c
    c.close()


def test_poll_waits(front, daemon):
    ch = cases.new_channel()
    with parked(daemon, ch) as c:
        publish(ch, b"x")
        a = cases.Answer(c.getresponse())
    assert (a.status, a.body) == (200, b"x")


def stream(mode, channel, *fields):
    s = Stream(PORT, f"/push/{mode}?id={channel}", "Accept-Encoding: gzip",
               *fields)
    assert "content-encoding" not in s.headers
    return s


def check_forgotten(daemon, channel, streams):
    """Where the front does not tell that a client has left, what is written
    next finds it out."""
    def gone():
        publish(channel, b"x" * 1000)
        return daemon.status()["streams"] == streams
    wait_until(gone)


def test_stream(front, daemon):
    """Each piece arrives when it is published, not at the end: the test goes
    on only when it is there."""
    ch = cases.new_channel()
    streams = daemon.status()["streams"]
    publish(ch, b"old")
    with stream("stream", ch + ".b1") as s:
        assert s.headers["content-type"].startswith("text/plain")
        s.expect(b"old")
        for text in TEXTS:
            publish(ch, text)
            s.expect(text)
    check_forgotten(daemon, ch, streams)


def test_events(front, daemon):
    """Likewise; and who comes back with the last id misses nothing."""
    ch = cases.new_channel()
    streams = daemon.status()["streams"]
    publish(ch, b"old")
    ids = []
    with stream("events", ch + ".b1") as s:
        assert s.headers["content-type"].startswith("text/event-stream")
        assert s.event()[1] == b"old"
        for text in TEXTS:
            publish(ch, text)
            id, data = s.event()
            assert data == text
            ids.append(id)
    check_forgotten(daemon, ch, streams)
    with stream("events", ch, "Last-Event-ID: " + ids[0]) as s:
        for want in zip(ids[1:], TEXTS[1:]):
            assert s.event() == want


def test_end_of_a_stream(front, daemon):
    """The front ends it when Holdfast does."""
    ch = cases.new_channel()
    publish(ch, b"old")
    with stream("stream", ch + ".b1") as s:
        s.expect(b"old")
        assert ask("DELETE", "pub", ch).status == 200
        s.expect(b"Channel deleted")
        s.expect_end()


def test_websocket(front, daemon):
    ch = cases.new_channel()
    streams = daemon.status()["streams"]
    publish(ch, b"old")
    with WebSocket(PORT, f"/push/ws?id={ch}.b1") as ws:
        assert ws.status == 101
        assert ws.text() == "old"
        for text in TEXTS:
            publish(ch, text)
            assert ws.text() == text.decode()
        ws.send(PING, b"there?")
        assert ws.frame() == (PONG, b"there?")
    daemon.wait_for(streams=streams)
    with WebSocket(PORT, f"/push/ws?id={ch}") as ws:
        ws.send(CLOSE, b"\x03\xe8")
        assert ws.closed()[:2] == b"\x03\xe8"
    daemon.wait_for(streams=streams)
