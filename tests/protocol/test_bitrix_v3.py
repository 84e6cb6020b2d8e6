"""A queue server of version 3, Push server 1.0, byte by byte: what the site
and the browsers get for an answer.  (Where they come back to is
test_bitrix_resume.py's.)"""

import json
import time

import pytest

import bitrix
from bitrix import (ANYONE, EXPIRED, EXPOSED, FIRST, PLAIN, SHORT, Person,
                    Server, check, event, event_object, is_mid, new_id, short,
                    sign, signed)
from front import GATEWAYS, wait_until
from ws import (BINARY, CLOSE, PING, PONG, TEXT, WebSocket, close_payload,
                frame)


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


@pytest.fixture(params=GATEWAYS)
def srv(request, daemon):
    return Server(daemon, 3, request.param)


BODY = (b'{"module_id":"im","command":"hello","params":{"n":1},'
        b'"extra":{"server_time_unix":1}}')


def asked(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + ids, **more)


# The site

@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
def test_publish(srv, protocol):
    """200 and nothing else; nothing about who may read the answer."""
    check(srv.ask("pub", "POST", asked(new_id()), BODY,
                  SERVER_PROTOCOL=protocol), 200, PLAIN, body=b"")


@pytest.mark.parametrize("query, body, text", [
    ("", BODY, b"No channel id provided."),
    ("CHANNEL_ID=", BODY, b"No channel id provided."),
    (asked("a" * 31), BODY, b"Channel id is not correct."),
    (asked("a" * 33), BODY, b"Channel id is not correct."),
    (asked("a" * 31 + "-"), BODY, b"Channel id is not correct."),
    (asked("a" * 32 + "/" + "b" * 31), BODY, b"Channel id is not correct."),
    (asked("a" * 31 + "%00"), BODY, b"Channel id is not correct."),
    (asked("a" * 32 + "%00"), BODY, b"Channel id is not correct."),
    (asked("a" * 32), b"", b"Empty post requests are not allowed."),
])
def test_refused_publish(srv, query, body, text):
    check(srv.ask("pub", "POST", query, body), 400, PLAIN, body=text)


def test_signatures_of_the_site_do_not_matter(srv):
    """Signed, signed wrongly or not at all."""
    ids = [new_id() for _ in range(3)]
    reader = srv.park(asked("/".join(signed(i) for i in ids)))
    srv.publish([ids[0], signed(ids[1]), f"{ids[2]}.{'0' * 40}"], BODY)
    (mid,) = bitrix.mids(reader.answer().body)
    for id in ids:
        got = srv.poll(asked(signed(id), mid=FIRST))
        assert got.body == event(mid, BODY, id)


@pytest.mark.parametrize("route, method", [
    ("pub", "DELETE"), ("stat", "POST"), ("sub", "DELETE")])
def test_other_methods(srv, route, method):
    check(srv.ask(route, method, asked(signed(new_id()))), 404, PLAIN, ANYONE,
          body=b"")


# Who is online

def online(srv, *ids):
    answer = srv.ask("pub", "GET", asked("/".join(ids)))
    check(answer, 200, PLAIN)
    return answer.body


def infos(*ids):
    return b'{ "infos": [%s]}' % b",".join(
        b'{"channel":"%s","subscribers":1}' % i.encode() for i in ids)


def test_online(srv):
    """By the first channel of a connection, and still shortly after it: the
    next poll is on its way."""
    p = Person()
    ids = [new_id(), p.private, p.shared]
    assert online(srv, *ids) == infos()
    reader = srv.park(asked(p.ids(3)))
    assert online(srv, *ids) == infos(p.private)
    srv.publish(p.shared, BODY)
    assert reader.answer().status == 200
    assert online(srv, *ids) == infos(p.private)
    with srv.socket(asked(signed(ids[0]))):
        assert online(srv, *ids) == infos(*ids[:2])


