"""The examples of Bitrix's queue servers, versions 3 to 5, the same behind
every front: what a site and its browsers need of it.  What stands in the
answers is looked at byte by byte elsewhere."""

import itertools
import json

import pytest

import bitrix
import cases
from bitrix import FIRST, Person
from cases import wait_until
from conftest import KEY, OUTSIDE, Example
from streams import CLOSE, PING, PONG, WebSocket
from test_check import Check

PORTS = [8893, 8894, 8895]
CLIENTS = [8893, 8894]
KEYED = f'signature_key = {{"{KEY}"}}\n'
VERSION_3 = 'bitrix_version = "3"\n'
VERSION_5 = 'bitrix_version = "5"\n'
EXAMPLES = [
    Example("nginx", "bitrix-push-1.0.conf", PORTS, more=KEYED, version=3),
    Example("nginx", "bitrix-push-2.0.conf", PORTS, version=4),
    Example("nginx", "bitrix-push-3.0.conf", PORTS, more=KEYED, version=5),
    Example("apache", "bitrix-push-1.0.conf", PORTS, more=KEYED, version=3),
    Example("apache", "bitrix-push-2.0.conf", PORTS, more=KEYED, version=4),
    Example("apache", "bitrix-push-3.0.conf", PORTS, more=KEYED, version=5),
    # Their heads know versions 2 and 4.
    Example("lighttpd", "bitrix.conf", PORTS, 1, KEYED + VERSION_3, 3),
    Example("lighttpd", "bitrix.conf", PORTS, version=4),
    Example("lighttpd", "bitrix.conf", PORTS, 1, KEYED + VERSION_5, 5),
    Example("caddy", "Caddyfile", PORTS, 1, KEYED + VERSION_3, 3),
    Example("caddy", "Caddyfile", PORTS, version=4),
    Example("caddy", "Caddyfile", PORTS, 1, KEYED + VERSION_5, 5),
]
users = itertools.count(1)
BODY = {"module_id": "im", "command": "hello", "params": {"t": "привет"}}


@pytest.fixture(scope="module", params=EXAMPLES,
                ids=lambda e: f"{e.path()}-{e.version}")
def example(request):
    return request.param


def message(n):
    return {**BODY, "n": n}


class Site:
    """What PHP does, and what it gives to browsers."""

    def __init__(self, version):
        self.version = version

    def post(self, id, n):
        """(path, body, fields) of a publish."""
        body = bitrix.compact(message(n))
        if self.version < 5:
            return ("/bitrix/pub/?CHANNEL_ID=" + id, body,
                    {"Message-Expiry": "86400"})
        body = bitrix.compact([bitrix.call("publish", {
            "channelList": [id], "expiry": 86400, "body": message(n)})])
        return ("/bitrix/api/?hostId=&signature=" + bitrix.sign(body, KEY),
                body, {})

    def publish(self, id, n):
        a = cases.ask("POST", 8895, *self.post(id, n))
        assert a.status == 200, (a.status, a.body)

    def query(self, person, mid=None, key=KEY):
        """CHANNEL_ID, or the token, with a position."""
        if self.version == 5:
            text = "jsonRpc=true&token=" + bitrix.jwt(
                bitrix.claims(person.user, [person.private]), key)
        else:
            text = "CHANNEL_ID=" + person.ids(self.version, key)
        return bitrix.joined(text, mid=mid)

    def read(self, data):
        """[(mid, body)] of what a client gets."""
        if self.version < 5:
            return [(e["mid"], e["text"]) for e in bitrix.events(data)]
        got = [r for line in data.splitlines() for r in
               (lambda v: v if isinstance(v, list) else [v])(
                   json.loads(line))]
        return [(r["params"]["mid"], r["params"]["body"]) for r in got]


@pytest.fixture
def site(example):
    return Site(example.version)


@pytest.fixture
def person():
    p = Person()
    p.user = next(users)
    return p


