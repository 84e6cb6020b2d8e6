"""The site's publisher as it is: PHP that sends what is no JSON, says what is
not true about it, and leaves before the answer."""

import contextlib
import email.utils
import json
import time

import pytest

import bitrix
from bitrix import FIRST, Person, Server, check, new_id, short, signed
from front import GATEWAYS, wait_until


@pytest.fixture(scope="module")
def shared_settings():
    return bitrix.KEYED


@pytest.fixture(params=[3, 4])
def version(request):
    return request.param


@pytest.fixture(params=GATEWAYS)
def srv(request, daemon, version):
    return Server(daemon, version, request.param)


def asked(ids, **more):
    return bitrix.joined("CHANNEL_ID=" + ids, **more)


# What PHP sends beside its body, by nginx's names
PHP = {"CONTENT_TYPE": "application/x-www-form-urlencoded",
       "HTTP_CONNECTION": "close", "HTTP_ACCEPT": "*/*",
       "HTTP_ACCEPT_LANGUAGE": "en", "HTTP_HOST": "127.0.0.1"}
JSON = ('{"module_id":"im","command":"hello","params":{"n":1,"t":"привет",'
        '"s":"a\\/b"},"extra":{"server_time_unix":1}}').encode()


def received(srv, id, body, **fields):
    """What a reader of the channel gets of it, live and later."""
    with srv.socket(asked(signed(id))) as w:
        srv.publish(id, body, **{**PHP, **fields})
        live = w.text()
        assert srv.poll(asked(signed(id), mid=FIRST)).body == live
    return live


@pytest.mark.parametrize("body", [
    JSON, b"d41d8cd98f00b204e9800998ecf8427e", b"0", b"null", b"%00%41a=1&b",
    b"{'SERVER_TIME_WEB':1,'MESSAGE':[{'module_id':'im'}],'ERROR':''}",
    b"~text~ ~tag~ ~id~", b'"', b"\\", b'{"a":1', b"[" * 5000,
    b"a=1&CHANNEL_ID=" + b"f" * 32, b'{"a":1}\0{"b":2}',
    b'{"x":"' + b"y" * 200000 + b'"}'], ids=short)
def test_body_is_carried_on_as_it_came(srv, body):
    """Whatever the Content-Type says of it."""
    assert bitrix.texts(received(srv, new_id(), body)) == [body]


@pytest.mark.parametrize("kind", [
    "application/json", "multipart/form-data; boundary=x", "",
    "application/octet-stream", "text/plain; charset=windows-1251"])
def test_content_type(srv, kind):
    live = received(srv, new_id(), JSON, CONTENT_TYPE=kind)
    assert bitrix.texts(live) == [JSON]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(srv, end):
    """The clients look for an event within one line: those between JSON's
    tokens become blanks."""
    body = json.dumps(json.loads(JSON), indent=2, ensure_ascii=False)
    live = received(srv, new_id(), body.replace("\n", end).encode())
    assert b"\n" not in live and b"\r" not in live
    (event,) = bitrix.events(live)
    assert event["text"] == json.loads(JSON)


def test_what_is_no_utf_8(srv):
    """A browser would end a WebSocket for it; the rest is as it was."""
    live = received(srv, new_id(), b'{"a":"\xff\xd0","b":"\xd0\xbf"}')
    (event,) = bitrix.events(live.decode().encode())
    assert event["text"]["b"] == "п" and len(event["text"]["a"]) <= 2


# Whom it names

@pytest.mark.parametrize("code", [
    lambda ids: ids, lambda ids: ids.replace("/", "%2F"),
    lambda ids: ids.replace("/", "%2f")], ids=["raw", "%2F", "%2f"])
def test_slashes(srv, code):
    a, b = new_id(), new_id()
    with srv.socket(asked(signed(a))) as wa, srv.socket(
            asked(signed(b))) as wb:
        srv.publish(code(f"{a}/{b}"), JSON, **PHP)
        assert bitrix.mids(wa.text()) == bitrix.mids(wb.text())


def test_a_hundred_channels(srv):
    """In one request, as one message."""
    ids = [new_id() for _ in range(100)]
    srv.publish(ids, JSON, **PHP)
    got = {srv.poll(asked("/".join(map(signed, ids[n:n + 50])),
                          mid=FIRST)).body for n in (0, 50)}
    assert len({tuple(bitrix.mids(body)) for body in got}) == 1
    assert all(bitrix.texts(body) == [JSON] for body in got)


def test_the_same_channel_twice(srv):
    id = new_id()
    with srv.socket(asked(signed(id))) as w:
        srv.publish([id, id], JSON)
        srv.publish(id, b"last")
        assert bitrix.texts(w.text() + w.text()) == [JSON, b"last"]


def test_who_is_online_by_a_get_with_a_body(srv):
    """The list stands in the body too, and is not looked at there."""
    p = Person()
    ids = f"{p.private}/{new_id()}"
    with srv.socket(asked(p.ids(srv.version))):
        answer = srv.ask("pub", "GET", asked(ids), ids.encode(), **{
            **PHP, "CONTENT_TYPE": ""})
        lying = srv.ask("pub", "GET", asked(ids), b"f" * 10000)
    assert answer.status == lying.status == 200
    assert answer.body == lying.body
    assert json.loads(answer.body) == {"infos": [
        {"channel": p.private, "subscribers": 1}]}


# It does not wait