def test_online_of_nobody(srv):
    for query in "", "CHANNEL_ID=":
        check(srv.ask("pub", "GET", query), 400, PLAIN,
              body=b"No channel id provided.")


def test_statistics(srv):
    with srv.socket(asked(signed(new_id()))):
        answer = srv.ask("stat", "GET")
    assert answer.status == 200
    for process in json.loads(answer.body):
        assert {"pid", "date", "processUniqueId", "channels", "pollings",
                "websockets"} <= set(process)
        assert abs(process["date"] / 1000 - time.time()) < 60
    assert sum(p["websockets"] for p in json.loads(answer.body)) == 1


# Who may read

ID = "0123456789abcdef0123456789abcdef"
SIGNED = signed(ID)
NOT_CORRECT = [
    ID, ID + ".", "." + sign(ID), SIGNED[:-1], SIGNED + "0", SIGNED + "00",
    SIGNED.replace(sign(ID), sign(ID).upper()), SIGNED[:-1] + "g",
    SIGNED + "%00", ID[:-1] + "%00." + sign(ID), SIGNED[:-2] + "%00f",
    ID + "." + sign(ID[::-1]), signed(ID, "another key"),
    ID + "." + sign("public:" + ID), ID + "." + "0" * 40,
    SIGNED + "." + sign(ID), signed(ID[:-1]), signed(ID + "0"),
    signed(ID[:-1] + "-"), SIGNED + "/" + ID, ID + "/" + SIGNED,
    SIGNED + "x" * 5000, signed(f"{ID}:{ID[::-1]}"),
    f"{ID}:{ID[::-1]}.{sign(ID)}",
]


@pytest.mark.parametrize("ids", NOT_CORRECT, ids=short)
def test_refused_poll(srv, ids):
    check(srv.poll(asked(ids)), 400, PLAIN, ANYONE, EXPOSED,
          body=b"Channel id is not correct.")


@pytest.mark.parametrize("query", ["", "CHANNEL_ID=", "mid=" + FIRST])
def test_poll_of_nothing(srv, query):
    check(srv.poll(query), 400, PLAIN, ANYONE, EXPOSED,
          body=b"No channel id provided.")


@pytest.mark.parametrize("ids", ["", *NOT_CORRECT[:4]])
def test_refused_socket(srv, ids):
    """Plain HTTP, not a WebSocket that is closed."""
    with WebSocket(srv.location("sub"), None, head=False,
                   query=asked(ids)) as w:
        answer = w.answer()
    assert (answer.status, answer.body) == (400, b"Bad Request")
    assert ANYONE in answer.headers and EXPOSED in answer.headers


@pytest.mark.parametrize("id", [ID, ID.upper(), "Zz" * 16])
def test_accepted_ids(srv, id):
    """Letters and digits, with no regard to hex."""
    reader = srv.park(asked(signed(id)))
    reader.hang_up()
    srv.daemon.wait_for(parked=0)


def test_options(srv):
    check(srv.ask("sub", "OPTIONS"), 200, PLAIN, ANYONE,
          ("Access-Control-Allow-Methods", "POST, GET, DELETE, OPTIONS"),
          ("Access-Control-Allow-Headers",
           "If-Modified-Since, If-None-Match"), body=b"")


# What is read

@pytest.mark.parametrize("uri", ["/bitrix/sub/", "/bitrix/subws/"])
@pytest.mark.parametrize("slash", ["/", "%2F", "%2f"])
def test_live_poll(srv, uri, slash):
    """To the byte; the channel is the reader's own."""
    p = Person()
    reader = srv.park(asked(p.ids(3).replace("/", slash), rnd="123",
                            revision="19"), uri=uri)
    srv.publish(p.shared, BODY)
    answer = reader.answer()
    check(answer, 200, PLAIN, ANYONE, EXPOSED)
    (mid,) = bitrix.mids(answer.body)
    assert answer.body == event(mid, BODY, p.shared)
    assert abs(int(mid[:10]) - time.time()) < 60


