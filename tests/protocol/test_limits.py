"""Bounds of doc/LIMITS.md that a front or client meets with what it sends:
served at the bound, refused one past it as the table says, and counted."""

import contextlib
import time

import pytest

import http1
import wire
import ws
from front import (EXPLAIN, GATEWAYS, SINCE_EVER, Location, long_polling,
                   new_channel, polling, publisher)

WAYS = [*GATEWAYS, "http"]


def until(true):
    deadline = time.monotonic() + wire.TIMEOUT
    while not true():
        assert time.monotonic() < deadline


def post(d, way, body, **fields):
    """Status of a publish of the built-in layout's site."""
    if way == "http":
        return http1.ask(d.http, http1.publish("a", body, **fields)).status
    with d.connect(getattr(d, way)) as c:
        params = wire.publish("a", body, **fields)
        if way == "scgi":
            c.send_until_closed(wire.scgi(params, body))
            return c.scgi_answer().status
        c.send_until_closed(wire.fastcgi(params, body, keep=False))
        return c.answer().status


def size(params):
    return sum(len(n) + len(v) for n, v in params.items())


# One request

@pytest.mark.parametrize("way", WAYS)
def test_body(make_daemon, way):
    d = make_daemon(client_max_body_size="1000")
    with d.counts(limit_client_max_body_size=0):
        assert post(d, way, b"x" * 1000) == 200
    with d.counts(limit_client_max_body_size=1):
        assert post(d, way, b"x" * 1001) == 413
    assert "limit_client_max_body_size 1: " in d.said()


def test_params(make_daemon):
    """Bytes of names and values."""
    d = make_daemon(max_params_size="4096")
    room = 4096 - size(wire.publish("a", b"x", HTTP_PAD=""))
    with d.counts(limit_max_params_size=0):
        assert post(d, "fastcgi", b"x", HTTP_PAD="p" * room) == 200
    with d.counts(limit_max_params_size=1):
        assert post(d, "fastcgi", b"x", HTTP_PAD="p" * (room + 1)) == 413


def test_params_of_scgi(make_daemon):
    """There they have a NUL each, and their length is told before them."""
    d = make_daemon(max_params_size="4096")
    head = wire.scgi(wire.publish("a", b"x", HTTP_PAD=""), b"x")
    room = 4096 - int(head.split(b":")[0])
    with d.counts(limit_max_params_size=0):
        assert post(d, "scgi", b"x", HTTP_PAD="p" * room) == 200
    with d.counts(limit_max_params_size=1):
        assert post(d, "scgi", b"x", HTTP_PAD="p" * (room + 1)) == 413


def test_head(make_daemon):
    """Of HTTP it is the head, and the status another."""
    d = make_daemon(max_params_size="4096")
    room = 4096 - len(http1.poll("a", Pad=""))
    # What we tell of the connection needs some of it.
    with d.counts(limit_max_params_size=0):
        assert http1.ask(d.http, http1.request(
            "GET", "/none", Pad="p" * 3000)).status == 404
    with d.counts(limit_max_params_size=1):
        assert http1.ask(d.http, http1.poll(
            "a", Pad="p" * (room + 1))).status == 431


def test_parameters(daemon):
    """Their number."""
    def ask(n):
        params = wire.publish("a", b"x")
        more = {f"HTTP_X{i}": "" for i in range(n - len(params))}
        return post(daemon, "fastcgi", b"x", **more)

    with daemon.counts(limit_parameters=0):
        assert ask(512) == 200
    with daemon.counts(limit_parameters=1, limit_max_params_size=0):
        assert ask(513) == 413


def test_request_line(daemon):
    def ask(n):
        line = "GET / HTTP/1.1\r\n"
        path = "/" + "a" * (n - len(line))
        return http1.ask(daemon.http, http1.request("GET", path)).status

    with daemon.counts(limit_request_line=0):
        assert ask(16384) == 404
    with daemon.counts(limit_request_line=1):
        assert ask(16385) == 414


