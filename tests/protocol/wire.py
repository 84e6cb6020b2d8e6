"""FastCGI and SCGI as bytes: builders for requests, right and wrong, and a
small client that reads the answers."""

import fcntl
import random
import socket
import struct
import termios
import time

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
COMPLETE, CANT_MPX, OVERLOADED, UNKNOWN_ROLE = range(4)
KEEP = 1
TIMEOUT = 20.0          # of every wait for the daemon, in seconds


# FastCGI

def record(kind, id=1, content=b"", padding=0, version=1):
    head = struct.pack(">BBHHBB", version, kind, id, len(content), padding, 0)
    return head + content + b"\xa5" * padding


def length(n, long=False):
    return struct.pack(">I", n | 1 << 31) if long or n > 127 else bytes([n])


def raw(text):
    return text if isinstance(text, bytes) else text.encode()


def pair(name, value, long=False):
    name, value = raw(name), raw(value)
    return length(len(name), long) + length(len(value), long) + name + value


def pairs(params, long=False):
    """Of a dictionary, or of a list of tuples where order or repetition
    matters."""
    items = params.items() if isinstance(params, dict) else params
    return b"".join(pair(n, v, long) for n, v in items)


def begin(id=1, role=RESPONDER, keep=True, padding=0):
    body = struct.pack(">HB5x", role, KEEP if keep else 0)
    return record(BEGIN, id, body, padding)


def stream(kind, id, data, size=65535, padding=0, end=True):
    """A stream in records of `size` bytes, with the empty one at its end."""
    out = [record(kind, id, data[i:i + size], padding)
           for i in range(0, len(data), size)]
    if end:
        out.append(record(kind, id, b"", padding))
    return out


def fastcgi_records(params, body=b"", id=1, keep=True, size=65535, padding=0,
                    long=False):
    return [begin(id, keep=keep, padding=padding),
            *stream(PARAMS, id, pairs(params, long), size, padding),
            *stream(STDIN, id, body, size, padding)]


def fastcgi(*args, **kwargs):
    return b"".join(fastcgi_records(*args, **kwargs))


# SCGI

def netstring(data):
    return b"%d:%s," % (len(data), data)


def scgi_headers(params):
    items = params.items() if isinstance(params, dict) else params
    return b"".join(f"{n}\0{v}\0".encode() for n, v in items)


def scgi(params, body=b""):
    """CONTENT_LENGTH and SCGI=1 are put in front, where they belong."""
    first = [("CONTENT_LENGTH", str(len(body))), ("SCGI", "1")]
    rest = [(n, v) for n, v in params.items() if n != "CONTENT_LENGTH"]
    return netstring(scgi_headers(first + rest)) + body


# Requests that the built-in Bitrix layout serves

def cgi(method, uri, query="", **more):
    return {"REQUEST_METHOD": method, "DOCUMENT_URI": uri,
            "REQUEST_URI": uri + "?" + query, "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", **more}


def publish(channel, body=b"", **more):
    """Parameters of a publish; CONTENT_LENGTH="" leaves the length open."""
    more.setdefault("CONTENT_LENGTH", str(len(body)))
    return cgi("POST", "/bitrix/pub/", "CHANNEL_ID=" + channel, **more)


def poll(channel, **more):
    return cgi("GET", "/bitrix/sub", "CHANNEL_ID=" + channel, **more)


# Ways to cut what is sent

def cut_whole(data):
    return [data]


def cut_bytes(data):
    return [data[i:i + 1] for i in range(len(data))]


def cut_64(data):
    return [data[i:i + 64] for i in range(0, len(data), 64)]


def cut_random(data):
    chance = random.Random(len(data))
    at, out = 0, []
    while at < len(data):
        n = chance.choice([1, 2, 3, 7, 8, 9, 30, 200, 5000])
        out.append(data[at:at + n])
        at += n
    return out


CUTS = [cut_whole, cut_bytes, cut_64, cut_random]


# Answers

class Answer:
    """A CGI answer taken apart."""

    def __init__(self, raw, protocol_status=COMPLETE):
        self.raw = raw
        self.protocol_status = protocol_status
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.headers = [tuple(line.split(": ", 1))
                        for line in head.decode().split("\r\n") if line]
        self.status = int((self.header("Status") or "200").split()[0])

    def header(self, name):
        for n, value in self.headers:
            if n.lower() == name.lower():
                return value
        return None


class Client:
    """A front's side of one connection."""

    def __init__(self, address, source=None, rcvbuf=None):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in address[0]
                                      else socket.AF_INET)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        # Python's own timeout would not wait for room in the backlog.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                             struct.pack("ll", int(TIMEOUT), 0))
        self.sock.connect(address)
        self.sock.settimeout(TIMEOUT)
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(address, "wrap"):    # tls.Address
            self.sock = address.wrap(self.sock)
        self.input = b""
        self.streams = {}

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data, cut=cut_whole):
        """Each piece goes when the last one was taken, as far as the kernel
        can tell; so the daemon really sees the cuts."""
        if isinstance(data, list):
            data = b"".join(data)
        pieces = cut(data)
        for piece in pieces:
            self.sock.sendall(piece)
            if len(pieces) > 1:
                self.taken()

    def send_until_closed(self, data, cut=cut_whole):
        """For what the daemon may close on before it has come whole."""
        try:
            self.send(data, cut)
        except ConnectionError:
            pass

    def taken(self, within=TIMEOUT):
        """Wait until the daemon has read what was sent; False if it does
        not."""
        unread = bytearray(4)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            fcntl.ioctl(self.sock, termios.TIOCOUTQ, unread)
            if not any(unread):
                return True
        return False

    def read(self, n):
        """n bytes, or fewer at the end of the stream."""
        while len(self.input) < n:
            more = self.sock.recv(65536)
            if not more:
                break
            self.input += more
        out, self.input = self.input[:n], self.input[n:]
        return out

    def record(self):
        """The next record as (type, id, content); None at the end."""
        head = self.read(8)
        if not head:
            return None
        version, kind, id, n, padding = struct.unpack(">BBHHBx", head)
        assert version == 1
        content = self.read(n + padding)
        assert len(content) == n + padding, "a record was cut short"
        return kind, id, content[:n]

    def answer(self, id=1):
        """The answer to request `id`; those of others are kept for later."""
        while id not in self.streams or self.streams[id][1] is None:
            got = self.record()
            assert got is not None, "closed before the answer was complete"
            kind, rid, content = got
            out = self.streams.setdefault(rid, [b"", None])
            assert out[1] is None, "bytes after END_REQUEST"
            if kind == STDOUT:
                out[0] += content
            else:
                assert kind == END and len(content) == 8
                out[1] = content
        raw, end = self.streams.pop(id)
        app_status, protocol_status = struct.unpack(">IB3x", end)
        assert app_status == 0
        return Answer(raw, protocol_status)

    def scgi_answer(self):
        return Answer(self.rest())

    def rest(self):
        """Everything up to the end of the stream, which must come."""
        out = b""
        while True:
            more = self.read(65536)
            if not more:
                return out
            out += more

    def at_end(self):
        """The daemon has closed and said nothing more.  A reset is a close
        too: it is what sending to a closed connection gives."""
        try:
            return self.read(1) == b""
        except ConnectionError:
            return True
