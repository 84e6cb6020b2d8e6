"""Clients that stay: a WebSocket, and a body that comes piece by piece."""

import base64
import hashlib
import os
import socket
import ssl
import struct

import wire

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def socket_to(port):
    s = socket.create_connection(("127.0.0.1", port), wire.TIMEOUT)
    if port == 8894:
        s = ssl._create_unverified_context().wrap_socket(s)
    return s


class Client:
    """A GET whose head is read, and whose rest is read as it comes."""

    def __init__(self, port, path, *fields):
        self.sock = socket_to(port)
        self.sock.sendall("\r\n".join([
            f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""
        ]).encode())
        self.input = self.sock.makefile("rb")
        self.status = int(self.line().split()[1])
        self.headers = {}
        while line := self.line():
            name, value = line.decode().split(": ", 1)
            assert name.lower() not in self.headers, f"{name} twice"
            self.headers[name.lower()] = value

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()

    def close(self):
        self.input.close()
        self.sock.close()

    def line(self):
        line = self.input.readline()
        assert line.endswith(b"\r\n"), "the connection was cut"
        return line[:-2]

    def read(self, n):
        data = self.input.read(n)
        assert len(data) == n, "the connection was cut"
        return data

    def at_end(self):
        return self.input.read(1) == b""


class Stream(Client):
    """A chunked body; the web server may cut it where it likes."""

    def __init__(self, *args):
        super().__init__(*args)
        assert self.status == 200
        assert self.headers["transfer-encoding"] == "chunked"
        self.body = b""

    def more(self):
        """Wait for the next chunk."""
        n = int(self.line(), 16)
        assert n != 0, "the body has ended"
        self.body += self.read(n)
        assert self.line() == b""

    def expect(self, text):
        """This comes next, and nothing came before it."""
        while len(self.body) < len(text):
            self.more()
        assert self.body == text
        self.body = b""

    def event(self):
        """The next of an EventSource: (id, data)."""
        while True:
            while b"\n\n" not in self.body:
                self.more()
            text, _, self.body = self.body.partition(b"\n\n")
            fields = dict(line.split(b": ", 1) for line in text.split(b"\n"))
            if b"data" in fields:
                return fields[b"id"].decode(), fields[b"data"]

    def expect_end(self):
        assert self.line() == b"0" and self.line() == b""


class WebSocket(Client):
    def __init__(self, port, path):
        key = base64.b64encode(os.urandom(16))
        super().__init__(
            port, path, "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: " + key.decode(), "Sec-WebSocket-Version: 13")
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            assert self.headers["sec-websocket-accept"] == accept.decode()
            assert self.headers["upgrade"].lower() == "websocket"
            assert self.headers["connection"].lower() == "upgrade"

    def send(self, op, data=b""):
        mask = os.urandom(4)
        n = len(data)
        length = (bytes([0x80 | n]) if n < 126 else
                  struct.pack(">BH", 0x80 | 126, n))
        self.sock.sendall(bytes([0x80 | op]) + length + mask + bytes(
            b ^ mask[i % 4] for i, b in enumerate(data)))

    def frame(self):
        op, n = self.read(2)
        assert op & 0xf0 == 0x80 and n < 128, "one frame, and no mask"
        if n == 126:
            n, = struct.unpack(">H", self.read(2))
        elif n == 127:
            n, = struct.unpack(">Q", self.read(8))
        return op & 0xf, self.read(n)

    def text(self):
        op, data = self.frame()
        assert op == TEXT, (op, data)
        return data.decode()

    def closed(self):
        """What its close frame says; nothing comes behind it."""
        op, data = self.frame()
        assert op == CLOSE, (op, data)
        assert self.at_end()
        return data
