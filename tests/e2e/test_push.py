"""The shipped files of Bitrix's queue servers, versions 3 to 5: what the site
sends and what browsers read goes through nginx and Apache."""

import itertools
import json
import socket

import pytest

import bitrix
import cases
import conftest
from front import wait_until
from streams import CLOSE, WebSocket

FRONTS = [("nginx", 3, "bitrix-push-1.0.conf"),
          ("nginx", 4, "bitrix-push-2.0.conf"),
          ("nginx", 5, "bitrix-push-3.0.conf"),
          ("apache", 3, "bitrix-push-1.0.conf"),
          ("apache", 4, "bitrix-push-2.0.conf")]
PLACES = [(port, path) for port in (8893, 8894)
          for path in ("/bitrix/sub/", "/bitrix/subws/")]
users = itertools.count(1)


@pytest.fixture(scope="module")
def daemon(namespaces, tmp_path_factory):
    d = conftest.installed(tmp_path_factory.mktemp("hf"), **bitrix.KEYED)
    yield d
    d.stop()


@pytest.fixture(scope="module", params=FRONTS,
                ids=lambda p: f"{p[0]}-{p[1]}")
def front(request, certificate, daemon):
    kind, version, example = request.param
    if kind == "nginx":
        server = conftest.shipped(certificate, example, [8893, 8894, 8895])
    else:
        server = conftest.apache(certificate, example)
    server.version = version
    server.is_nginx = kind == "nginx"
    yield server.start()
    server.stop()


@pytest.fixture
def person(front):
    return {3: Text, 4: Protobuf, 5: Rpc}[front.version](front.version)


def body(n):
    return {"module_id": "test", "command": "n", "params": {"n": n}}


class Text(bitrix.Person):
    """Somebody who reads, and the site that writes to them."""

    def __init__(self, version):
        super().__init__()
        self.version = version

    def query(self, mid=None):
        return bitrix.joined("CHANNEL_ID=" + self.ids(self.version), mid=mid)

    wrong = "CHANNEL_ID=" + "0" * 32 + "." + "0" * 40

    def post(self, n):
        """(path, fields, body) of the site's request."""
        return ("/bitrix/pub/?CHANNEL_ID=" + self.private,
                {"Message-Expiry": "86400"}, bitrix.compact(body(n)))

    def publish(self, n):
        path, fields, data = self.post(n)
        answer = cases.ask("POST", 8895, path, data, fields)
        assert answer.status == 200, answer.body

    def poll(self, mid=bitrix.FIRST, place=PLACES[0], **options):
        port, path = place
        return cases.ask("GET", port, f"{path}?{self.query(mid)}", **options)

    @staticmethod
    def read(data):
        """[(n, mid)] of an answer or a frame."""
        return [(e["text"]["params"]["n"], e["mid"])
                for e in bitrix.events(data)]


class Protobuf(Text):
    def post(self, n):
        return "/bitrix/pub/?binaryMode=true&hostname=", {}, bitrix.publishing(
            bitrix.incoming([bitrix.receiver(self.private)],
                            bitrix.compact(body(n)), 86400))


class Rpc(Text):
    def __init__(self, version):
        super().__init__(version)
        self.user = next(users)

    def query(self, mid=None):
        return bitrix.joined("jsonRpc=true", token=bitrix.token(self.user),
                             mid=mid)

    wrong = "jsonRpc=true&token=" + bitrix.jwt(bitrix.claims(7), "another key")

    def post(self, n):
        data = bitrix.compact([bitrix.call("publish", {
            "userList": [self.user], "body": body(n), "expiry": 86400})])
        return (f"/bitrix/api/?hostId={'h' * 32}&signature=" +
                bitrix.sign(data), {}, data)

    @staticmethod
    def read(data):
        several = json.loads(data)
        several = several if isinstance(several, list) else [several]
        return [(m["params"]["body"]["params"]["n"], m["params"]["mid"])
                for m in several]


def numbers(read):
    return [n for n, _ in read]


