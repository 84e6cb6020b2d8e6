"""Readers of an answer that goes on: streaming, EventSource and WebSocket
(RFC 6455), through either gateway."""

import itertools
import struct

import wire
from front import Location

CONTINUATION, TEXT, BINARY = 0, 1, 2
CLOSE, PING, PONG = 8, 9, 10

MASK = b"\x37\xfa\x21\x3d"
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade",
             "HTTP_SEC_WEBSOCKET_KEY": KEY,
             "HTTP_SEC_WEBSOCKET_VERSION": "13"}
HEAD = ("Status: 101 Switching Protocols\r\n"
        "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
        "Cache-Control: no-cache, no-store, must-revalidate\r\n"
        "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n").encode()


# Frames of a client

def masked(data, mask):
    n = len(data)
    key = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
            ).to_bytes(n, "big")


def frame(op, data=b"", fin=True, rsv=0, mask=MASK, form=None):
    """`form`: bytes of the length, 1, 3 or 9; None is the shortest."""
    n = len(data)
    form = form or (1 if n < 126 else 3 if n < 65536 else 9)
    bit = 0x80 if mask else 0
    out = bytes([(0x80 if fin else 0) | rsv << 4 | op])
    if form == 1:
        out += bytes([bit | n])
    elif form == 3:
        out += struct.pack(">BH", bit | 126, n)
    else:
        out += struct.pack(">BQ", bit | 127, n)
    return out + (mask + masked(data, mask) if mask else data)


def fragments(data, sizes, op=TEXT):
    """A message in frames of these sizes; what is left is the last."""
    cuts = [0, *itertools.accumulate(sizes), len(data)]
    parts = [data[a:b] for a, b in zip(cuts, cuts[1:])]
    return [frame(CONTINUATION if i else op, part, fin=i == len(parts) - 1)
            for i, part in enumerate(parts)]


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


# Readers

class Stream:
    """A request whose answer goes on."""

    def __init__(self, location, path, rcvbuf=None, **fields):
        self.gateway = location.gateway
        self.client = location.daemon.connect(
            getattr(location.daemon, self.gateway), rcvbuf=rcvbuf)
        self.input = bytearray()
        self.ended = False
        params = location.parameters("GET", path, **fields)
        params = {n: v for n, v in params.items() if v is not None}
        self.client.send(self.request(params))

    def request(self, params):
        if self.gateway == "scgi":
            return wire.scgi(params)
        return wire.fastcgi(params, keep=False)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()

    def close(self):
        self.client.close()

    def more(self):
        """What comes next; nothing at the end."""
        if self.ended:
            return b""
        if self.gateway == "scgi":
            got = self.client.sock.recv(65536)
            self.ended = not got
            return got
        record = self.client.record()
        assert record is not None, "closed without END_REQUEST"
        kind, id, content = record
        if kind == wire.END:
            self.ended = True
            assert content == bytes(8), "ended otherwise than well"
            return b""
        assert (kind, id) == (wire.STDOUT, 1)
        return content or self.more()

    def read(self, n):
        while len(self.input) < n:
            got = self.more()
            assert got, f"ended after {bytes(self.input[:200])}"
            self.input += got
        out = bytes(self.input[:n])
        del self.input[:n]
        return out

    def read_to(self, mark):
        """Up to and with `mark`."""
        start = 0
        while (at := self.input.find(mark, start)) < 0:
            start = max(0, len(self.input) - len(mark) + 1)
            got = self.more()
            assert got, f"ended after {bytes(self.input[-200:])}"
            self.input += got
        return self.read(at + len(mark))

    def rest(self):
        """All up to the end, which must come."""
        while got := self.more():
            self.input += got
        return self.read(len(self.input))

    def line(self):
        return self.read_to(b"\n")[:-1].decode()

    def head(self):
        return self.read_to(b"\r\n\r\n")


class WebSocket(Stream):
    """A client's side.  Without `head` the answer is not looked at yet."""

    def __init__(self, location, path, head=True, **fields):
        super().__init__(location, path, **{**HANDSHAKE, **fields})
        if head:
            assert self.head() == HEAD

    def request(self, params):
        if self.gateway == "scgi":
            return wire.scgi(params)
        return wire.fastcgi_records(params, keep=False)[:-1]

    def answer(self):
        """Of a request that came to be no WebSocket: a front ends it."""
        if self.gateway == "fastcgi":
            self.client.send_until_closed(wire.record(wire.STDIN))
        return wire.Answer(self.rest())

    def send(self, data, cut=wire.cut_whole, size=65535):
        if isinstance(data, list):
            data = b"".join(data)
        if self.gateway == "fastcgi":
            data = wire.stream(wire.STDIN, 1, data, size, end=False)
        self.client.send(data, cut)

    def say(self, text):
        self.send(frame(TEXT, text))

    def frame(self):
        """The next frame as (opcode, data)."""
        first, n = self.read(2)
        assert first & 0xf0 == 0x80, "not whole, or reserved bits"
        op = first & 0x0f
        assert n < 128, "a server does not mask"
        if n == 126:
            n, = struct.unpack(">H", self.read(2))
            assert n > 125
        elif n == 127:
            n, = struct.unpack(">Q", self.read(8))
            assert n > 65535
        assert op < CLOSE or n < 126
        return op, self.read(n)

    def text(self):
        op, data = self.frame()
        assert op == TEXT, (op, data)
        return data

    def closed(self, code=None, reason=b""):
        """The close frame comes next, with this code, and then the end."""
        want = b"" if code is None else close_payload(code, reason)
        assert self.frame() == (CLOSE, want)
        assert self.rest() == b""


def websocket(daemon, gateway="fastcgi", **settings):
    return Location(daemon, gateway, **{
        "subscriber": "websocket", **settings})