class Socket:
    """One that is accepted."""

    def __init__(self, site, port, path, query):
        self.site = site
        self.ws = WebSocket(port, f"{path}?{query}")
        assert self.ws.status == 101, self.ws.status

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.ws.close()

    def receive(self):
        """The next message, past the server's own pings."""
        while (text := self.ws.text()) == "ping":
            pass
        (got,) = self.site.read(text.encode())
        return got


@pytest.mark.parametrize("port", CLIENTS)
def test_poll(front, daemon, site, person, port):
    """From the beginning, then by the last mid; one that waits."""
    def path(mid):
        return "/bitrix/sub/?" + site.query(person, mid)

    for n in range(3):
        site.publish(person.private, n)
    a = cases.ask("GET", port, path(FIRST),
                  headers={"Accept-Encoding": "gzip"})
    assert a.status == 200 and not a.all("Content-Encoding")
    assert a.header("Access-Control-Allow-Origin") == "*"
    got = site.read(a.body)
    assert [body for _, body in got] == [message(n) for n in range(3)]
    a = cases.ask("GET", port, path(got[1][0]))
    assert site.read(a.body) == got[2:]
    parked = daemon.status()["parked"]
    c = cases.connect(port)
    c.request("GET", path(got[2][0]))
    daemon.wait_for(parked=parked + 1)
    site.publish(person.private, 3)
    a = cases.Answer(c.getresponse())
    c.close()
    assert [body for _, body in site.read(a.body)] == [message(3)]


@pytest.mark.parametrize("port", CLIENTS)
@pytest.mark.parametrize("path", ["/bitrix/subws/", "/bitrix/sub/"])
def test_websocket(front, daemon, site, person, port, path):
    """Live, and back with the last mid; both ends can close it."""
    streams = daemon.status()["streams"]
    with Socket(site, port, path, site.query(person)) as s:
        for n in range(2):
            site.publish(person.private, n)
            mid, body = s.receive()
            assert body == message(n)
        s.ws.send(PING, b"there?")
        assert s.ws.frame() == (PONG, b"there?")
    daemon.wait_for(streams=streams)
    site.publish(person.private, 2)
    with Socket(site, port, path, site.query(person, mid)) as s:
        assert s.receive()[1] == message(2)
        s.ws.send(CLOSE, b"\x03\xe8")
        assert s.ws.closed()[:2] == b"\x03\xe8"
    daemon.wait_for(streams=streams)


@pytest.mark.parametrize("port", CLIENTS)
def test_refusals(front, site, person, port):
    """Who comes with another key's signature reads nothing; and where
    clients read, nobody publishes or looks at the figures."""
    query = site.query(person, key="another key")
    a = cases.ask("GET", port, "/bitrix/sub/?" + query)
    assert a.status == 400 and a.body
    assert a.header("Access-Control-Allow-Origin") == "*"
    refused = WebSocket(port, "/bitrix/subws/?" + query)
    if refused.status == 101:
        assert refused.closed()[:2] == (4010).to_bytes(2, "big")
    else:
        assert refused.status == 400
    refused.close()
    for path in "/bitrix/pub/", "/bitrix/api/", "/server-stat/", "/":
        a = cases.ask("POST", port, path + "?CHANNEL_ID=" + person.private,
                      b"{}")
        assert a.status == 403, path


def test_site_only(front):
    """Port 8895 is this machine's, and has the figures."""
    with pytest.raises(ConnectionRefusedError):
        cases.connect(8895, OUTSIDE).connect()
    a = cases.ask("GET", 8895, "/server-stat/")
    assert a.status == 200 and isinstance(json.loads(a.body), list)
    for path in "/bitrix/sub/", "/":
        assert cases.ask("GET", 8895, path).status == 403, path