def test_head_line(daemon):
    """Any other line of a head has the same bound."""
    def ask(n):
        value = "a" * (n - len("Pad: \r\n"))
        return http1.ask(
            daemon.http, http1.request("GET", "/none", Pad=value)).status

    with daemon.counts(limit_max_params_size=0):
        assert ask(16384) == 404
    with daemon.counts(limit_max_params_size=1):
        assert ask(16385) == 431


def test_websocket_message(make_daemon):
    d = make_daemon(client_max_body_size="1000")
    loc = ws.websocket(d, websocket_allow_publish="on")
    with ws.WebSocket(loc, "a") as w, d.counts(limit_websocket_message=0):
        w.say(b"x" * 1000)
        assert w.text() == b"x" * 1000
    with ws.WebSocket(loc, "a") as w, d.counts(limit_websocket_message=1):
        w.say(b"x" * 1001)
        w.closed(1009)


def test_ignored_websocket_message(daemon):
    """Who may not publish has less."""
    loc = ws.websocket(daemon)
    with ws.WebSocket(loc, "a") as w, daemon.counts(
            limit_websocket_message=0):
        w.say(b"x" * 16384)
        w.send(ws.frame(ws.PING, b"there?"))
        assert w.frame() == (ws.PONG, b"there?")
    with ws.WebSocket(loc, "a") as w, daemon.counts(
            limit_websocket_message=1):
        w.say(b"x" * 16385)
        w.closed(1009)


def test_channels_per_request(daemon):
    poll = polling(daemon)
    with daemon.counts(limit_channels_per_request=0):
        assert poll.get("/".join(f"c{n}" for n in range(1000))).status == 304
    with daemon.counts(limit_channels_per_request=1):
        answer = poll.get("/".join(f"c{n}" for n in range(1001)))
    assert answer.status == 400
    assert answer.header(EXPLAIN) == "Too many channels in one request."


def test_channel_id_length(make_daemon):
    d = make_daemon(push_stream_max_channel_id_length=5)
    pub = publisher(d)
    with d.counts(limit_push_stream_max_channel_id_length=0):
        pub.post("12345", b"x")
    with d.counts(limit_push_stream_max_channel_id_length=1):
        assert pub.ask("POST", "123456", b"x").status == 400


# All that comes in

BODY = 65536
SMALL = {"client_max_body_size": str(BODY), "max_params_size": "4096",
         "max_incoming_size": str(3 * (BODY + 4096))}


def begun(d, sent, channel="a"):
    """A publish by HTTP, of whose largest body so much is there."""
    c = http1.Client(d.http)
    data = http1.publish(channel, b"x" * BODY)
    c.send(data[:len(data) - BODY + sent])
    return c


def test_incoming(make_daemon):
    """Two of the largest bodies have room, a third has none, before it is
    whole; afterwards it has."""
    d = make_daemon(**SMALL)
    with begun(d, 40000) as a, begun(d, 40000) as b:
        until(lambda: d.status()["incoming_bytes"] >= 2 * BODY)
        with d.counts(limit_max_incoming_size=1):
            with begun(d, 40000) as c:
                answer = c.answer()
                assert answer.status == 503
                assert answer.header("Retry-After") == "1"
                assert c.at_end()
        # An eighth is left to the small, when the large have all of theirs.
        with begun(d, 20000), d.counts(limit_max_incoming_size=0):
            until(lambda: d.status()["incoming_bytes"] > 170000)
            for size in 10000, 17000:
                assert post(d, "http", b"x" * size) == 200
        assert "limit_max_incoming_size 1: " in d.said()
        for c in a, b:
            c.send(b"x" * (BODY - 40000))
            assert c.answer().status == 200
    with d.counts(limit_max_incoming_size=0):
        assert post(d, "http", b"x" * BODY) == 200


def test_incoming_what_is_large(make_daemon):
    """Where the large have all of theirs, 32 KiB still have room, and one
    byte more have not."""
    d = make_daemon(**{**SMALL, "max_incoming_size": "512k"})
    with contextlib.ExitStack() as all:
        for n in range(1, 7):
            all.enter_context(begun(d, 40000))
            until(lambda: d.status()["incoming_bytes"] >= n * BODY)
        with d.counts(limit_max_incoming_size=0):
            assert post(d, "http", b"x" * 32768) == 200
        with d.counts(limit_max_incoming_size=1):
            assert post(d, "http", b"x" * 32769) == 503


