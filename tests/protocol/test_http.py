"""The HTTP/1.1 listener: what clients, publishers and proxies ask without a
gateway protocol in between."""

import contextlib
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import http1
import tls
import wire
import ws
from front import new_channel, wait_until
from http1 import Client, ask, chunk, publish, request

LOCATIONS = """
location "/events" {
	push_stream_subscriber = "streaming"
	push_stream_channels_path = "$arg_id"
	push_stream_message_template = "~text~"
}
location "/poll" {
	push_stream_subscriber = "long-polling"
	push_stream_channels_path = "$arg_id"
	push_stream_message_template = "<~text~>"
}
location "/ws" {
	push_stream_subscriber = "websocket"
	push_stream_websocket_allow_publish = "on"
	push_stream_channels_path = "$arg_id"
}
location "/look" {
	push_stream_publisher = "admin"
	push_stream_channels_path = "$arg_id"
}
location "/look/some" {
	push_stream_publisher = "admin"
	push_stream_channels_path = "$arg_id"
	allow = {"127.0.0.0/8", "10.1.0.0/16"}
	deny = {"127.0.0.2"}
}
"""


@pytest.fixture(scope="module", params=["http", "https"])
def shared_daemon(tmp_path_factory, request):
    """Everything that the file's daemon is asked is asked with and without
    TLS."""
    import conftest
    folder = tmp_path_factory.mktemp("hf")
    d = conftest.Daemon(folder, {
        "client_max_body_size": "64k",
        **tls.settings(tls.Cert(folder, "h"))}, LOCATIONS).start()
    d.scheme = request.param
    if d.scheme == "https":
        d.http = tls.address(d.https)
    yield d
    d.stop()


@pytest.fixture
def plain(daemon):
    """For tests that look at how far the socket itself takes bytes."""
    if daemon.scheme != "http":
        pytest.skip("a TLS client cannot go on after half a record")


@pytest.fixture
def http(daemon):
    with Client(daemon.http) as c:
        yield c


def published(answer):
    assert answer.status == 200, answer.headers
    return int(json.loads(answer.body)["published_messages"])


SINCE_EVER = "Thu, 01 Jan 1970 00:00:01 GMT"


def messages(body):
    """Texts of an answer to /poll."""
    found = re.findall(rb"<(.*?)>", body, re.S)
    assert found, body
    return found


def poll(channel, **fields):
    return request("GET", "/poll?id=" + channel, **fields)


def park(daemon, channel, **fields):
    parked = daemon.status()["parked"]
    c = Client(daemon.http)
    c.send(poll(channel, **fields))
    daemon.wait_for(parked=parked + 1)
    return c


# One request after the other

def test_bitrix_without_a_front(daemon, http):
    """Publish and poll, as the built-in layout has it."""
    ch = new_channel()
    assert published(http.ask(publish(ch, b"zero"))) == 1
    with Client(daemon.http) as waiting:
        waiting.send(http1.poll(ch))
        daemon.wait_for(parked=1)
        assert published(http.ask(publish(ch, b"one"))) == 2
        a = waiting.answer()
        assert a.status == 200 and b'"text":one}' in a.body
        assert a.header("Etag") and a.header("Last-Modified")
        assert a.header("Connection") is None
        # The same connection again, and the message after that.
        assert published(http.ask(publish(ch, b"two"))) == 3
        a = waiting.ask(http1.poll(
            "%s&time=%s&tag=%s" % (ch, a.header("Last-Modified").replace(
                " ", "%20"), a.header("Etag"))))
        assert b'"text":two}' in a.body and b"one" not in a.body


@pytest.mark.parametrize("cut", wire.CUTS)
def test_any_cut(http, cut):
    ch = new_channel()
    http.send(publish(ch, b"body"), cut)
    assert published(http.answer()) == 1
    http.send(request("POST", "/bitrix/pub/?CHANNEL_ID=" + ch, None,
                      Transfer_Encoding="chunked") +
              chunk(b"bo", b";x=y") + chunk(b"dy") + b"0\r\nT: x\r\n\r\n",
              cut)
    assert published(http.answer()) == 2


def test_pipelining(daemon, http):
    """Answers come in the order of the questions, each of a message that is
    on disk."""
    ch = new_channel()
    http.send(b"".join(publish(ch, b"%d" % i) for i in range(300)))
    for i in range(300):
        assert published(http.answer()) == i + 1


