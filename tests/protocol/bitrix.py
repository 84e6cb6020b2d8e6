"""Bitrix in small: what its site and its browsers sign, send and read when
they speak to a queue server of version 3, 4 or 5."""

import base64
import collections
import hashlib
import hmac
import itertools
import json
import re
import struct
import time

import wire
import ws
from front import Location, http_date

KEY = "test-signature-key"
KEYED = {"signature_key": [KEY]}


def short(value):
    """A parameter of a test, as part of the test's name."""
    text = repr(value)
    return text if len(text) < 60 else f"{text[:40]}...{len(text)}"


# Channel ids and their signatures

numbers = itertools.count()


def new_id():
    """32 hex digits that no test has used yet."""
    return hashlib.md5(b"%d" % next(numbers)).hexdigest()


def mac(text, key=KEY, algo="sha1"):
    text = text if isinstance(text, bytes) else text.encode()
    return hmac.new(key.encode(), text, algo).digest()


def sign(text, *how):
    return mac(text, *how).hex()


def signed(id, *how):
    """id.sig, and with "private:public" the pair's form."""
    return f"{id}.{sign(id, *how)}"


def public_mac(public, *how):
    """What allows to write to a public id."""
    return mac("public:" + public, *how)


class Person:
    """Whose browser reads a private channel, with its public twin, and one
    that is shared with others."""

    def __init__(self, shared=None):
        self.private, self.public = new_id(), new_id()
        self.shared = shared or new_id()

    def ids(self, version=4, *how):
        """CHANNEL_ID as the site hands it out."""
        own = (self.private if version == 3 else
               f"{self.private}:{self.public}")
        return signed(own, *how) + "/" + signed(self.shared, *how)


# Positions

FIRST = "0" * 26


def mid_of(seconds, tag):
    return "%010d%016d" % (seconds, tag)


def is_mid(text):
    return re.fullmatch(r"\d{26}", text or "") is not None


# Text frames

EVENT = re.compile(rb"#!NGINXNMS!#(.*?)#!NGINXNME!#")


def raw_events(data):
    """As the clients find them; nothing else may be there."""
    assert EVENT.sub(b"", data) == b"", data
    return EVENT.findall(data)


def events(data):
    return [json.loads(e) for e in raw_events(data)]


def mids(data):
    return [re.search(rb'"mid":"(\d{26})"', e)[1].decode()
            for e in raw_events(data)]


def texts(data):
    """Whatever was published, JSON or not."""
    return [e.partition(b'"text":')[2][:-1] for e in raw_events(data)]


def event_object(mid, text, channel="-"):
    """What stands between the marks."""
    when, tag = int(mid[:10]), int(mid[10:])
    return (f'{{"id":{tag},"mid":"{mid}","channel":"{channel}",'
            f'"tag":"{tag}","time":"{http_date(when)}","text":'
            ).encode() + text + b"}"


def event(mid, text, channel="-"):
    return (b"#!NGINXNMS!#" + event_object(mid, text, channel) +
            b"#!NGINXNME!#")


# Protobuf: what is needed of it