@pytest.mark.parametrize("way", GATEWAYS)
def test_incoming_by_gateways(make_daemon, way):
    d = make_daemon(**SMALL)
    with begun(d, 40000), begun(d, 40000):
        until(lambda: d.status()["incoming_bytes"] >= 2 * BODY)
        with d.counts(limit_max_incoming_size=1):
            assert post(d, way, b"x" * BODY) == 503
    until(lambda: d.status()["incoming_bytes"] < BODY)
    assert post(d, way, b"x" * BODY) == 200


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_incoming_websockets(make_daemon, gateway):
    """Messages that are not whole count like requests that are not."""
    d = make_daemon(**SMALL)
    loc = ws.websocket(d, gateway, websocket_allow_publish="on")
    whole = ws.frame(ws.TEXT, b"x" * BODY)
    with ws.WebSocket(loc, "a") as a, ws.WebSocket(loc, "a") as b, \
            ws.WebSocket(loc, "a") as c:
        for w in a, b:
            w.send(whole[:40000])
        until(lambda: d.status()["incoming_bytes"] >= 2 * BODY)
        with d.counts(limit_max_incoming_size=1):
            c.send(whole[:40000])
            c.closed(1013)
        a.send(whole[40000:])
        for w in a, b:
            assert w.text() == b"x" * BODY


def test_incoming_pipeline(make_daemon):
    """What is said behind a poll that waits is kept, and counted as well."""
    d = make_daemon(**SMALL)
    d.publish("a", b"so that it exists")
    with begun(d, 40000), begun(d, 40000), contextlib.ExitStack() as all:
        until(lambda: d.status()["incoming_bytes"] >= 2 * BODY)
        with d.counts(limit_max_incoming_size=1, close_crowded=1):
            for n in range(1, 11):
                c = all.enter_context(http1.Client(d.http))
                c.send(http1.poll("a") + b"GET /" + b"x" * 15000)
                until(lambda: d.status()["parked"] == n or
                      d.status()["close_crowded"] != 0)
                if d.status()["close_crowded"] != 0:
                    break
            assert c.rest() == b""
    d.wait_for(parked=0)


def test_incoming_of_those_who_wait(make_daemon):
    """So is what a poll brought and needs for its answer."""
    d = make_daemon(client_max_body_size="1k", max_params_size="64k",
                    max_incoming_size="256k")
    publisher(d).post("a", b"x")
    poll = long_polling(d)
    name = "c" * 20000
    waiting = [poll.park("a", query="callback=" + name) for _ in range(5)]
    assert 100000 <= d.status()["incoming_bytes"] < 120000
    with contextlib.ExitStack() as all:
        with d.counts(limit_max_incoming_size=1):
            while d.status()["limit_max_incoming_size"] == 0:
                w = poll.start("GET", "a", query="callback=" + name)
                all.callback(w.hang_up)
    publisher(d).post("a", b"y")
    for w in waiting:
        assert w.answer().body.startswith(name.encode() + b"([")
    until(lambda: d.status()["incoming_bytes"] < 20000)


# Connections

def test_max_connections(make_daemon):
    """At the bound all are served; one more waits until another has gone."""
    d = make_daemon(max_connections=3)
    with contextlib.ExitStack() as all:
        some = [all.enter_context(d.connect()) for _ in range(3)]
        for c in some:
            c.send(wire.fastcgi(wire.publish("a", b"x"), b"x"))
            assert c.answer().status == 200
        assert d.status()["limit_max_connections"] == 0
        one_more = all.enter_context(d.connect())
        one_more.send(wire.fastcgi(wire.publish("a", b"x"), b"x"))
        until(lambda: d.status()["limit_max_connections"] > 0)
        some[0].close()
        assert one_more.answer().status == 200