def test_pipelined_behind_a_poll(daemon, http):
    """It waits for the poll's end, and is answered then."""
    ch = new_channel()
    parked = daemon.status()["parked"]
    http.send(poll(ch) + request("GET", "/look?id=" + ch) +
              b"GET /look?id=" + ch.encode())
    daemon.wait_for(parked=parked + 1)
    http.send(b" HTTP/1.0\r\n\r\n")
    daemon.publish(ch, b"x")
    assert messages(http.answer().body) == [b"x"]
    assert http.answer().status == 200
    assert http.answer().header("Connection") == "close"
    assert http.at_end()


def test_pipelining_has_a_bound(daemon, plain, http):
    """What is not looked at waits in the kernel, not in the daemon; and it is
    all there when its time comes."""
    ch = new_channel()
    parked = daemon.status()["parked"]
    http.send(poll(ch))
    daemon.wait_for(parked=parked + 1)
    http.sock.settimeout(0.3)
    sent = 0
    one = publish(ch, b"y" * 60000)
    with pytest.raises(TimeoutError):
        while sent < 1 << 28:
            sent += http.sock.send((one * 4)[sent % len(one):])
    http.sock.settimeout(wire.TIMEOUT)
    daemon.publish(ch, b"x")
    assert messages(http.answer().body) == [b"x"]
    for i in range(sent // len(one)):
        assert published(http.answer()) == i + 2


def test_a_client_who_does_not_read(daemon, plain, http):
    """Its next questions are not answered before it takes the answers."""
    ch = new_channel()
    requests = daemon.status()["requests"]
    one = request("GET", "/look?id=" + ch)
    daemon.publish(ch, b"x")
    http.sock.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 28:
            sent += http.sock.send((one * 1000)[sent % len(one):])
    http.sock.settimeout(wire.TIMEOUT)
    assert daemon.status()["requests"] - requests < sent // len(one)
    for _ in range(sent // len(one)):
        assert http.answer().status == 200


def test_leaving_behind_pipelined_bytes(daemon):
    """The poll is given up at once, by an end or by a reset, although what
    the client said last is not read."""
    for reset in (False, True):
        ch = new_channel()
        c = park(daemon, ch)
        c.send(publish(ch, b"z" * 1000) * 100)
        assert c.taken()
        if reset:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
        before = daemon.cpu_seconds()
        c.close()
        daemon.wait_for(parked=0, connections=1)
        assert daemon.cpu_seconds() - before < 1


def test_abort(daemon):
    ch = new_channel()
    # Behind a handshake lie tickets that this client has not read, and
    # closing on them makes a reset of it.
    why = "close_reset" if daemon.scheme == "https" else "close_gone"
    with daemon.counts(**{why: 1}):
        park(daemon, ch).close()
        daemon.wait_for(parked=0, connections=1)
    assert daemon.publish(ch, b"x").status == 200


def test_keep_alive(daemon):
    def kept(**fields):
        with Client(daemon.http) as c:
            a = c.ask(request("GET", "/nowhere", **fields))
            said = a.header("Connection")
            if said == "close":
                assert c.at_end()
                return said
            assert c.ask(request("GET", "/nowhere")).status == 404
            return said

    assert kept() is None
    assert kept(Connection="keep-alive") is None
    assert kept(Connection="close") == "close"
    assert kept(Connection="x, CLOSE") == "close"
    assert kept(version="1.0") == "close"
    assert kept(version="1.0", Connection="Keep-Alive") == "keep-alive"


def test_http_1_0(daemon):
    """Without a host, and streaming until the end of the connection."""
    ch = new_channel()
    with Client(daemon.http) as c:
        c.send(request("GET", "/events?id=" + ch, version="1.0", host=None))
        a = c.head()
        assert a.header("Connection") == "close"
        assert a.header("Transfer-Encoding") is None
        daemon.publish(ch, b"one")
        assert c.exactly(3) == b"one"


# Bodies

def test_continue(http):
    ch = new_channel()
    http.send(request("POST", "/bitrix/pub/?CHANNEL_ID=" + ch, None,
                      Content_Length=4, Expect="100-continue"))
    assert http.head().status == 100
    http.send(b"body")
    assert published(http.answer()) == 1
    # Nobody waits for leave to say nothing; and 1.0 does not know of it.
    assert published(http.ask(publish(
        ch, b"y", version="1.0", Expect="100-continue",
        Connection="keep-alive"))) == 2
    assert http.ask(request("GET", "/nowhere",
                            Expect="100-continue")).status == 404


@pytest.mark.parametrize("fields, status", [
    ({"Content_Length": 65537}, 413), ({"Content_Length": "x"}, 400),
    ({"Content_Length": 1, "X": "y" * 20000}, 431),
    ({"Content_Length": 1, "Transfer_Encoding": "chunked"}, 400)])
def test_no_continue(daemon, fields, status):
    """A client who asks before it sends is told before it sends."""
    with Client(daemon.http) as c:
        a = c.ask(request("POST", "/bitrix/pub/?CHANNEL_ID=x", None,
                          Expect="100-continue", **fields))
        assert a.status == status and a.header("Connection") == "close"
        assert c.at_end()


REFUSED = [
    ("POST", "/nowhere", {}, 404), ("GET", "/nowhere", {}, 404),
    ("POST", "/look/some?id=x", {"X_Forwarded_For": "192.0.2.1"}, 403),
    ("POST", "/bitrix/pub/?CHANNEL_ID=x", {"X_Forwarded_For": "192.0.2.1"},
     403),
    ("PATCH", "/look?id=x", {}, 405), ("POST", "/poll?id=x", {}, 405),
    ("POST", "/ws?id=x", {}, 405)]


@pytest.mark.parametrize("body", [{"Content_Length": 60000},
                                  {"Transfer_Encoding": "chunked"}])
@pytest.mark.parametrize("method, target, fields, status", REFUSED)
def test_refused_before_the_body(daemon, method, target, fields, status,
                                 body):
    """A body that nobody may send, or nobody there wants, is not waited for,
    let alone asked for: the location is looked at before."""
    for expect in (None, "100-continue"):
        with Client(daemon.http) as c, daemon.counts(refused_requests=1):
            a = c.ask(request(method, target, None, Expect=expect, **fields,
                              **body))
            assert a.status == status and a.header("Connection") == "close"
            c.send_until_closed(b"x" * 60000)
            assert c.at_end()


@pytest.mark.parametrize("gateway", ["fastcgi", "scgi"])
def test_refused_before_the_body_by_every_gateway(daemon, gateway):
    params = wire.publish("x", b"x" * 60000, REMOTE_ADDR="192.0.2.1")
    with daemon.connect(getattr(daemon, gateway)) as c:
        if gateway == "scgi":
            c.send(wire.scgi(params, b"x" * 60000)[:-59999])
            assert c.scgi_answer().status == 403
        else:
            c.send(wire.fastcgi(params, b"x" * 60000, keep=False)[:-50000])
            assert c.answer().status == 403


def test_rest_is_for_who_has_an_id(make_daemon):
    """Clients of Bitrix publish from anywhere, but show their id first."""
    d = make_daemon(bitrix_version=4, signature_key="key")
    with Client(d.http) as c:
        a = c.ask(request(
            "POST", "/bitrix/rest/?binaryMode=true&CHANNEL_ID=" + "0" * 32,
            None, Content_Length=1000))
        assert a.status == 400 and a.body.startswith(b"4012")
        assert a.header("Connection") == "close"


def test_body_of_a_get(daemon, http):
    """Read and dropped; the connection goes on."""
    ch = new_channel()
    published(http.ask(publish(ch, b"x")))
    for n in (1, 60000):
        a = http.ask(poll(ch, If_Modified_Since=SINCE_EVER,
                          body=b"x" * n))
        assert messages(a.body) == [b"x"]
    http.send(request("GET", "/look?id=" + ch, None,
                      Transfer_Encoding="chunked", Expect="100-continue"))
    assert http.head().status == 100
    http.send(chunk(b"x" * 1000) + b"0\r\n\r\n")
    assert http.answer().status == 200


def test_other_expectations(daemon):
    a = ask(daemon.http, publish("x", b"y", Expect="more"))
    assert a.status == 417 and a.header("Connection") == "close"


def test_large_bodies(daemon):
    ch = new_channel()
    with Client(daemon.http) as c:
        assert published(c.ask(publish(ch, b"x" * 65536))) == 1
        c.send(request("POST", "/bitrix/pub/?CHANNEL_ID=" + ch, None,
                       Transfer_Encoding="chunked"))
        for _ in range(64):
            c.send(chunk(b"x" * 1024))
        c.send(b"0\r\n\r\n")
        assert published(c.answer()) == 2
        c.send_until_closed(publish(ch, b"x" * 65537))
        a = c.answer()
        assert a.status == 413 and a.header("Connection") == "close"
    with Client(daemon.http) as c:
        c.send(request("POST", "/bitrix/pub/?CHANNEL_ID=" + ch, None,
                       Transfer_Encoding="chunked"))
        c.send_until_closed(chunk(b"x" * 65536) + chunk(b"x"))
        assert c.answer().status == 413


# Methods and targets

def test_head(daemon, http):
    ch = new_channel()
    published(http.ask(publish(ch, b"x")))
    got = http.ask(request("GET", "/look?id=" + ch))
    a = http.ask(request("HEAD", "/look?id=" + ch), head=True)
    assert a.status == 200
    assert a.header("Content-Length") == str(len(got.body)) != "0"
    assert http.ask(request("GET", "/nowhere")).status == 404


def test_head_of_a_stream(daemon):
    """Only the head; nobody is subscribed after it."""
    subscribers = daemon.status()["subscribers"]
    with Client(daemon.http) as c:
        a = c.ask(request("HEAD", "/events?id=" + new_channel()), head=True)
        assert a.status == 200 and a.header("Connection") == "close"
        assert c.rest() == b""
    daemon.wait_for(subscribers=subscribers)


def test_options(http):
    a = http.ask(request("OPTIONS", "*"))
    assert a.status == 200 and "POST" in a.header("Allow") and a.body == b""
    assert http.ask(request("OPTIONS", "/look?id=x")).status in (200, 405)
    assert http.ask(request("PATCH", "/look?id=x")).status == 405


def test_absolute_target(http):
    ch = new_channel()
    a = http.ask(request("POST", "http://b/bitrix/pub/?CHANNEL_ID=" + ch,
                         b"x"))
    assert published(a) == 1


@pytest.mark.parametrize("target, status", [
    ("/bitrix//pub/./?CHANNEL_ID=", 200), ("/x/../bitrix/pub/?CHANNEL_ID=",
                                           200),
    ("/bitrix/%70ub/?CHANNEL_ID=", 200), ("/../bitrix/pub/?CHANNEL_ID=", 400),
    ("/bitrix/pub/%?CHANNEL_ID=", 400), ("/bitrix/pub/%00?CHANNEL_ID=", 400),
    ("*?CHANNEL_ID=", 400), ("h:80", 400), ("ftp://h/?CHANNEL_ID=", 400)])
def test_targets(daemon, target, status):
    a = ask(daemon.http, request("POST", target + new_channel(), b"x"))
    assert a.status == status
    assert (a.header("Connection") == "close") == (status == 400)


def test_not_modified_has_no_body(http):
    """Neither a body nor a length: what follows is the next answer."""
    ch = new_channel()
    published(http.ask(publish(ch, b"x")))
    first = http.ask(poll(ch, If_Modified_Since=SINCE_EVER))
    a = http.ask(request(
        "GET", "/events/poll?id=" + ch, X_Nginx_PushStream_Mode="polling",
        If_Modified_Since=first.header("Last-Modified"),
        If_None_Match=first.header("Etag")))
    assert a.status == 304
    assert a.header("Content-Length") is None
    assert http.ask(request("GET", "/nowhere")).status == 404


# Streams and sockets

def test_stream(daemon, http):
    """Each message is a chunk of its own and comes when it is published; the
    connection goes on after the stream."""
    ch = new_channel()
    http.send(request("GET", "/events?id=" + ch))
    a = http.head()
    assert a.status == 200 and a.header("Transfer-Encoding") == "chunked"
    assert a.header("Content-Length") is None
    for text in (b"one", b"x" * 5000, b"three"):
        daemon.publish(ch, text)
        assert http.chunk() == text
    ask(daemon.http, request("DELETE", "/look?id=" + ch))
    while http.chunk():
        pass
    assert http.ask(request("GET", "/nowhere")).status == 404


def test_a_thousand_readers(daemon):
    """What one message becomes in HTTP is made once; all get the same."""
    ch = new_channel()
    polls = [park(daemon, ch) for _ in range(50)]
    polls += [park(daemon, ch, Connection="close") for _ in range(5)]
    streams = [Client(daemon.http) for _ in range(50)]
    for s in streams:
        s.send(request("GET", "/events?id=" + ch))
        s.head()
    daemon.publish(ch, b"everybody")
    bodies = set()
    for c in polls:
        with c:
            bodies.add(c.answer().body)
    assert len(bodies) == 1 and messages(bodies.pop()) == [b"everybody"]
    for s in streams:
        with s:
            assert s.chunk() == b"everybody"


class Socket(ws.WebSocket):
    """Over HTTP; after the head all bytes are the socket's own."""

    def __init__(self, daemon, path, early=b"", **fields):
        self.gateway, self.input, self.ended = "scgi", bytearray(), False
        self.client = Client(daemon.http)
        self.client.send(request("GET", path, **{
            "Upgrade": "websocket", "Connection": "keep-alive, Upgrade",
            "Sec_WebSocket_Key": ws.KEY, "Sec_WebSocket_Version": "13",
            **fields}) + early)


def test_websocket(daemon):
    ch = new_channel()
    with Socket(daemon, "/ws?id=" + ch) as w:
        a = http1.Answer(w.head()[:-4])
        assert a.status == 101
        assert a.header("Upgrade").lower() == "websocket"
        assert a.header("Connection") == "Upgrade"
        assert a.header("Sec-WebSocket-Accept") == ws.ACCEPT
        for name in ("Content-Length", "Transfer-Encoding"):
            assert a.header(name) is None
        daemon.publish(ch, b"one")
        assert w.text() == b"one"
        w.say(b"two")
        assert w.text() == b"two"
        w.send(ws.frame(ws.PING, b"?"), wire.cut_bytes)
        assert w.frame() == (ws.PONG, b"?")
        w.send(ws.frame(ws.CLOSE))
        assert w.frame()[0] == ws.CLOSE


def test_flood_of_texts(daemon):
    """The socket is not read from while the store is behind, and read from
    again; also what came with the head."""
    text = ws.frame(ws.TEXT, b"x")
    with daemon.counts(published_messages=4000), \
            Socket(daemon, "/ws?id=" + new_channel(), early=text * 1000) as w:
        assert http1.Answer(w.head()[:-4]).status == 101
        w.send(text * 3000)
        for _ in range(4000):
            assert w.text() == b"x"


def test_websocket_early_bytes(daemon):
    """Sent in one packet with the head."""
    ch = new_channel()
    with Socket(daemon, "/ws?id=" + ch,
                early=ws.frame(ws.TEXT, b"early")) as w:
        assert http1.Answer(w.head()[:-4]).status == 101
        assert w.text() == b"early"


@pytest.mark.parametrize("fields", [
    {"Connection": "keep-alive"}, {"Connection": None}, {"version": "1.0"},
    {"Content_Length": 0, "Upgrade": "h2c"}])
def test_no_websocket(daemon, fields):
    """Without a proper request for one there is no tunnel."""
    with Socket(daemon, "/ws?id=" + new_channel(), **fields) as w:
        status = http1.Answer(w.head()[:-4]).status
        assert 400 <= status < 500


def test_slow_reader(make_daemon):
    d = make_daemon(more=LOCATIONS, subscriber_buffer_size="64k")
    ch = new_channel()
    with Client(d.http, rcvbuf=4096) as c:
        c.send(request("GET", "/events?id=" + ch))
        c.head()
        for _ in range(100):
            d.publish(ch, b"x" * 60000)
            if d.status()["close_behind_bytes"]:
                break
        assert d.status()["close_behind_bytes"] == 1


# Who may

def client(daemon, path, method="GET", **fields):
    return ask(daemon.http, request(method, path + "?id=x", **fields)).status


def test_access(daemon):
    """By the client's address: the socket's, or what a trusted proxy says."""
    def status(forwarded):
        return client(daemon, "/look/some", X_Forwarded_For=forwarded)

    ask(daemon.http, request("POST", "/look?id=x", b"x"))
    assert client(daemon, "/look", X_Forwarded_For="192.0.2.1") == 200
    assert status(None) == 200
    assert status("10.1.2.3") == 200
    assert status("10.2.2.3") == 403
    assert status("10.1.2.3, 10.2.2.3") == 403
    assert status("10.2.2.3, 10.1.2.3") == 200
    assert status("127.0.0.2") == 403
    assert status("unknown") == 403
    # A field of that name with underscores is nobody's.
    a = ask(daemon.http, b"GET /look/some?id=x HTTP/1.1\r\nHost: h\r\n"
            b"X_Forwarded_For: 10.2.2.3\r\nREMOTE_ADDR: 10.2.2.3\r\n\r\n")
    assert a.status == 200


@pytest.mark.parametrize("gateway", ["fastcgi", "scgi"])
def test_access_by_every_gateway(daemon, gateway):
    params = wire.cgi("GET", "/look/some", "id=x", REMOTE_ADDR="10.2.2.3")
    with daemon.connect(getattr(daemon, gateway)) as c:
        if gateway == "scgi":
            c.send(wire.scgi(params))
            assert c.scgi_answer().status == 403
        else:
            c.send(wire.fastcgi(params, keep=False))
            assert c.answer().status == 403


def test_untrusted_proxy(make_daemon):
    """Who says that he speaks for others is not believed."""
    d = make_daemon(more=LOCATIONS, trusted_proxies=["192.0.2.1"])
    assert client(d, "/look/some", X_Forwarded_For="10.2.2.3") == 404
    a = ask(d.http, publish("x", b"y", X_Forwarded_For="10.2.2.3"))
    assert a.status == 200
    assert client(d, "/look/some", X_Forwarded_For="10.2.2.3") == 200


def test_publisher_of_the_local_host(daemon):
    a = ask(daemon.http, publish(new_channel(), b"x",
                                 X_Forwarded_For="192.0.2.1"))
    assert a.status == 403


def test_no_settings_from_clients(daemon):
    """A field can name no directive, however it is written."""
    for name in (b"push_stream_publisher", b"push-stream-publisher",
                 b"bitrix_version", b"holdfast_expand", b"HTTP_X"):
        a = ask(daemon.http, b"GET /nowhere HTTP/1.1\r\nHost: h\r\n" +
                name + b": admin\r\n\r\n")
        assert a.status == 404


def test_connections_per_address(make_daemon):
    d = make_daemon(trusted_proxies=["192.0.2.1"],
                    http_max_connections_per_address=3)
    clients = [Client(d.http) for _ in range(3)]
    for c in clients:
        assert c.ask(request("GET", "/")).status == 404
    with d.counts(connections_refused=1), Client(d.http) as c:
        assert c.at_end()
    clients.pop().close()
    d.wait_for(connections=3)
    assert ask(d.http, request("GET", "/")).status == 404
    with Client(d.http, source="127.0.0.7") as c:
        assert c.ask(request("GET", "/")).status == 404
    for c in clients:
        c.close()


# Time

def test_slow_head(make_daemon):
    """Drop by drop is not faster than not at all."""
    d = make_daemon(http_header_timeout="300ms")
    with Client(d.http) as silent, Client(d.http) as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        for _ in range(8):
            time.sleep(0.1)
            slow.send_until_closed(b"X: y\r\n")
        assert slow.answer().status == 408
        assert slow.at_end() and silent.at_end()
        assert time.monotonic() - start < 5


def test_sending_for_ever(make_daemon):
    """Who goes on after a refusal is listened to so that he sees it, but no
    longer than a request may take."""
    d = make_daemon(request_timeout="600ms")
    with Client(d.http) as c, d.counts(close_linger=1):
        start = time.monotonic()
        c.send(request("POST", "/", None, Content_Length=1 << 30))
        assert c.answer().status == 413
        while d.status()["close_linger"] == 0:
            assert time.monotonic() - start < 4
            time.sleep(0.1)
            c.send_until_closed(b"x")
        assert time.monotonic() - start > 0.5


def test_slow_body(make_daemon):
    d = make_daemon(request_timeout="300ms", http_header_timeout="100ms")
    with Client(d.http) as c:
        c.send(publish("x", b"", Content_Length=10) + b"a")
        for _ in range(5):
            time.sleep(0.1)
            c.send_until_closed(b"a")
        a = c.answer()
        assert a.status == 408 and a.header("Connection") == "close"
        assert c.at_end()


def test_idle(make_daemon):
    """Closed without a word; a poll that waits is not idle."""
    d = make_daemon(http_keepalive_timeout="200ms",
                    http_header_timeout="200ms", request_timeout="200ms",
                    more=LOCATIONS)
    ch = new_channel()
    with park(d, ch) as waiting:
        with Client(d.http) as c:
            assert c.ask(request("GET", "/")).status == 404
            assert c.at_end()
        time.sleep(0.5)
        d.publish(ch, b"x")
        assert messages(waiting.answer().body) == [b"x"]
    assert d.status()["close_unused"] >= 1


def test_stopping(make_daemon):
    """The lame duck: waiting polls get their empty answer, and everybody is
    told that the connection ends."""
    d = make_daemon(more=LOCATIONS)
    with Client(d.http) as idle, park(d, "a") as waiting:
        assert idle.ask(request("GET", "/")).status == 404
        d.terminate()
        a = waiting.answer()
        assert a.status in (200, 304)
        assert a.header("Connection") == "close"
        assert waiting.at_end() and idle.at_end()


def test_stopping_with_a_crowd_before_the_door(make_daemon):
    """Who connected and asked before the end is answered."""
    d = make_daemon()
    d.process.send_signal(signal.SIGSTOP)
    clients = [Client(d.http) for _ in range(300)]
    for c in clients:
        c.send(request("GET", "/"))
    d.terminate()
    d.process.send_signal(signal.SIGCONT)
    for c in clients:
        assert c.answer().status == 404
        c.close()


def flood(address, count):
    """A peer who asks without end and reads what he gets."""
    asks = request("OPTIONS", "*") * 2000
    with socket.create_connection(address, wire.TIMEOUT) as s:
        with contextlib.suppress(OSError):
            reader = threading.Thread(target=drop, args=(s, count))
            reader.start()
            while True:
                s.sendall(asks)
        reader.join()


def drop(s, count):
    with contextlib.suppress(OSError):
        while data := s.recv(1 << 20):
            count.append(len(data))


def test_stopping_under_load(make_daemon):
    """Nobody who goes on asking can keep it from going."""
    d = make_daemon()
    count = []
    peers = [threading.Thread(target=flood, args=(d.http, count))
             for _ in range(8)]
    for p in peers:
        p.start()
    wait_until(lambda: sum(count) > 1 << 20)
    start = time.monotonic()
    d.stop()
    assert time.monotonic() - start < 10
    for p in peers:
        p.join(wire.TIMEOUT)
        assert not p.is_alive()


# Sockets

def test_unix_socket(make_daemon, tmp_path):
    """A front that may write there is trusted, and nobody without one."""
    path = str(tmp_path / "http.sock")
    d = make_daemon(http=["unix:" + path])
    assert ask(path, publish("a", b"x")).status == 403
    assert ask(path, publish("a", b"x",
                             X_Forwarded_For="127.0.0.1")).status == 200


@pytest.mark.parametrize("form", ["%d", ":%d"])
def test_default_host(make_daemon, form):
    import conftest
    port = conftest.free_port()
    make_daemon(http=[form % port])
    assert ask(("127.0.0.1", port), request("GET", "/")).status == 404
    with pytest.raises(OSError):
        Client(("127.0.0.2", port))


def test_descriptors_come_back(daemon):
    before = daemon.descriptors()
    for _ in range(30):
        assert ask(daemon.http, request("GET", "/")).status == 404
    wait_until(lambda: daemon.descriptors() <= before)


# A client that is not ours

@pytest.fixture
def curl(daemon):
    if not shutil.which("curl"):
        pytest.skip("there is no curl")

    def run(*args, path="/"):
        return subprocess.run(
            ["curl", "-sSk", "--max-time", "20", *args,
             "%s://%s:%d%s" % (daemon.scheme, *daemon.http, path)],
            check=True, capture_output=True, timeout=wire.TIMEOUT * 2).stdout
    return run


def test_curl(daemon, curl, tmp_path):
    ch = new_channel()
    pub = "/bitrix/pub/?CHANNEL_ID=" + ch
    body = tmp_path / "body"
    body.write_bytes(b"z" * 3000)
    assert b'"published_messages": "1"' in curl("-d", "one", path=pub)
    assert b'"2"' in curl("--http1.0", "-d", "two", path=pub)
    assert b'"3"' in curl("-H", "Transfer-Encoding: chunked", "--data-binary",
                          f"@{body}", path=pub)
    assert b'"4"' in curl("-H", "Expect: 100-continue", "--data-binary",
                          f"@{body}", path=pub)
    assert b"Content-Length:" in curl("-I", path="/look?id=" + ch)
    got = curl("-H", "If-Modified-Since: " + SINCE_EVER,
               path="/poll?id=" + ch)
    assert messages(got) == [b"one", b"two", b"z" * 3000, b"z" * 3000]