def check_binary(port):
    """Protobuf, by the site and by a browser without a WebSocket."""
    a, b = Person(), Person()
    ids = [f"CHANNEL_ID={p.ids(4, KEY)}&binaryMode=true" for p in (a, b)]
    with WebSocket(port, "/bitrix/subws/?" + ids[0]) as ws:
        assert ws.status == 101
        for where, path, to in [
                (8895, "/bitrix/pub/?binaryMode=true",
                 bitrix.receiver(a.private)),
                (port, "/bitrix/rest/?" + ids[1],
                 bitrix.to_public(a.public, KEY))]:
            data = bitrix.publishing(bitrix.incoming([to], bytes(range(256)),
                                                     86400))
            answer = cases.ask("POST", where, path, data)
            assert (answer.status, answer.body) == (200, b"")
            op, data = ws.frame()
            assert op == 2
            (m,) = bitrix.messages(data)
            assert m.body == bytes(range(256))
    answer = cases.ask("GET", port, f"/bitrix/sub/?{ids[0]}&mid={FIRST}")
    assert [m.body for m in bitrix.messages(answer.body)] == [
        bytes(range(256))] * 2


def check_read_mark(site, person, port):
    """Where a client of version 5 says what it has read, Holdfast answers,
    and not the site."""
    a = cases.ask("POST", port,
                  "/bitrix/rest/?CHANNEL_ID=" + person.ids(4, KEY),
                  "mack:" + FIRST)
    assert (a.status, a.body) == (200, b"")
    assert a.header("Access-Control-Allow-Origin") == "*"


@pytest.mark.parametrize("port", CLIENTS)
def test_browsers_publish(front, site, person, port):
    """In version 3 they do not; later they do through the WebSocket, or, in
    version 4, by a request of its own."""
    if site.version == 3:
        a = cases.ask("POST", port, "/bitrix/rest/?" + site.query(person),
                      b"{}")
        assert a.status in (403, 404)
    elif site.version == 4:
        check_binary(port)
    else:
        check_read_mark(site, person, port)
        with Socket(site, port, "/bitrix/subws/", site.query(person)) as s:
            s.ws.send(1, bitrix.compact(bitrix.call("publish", {
                "userList": [person.user], "body": message(1), "expiry": 10})))
            assert s.receive()[1] == message(1)


def test_check(front, site, tmp_path):
    """holdfastctl check, as the documents tell to call it."""
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    c = Check("--bitrix", "--insecure", "--wait", "0", "--version",
              str(site.version), "--key-file", str(keys),
              "https://127.0.0.1:8894").result()
    assert c.failed() == [], c.text
    assert c.not_tried() == ["stream", "end of a poll"]


def test_a_publisher_that_goes(front, site, person):
    """PHP of old does not wait for the answer."""
    path, body, fields = site.post(person.private, 1)
    head = [f"POST {path} HTTP/1.0", "Host: 127.0.0.1",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in fields.items()]
    cases.raw(8895, "\r\n".join([*head, "", ""]) + body.decode()).close()
    a = cases.ask("GET", 8893, "/bitrix/sub/?" + site.query(person, FIRST))
    assert [body for _, body in site.read(a.body)] == [message(1)]


def test_kill(front, daemon, site, person):
    """A WebSocket ends with the daemon, and comes back with its mid."""
    with Socket(site, 8893, "/bitrix/subws/", site.query(person)) as s:
        site.publish(person.private, 0)
        mid, _ = s.receive()
        daemon.kill()
        assert s.ws.at_end()
    a = cases.ask("GET", 8893, "/bitrix/sub/?" + site.query(person, mid))
    assert a.status in (502, 503)
    daemon.start()
    wait_until(lambda: cases.ask("GET", 8895, "/server-stat/").status == 200)
    site.publish(person.private, 1)

    def back():
        ws = WebSocket(8893, "/bitrix/subws/?" + site.query(person, mid))
        if ws.status == 101:
            return ws
        ws.close()
    ws = wait_until(back)
    text = ws.text()
    ws.close()
    assert [body for _, body in site.read(text.encode())] == [message(1)]