def test_descriptors(make_daemon):
    """The system's bound, with too many connections allowed."""
    d = make_daemon(start=False)
    d.start(before=["prlimit", "--nofile=70:70"])
    free = 70 - d.descriptors()
    with contextlib.ExitStack() as all:
        # The store opens some files when it needs them.
        for _ in range(free - 8):
            all.enter_context(d.connect())
        assert d.status()["limit_descriptors"] == 0
        for _ in range(16):
            all.enter_context(d.connect())
        until(lambda: "accepting connections rests" in d.said())
    until(lambda: d.status()["limit_descriptors"] > 0)
    d.publish("a", b"x")


def test_connections_per_address(make_daemon):
    d = make_daemon(trusted_proxies=["192.0.2.1"],
                    http_max_connections_per_address=2)
    with http1.Client(d.http) as a, http1.Client(d.http) as b:
        for c in a, b:
            assert c.ask(http1.publish("a", b"x")).status == 200
        assert d.status()["limit_http_max_connections_per_address"] == 0
        with d.counts(limit_http_max_connections_per_address=1):
            with http1.Client(d.http) as third:
                assert third.at_end()
        assert a.ask(http1.publish("a", b"x")).status == 200


def test_requests_per_connection(daemon):
    """A front that puts many on a connection."""
    daemon.publish("a", b"so that it exists")
    with daemon.connect() as c:
        for id in range(1, 65):
            c.send(wire.fastcgi(wire.poll("a"), id=id))
        daemon.wait_for(parked=64, limit_requests_per_connection=0)
        c.send(wire.fastcgi(wire.poll("a"), id=65))
        assert c.answer(65).protocol_status == wire.OVERLOADED
        assert daemon.status()["limit_requests_per_connection"] == 1
    daemon.wait_for(parked=0)


def test_requests_of_all(make_daemon):
    """Together they are as many as there may be connections; but each may
    have one."""
    d = make_daemon(max_connections=8)
    d.publish("a", b"so that it exists")
    with d.connect() as c, d.connect() as other:
        for id in range(1, 9):
            c.send(wire.fastcgi(wire.poll("a"), id=id))
        d.wait_for(parked=8)
        c.send(wire.fastcgi(wire.poll("a"), id=9))
        assert c.answer(9).protocol_status == wire.OVERLOADED
        other.send(wire.fastcgi(wire.poll("a"), id=1))
        d.wait_for(parked=9, limit_requests_per_connection=1)
        other.send(wire.fastcgi(wire.poll("a"), id=2))
        assert other.answer(2).protocol_status == wire.OVERLOADED


def test_requests_a_wake(daemon):
    """So many that came in one piece are answered, then others have their
    turn; and all are answered in the end."""
    def ask(n):
        with http1.Client(daemon.http) as c:
            c.send(http1.request("GET", "/none") * n)
            for _ in range(n):
                assert c.answer().status == 404

    with daemon.counts(limit_requests_a_wake=0):
        ask(64)
    before = daemon.status()["limit_requests_a_wake"]
    ask(65)
    assert daemon.status()["limit_requests_a_wake"] == before + 1


# What is kept

def test_memory(make_daemon):
    """A database in memory heeds max_database_size, too: what does not fit
    is answered 507, and what is deleted makes room."""
    d = make_daemon(database="memory", max_database_size="100000")
    pub, poll = publisher(d), polling(d, message_template="~text~;")
    for n in range(9):
        pub.post("a", b"x" * 10000)
    with d.counts(store_full=1):
        answer = pub.ask("POST", "a", b"y" * 10000)
    assert answer.status == 507
    assert poll.get("a", **SINCE_EVER).body == b"".join(
        [b"x" * 10000 + b";"] * 9)
    pub.post("a", b"small")
    assert pub.ask("DELETE", "a").status == 200
    for n in range(9):
        pub.post("b", b"x" * 10000)
    assert pub.ask("POST", "b", b"y" * 10000).status == 507