@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("binary", [False, True])
def test_it_leaves_before_the_answer(daemon, gateway, binary):
    """What came whole is done."""
    srv = Server(daemon, 4, gateway)
    p = Person()
    with srv.socket(asked(p.ids())) as w:
        for n in range(20):
            body = b"%d" % n
            if binary:
                data = bitrix.publishing(bitrix.incoming(
                    [bitrix.receiver(p.private)], body, 86400))
                srv.start("pub", "POST", "binaryMode=true&hostname=", data,
                          **PHP).hang_up()
            else:
                srv.start("pub", "POST", asked(p.private), body,
                          HTTP_MESSAGE_EXPIRY="86400", **PHP).hang_up()
        got = []
        while len(got) < 20:
            got += bitrix.texts(w.text())
    assert sorted(map(int, got)) == list(range(20))
    answer = srv.poll(asked(p.ids(), mid=FIRST))
    assert sorted(bitrix.texts(answer.body)) == sorted(got)


def test_http_1_0(srv):
    """An older one, whose answers nobody reads."""
    live = received(srv, new_id(), JSON, SERVER_PROTOCOL="HTTP/1.0")
    assert bitrix.texts(live) == [JSON]


def test_answers_come_soon(srv):
    """PHP waits a second for one, and no page is built meanwhile."""
    id = new_id()
    for _ in range(20):
        start = time.monotonic()
        srv.publish(id, JSON)
        assert time.monotonic() - start < 1


# The check that every administrator runs

def test_site_checker(srv):
    """A poll of HTTP/1.0 with a date nobody needs, then a publish without
    expiry; one read of the poll has to bring the head and the text."""
    p = Person()
    text = b"900150983cd24fb0d6963f7d28e17f72"
    yesterday = email.utils.formatdate(time.time() - 86400)
    reader = srv.park(asked(signed(p.private)), SERVER_PROTOCOL="HTTP/1.0",
                      HTTP_IF_MODIFIED_SINCE=yesterday)
    answer = srv.ask("pub", "POST", asked(p.private), text, **PHP)
    assert (answer.status, answer.body) == (200, b"")
    with reader.client as c:
        got = c.sock.recv(4096)
    assert b"Status: 200" in got and b'"text":' + text in got
    answer = srv.ask("pub", "DELETE", asked(p.private),
                     SERVER_PROTOCOL="HTTP/1.0")
    assert answer.status == 404


# As it was recorded

@pytest.mark.parametrize("gateway", GATEWAYS)
def test_recorded_protobuf(daemon, gateway):
    """Two receivers; without a Message-Expiry header, and with a host's name
    that is empty."""
    srv = Server(daemon, 4, gateway)
    text = ('{"module_id":"im","command":"hello","params":{"n":1,"t":"привет"}'
            ',"extra":{"server_time_unix":1}}').encode()
    data = bytes.fromhex("0aa9010aa6010aa3010a140a10" + "a1" * 16 +
                         "10010a140a10" + "b1" * 16 + "10011a67" + text.hex() +
                         "2080a3052a08696d5f68656c6c6f")
    assert len(data) == 172
    with srv.socket(asked(signed("a1" * 16))) as a, srv.socket(
            asked(signed("b1" * 16))) as b:
        check(srv.send(data), 200, bitrix.PLAIN, bitrix.ANYONE, body=b"")
        got = a.text()
        assert bitrix.texts(got) == [text] and b.text() == got
    stats = bytes.fromhex("0a2e122c0a140a10" + "a1" * 16 + "10010a140a10" +
                          "b1" * 16 + "1001")
    assert len(stats) == 48
    ((kind, found),) = bitrix.responses(srv.send(stats).body)
    assert kind == "stats"
    assert [s.id for s in found] == ["a1" * 16, "b1" * 16]


# The same process serves them all

def test_versions_side_by_side(daemon):
    """A message is read in whichever dialect the reader speaks: a site is
    moved without a day of silence."""
    p = Person()
    with contextlib.ExitStack() as stack:
        v3, v4 = (Server(daemon, v) for v in (3, 4))
        w3 = stack.enter_context(v3.socket(asked(p.ids(3))))
        w4 = stack.enter_context(v4.socket(asked(p.ids())))
        wb = stack.enter_context(v4.socket(asked(p.ids(),
                                                 binaryMode="true")))
        w5 = stack.enter_context(Server(daemon, 5).socket(
            "token=" + bitrix.token(None, [p.private])))
        for srv in v3, v4:
            srv.publish(p.private, JSON)
            (mid,) = bitrix.mids(w3.text())
            assert bitrix.mids(w4.text()) == [mid]
            (m,) = bitrix.messages(wb.binary())
            assert (m.mid, m.body) == (mid, JSON)
            params = json.loads(w5.text())["params"]
            assert params["mid"] == mid
            assert params["body"] == json.loads(JSON)


def test_wrong_versions(daemon):
    """Are the administrator's mistake, and he is told."""
    for more in ({"bitrix_version": "6", "bitrix_route": "pub"},
                 {"bitrix_version": "4", "bitrix_route": "publish"}):
        location = Server(daemon, 4).location("pub")
        location.more.update(more)
        before = daemon.status()["bad_parameters"]
        answer = location.ask("POST", None, JSON, asked(new_id()))
        assert answer.status == 500
        wait_until(lambda: daemon.status()["bad_parameters"] > before)