class Fixed32(int):
    """A number that goes in four bytes."""


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, Fixed32):
        return varint(number << 3 | 5) + struct.pack("<I", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    """Of (number, value); None: left out."""
    return b"".join(field(n, v) for n, v in fields if v is not None)


def varint_at(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return n, at


def fields(data):
    """[(number, value)] of a message."""
    out, at = [], 0
    while at < len(data):
        tag, at = varint_at(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint_at(data, at)
        elif kind == 2:
            n, at = varint_at(data, at)
            value, at = data[at:at + n], at + n
            assert at <= len(data), "a length past the end"
        else:
            assert kind == 5, f"wire type {kind}"
            value, at = Fixed32(struct.unpack_from("<I", data, at)[0]), at + 4
        out.append((tag >> 3, value))
    return out


# RequestBatch

CLIENT, BACKEND = 1, 2          # types of a sender


def receiver(id, private=True, signature=None):
    id = bytes.fromhex(id) if isinstance(id, str) else id
    return message((1, id), (2, 1 if private else None), (3, signature))


def to_public(id, *how):
    """A receiver that a browser may write to."""
    return receiver(id, False, public_mac(id, *how))


def incoming(receivers, body, expiry=None, type=None, sender=None):
    return message(*((1, r) for r in receivers), (2, sender), (3, body),
                   (4, expiry), (5, type))


def batch(*requests):
    return message(*((1, r) for r in requests))


def publishing(*messages):
    return batch(field(1, message(*((1, m) for m in messages))))


def asking(*receivers):
    """channelStats of them."""
    return batch(field(2, message(*((1, r) for r in receivers))))


SERVER_STATS = batch(field(3, b""))


# ResponseBatch

Outgoing = collections.namedtuple(
    "Outgoing", "mid body expiry created sender_type sender_id")
Stats = collections.namedtuple("Stats", "id private online")


def one_of_each(data, *known):
    """The fields of a message whose fields come once at most."""
    got = fields(data)
    assert len(dict(got)) == len(got) and set(dict(got)) <= set(known), got
    return dict(got)


def outgoing(data):
    m = one_of_each(data, 1, 2, 3, 4, 5)
    sender = one_of_each(m[5], 1, 2)    # clients look into it
    assert len(m[1]) == 13 and isinstance(m[4], Fixed32)
    return Outgoing(m[1].hex(), m.get(2, b""), m.get(3, 0), int(m[4]),
                    sender.get(1, 0), sender.get(2, b"").hex())


def stats(data):
    m = one_of_each(data, 1, 2, 3)
    return Stats(m[1].hex(), bool(m.get(2)), bool(m.get(3)))


def repeated(data):
    got = fields(data)
    assert all(number == 1 for number, _ in got), got
    return [value for _, value in got]


def responses(data):
    """[(kind of the response, what is in it)] of a ResponseBatch."""
    out = []
    for response in repeated(data):
        (kind, value), = fields(response)
        if kind == 1:
            out.append(("messages", [outgoing(m) for m in repeated(value)]))
        elif kind == 2:
            out.append(("stats", [stats(m) for m in repeated(value)]))
        else:
            assert kind == 3, kind
            out.append(("json", json.loads(one_of_each(value, 1)[1])))
    return out


def messages(data):
    """All messages of a ResponseBatch that holds nothing else."""
    got = responses(data)
    assert all(kind == "messages" for kind, _ in got), got
    return [m for _, several in got for m in several]


def message_bytes(m):
    """One message as a ResponseBatch of its own."""
    sender = message((1, m.sender_type),
                     (2, bytes.fromhex(m.sender_id) or None))
    return batch(field(1, field(1, message(
        (1, bytes.fromhex(m.mid)), (2, m.body), (3, m.expiry),
        (4, Fixed32(m.created)), (5, sender)))))


# Tokens and JSON-RPC

def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"),
                      ensure_ascii=False).encode()


def jwt(claims, key=KEY, header=None):
    """Signed with HS256, whatever the header says."""
    header = header or {"typ": "JWT", "alg": "HS256"}
    text = ".".join(base64url(p if isinstance(p, bytes) else compact(p))
                    for p in (header, claims))
    return f"{text}.{base64url(mac(text, key, 'sha256'))}"


def claims(user=None, channels=(), **other):
    """As the site makes them; None: left out."""
    now = int(time.time())
    out = {"iss": "h" * 32, "iat": now, "exp": now + 3600,
           "sub": None if user is None else str(user),
           "chan": ",".join(channels) or None, **other}
    return {name: value for name, value in out.items() if value is not None}


def token(user=None, channels=(), **other):
    return jwt(claims(user, channels, **other))


def call(method, params, id=None):
    out = {"jsonrpc": "2.0", "method": method, "params": params}
    return out if id is None else {**out, "id": id}


# Answers

PLAIN = ("Content-Type", "text/plain")
BINARY = ("Content-Type", "application/octet-stream")
ANYONE = ("Access-Control-Allow-Origin", "*")
EXPOSED = ("Access-Control-Expose-Headers", "Last-Message-Id")
EXPIRED = ("Expires", "Thu, 01 Jan 1973 11:11:01 GMT")


def check(answer, status, *head, body=None):
    """Exactly this status, these header fields, this body.  The length may be
    left to the front, but if it is there it is true."""
    name, value = answer.headers[0]
    assert (name, value.split()[0]) == ("Status", str(status)), answer.raw
    got = [f for f in answer.headers[1:] if f[0] != "Content-Length"]
    assert sorted(got) == sorted(head), answer.raw
    length = answer.header("Content-Length")
    assert length in (None, str(len(answer.body))), answer.raw
    if body is not None:
        assert answer.body == body, answer.raw


def said(code, text):
    """How versions 4 and 5 refuse."""
    return f"{code}: {text}".encode()


# The server, as a front sees it

PATHS = {"pub": "/bitrix/pub/", "sub": "/bitrix/sub/",
         "rest": "/bitrix/rest/", "api": "/bitrix/api/",
         "stat": "/server-stat/"}
SHORT = {"longpolling_connection_ttl": "30ms"}


def joined(query, **more):
    """A query; None: not there."""
    return "&".join([query] * bool(query) +
                    [f"{n}={v}" for n, v in more.items() if v is not None])


class Server:
    """The locations of a queue server of one version."""

    def __init__(self, daemon, version, gateway="fastcgi", **settings):
        self.daemon = daemon
        self.version = version
        self.gateway = gateway
        self.settings = settings

    def but(self, **settings):
        return Server(self.daemon, self.version, self.gateway,
                      **{**self.settings, **settings})

    def location(self, route, uri=None):
        return Location(self.daemon, self.gateway, uri or PATHS[route],
                        {"bitrix_version": str(self.version),
                         "bitrix_route": route}, **self.settings)

    def start(self, route, method, query="", body=b"", uri=None, **fields):
        return self.location(route, uri).start(method, None, body, query,
                                               **fields)

    def ask(self, *args, **fields):
        return self.start(*args, **fields).answer()

    def poll(self, query, **fields):
        return self.ask("sub", "GET", query, **fields)

    def park(self, query, uri=None, **fields):
        """A poll that waits."""
        return self.location("sub", uri).park(None, query=query, **fields)

    def socket(self, query, uri=None, **fields):
        return Socket(self.location("sub", uri), query, **fields)

    def publish(self, ids, body, expiry=86400, **fields):
        """By the site, in the form without protobuf; it must succeed."""
        ids = ids if isinstance(ids, str) else "/".join(ids)
        if expiry is not None:
            fields["HTTP_MESSAGE_EXPIRY"] = str(expiry)
        answer = self.ask("pub", "POST", "CHANNEL_ID=" + ids, body, **fields)
        assert (answer.status, answer.body) == (200, b""), answer.raw

    def send(self, data, query="binaryMode=true&hostname=", route="pub"):
        """A RequestBatch as the site sends it."""
        return self.ask(route, "POST", query, data,
                        CONTENT_TYPE="application/x-www-form-urlencoded")

    def publish_binary(self, *messages):
        answer = self.send(publishing(*messages))
        check(answer, 200, PLAIN, ANYONE, body=b"")

    def rpc(self, body, key=KEY, **query):
        """Signed JSON by the site: the answer as an object."""
        answer = self.ask_rpc(body, key, **query)
        assert answer.status == 200, answer.raw
        return json.loads(answer.body)

    def ask_rpc(self, body, key=KEY, **query):
        body = body if isinstance(body, bytes) else compact(body)
        query = {"hostId": "h" * 32, "signature": sign(body, key), **query}
        return self.ask("api", "POST", joined("", **query), body,
                        CONTENT_TYPE="application/x-www-form-urlencoded")


class Socket(ws.WebSocket):
    """A WebSocket that was accepted."""

    def __init__(self, location, query, **fields):
        super().__init__(location, None, head=False, query=query, **fields)
        answer = wire.Answer(self.head())
        assert answer.status == 101, answer.raw
        assert answer.header("Upgrade").lower() == "websocket"
        assert answer.header("Connection") == "Upgrade"
        assert answer.header("Sec-WebSocket-Accept") == ws.ACCEPT

    def binary(self):
        op, data = self.frame()
        assert op == ws.BINARY, (op, data)
        return data

    def say_binary(self, data):
        self.send(ws.frame(ws.BINARY, data))

    def say_json(self, value):
        self.say(compact(value))

    def settle(self):
        """What was sent so far has been looked at."""
        self.send(ws.frame(ws.PING, b"there?"))
        assert self.frame() == (ws.PONG, b"there?")

    def refused(self, code, text):
        """The next frame closes it with this code and its text."""
        assert self.frame() == (
            ws.CLOSE, ws.close_payload(code, said(code, text)))
