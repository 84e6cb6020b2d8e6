"""A queue server of version 4, Push server 2.0, in its text form: every answer
byte by byte, limits, presence, pings.  (Protobuf is test_bitrix_v4_binary.py's
and positions are test_bitrix_resume.py's.)"""

import contextlib
import json
import time

import pytest

import bitrix
from bitrix import (ANYONE, EXPIRED, EXPOSED, FIRST, PLAIN, SHORT, Person,
                    Server, check, event, event_object, is_mid, new_id, said,
                    short, sign, signed)
from front import GATEWAYS, publisher
from ws import (BINARY, CLOSE, PING, PONG, TEXT, close_payload, frame)


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


@pytest.fixture(params=GATEWAYS)
def srv(request, daemon):
    return Server(daemon, 4, request.param)


BODY = (b'{"module_id":"im","command":"hello","params":{"n":1},'
        b'"extra":{"server_time_unix":1}}')
WRONG = (4010, "Wrong Channel Id.")
MANY = (4029, "Too many connections")
CHANNELS = (4018, "Request exceeded the maximum number of channels.")


def asked(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + ids, **more)


# The site

@pytest.mark.parametrize("query, body", [
    (asked("a" * 32), BODY), (asked("a" * 32), b""), ("", BODY),
    ("CHANNEL_ID=", BODY), (asked("a" * 31), BODY), (asked("A" * 32), BODY),
    (asked("a" * 32 + "%00"), BODY), (asked("a" * 32 + "/b"), BODY)])
@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_publish(srv, query, body, protocol):
    """200 and nothing else, whatever was asked."""
    check(srv.ask("pub", "POST", query, body, SERVER_PROTOCOL=protocol,
                  HTTP_MESSAGE_EXPIRY="86400"), 200, PLAIN, ANYONE, body=b"")


def test_publish_to_a_pair(srv):
    """The site need not sign ids, but an id with its public twin; one wrong
    element voids the list."""
    p, other = Person(), new_id()
    pair = f"{p.private}:{p.public}"
    with srv.socket(asked(p.ids())) as w, srv.socket(
            asked(signed(other))) as o:
        for ids in [f"{other}/{pair}.{'0' * 40}", f"{other}/{pair}",
                    f"{pair}.{sign(p.private)}/{other}"]:
            srv.publish(ids, b"never")
        srv.publish(signed(pair) + "/" + other, BODY)
        assert bitrix.texts(w.text()) == [BODY]
        assert bitrix.texts(o.text()) == [BODY]


@pytest.mark.parametrize("expiry", [None, "0", "", "-1", "soon", "1x"])
def test_without_expiry(srv, expiry):
    """For those who are there, not for those who come later."""
    id = new_id()
    with srv.socket(asked(signed(id))) as w:
        srv.publish(id, BODY, expiry)
        assert bitrix.texts(w.text()) == [BODY]
    srv.publish(id, b"kept")
    got = srv.poll(asked(signed(id), mid=FIRST))
    assert bitrix.texts(got.body) == [b"kept"]


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
@pytest.mark.parametrize("route", ["pub", "rest"])
def test_other_methods(srv, route, method):
    check(srv.ask(route, method, asked(signed(new_id()))), 404, PLAIN, ANYONE,
          body=b"")


@pytest.mark.parametrize("route", ["pub", "rest"])
def test_too_much(srv, route):
    query = asked(Person().ids(), binaryMode="true")
    answer = srv.ask(route, "POST", query, b"x" * ((1 << 20) + 1))
    assert answer.status == 413


# Who is online

def online(srv, *ids):
    answer = srv.ask("pub", "GET", asked("/".join(ids)))
    check(answer, 200, PLAIN, ANYONE)
    return answer.body


def infos(*ids):
    return b'{"infos":[%s]}' % b",".join(
        b'{"channel":"%s","subscribers":1}' % i.encode() for i in ids)


def test_online(srv):
    """By the first channel of a connection, and shortly after it too; what
    is shared is never online."""
    p = Person()
    ids = [new_id(), p.private, p.shared]
    assert online(srv, *ids) == infos()
    reader = srv.park(asked(p.ids()))
    assert online(srv, *ids) == infos(p.private)
    srv.publish(p.shared, BODY)
    assert reader.answer().status == 200
    assert online(srv, *ids) == infos(p.private)
    with srv.socket(asked(signed(ids[0]))):
        assert online(srv, *ids) == infos(*ids[:2])


