"""HTTP/1.1 as bytes: a client that believes nothing, for the listener that
clients talk to themselves."""

import re

import wire


def request(method, target, body=None, version="1.1", host="h", **fields):
    """Fields by name, with _ for -; None: not sent."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append("Host: " + host)
    if body is not None:
        fields.setdefault("Content_Length", len(body))
    lines += [f"{n.replace('_', '-')}: {v}" for n, v in fields.items()
              if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def publish(channel, body, **fields):
    return request("POST", "/bitrix/pub/?CHANNEL_ID=" + channel, body,
                   **fields)


def poll(channel, **fields):
    return request("GET", "/bitrix/sub?CHANNEL_ID=" + channel, **fields)


def chunk(data, more=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), more, data)


class Answer:
    def __init__(self, head):
        lines = head.decode().split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", lines[0])
        assert found, lines[0]
        self.status = int(found[1])
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        self.body = b""
        names = [n.lower() for n, _ in self.headers]
        for name in ("date", "content-length", "transfer-encoding",
                     "connection"):
            assert names.count(name) <= 1, head
        assert "status" not in names
        if self.status >= 200:
            assert "date" in names

    def header(self, name):
        for n, value in self.headers:
            if n.lower() == name.lower():
                return value
        return None

    def has_body(self):
        return self.status not in (204, 304) and self.status >= 200


class Client(wire.Client):
    """Client(daemon.http)"""

    def until(self, mark):
        while mark not in self.input:
            more = self.sock.recv(65536)
            assert more, f"ended after {self.input!r}"
            self.input += more
        out, _, self.input = self.input.partition(mark)
        return out

    def exactly(self, n):
        out = self.read(n)
        assert len(out) == n, f"ended after {out!r}"
        return out

    def head(self):
        return Answer(self.until(b"\r\n\r\n"))

    def chunk(self):
        """The next one; b"" is the last."""
        n = int(self.until(b"\r\n"), 16)
        out = self.exactly(n)
        assert self.exactly(2) == b"\r\n"
        return out

    def answer(self, head=False):
        """A whole one; `head`: that of HEAD."""
        a = self.head()
        if head or not a.has_body():
            return a
        if a.header("Transfer-Encoding"):
            assert a.header("Transfer-Encoding") == "chunked"
            assert a.header("Content-Length") is None
            while part := self.chunk():
                a.body += part
        elif a.header("Content-Length") is not None:
            a.body = self.exactly(int(a.header("Content-Length")))
        else:
            assert a.header("Connection") == "close"
            a.body = self.rest()
        return a

    def ask(self, data, **how):
        self.send(data)
        return self.answer(**how)


def ask(address, data, **how):
    with Client(address) as c:
        return c.ask(data, **how)