@pytest.mark.parametrize("place", PLACES)
def test_polls(person, daemon, place):
    """What is there, as it is; then what comes."""
    person.publish(1)
    person.publish(2)
    answer = person.poll(place=place, headers={"Accept-Encoding": "gzip"})
    assert (answer.status, answer.all("Content-Encoding")) == (200, [])
    read = person.read(answer.body)
    assert numbers(read) == [1, 2]
    parked = daemon.status()["parked"]
    c = cases.connect(place[0])
    c.request("GET", f"{place[1]}?{person.query(read[-1][1])}")
    daemon.wait_for(parked=parked + 1)
    person.publish(3)
    assert numbers(person.read(c.getresponse().read())) == [3]
    c.close()


@pytest.mark.parametrize("port, path", PLACES)
def test_sockets(front, person, port, path):
    """Apache has no tunnel to a responder and says so."""
    person.publish(1)
    if not front.is_nginx:
        with WebSocket(port, f"{path}?{person.query()}") as w:
            assert w.status == 501
        return
    with WebSocket(port, f"{path}?{person.query(bitrix.FIRST)}") as w:
        assert w.status == 101
        assert numbers(person.read(w.text().encode())) == [1]
        person.publish(2)
        assert numbers(person.read(w.text().encode())) == [2]
        w.send(CLOSE, b"\x03\xe8")
        assert w.closed() == b"\x03\xe8"


def test_refusals(front, person):
    """A browser learns the code: only then it asks the site for new ids."""
    port, path = PLACES[0]
    answer = cases.ask("GET", port, f"{path}?{person.wrong}")
    assert answer.status == 400
    assert answer.header("Access-Control-Allow-Origin") == "*"
    if not front.is_nginx:
        return
    with WebSocket(port, f"{path}?{person.wrong}") as w:
        if person.version == 3:
            assert w.status == 400
        else:
            assert answer.body == b"4010: Wrong Channel Id."
            assert w.closed() == b"\x0f\xaa" + answer.body


def test_a_publisher_that_goes(person):
    """PHP of old does not wait for the answer."""
    path, fields, data = person.post(1)
    head = [f"POST {path} HTTP/1.0", "Host: 127.0.0.1",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(data)}"]
    head += [f"{name}: {value}" for name, value in fields.items()]
    with socket.create_connection(("127.0.0.1", 8895), 60) as s:
        s.sendall("\r\n".join([*head, "", ""]).encode() + data)
    assert numbers(person.read(person.poll().body)) == [1]


def test_kill(front, person, daemon):
    """What was acknowledged is there, and a position goes on."""
    for n in 1, 2:
        person.publish(n)
    mid = person.read(person.poll().body)[0][1]
    waiting = (WebSocket(8893, "/bitrix/subws/?" + person.query())
               if front.is_nginx else None)
    daemon.kill()
    if waiting:
        assert waiting.at_end()
        waiting.close()
    answer = person.poll()
    daemon.start()
    assert answer.status in (502, 503)
    if front.is_nginx:
        assert answer.header("Access-Control-Allow-Origin") == "*"
    wait_until(lambda: person.poll().status == 200)
    person.publish(3)
    assert numbers(person.read(person.poll(mid).body)) == [2, 3]


def test_browsers_publish(person):
    """Version 4's way without a WebSocket; the others have none."""
    data = bitrix.publishing(bitrix.incoming(
        [bitrix.to_public(person.public)], bitrix.compact(body(1)), 60))
    answer = cases.ask("POST", 8893, "/bitrix/rest/?" + person.query(), data)
    if person.version == 4:
        assert (answer.status, answer.body) == (200, b"")
        assert numbers(person.read(person.poll().body)) == [1]
    else:
        assert answer.status == 403


def test_what_the_site_alone_may_ask(person):
    """The publisher's server has no clients' locations, nor they its."""
    answer = cases.ask("GET", 8895, "/server-stat/")
    assert answer.status == 200 and len(json.loads(answer.body)) == 1
    for port, path in [(8893, "/server-stat/"), (8893, "/bitrix/pub/"),
                       (8893, "/bitrix/api/"), (8894, "/"),
                       (8895, "/bitrix/sub/")]:
        assert cases.ask("GET", port, path).status == 403