@pytest.mark.parametrize("query, refusal", [
    ("", (4017, "No channels found.")),
    ("CHANNEL_ID=", (4017, "No channels found.")),
    (asked("a" * 31), (4017, "No channels found.")),
    (asked("/".join("%032x" % n for n in range(101))), CHANNELS)], ids=short)
def test_online_refused(srv, query, refusal):
    check(srv.ask("pub", "GET", query), 400, PLAIN, ANYONE,
          body=said(*refusal))


def test_online_of_a_hundred(srv):
    assert online(srv, *("%032x" % n for n in range(100))) == infos()


def test_statistics(srv):
    with srv.socket(asked(signed(new_id()))):
        answer = srv.ask("stat", "GET")
    assert answer.status == 200
    (process, *_) = json.loads(answer.body)
    assert {"pid", "date", "processUniqueId", "channels", "limits",
            "websockets", "pollings"} <= set(process)
    assert process["limits"] == {
        "maxPayload": 1048576, "maxConnPerChannel": 100,
        "maxMessagesPerRequest": 100, "maxChannelsPerRequest": 100}
    assert abs(process["date"] / 1000 - time.time()) < 60
    assert process["websockets"] == 1
    location = srv.location("stat")
    location.more["bitrix_max_connections_per_channel"] = "7"
    (process,) = json.loads(location.ask("GET", None).body)
    assert process["limits"]["maxConnPerChannel"] == 7


# Who may read

ID = "0123456789abcdef0123456789abcdef"
PUB = "fedcba9876543210fedcba9876543210"
PAIR = f"{ID}:{PUB}"
SIGNED = signed(ID)
REFUSED = [
    "", ID, ID + ".", "." + sign(ID), SIGNED[:-1], SIGNED + "0",
    SIGNED + "00", ID + "." + sign(ID).upper(), SIGNED[:-1] + "g",
    SIGNED + "%00", ID[:-1] + "%00." + sign(ID), SIGNED[:-2] + "%00f",
    signed(ID.upper()), signed(ID, "another key"), ID + "." + "0" * 40,
    signed(ID[:-1]), signed(ID + "0"), SIGNED + "/" + ID, ID + "/" + SIGNED,
    SIGNED + "x" * 5000, ID + "." + "ab" * 64, ID + "." + "ab" * 1000,
    PAIR, f"{PAIR}.{sign(ID)}", f"{PAIR}.{sign(PUB)}",
    f"{PUB}.{sign('public:' + PUB)}", f"{PUB}:{ID}.{sign(PAIR)}",
    signed(PAIR)[:-1], signed(PAIR).replace(":", ":%00"),
    signed(f"{ID}:{PUB}:{ID}"), signed(f"{ID}:"), signed(f":{PUB}"),
    signed(PAIR).replace(":", "::"), f"{SIGNED[:-1]}%ff",
    signed(PAIR) + "/" + ID + "." + "0" * 40,
]


@pytest.mark.parametrize("ids", REFUSED, ids=short)
def test_refused(srv, ids):
    """A poll by 400; a WebSocket is accepted and then closed, as only so the
    browser learns why."""
    check(srv.poll(asked(ids)), 400, PLAIN, ANYONE, EXPOSED,
          body=said(*WRONG))
    with srv.socket(asked(ids)) as w:
        w.refused(*WRONG)


def test_no_channel(srv):
    check(srv.poll(""), 400, PLAIN, ANYONE, EXPOSED, body=said(*WRONG))
    with srv.socket("binaryMode=true") as w:
        w.refused(*WRONG)


@pytest.mark.parametrize("ids", [
    SIGNED, signed(PAIR), signed(PAIR) + "/" + SIGNED, SIGNED + "/" + SIGNED,
    signed(PAIR).replace(":", "%3A"), signed(PAIR).replace(":", "%3a") +
    "%2F" + SIGNED])
def test_accepted(srv, ids):
    srv.park(asked(ids)).hang_up()
    srv.daemon.wait_for(parked=0)
    with srv.socket(asked(ids)) as w:
        w.settle()


def test_the_first_channel_id_counts(srv):
    good, other = new_id(), new_id()
    with srv.socket(asked(signed(good), CHANNEL_ID=signed(other))) as w:
        srv.publish(other, b"never")
        srv.publish(good, BODY)
        assert bitrix.texts(w.text()) == [BODY]
    with srv.socket(asked(ID, CHANNEL_ID=SIGNED)) as w:
        w.refused(*WRONG)