@pytest.mark.parametrize("database", ["memory", None])
def test_stored_per_channel(make_daemon, database):
    d = make_daemon(**({"database": database} if database else {}),
                    push_stream_max_messages_stored_per_channel=2)
    pub, poll = publisher(d), polling(d, message_template="~text~")
    name = "limit_push_stream_max_messages_stored_per_channel"
    for n in range(2):
        pub.post("a", b"%d" % n)
    assert d.status()[name] == 0
    pub.post("a", b"2")
    assert d.status()[name] == 1
    assert poll.get("a", **SINCE_EVER).body == b"12"


def test_replay_slice(make_daemon):
    """What is left comes with the next answer."""
    d = make_daemon(replay_messages=2)
    pub, poll = publisher(d), polling(d, message_template="~text~")
    for n in range(2):
        pub.post("a", b"%d" % n)
    with d.counts(limit_replay_slice=0):
        assert poll.get("a", **SINCE_EVER).body == b"01"
    pub.post("a", b"2")
    with d.counts(limit_replay_slice=1):
        answer = poll.get("a", **SINCE_EVER)
    assert answer.body == b"01"
    assert poll.get("a", HTTP_IF_MODIFIED_SINCE=answer.header("Last-Modified"),
                    HTTP_IF_NONE_MATCH=answer.header("Etag")).body == b"2"


def test_replay_slice_by_bytes(make_daemon):
    d = make_daemon(replay_size="1000")
    pub, poll = publisher(d), polling(d, message_template="~text~")
    pub.post("a", b"x" * 600)
    pub.post("a", b"y" * 400)
    with d.counts(limit_replay_slice=0):
        assert len(poll.get("a", **SINCE_EVER).body) == 1000
    pub.post("a", b"z")
    with d.counts(limit_replay_slice=1):
        assert len(poll.get("a", **SINCE_EVER).body) == 1000


# Channels and readers

@pytest.mark.parametrize("name, channel", [
    ("push_stream_max_number_of_channels", "c"),
    ("push_stream_max_number_of_wildcard_channels", "w_")])
def test_channels(make_daemon, name, channel):
    d = make_daemon(push_stream_wildcard_channel_prefix="w_", **{name: 2})
    pub = publisher(d)
    with d.counts(**{"limit_" + name: 0}):
        for n in 1, 2, 1:
            pub.post(channel + str(n), b"x")
    with d.counts(**{"limit_" + name: 1}):
        answer = pub.ask("POST", channel + "3", b"x")
    assert answer.status == 403
    assert answer.header(EXPLAIN) == "Number of channels were exceeded."


def test_subscribers_per_channel(make_daemon):
    d = make_daemon(push_stream_max_subscribers_per_channel=2)
    poll = long_polling(d)
    name = "limit_push_stream_max_subscribers_per_channel"
    waiting = [poll.park("a"), poll.park("a")]
    assert d.status()[name] == 0
    with d.counts(**{name: 1}):
        assert poll.get("a").status == 403
    for w in waiting:
        w.hang_up()


def test_wildcards_per_subscriber(make_daemon):
    d = make_daemon(push_stream_wildcard_channel_prefix="w_")
    poll = polling(d, wildcard_channel_max_qtd="1")
    name = "limit_push_stream_wildcard_channel_max_qtd"
    with d.counts(**{name: 0}):
        assert poll.get("a/w_1").status == 304
    with d.counts(**{name: 1}):
        assert poll.get("a/w_1/w_2").status == 403


def test_subscriptions(make_daemon):
    """Places in channels, of all together."""
    d = make_daemon(max_subscriptions=3)
    poll = long_polling(d)
    first, second = poll.park("a/b"), poll.park("c")
    d.wait_for(subscriptions=3, limit_max_subscriptions=0)
    with d.counts(limit_max_subscriptions=1):
        answer = poll.get("d")
        assert answer.status == 503
        assert answer.header("Retry-After") == "1"
    with d.counts(limit_max_subscriptions=1):
        with ws.WebSocket(ws.websocket(d), "d") as w:
            w.closed(1008, b'{"http_status": 503, "explain":"too much is '
                     b'under way at a time"}')
    first.hang_up()
    d.wait_for(subscriptions=1)
    third = poll.park("d/e")
    publisher(d).post("e", b"x")
    assert third.answer().status == 200
    second.hang_up()