def test_timeout(srv):
    """The position of a 304 is never empty, and leads to what follows."""
    p = Person()
    short = srv.but(**SHORT)
    answer = short.poll(asked(p.ids(3)))
    mid = answer.header("Last-Message-Id")
    check(answer, 304, PLAIN, ANYONE, EXPOSED, EXPIRED,
          ("Last-Message-Id", mid), body=b"")
    assert is_mid(mid)
    srv.publish(p.private, BODY)
    (first,) = bitrix.mids(srv.poll(asked(p.ids(3), mid=mid)).body)
    assert first > mid
    for given in first, None, "9" * 26, "1" * 25, "x" * 26, first + "0":
        answer = short.poll(asked(p.ids(3), mid=given))
        check(answer, 304, PLAIN, ANYONE, EXPOSED, EXPIRED,
              ("Last-Message-Id", first), body=b"")


@pytest.mark.parametrize("expiry", ["1", None])
def test_expiry(srv, expiry):
    """Not given it is a day."""
    id = new_id()
    srv.publish(id, BODY, expiry)
    query = asked(signed(id), mid=FIRST)
    short = srv.but(**SHORT)
    if expiry is None:
        assert short.poll(query).status == 200
        time.sleep(1.1)
        assert short.poll(query).status == 200
    else:
        wait_until(lambda: short.poll(query).status == 304)


# WebSocket

def test_socket(srv):
    """One text frame for each message."""
    p = Person()
    with srv.socket(asked(p.ids(3)), uri="/bitrix/subws/") as w:
        got = []
        for n, id in enumerate([p.private, p.shared] * 2):
            body = b'{"n":%d}' % n
            srv.publish(id, body)
            got += bitrix.mids(data := w.text())
            assert data == event(got[-1], body, id)
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


def test_what_a_client_says_is_ignored(srv):
    id = new_id()
    with srv.socket(asked(signed(id))) as w:
        w.send(frame(TEXT, b"hello") + frame(BINARY, b"\0"))
        w.settle()
        srv.publish(id, BODY)
        assert bitrix.texts(w.text()) == [BODY]


def test_close(srv):
    with srv.socket(asked(SIGNED)) as w:
        w.send(frame(CLOSE, close_payload(1000, b"bye")))
        op, data = w.frame()
        assert op == CLOSE and data[:2] == close_payload(1000)


@pytest.mark.parametrize("delay", [{}, {"bitrix_frame_delay": "300ms"}])
def test_pings(srv, delay):
    """Those who answer stay; messages come between."""
    id = new_id()
    location = srv.but(ping_message_interval="150ms").location("sub")
    location.more.update(delay)
    with bitrix.Socket(location, asked(signed(id))) as w:
        for _ in range(4):
            assert w.frame() == (PING, b"ws ping")
            w.send(frame(PONG, b"ws ping"))
        srv.publish(id, BODY)
        while (got := w.frame())[0] == PING:
            pass
        assert bitrix.texts(got[1]) == [BODY]


def test_who_does_not_answer_pings_is_gone(srv):
    with srv.but(ping_message_interval="100ms").socket(asked(SIGNED)) as w:
        assert w.frame() == (PING, b"ws ping")
        rest = w.rest()
    assert len(rest) < 4 * len(b"..ws ping")


# Without marks

def test_json(srv):
    """format=json: an array, for a poll and in each frame."""
    id = new_id()
    query = asked(signed(id), format="json")
    srv.publish(id, b'{"n":1}')
    srv.publish(id, b'{"n":2}')
    answer = srv.poll(asked(signed(id), format="json", mid=FIRST))
    first, second = json.loads(answer.body)
    assert [first["text"], second["text"]] == [{"n": 1}, {"n": 2}]
    assert first == json.loads(event_object(first["mid"], b'{"n":1}', id))
    with srv.socket(query) as w:
        srv.publish(id, b'{"n":3}')
        (third,) = json.loads(w.text())
        assert (third["text"], third["channel"]) == ({"n": 3}, id)