def test_options(srv):
    check(srv.ask("sub", "OPTIONS"), 200, PLAIN, ANYONE,
          ("Access-Control-Allow-Methods", "POST, GET, DELETE, OPTIONS"),
          ("Access-Control-Allow-Headers",
           "If-Modified-Since, If-None-Match"), body=b"")


# What is read

@pytest.mark.parametrize("uri", ["/bitrix/sub/", "/bitrix/subws/"])
@pytest.mark.parametrize("raw", [True, False])
def test_live_poll(srv, uri, raw):
    """To the byte."""
    p = Person()
    ids = p.ids() if raw else p.ids().replace(":", "%3A").replace("/", "%2F")
    reader = srv.park(asked(ids, revision="19", clientId=None), uri=uri)
    srv.publish(p.shared, BODY)
    answer = reader.answer()
    check(answer, 200, PLAIN, ANYONE)
    (mid,) = bitrix.mids(answer.body)
    assert answer.body == event(mid, BODY)
    assert abs(int(mid[:10]) - time.time()) < 60


def test_timeout(srv):
    """The position of a 304 is never empty, and leads to what follows."""
    p = Person()
    short = srv.but(**SHORT)
    answer = short.poll(asked(p.ids()))
    mid = answer.header("Last-Message-Id")
    check(answer, 304, PLAIN, ANYONE, EXPOSED, EXPIRED,
          ("Last-Message-Id", mid), body=b"")
    assert is_mid(mid)
    srv.publish(p.private, BODY)
    (first,) = bitrix.mids(srv.poll(asked(p.ids(), mid=mid)).body)
    assert first > mid
    for given in first, None, "", "9" * 26, "1" * 25, "x" * 26, first + "0":
        answer = short.poll(asked(p.ids(), mid=given))
        check(answer, 304, PLAIN, ANYONE, EXPOSED, EXPIRED,
              ("Last-Message-Id", first), body=b"")


# WebSocket

def test_socket(srv):
    """One text frame for each message."""
    p = Person()
    with srv.socket(asked(p.ids()), uri="/bitrix/subws/") as w:
        got = []
        for n, id in enumerate([p.private, p.shared] * 2):
            body = b'{"n":%d}' % n
            srv.publish(id, body)
            got += bitrix.mids(data := w.text())
            assert data == event(got[-1], body)
        assert got == sorted(set(got))


def test_frame_delay(srv):
    """The first message at once, those that follow it closely in one."""
    id = new_id()
    location = srv.location("sub")
    location.more["bitrix_frame_delay"] = "300ms"
    with bitrix.Socket(location, asked(signed(id))) as w:
        for n in range(5):
            srv.publish(id, b"%d" % n)
        frames = [w.text()]
        while len(bitrix.texts(b"".join(frames))) < 5:
            frames.append(w.text())
    assert bitrix.texts(frames[0]) == [b"0"]
    assert bitrix.texts(b"".join(frames)) == [b"%d" % n for n in range(5)]
    assert len(frames) < 5, "nothing went together"


@pytest.mark.parametrize("mode", [None, "true"])
def test_pings_where_frames_are_delayed(srv, mode):
    location = srv.but(ping_message_interval="100ms").location("sub")
    location.more["bitrix_frame_delay"] = "300ms"
    with bitrix.Socket(location, asked(SIGNED, binaryMode=mode)) as w:
        for _ in range(3):
            assert w.frame() == (PING, b"ws ping")
            w.send(frame(PONG, b"ws ping"))


@pytest.mark.parametrize("delay", [None, "300ms"])
def test_a_deleted_channel(srv, delay):
    """Its name is free for a new one, so its readers have to come again, those
    of other channels, too."""
    gone, other = new_id(), new_id()
    query = asked(signed(gone) + "/" + signed(other))
    location = srv.location("sub")
    location.more.update({"bitrix_frame_delay": delay} if delay else {})
    with bitrix.Socket(location, query) as w:
        for n in range(2):
            srv.publish(other, b"%d" % n)
        assert publisher(srv.daemon).ask("DELETE", gone).status == 200
        got = w.text() + w.text()
        assert w.rest() == b""
    assert bitrix.texts(got) == [b"0", b"1"]
    srv.publish(gone, BODY)
    answer = srv.poll(f"{query}&mid={bitrix.mids(got)[-1]}")
    assert bitrix.texts(answer.body) == [BODY]