def test_lists(make_daemon):
    """Long lists that their readers do not take."""
    d = make_daemon(push_stream_max_channel_id_length=500)
    pub = publisher(d)
    for part in range(20):
        pub.post("/".join(f"{part}-{n}-" + "x" * 400 for n in range(150)),
                 b"x")
    stat = Location(d, channels_statistics="on")
    with contextlib.ExitStack() as all:
        def begin():
            waiting = stat.start("GET", "ALL")
            all.callback(waiting.hang_up)
            return waiting

        before = d.status()
        some = [begin() for _ in range(16)]
        d.wait_for(connections=17)
        # Each status is a request, too.
        first = before["requests"]
        until(lambda: d.status()["requests"] >= first + 17)
        assert d.status()["limit_lists"] == 0
        answer = stat.get("ALL")
        assert answer.status == 503
        assert answer.header("Retry-After") == "1"
        assert d.status()["limit_lists"] == 1
        assert some[0].answer().status == 200
    until(lambda: d.status()["connections"] == 1)
    assert stat.get("ALL").status == 200


class Stopped(ws.Stream):
    """A stream whose client reads no more than the head."""

    def __init__(self, d, channel):
        super().__init__(Location(
            d, subscriber="streaming", message_template="~text~"), channel,
            rcvbuf=4096)
        self.head()


def test_outgoing(make_daemon):
    """What waits for all of them together: those furthest behind go, the
    others stay."""
    d = make_daemon(max_outgoing_size="1m", subscriber_buffer_size="1m",
                    subscriber_buffer_time="60s", sync="off")
    pub = publisher(d, store_messages="off")

    def waits():
        return d.status()["outgoing_bytes"]

    def fill(channel, bytes):
        goal = waits() + bytes
        while waits() < goal:
            pub.post(channel, b"x" * 20000)

    with Stopped(d, "far") as far, Stopped(d, "near") as near, \
            Stopped(d, "late") as late:
        d.wait_for(streams=3)
        fill("far", 700000)
        fill("near", 200000)
        before = d.status()
        assert before["close_behind_all"] == 0
        assert before["limit_max_outgoing_size"] == 0
        fill("late", 50000)
        while d.status()["limit_max_outgoing_size"] == 0:
            pub.post("late", b"x" * 20000)
        d.wait_for(close_behind_all=1, streams=2)
        assert waits() < 1 << 20
        with pytest.raises((AssertionError, ConnectionError)):
            far.rest()
        pub.post("near", b"last")
        near.read_to(b"last")
        pub.post("late", b"last")
        late.read_to(b"last")


def test_outgoing_counts_once(make_daemon):
    """A message that waits for many is there once."""
    d = make_daemon(max_outgoing_size="1m", subscriber_buffer_size="1m",
                    subscriber_buffer_time="60s", sync="off")
    pub = publisher(d, store_messages="off")
    with contextlib.ExitStack() as all:
        readers = [all.enter_context(Stopped(d, "a")) for _ in range(20)]
        d.wait_for(streams=20)
        while d.status()["outgoing_bytes"] < 500000:
            pub.post("a", b"x" * 20000)
        assert d.status()["close_behind_all"] == 0
        pub.post("a", b"last")
        for r in readers:
            r.read_to(b"last")
    d.wait_for(outgoing_bytes=0)


@pytest.mark.parametrize("n, met", [(60, False), (80, True)])
def test_renderings(make_daemon, n, met):
    """A message of nearly a megabyte in so many looks at a time."""
    d = make_daemon(sync="off")
    pub = publisher(d)
    pub.post("a", b"x")
    with contextlib.ExitStack() as all:
        waiting = []
        for i in range(n):
            w = long_polling(d, header_template=f"<{i}>",
                             message_template="~text~").start("GET", "a")
            all.callback(w.hang_up)
            waiting.append(w)
        d.wait_for(parked=n)
        pub.post("a", b"y" * 1000000)
        for i, w in enumerate(waiting):
            assert w.answer().body == b"<%d>" % i + b"y" * 1000000
    assert (d.status()["limit_answers_cached"] > 0) == met