@pytest.mark.parametrize("mode", [None, "false", "True", "1", ""])
def test_what_a_client_says_in_text_mode_is_ignored(srv, mode):
    """Only "true" is the binary mode."""
    p = Person()
    with srv.socket(asked(p.ids(), binaryMode=mode)) as w:
        w.send(frame(TEXT, b"hello") + frame(BINARY, b"\0\1\2") +
               frame(BINARY, bitrix.SERVER_STATS))
        w.settle()
        srv.publish(p.private, BODY)
        assert bitrix.texts(w.text()) == [BODY]


def test_too_large_a_frame(srv):
    with srv.socket(asked(SIGNED)) as w:
        with contextlib.suppress(ConnectionError):
            w.send(frame(TEXT, b"x" * ((1 << 20) + 1)))
        op, data = w.frame()
        assert (op, data[:2]) == (CLOSE, close_payload(1009))


def test_ping_and_close_of_a_client(srv):
    with srv.socket(asked(SIGNED)) as w:
        w.send(frame(PING, b"hi"))
        assert w.frame() == (PONG, b"hi")
        w.send(frame(CLOSE, close_payload(1000, b"bye")))
        op, data = w.frame()
        assert op == CLOSE and data[:2] == close_payload(1000)


def test_pings(srv):
    """Who answers in time stays; messages do not put a ping off."""
    id = new_id()
    steady = srv.but(ping_message_interval="200ms")
    pings = 0
    with steady.socket(asked(signed(id))) as w:
        end = time.monotonic() + 1
        sent = got = 0
        while time.monotonic() < end:
            srv.publish(id, b"%d" % sent)
            sent += 1
            while got < sent:
                op, data = w.frame()
                if op == PING:
                    assert data == b"ws ping"
                    w.send(frame(PONG, data))
                    pings += 1
                else:
                    assert op == TEXT
                    got += 1
            time.sleep(0.02)
    assert 2 <= pings <= 6


@pytest.mark.parametrize("mode", ["true", None])
def test_who_does_not_answer_a_ping_is_gone(srv, mode):
    """Before the next one is sent."""
    with srv.but(ping_message_interval="150ms").socket(
            asked(SIGNED, binaryMode=mode)) as w:
        assert w.frame() == (PING, b"ws ping")
        assert b"ws ping" not in w.rest()


# Connections of one channel

def limited(srv, n):
    location = srv.location("sub")
    location.more["bitrix_max_connections_per_channel"] = str(n)
    return location


def test_connections_of_a_channel(srv):
    """With one more than it may have the oldest has to go, whichever kind it
    is of; the others stay."""
    p = Person()
    location = limited(srv, 3)
    polls, sockets = [], []
    for turn in range(2):
        polls.append(location.park(None, query=asked(p.ids())))
        sockets.append(bitrix.Socket(location, asked(p.ids())))
        sockets[-1].settle()
    check(polls[0].answer(), 429, PLAIN, ANYONE, EXPOSED, body=said(*MANY))
    with bitrix.Socket(location, asked(p.ids())) as last:
        sockets[0].refused(*MANY)
        srv.publish(p.private, BODY)
        assert bitrix.texts(polls[1].answer().body) == [BODY]
        for w in sockets[1], last:
            assert bitrix.texts(w.text()) == [BODY]
    for w in sockets:
        w.close()


def test_channels_without_a_public_twin_are_not_limited(srv):
    shared = new_id()
    location = limited(srv, 2)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(
            bitrix.Socket(location, asked(ids)))
            for ids in [signed(shared)] * 4 + [Person(shared).ids()] * 2]
        srv.publish(shared, BODY)
        for w in sockets:
            assert bitrix.texts(w.text()) == [BODY]


def test_a_hundred_connections(srv):
    """The limit if none is set."""
    p = Person()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(srv.socket(asked(p.ids())))
                   for _ in range(100)]
        sockets[0].settle()
        stack.enter_context(srv.socket(asked(p.ids())))
        sockets[0].refused(*MANY)
        sockets[1].settle()


# Without marks

def test_json(srv):
    """format=json: an array, for a poll and in each frame."""
    id = new_id()
    srv.publish(id, b'{"n":1}')
    srv.publish(id, b'{"n":2}')
    answer = srv.poll(asked(signed(id), format="json", mid=FIRST))
    first, second = json.loads(answer.body)
    assert [first["text"], second["text"]] == [{"n": 1}, {"n": 2}]
    assert first == json.loads(event_object(first["mid"], b'{"n":1}'))
    with srv.socket(asked(signed(id), format="json")) as w:
        srv.publish(id, b'{"n":3}')
        (third,) = json.loads(w.text())
        assert third["text"] == {"n": 3} and third["mid"] > second["mid"]
